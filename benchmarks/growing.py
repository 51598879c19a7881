"""People without end: clones of Synthea's, each with a name, identifiers, dates and a life of about 62 resources of its own.

    python -m benchmarks.growing --patients 64000 --data DIR

serves DIR with one process per core, loads the clones over HTTP as transaction Bundles, and leaves them for `population`.
"""

import argparse
import asyncio
import itertools
import json
import random
import re
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from tqdm import tqdm

from benchmarks import synthea
from benchmarks.clients import Http, connected, request
from benchmarks.ingesting import HOSPITAL
from benchmarks.measuring import Measured, closed_loop
from benchmarks.servers import HOST, Server, serving

Resource = dict[str, Any]
LIFE = 62  # resources of a clone
SOURCES = 120  # of Synthea's people, each cloned in turn
AT_ONCE = 8
SHIFT_DAYS = 3_000
_DATE = re.compile(r'"((?:19|20)\d\d-\d\d-\d\d)(?=[T"])')
_URN = re.compile(r"urn:uuid:[0-9a-f-]{36}")
_SYLLABLES = "ba bei chen dao er fang gul han jia kai lan mei nur ou ping qi ran shan tur umit wei xin yan zhu".split()


def lives() -> list[str]:
    """Synthea's people, each cut to LIFE resources that refer only to each other: templates of clones, as JSON."""
    found = (_cut(json.loads(one)) for one in synthea.people())
    return [json.dumps(one) for one in itertools.islice((one for one in found if len(one["entry"]) == LIFE), SOURCES)]


def _cut(bundle: Resource) -> Resource:
    kept: list[Resource] = []
    names: set[str] = set()
    for entry in bundle["entry"]:
        if set(_URN.findall(json.dumps(entry["resource"]))) - {entry["fullUrl"]} <= names:
            kept.append(entry)
            names.add(entry["fullUrl"])
        if len(kept) == LIFE:
            break
    return bundle | {"entry": kept}


def clone(template: str, number: int) -> bytes:
    """Another person with the same kind of life; the same number makes the same person."""
    chance = random.Random(number)
    days = timedelta(chance.randrange(-SHIFT_DAYS, SHIFT_DAYS // 10))
    shifted = _DATE.sub(lambda found: f'"{(date.fromisoformat(found[1]) + days).isoformat()}', template)
    bundle: Resource = json.loads(shifted)
    patient = next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Patient")
    family, given = name_of(number)
    patient["name"] = [{"family": family, "given": [given]}]
    for identifier in patient["identifier"]:
        identifier["value"] = f"{identifier['value'][:8]}-{number}"
    return json.dumps(bundle).encode()


def name_of(number: int) -> tuple[str, str]:
    """Family and given name of a clone."""
    chance = random.Random(f"name {number}")
    family, given = ("".join(chance.choices(_SYLLABLES, k=chance.choice((2, 3)))).capitalize() for _ in range(2))
    return family, given


async def grow(server: Server, first: int, patients: int) -> Measured:
    """Load the clones `first` to `patients`, several at a time."""
    token, templates = server.token("system", organization=HOSPITAL), lives()
    with tqdm(total=patients, initial=first, unit=" people", desc="growing", disable=None) as progress:

        async def send(connection: Http, number: int) -> int:
            bundle = await asyncio.to_thread(clone, templates[number % len(templates)], number)
            answer = await connection.ask(request(token, "POST", "/fhir", bundle))
            if answer.status != 200:
                raise RuntimeError(f"a Bundle was refused with {answer.status}")
            progress.update()
            return LIFE

        async with connected(Http, HOST, server.port, AT_ONCE) as connections:
            for bundle in synthea.directory() if first == 0 else ():
                await connections[0].ask(request(token, "POST", "/fhir", bundle))
            numbers = iter(range(first, patients))
            return await closed_loop([(numbers, partial(send, one)) for one in connections])


async def main(wanted: argparse.Namespace) -> None:
    async with serving(wanted.data, wanted.cache_gb) as exchange:
        loaded = await grow(exchange, wanted.first, wanted.patients)
    print(f"{loaded.units:,} resources, {loaded.rate:,.0f} per second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.growing")
    parser.add_argument("--data", type=Path, required=True, help="folder to fill")
    parser.add_argument("--patients", type=int, default=64_000, help="how many people there are in the end")
    parser.add_argument("--first", type=int, default=0, help="how many of them are in already")
    parser.add_argument("--cache-gb", type=float, default=8, help="HIE_MONGODB_CACHE_GB; 4 million resources take 3 GB of disk")
    uvloop.run(main(parser.parse_args()))
