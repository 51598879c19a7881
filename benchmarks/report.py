"""What was measured, beside the targets, for people (a table) and for programs (JSON)."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.measuring import Measured

TARGETS = {  # at least so many a second, on 2 cores with 100,000 resources in
    "ingest": 1500,
    "reads, 64 clients": 4000,
    "searches, 64 clients": 2500,
    "searches, 128 clients": 2500,
    "creates, 64 clients": 1500,
    "MLLP messages": 200,
    "$everything of 1,000": 30,
}
WITHIN = {"pairing": 1000, "its first byte": 30, "start to first answer": 3000}  # p50 ms at most
BYTES_TARGET = 1500  # a resource, at most
HEAD = ("", "per second", "p50 ms", "p99 ms", "raw driver", "ratio", "target", "")
WIDTHS = (24, 11, 10, 10, 11, 7, 9, 7)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of the exchange and, where it can do the same, of the raw driver.

    Ingest counts resources; its latencies are those of Bundles. Rounds count requests; their latencies are those of rounds.
    """

    name: str
    ours: Measured
    raw: Measured | None = None

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty where there is none."""
        if self.name in WITHIN:
            return _verdict(self.ours.percentile(0.50) <= WITHIN[self.name])
        return _verdict(self.ours.rate >= TARGETS[self.name]) if self.name in TARGETS else ""


def table(rows: list[Row], disk: dict[str, Any], tail: float) -> str:
    """For people."""
    lines = [_line(HEAD), *(_row(row) for row in rows), "", *_notes(disk, tail)]
    return "\n".join(lines)


def plain(rows: list[Row], disk: dict[str, Any], tail: float) -> dict[str, Any]:
    """For programs."""
    return {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "measurements": {row.name: _plain(row) for row in rows},
        "ingest_per_second_at_the_end": round(tail, 1),
        "disk": disk | {"target_bytes_per_resource": BYTES_TARGET},
    }


def _plain(row: Row) -> dict[str, Any]:
    beside = {"raw_driver": row.raw.plain(), "ratio": round(row.ours.rate / row.raw.rate, 3)} if row.raw else {}
    return row.ours.plain() | beside | {"target": TARGETS.get(row.name), "target_p50_ms": WITHIN.get(row.name)}


def _row(row: Row) -> str:
    target = f"{WITHIN[row.name]} ms" if row.name in WITHIN else str(TARGETS.get(row.name, ""))
    latencies = (f"{row.ours.percentile(share):,.1f}" for share in (0.50, 0.99))
    raw = (f"{row.raw.rate:,.0f}", f"{row.ours.rate / row.raw.rate:.2f}") if row.raw else ("", "")
    return _line((row.name, f"{row.ours.rate:,.0f}", *latencies, *raw, target, row.verdict))


def _notes(disk: dict[str, Any], tail: float) -> Iterator[str]:
    size = disk["bytes_per_resource"]
    verdict = _verdict(size <= BYTES_TARGET)
    yield "pairing counts requests (its latencies are those of whole rounds): 10,000 open requests, 4,200 experts"
    yield f"ingest counts resources (its latencies are those of whole Bundles); over the last fifth {tail:,.0f} per second"
    yield f"{size:,} bytes on disk per resource, of {disk['resources']:,} (target {BYTES_TARGET:,}: {verdict}); in MB:"
    for name, parts in disk["bytes"].items():
        if sum(parts.values()) > 100_000:
            yield f"  {name:<10} data {parts['data'] / 1e6:8,.1f}   indexes {parts['indexes'] / 1e6:8,.1f}"


def _verdict(good: bool) -> str:
    return "good" if good else "MISSED"


def _line(cells: tuple[str, ...]) -> str:
    first, *rest = zip(cells, WIDTHS, strict=True)
    return (f"{first[0]:<{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in rest)).rstrip()
