"""Searches across the population, as clinical apps send them: each shape alone, then all of them mixed.

    python -m benchmarks.population --data DIR --patients N [--json FILE]

DIR is what `python -m benchmarks.growing` left. Asked by a clinician of another hospital, gate and audit on.
"""

import argparse
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.clients import Http, connected, request
from benchmarks.growing import name_of
from benchmarks.measuring import Measured
from benchmarks.reading import asked, clinician
from benchmarks.servers import HOST, Server, serving

CODES = ("8302-2", "29463-7", "39156-5", "85354-9", "2093-3", "4548-4", "6299-2", "38265-5")
LOINC = "http://loinc.org|"
SHAPES: Mapping[str, str] = {
    "name prefix": "Patient?name={prefix}&_count=20",
    "gender and name": "Patient?gender=female&name={prefix}&_count=20",
    "birth date": "Patient?birthdate={day}",
    "code, accurate total": "Observation?code={loinc}&_total=accurate&_count=10",
    "code and dates, newest first": "Observation?code={loinc}&date=ge{year}-03-01&date=lt{year}-06-01&_sort=-date&_count=10",
    "quantity": "Observation?code=http://loinc.org|8302-2&value-quantity=gt{height}||cm&_count=10",
    "text of a code": "Condition?code:text={word}&_count=10",
    "_has": "Patient?_has:Observation:patient:code={loinc}&name={prefix}&_count=10",
    "chain": "Observation?patient.name={name}&code={loinc}&_count=10",
    "_revinclude=*": "Patient?_id={patient}&_revinclude=*",
    "by practitioner": "Encounter?participant=Practitioner/{practitioner}&_count=10",
    "by location": "Encounter?location=Location/{location}&_count=10",
    "by organization": "Encounter?service-provider=Organization/{organization}&_count=10",
}
REQUESTS, CLIENTS = 400, 64
WORDS = ("sinusitis", "bronchitis", "pharyngitis", "diabetes", "hypertension", "sprain")


async def values(server: Server, patients: int) -> Iterator[dict[str, Any]]:
    """What the shapes are filled with: people, practitioners and organizations that are there."""
    known = {kind: await _ids(server, kind) for kind in ("Patient", "Practitioner", "Organization", "Location")}
    return _values(random.Random(3), patients, known)


def _values(chance: random.Random, patients: int, known: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    while True:
        family, given = name_of(chance.randrange(patients))
        yield {
            "prefix": family[: chance.choice((3, 4, 5))],
            "name": family,
            "given": given,
            "day": f"{chance.randrange(1940, 2010)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 28):02}",
            "loinc": LOINC + chance.choice(CODES),
            "year": chance.randrange(2008, 2016),
            "height": chance.randrange(150, 190),
            "word": chance.choice(WORDS),
            **{kind.lower(): chance.choice(ids) for kind, ids in known.items()},
        }


async def _ids(server: Server, kind: str) -> list[str]:
    async with connected(Http, HOST, server.port, 1) as (connection,):
        answer = await connection.ask(request(clinician(server), "GET", f"/fhir/{kind}?_count=200"))
    return [entry["resource"]["id"] for entry in json.loads(answer.body)["entry"]]


async def measured(server: Server, patients: int, seconds: float) -> dict[str, Measured]:
    """Each shape with one client, then the mix with CLIENTS, once the mix has warmed the database's cache."""
    filled = await values(server, patients)
    targets = {name: [shape.format(**one) for one in itertools.islice(filled, REQUESTS)] for name, shape in SHAPES.items()}
    mixed = [one for together in zip(*targets.values(), strict=True) for one in together]
    await asked(server, mixed, CLIENTS, 3 * seconds)
    found = {name: await asked(server, some, 1, seconds) for name, some in targets.items()}
    return found | {f"mixed, {CLIENTS} clients": await asked(server, mixed, CLIENTS, 3 * seconds)}


async def main(wanted: argparse.Namespace) -> None:
    async with serving(wanted.data, wanted.cache_gb) as exchange:
        found = await measured(exchange, wanted.patients, wanted.seconds)
    print(f"{'':<30}{'per second':>11}{'p50 ms':>9}{'p99 ms':>9}")
    for name, one in found.items():
        print(f"{name:<30}{one.rate:>11,.0f}{one.percentile(0.50):>9,.1f}{one.percentile(0.99):>9,.1f}")
    if wanted.json:
        plain = {"patients": wanted.patients, "searches": {name: one.plain() for name, one in found.items()}}
        wanted.json.write_text(json.dumps(plain, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.population")
    parser.add_argument("--data", type=Path, required=True, help="the folder that was grown")
    parser.add_argument("--patients", type=int, required=True, help="how many people are in it")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each shape is asked")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file, too")
    parser.add_argument("--cache-gb", type=float, default=8, help="HIE_MONGODB_CACHE_GB, as when it was grown")
    uvloop.run(main(parser.parse_args()))
