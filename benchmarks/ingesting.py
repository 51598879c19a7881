"""Transaction Bundles in: one POST for each person, several people at a time."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from tqdm import tqdm

from benchmarks import synthea
from benchmarks.clients import Http, connected, request
from benchmarks.measuring import Measured, closed_loop
from benchmarks.servers import HOST, Server

HOSPITAL = "hospital-s"  # none of the demo region's: what they write over MLLP is told apart by it
AT_ONCE = 8  # of four connections all are with one process in one run of eight
TAIL = 0.2  # the last part, where the store is fullest
CREATED = re.compile(rb'"location"\s*:\s*"(?:[^"]*/)?([A-Za-z]+/[A-Za-z0-9.-]+)/_history/1"')


@dataclass(slots=True)
class Loaded:
    """What is in: `Type/id` of every resource, how many each Bundle made, (when, how many by then) in seconds."""

    names: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    marks: list[tuple[float, int]] = field(default_factory=list)

    def add(self, names: list[str]) -> None:
        self.names += names
        self.sizes.append(len(names))
        self.marks.append((time.perf_counter(), len(self.names)))

    def tail_rate(self) -> float:
        """Resources/s over the last part."""
        ended, count = self.marks[-1]
        began, before = next(mark for mark in self.marks if mark[1] >= count * (1 - TAIL))
        return (count - before) / (ended - began) if ended > began else 0.0


async def ingest(server: Server, wanted: int) -> tuple[Measured, Loaded]:
    """Load people until `wanted` resources are in, the directory before the clock starts."""
    loaded, token = Loaded(), server.token("system", organization=HOSPITAL)
    with tqdm(total=wanted, unit=" resources", desc="ingest", disable=None) as progress:

        async def send(connection: Http, bundle: bytes) -> int:
            answer = await connection.ask(request(token, "POST", "/fhir", bundle))
            names = [found.decode() for found in CREATED.findall(answer.body)]
            if answer.status != 200 or not names:
                raise RuntimeError(f"a Bundle was refused with {answer.status}")
            loaded.add(names)
            progress.update(len(names))
            return len(names)

        async with connected(Http, HOST, server.port, AT_ONCE) as connections:
            for bundle in synthea.directory():
                await send(connections[0], bundle)
            bundles = _until(loaded, wanted)
            clients = [(bundles, partial(send, one)) for one in connections]
            return await closed_loop(clients), loaded


def _until(loaded: Loaded, wanted: int) -> Iterator[bytes]:
    for bundle in synthea.people():
        if len(loaded.names) >= wanted:
            return
        yield bundle
