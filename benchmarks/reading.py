"""Reads by id and searches within one person's record, by a clinician of another hospital under the default policy."""

import itertools
import random
from collections.abc import Sequence

from benchmarks.clients import Http, connected, request
from benchmarks.measuring import Measured
from benchmarks.servers import HOST, Server, in_turn

SAMPLE = 3000  # requests, made beforehand and repeated in turn
CODES = ("29463-7", "8302-2", "39156-5", "85354-9", "8867-4", "72514-3", "2339-0", "4548-4", "718-7", "2947-0")
SEARCHES = (
    "Observation?patient={patient}&code=http://loinc.org|{code}",
    "Observation?patient={patient}&date=ge{year}-01-01&_sort=-date&_count=10",
    "Condition?patient={patient}",
    "Encounter?patient={patient}&_count=20",
    "MedicationRequest?patient={patient}&_include=MedicationRequest:encounter",
)


def clinician(server: Server) -> str:
    """A token of a doctor at a hospital that wrote none of the records."""
    return server.token("practitioner", practitioner="dr-b", organization="hospital-b")


async def readable(server: Server, names: Sequence[str]) -> list[str]:
    """A sample of `Type/id` that the clinician may read: the default policy keeps sensitive records back."""
    chosen = random.Random(1).sample(names, min(SAMPLE, len(names)))
    async with connected(Http, HOST, server.port, 1) as (connection,):
        token = clinician(server)
        statuses = [(await connection.ask(request(token, "GET", f"/fhir/{name}"))).status for name in chosen]
    return [name for name, status in zip(chosen, statuses, strict=True) if status == 200]


def searches(names: Sequence[str]) -> list[str]:
    """A mix of patient-scoped searches, each `Type?query`."""
    chance = random.Random(2)
    patients = [name for name in names if name.startswith("Patient/")]
    return [
        template.format(patient=chance.choice(patients), code=chance.choice(CODES), year=chance.randrange(2005, 2021))
        for _, template in zip(range(SAMPLE), itertools.cycle(SEARCHES), strict=False)
    ]


async def asked(server: Server, targets: Sequence[str], clients: int, seconds: float) -> Measured:
    """GET the targets in turn, `clients` at a time; every answer must be 200."""
    token = clinician(server)
    requests = [request(token, "GET", f"/fhir/{target.replace('|', '%7C')}") for target in targets]
    return await in_turn(server, requests, 200, clients, seconds)
