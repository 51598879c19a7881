"""A store that is written and asked, and what it answers, byte for byte."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from consent.caller import Kind
from exchange.app import create_app
from exchange.issuing import token_for
from exchange.opening import Opened, opened
from exchange.settings import Settings
from fhir_server.record.consultations import SYSTEM
from fhir_server.record.operations import Operation
from fhir_server.record.writing import transact
from fhir_server.store.bindings import binding
from fhir_server.store.database import INDEXES, Database, connect
from fhir_server.store.sessions import Sessions
from telemedicine.experts import SLOT, expert_id, load
from tests.gate.worlds import Onlooker, World, Written, resource_of
from tests.serving import REGION
from tests.store.parameters import composite, define, parameter

BASE = "http://exchange.example/fhir"
AT_ONCE = 16
LIFETIME = 86_400
EXPERTS = 2
SLOTS = tuple(f"far-{number}" for number in range(20))
PORTAL = "http://exchange.example/portal/patient"
SESSION, ACCESS = "n" * 22, "a" * 43
"""The session in which a patient's app asks: the same in two stores."""

_PAGE = re.compile(rb'(_page=|"next":")([A-Za-z0-9_-]+)')
_TRACE = re.compile(rb'"traceId":"[0-9a-f]{32}"')


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `follow`: go on through the pages of its searchset."""

    method: str
    path: str
    json: Any = None
    form: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def follow(self) -> bool:
        if self.path.startswith(PORTAL):
            return "count=" in self.path
        place = self.path.partition("?")[0].strip("/")
        pages = "$" not in place and (place.count("/") != 1 or place.endswith("_history"))
        pages = pages or place.endswith("$everything")
        return self.form is not None or (self.method == "GET" and pages)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body; of a page token, sealed with a random nonce, the length. Without trace ids."""

    to: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(slots=True)
class Turn:
    """The clock and the source of ids: both know only which turn it is, so that two stores agree about them."""

    start: int
    number: int = 0
    made: int = field(default=0)

    def now(self) -> int:
        """Four writes share a moment."""
        return self.start + self.number // 4 * 1000

    def new_id(self) -> str:
        self.made += 1
        return f"made-{self.number}-{self.made}"

    def go(self, number: int) -> None:
        self.number, self.made = number, 0


@dataclass(frozen=True, slots=True)
class Store:
    """An open exchange and its application."""

    exchange: Opened
    app: Any
    turn: Turn

    def client(self, kind: Kind, types: tuple[str, ...] | None = None, **claims: str) -> httpx.AsyncClient:
        scope = " ".join(f"user/{one}.cruds" for one in types) if types is not None else None
        token = token_for(self.exchange.settings, kind, scope=scope, lifetime=LIFETIME, **claims)
        # A page link is sealed with a random nonce: compressed, its length would be random, too.
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=BASE, headers=headers)

    async def open_portal(self, patient: str) -> None:
        """A session of the portal in which a patient's app asks, and its binding."""
        codec, account = self.exchange.record.codec, bytes(16)
        key = codec.identity(f"Patient/{patient}")
        await codec.keys.establish(key)
        sessions, until = Sessions(self.exchange.database, codec), self.turn.now() + LIFETIME * 1000
        await sessions.begin(SESSION, account, ACCESS, "", until, until)
        await self.exchange.database["bindings"].insert_one(binding(codec, account, patient, [key]))

    def onlooker(self, looks: Onlooker) -> httpx.AsyncClient:
        return self.client(looks.kind, looks.types, **dict(looks.claims))  # type: ignore[arg-type]

    def custodian(self, name: str) -> httpx.AsyncClient:
        kind, _, known = name.rpartition("/")
        return self.client("patient", patient=known) if kind else self.client("system", organization=name)


@asynccontextmanager
async def store(uri: str, database: str, data: Path, policy: str, start: int) -> AsyncIterator[Store]:
    """A store on this database, as it is found."""
    settings = replace(Settings(), data=data, mongodb_uri=uri, database=database, region=REGION, default_policy=policy)
    turn = Turn(start)
    async with opened(settings, turn.now, turn.new_id) as exchange:
        yield Store(exchange, create_app(exchange, BASE), turn)


R4 = "http://hl7.org/fhir/SearchParameter"
CUSTOM = (
    parameter("worth", "number", "Observation", "Observation.value.ofType(integer)"),
    parameter("sick-of", "token", ["Observation", "Condition"], "Observation.code | Condition.code"),
    parameter("also", "reference", ["Encounter", "Device"], "extension('http://example.org/also').value", target=["Patient"]),
    parameter("called", "string", "Patient", "Patient.name.where(text.exists()).text"),
    composite(
        "sick-worth",
        "Observation",
        "Observation",
        ("urn:region:sick-of", "code"),
        ("urn:region:worth", "value.ofType(integer)"),
    ),
    composite("known-as", "Patient", "Patient.name", ("urn:region:called", "text"), (f"{R4}/individual-given", "text.lower()")),
)
"""Custom search parameters of the region."""


GRAPH = "urn:region:graph"


def _graph() -> dict[str, Any]:
    """What is seen in a Composition, with what else there is of the person, and who is named there."""
    life = [{"target": [{"type": kind, "params": "patient={ref}"}]} for kind in ("Observation", "Encounter")]
    named = [{"path": "*", "target": [{"type": "Resource", "link": [{"path": "*", "max": "9"}]}]}]
    told = {"url": GRAPH, "name": "G", "status": "active", "start": "Composition"}
    links = [{"path": "subject", "target": [{"type": "Patient", "link": life}]}, *named]
    return {"resourceType": "GraphDefinition", "id": "graph", **told, "link": links}


async def furnish(here: Store) -> None:
    """Custom parameters, searchable; a graph for documents; what telemedicine offers: experts with the times of two days, and
    SLOTS far ahead that anybody may book."""
    async with here.client("admin") as admin:
        await define(admin, *CUSTOM, at_once=here.exchange.record.registry)
        assert (await admin.put("/GraphDefinition/graph", json=_graph())).status_code == 201
    record = here.exchange.record
    await load(record, EXPERTS, 2)
    schedule: dict[str, Any] = {"schedule": {"reference": f"Schedule/{expert_id(0)}"}, "status": "free"}
    starts = (datetime(2100, 1, 1, tzinfo=UTC) + SLOT * number for number in range(len(SLOTS)))
    times = [{"start": start.isoformat(), "end": (start + SLOT).isoformat()} for start in starts]
    slots = {one: {"resourceType": "Slot", "id": one, **schedule, **time} for one, time in zip(SLOTS, times, strict=True)}
    await transact(record, SYSTEM, [Operation("update", "Slot", known, one) for known, one in slots.items()])


async def empty(uri: str, *names: str) -> None:
    """Databases with their indexes and without a document."""
    for name in names:
        database = await connect(uri, name)
        await asyncio.gather(*(database[collection].delete_many({}) for collection in INDEXES))
        await database.client.close()


async def replay(here: Store, world: World, kept: Iterable[tuple[int, Written, int]]) -> None:
    """Write what is given as (turn, resource, version), each as its custodian."""
    clients = {name: here.custodian(name) for name in {one.custodian for one in world.written}}
    for turn, one, number in kept:
        here.turn.go(turn)
        client = clients[one.custodian]
        if one.versions[number].deleted:
            answer = await client.delete(f"/{one.name}")
        else:
            answer = await client.put(f"/{one.name}", json=resource_of(one, number, world.persons))
        assert answer.status_code in (200, 201, 204), (one.name, number, answer.text)
        assert answer.status_code == 204 or answer.headers["etag"] == f'W/"{number + 1}"', (one.name, number)


async def copy_persons(source: Database, target: Database) -> None:
    """Who is who, and which rules hold: identity and decisions are not records (DESIGN 4: identity matching is declared)."""
    for name in ("persons", "counters"):
        await target[name].delete_many({})
        if found := await source[name].find({}).to_list():
            await target[name].insert_many(found)


async def asked(client: httpx.AsyncClient, asks: Iterable[Ask]) -> list[Answer]:
    """The answers, in the order of the questions; they are asked many at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(ask: Ask) -> list[Answer]:
        async with gate:
            return [one async for one in _answers(client, ask)]

    return [one for answers in await asyncio.gather(*(run(ask) for ask in asks)) for one in answers]


async def _answers(client: httpx.AsyncClient, ask: Ask) -> AsyncIterator[Answer]:
    """The answer, and those of all further pages."""
    headers = dict(ask.headers) | ({"Content-Type": "application/x-www-form-urlencoded"} if ask.form is not None else {})
    got = await client.request(ask.method, ask.path, json=ask.json, content=ask.form, headers=headers)
    yield _answer(f"{ask.method} {ask.path} {ask.form or ''}", got)
    while ask.follow and got.status_code == 200 and (url := _next(got.json(), ask.path)):
        got = await client.get(url, headers=headers)
        yield _answer(f"{ask.method} {ask.path} {ask.form or ''} (next page)", got)


def _next(page: Any, path: str) -> str | None:
    """Where the next page is: a link of a Bundle, or a cursor of the portal."""
    if "data" in page:
        cursor = page["data"]["next"]
        return f"{path}&cursor={cursor}" if cursor else None
    return next((link["url"] for link in page.get("link", ()) if link["relation"] == "next"), None)


def _answer(to: str, got: httpx.Response) -> Answer:
    body = _TRACE.sub(b"", _PAGE.sub(lambda found: b"%s%d" % (found[1], len(found[2])), got.content))
    headers = sorted((name, value) for name, value in got.headers.items() if name != "x-trace-id")
    return Answer(to, got.status_code, tuple(headers), body)
