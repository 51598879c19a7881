"""Closed loops: each client sends the next as soon as it has the answer to the last."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Client = tuple[Iterator[T], Callable[[T], Awaitable[int]]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Units done in `seconds`; the latency of each request in seconds, sorted; processor seconds that the client took."""

    units: int
    seconds: float
    latencies: Sequence[float]
    cpu: float

    @property
    def rate(self) -> float:
        return self.units / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in ms that this share of the requests did not exceed."""
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)] * 1000

    def plain(self) -> dict[str, Any]:
        """What the JSON file says of it."""
        return {
            "per_second": round(self.rate, 1),
            "p50_ms": round(self.percentile(0.50), 2),
            "p99_ms": round(self.percentile(0.99), 2),
            "requests": len(self.latencies),
            "seconds": round(self.seconds, 2),
            "client_cpu_us_per_request": round(self.cpu / len(self.latencies) * 1e6),
        }


async def closed_loop(clients: Sequence[Client[Any]], seconds: float = float("inf")) -> Measured:
    """Run until the time is up or the clients have nothing more to send. A client is (what it sends, how, giving units)."""
    began, cpu = time.perf_counter(), time.process_time()
    runs = await asyncio.gather(*(_run(items, act, began + seconds) for items, act in clients))
    ended = time.perf_counter()
    latencies = sorted(latency for run in runs for latency, _ in run)
    return Measured(sum(units for run in runs for _, units in run), ended - began, latencies, time.process_time() - cpu)


async def _run(items: Iterator[T], act: Callable[[T], Awaitable[int]], end: float) -> list[tuple[float, int]]:
    """(latency, units) of each request."""
    done: list[tuple[float, int]] = []
    while (began := time.perf_counter()) < end and (item := next(items, None)) is not None:
        units = await act(item)
        done.append((time.perf_counter() - began, units))
    return done
