"""A small world of telemedicine: an exchange with experts, two hospitals, a patient, and what they ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from consent.caller import Caller, Kind
from consent.scopes import DEFAULTS, LEVELS
from exchange.issuing import token_key
from fhir_server.http.tokens import issue
from fhir_server.r4.dates import instant
from telemedicine.experts import load
from tests import serving
from tests.gate.building import patient as patient_of
from tests.serving import Door

NOW = 1_800_000_000_000  # 2027-01-15T08:00Z, 16:00 in Beijing
HOUR, DAY = 3_600_000, 24 * 3_600_000
FHIR_JSON = {"Content-Type": "application/fhir+json"}
EXPERTS = 48

Resource = dict[str, Any]


@dataclass(slots=True)
class Clock:
    """A clock that stands still until it is told otherwise; ms."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(slots=True)
class World:
    """`a` and `b` are the systems of two hospitals; `patient` has the token of hospital a's Patient `a-1`."""

    door: Door
    clock: Clock
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def a(self) -> httpx.AsyncClient:
        return self.system("a")

    @property
    def b(self) -> httpx.AsyncClient:
        return self.system("b")

    @property
    def patient(self) -> httpx.AsyncClient:
        return self.person("a-1")

    @property
    def service(self) -> httpx.AsyncClient:
        return self.system("telemedicine")

    def expert(self, appointment: Resource) -> httpx.AsyncClient:
        """The token of the Appointment's expert."""
        return self.doctor(expert_of(appointment), hospital_of(appointment))

    def system(self, organization: str) -> httpx.AsyncClient:
        return self.client("system", organization=organization)

    def doctor(self, practitioner: str, organization: str = "expert-hospital-99") -> httpx.AsyncClient:
        return self.client("practitioner", practitioner=practitioner, organization=organization)

    def person(self, patient: str) -> httpx.AsyncClient:
        return self.client("patient", patient=patient)

    def token(self, kind: Kind, **who: str) -> str:
        """A token by this world's clock, for a month."""
        caller = Caller(str(who), kind, **who, scopes=DEFAULTS[LEVELS[kind]])
        return issue(token_key(self.door.exchange.settings), caller, self.clock.now, 30 * 24 * 3600)

    def client(self, kind: Kind, **who: str) -> httpx.AsyncClient:
        """The client with this token, made once."""
        name = f"{kind} {who}"
        if name not in self.clients:
            self.clients[name] = self.door.client()
            self.clients[name].headers.update(FHIR_JSON | {"Authorization": f"Bearer {self.token(kind, **who)}"})
        return self.clients[name]

    async def offers(self, **wanted: str) -> list[Resource]:
        """What $find proposes for the coming two days."""
        return found(await find(self.patient, **wanted))


@asynccontextmanager
async def world(mongodb_uri: str, database: str, data: Path, experts: int = EXPERTS, **settings: Any) -> AsyncIterator[World]:
    clock = Clock()
    async with serving.door(mongodb_uri, database, data, now=clock, **settings) as door:
        made = World(door, clock)
        await load(door.exchange.record, experts, 2)
        for client, known in ((made.a, "a-1"), (made.a, "a-2"), (made.b, "b-1")):
            await put(client, patient_of(known))
        yield made


async def put(client: httpx.AsyncClient, resource: Resource) -> None:
    answer = await client.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code in (200, 201), answer.text


async def find(client: httpx.AsyncClient, **wanted: str) -> httpx.Response:
    times = {"start": instant(NOW), "end": instant(NOW + 2 * DAY)}
    return await client.get("/Appointment/$find", params=times | wanted)


async def call(client: httpx.AsyncClient, operation: str, **values: Any) -> httpx.Response:
    """POST an operation on Appointment; a text is a reference, or for `comment` and `opinion` a string."""
    return await client.post(f"/Appointment/{operation}", json=parameters(**values))


def parameters(**values: Any) -> Resource:
    return {
        "resourceType": "Parameters",
        "parameter": [_parameter(name.replace("_", "-"), one) for name, one in values.items()],
    }


def _parameter(name: str, value: Any) -> Resource:
    if isinstance(value, dict):
        return {"name": name, "resource": value}
    return {"name": name} | (
        {"valueString": value} if name in ("comment", "opinion") else {"valueReference": {"reference": value}}
    )


def found(answer: httpx.Response) -> list[Resource]:
    """The resources of a searchset."""
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json().get("entry", ())]


def one(answer: httpx.Response) -> Resource:
    (resource,) = found(answer)
    return resource


def named(appointment: Resource) -> str:
    return f"Appointment/{appointment['id']}"


def hospital_of(appointment: Resource) -> str:
    return str(appointment["extension"][0]["valueReference"]["reference"].partition("/")[2])


def expert_of(appointment: Resource) -> str:
    references = [one["actor"]["reference"] for one in appointment["participant"]]
    return next(one.partition("/")[2] for one in references if one.startswith("Practitioner/"))
