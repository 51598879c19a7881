"""The exchange beside another FHIR server: the same people into both, then the same kinds of requests in turns; medians.

    python -m benchmarks.peer --peer http://127.0.0.1:8080/fhir --people 30

The peer is on this machine, empty, and takes no token. Ours is served as by `make bench`: gate, audit and validation are on.
"""

import argparse
import itertools
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from statistics import median
from urllib.parse import SplitResult, urlsplit

import uvloop

from benchmarks import synthea
from benchmarks.ingesting import HOSPITAL
from benchmarks.measuring import Measured
from benchmarks.reading import clinician
from benchmarks.servers import HOST, folder, serving
from benchmarks.sides import Side

HEAD = ("", "ours/s", "peer/s", "ratio", "ours p50 ms", "peer p50 ms")


async def compared(sides: Sequence[Side], wanted: argparse.Namespace) -> AsyncIterator[str]:
    """The lines of the table, as they are measured."""
    people, turns = list(itertools.islice(synthea.people(), wanted.people)), range(wanted.turns)
    for side in sides:
        await side.ingested(synthea.directory(), 1)
        side.names.clear()  # what is measured are lives
    yield _row("ingest (resources)", [[await side.ingested(people[n :: wanted.turns]) for side in sides] for n in turns])
    for shape in zip(*[await side.shapes() for side in sides], strict=True):
        ways = [(side, itertools.cycle(sent), status) for side, (_, status, sent) in zip(sides, shape, strict=True)]
        load = wanted.clients, wanted.seconds
        yield _row(shape[0][0], [[await side.asked(sent, status, *load) for side, sent, status in ways] for _ in turns])


def _row(name: str, turns: Sequence[Sequence[Measured]]) -> str:
    ours, peer = (median(one.rate for one in side) for side in zip(*turns, strict=True))
    waits = [median(one.percentile(0.5) for one in side) for side in zip(*turns, strict=True)]
    return _line((name, f"{ours:,.0f}", f"{peer:,.0f}", f"{ours / peer:.1f}", *(f"{one:,.1f}" for one in waits)))


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:<24}" + "".join(f"{cell:>13}" for cell in cells[1:])


def _loopback(url: str) -> SplitResult:
    split = urlsplit(url)
    if split.scheme != "http" or not ip_address(split.hostname or "").is_loopback:
        raise ValueError(url)
    return split


async def main(wanted: argparse.Namespace) -> None:
    with folder(wanted.data) as data:
        async with serving(data) as server:
            ours = Side(HOST, server.port, "/fhir", server.token("system", organization=HOSPITAL), clinician(server))
            print(_line(HEAD))
            async for line in compared((ours, Side(wanted.peer.hostname, wanted.peer.port or 80, wanted.peer.path)), wanted):
                print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.peer")
    parser.add_argument("--peer", type=_loopback, required=True, help="FHIR base URL, on a loopback address")
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each turn takes")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--data", type=Path)
    uvloop.run(main(parser.parse_args()))
