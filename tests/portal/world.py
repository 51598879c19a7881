"""A small region and a mini-program: two hospitals, two people, and their WeChat accounts."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fhir_server.r4.identifier_systems import HEALTH_CARD, RESIDENT_ID_CARD
from tests import serving
from tests.gate.building import Resource, id_card, keep, patient
from tests.portal.wechat import APPID, SECRET, WeChat, wechat
from tests.serving import Door
from tests.telemedicine.world import Clock, World

PORTAL = "/portal/patient"
AYGUL, LI = "阿依古丽·买买提", "李明"
AYGUL_ID, LI_ID = id_card(7), id_card(8)
AYGUL_HEALTH_CARD, AYGUL_HOSPITAL_CARD = "6501000012345678", "A-000123"
BIND = {"card": "resident-id", "number": AYGUL_ID, "name": AYGUL}
MRN = "urn:oid:2.16.156.10011.1.11"
NO_TLS = False  # reading the authorities anew takes each client 30 ms
_codes, _serials = itertools.count(1), itertools.count(300)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody known to hospital a, as the Patient `a`, and to hospital b, as `b`; `account` is their openid."""

    serial: int

    @property
    def a(self) -> str:
        return f"a-{self.serial}"

    @property
    def b(self) -> str:
        return f"b-{self.serial}"

    @property
    def account(self) -> str:
        return f"openid-{self.serial}"

    @property
    def number(self) -> str:
        return id_card(self.serial)

    @property
    def name(self) -> str:
        return f"居民{self.serial}"

    @property
    def resident_id(self) -> Resource:
        return {"card": "resident-id", "number": self.number, "name": self.name}

    @property
    def health_card(self) -> Resource:
        return {"card": "health-card", "number": f"65010000{self.serial:08d}", "idNumber": self.number, "name": self.name}

    @property
    def hospital_card(self) -> Resource:
        named = {"hospital": "a", "idNumber": self.number, "name": self.name}
        return {"card": "hospital-card", "number": f"A-{self.serial}", **named}

    @property
    def patients(self) -> tuple[Resource, Resource]:
        systems = {RESIDENT_ID_CARD: self.resident_id, HEALTH_CARD: self.health_card, MRN: self.hospital_card}
        identifiers = [{"system": system, "value": card["number"]} for system, card in systems.items()]
        at_a = patient(self.a, name=self.name) | {"identifier": identifiers}
        return at_a, patient(self.b, self.number, self.name)


@dataclass(slots=True)
class Region:
    """The world's door, and apps on it."""

    world: World
    wechat: WeChat
    apps: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def door(self) -> Door:
        return self.world.door

    @property
    def clock(self) -> Clock:
        return self.world.clock

    def app(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A mini-program that has this access token."""
        told = {"Authorization": f"Bearer {token}"} if token else {}
        base_url = self.door.base_url.removesuffix("/fhir") + PORTAL
        made = httpx.AsyncClient(base_url=base_url, headers=told | headers, timeout=60, verify=NO_TLS)
        self.apps.append(made)
        return made

    async def login(self, openid: str) -> Resource:
        """The tokens of a new login."""
        return data(await self.app().post("/login", json={"code": code(openid)}))

    async def logged_in(self, openid: str, **headers: str) -> httpx.AsyncClient:
        return self.app((await self.login(openid))["accessToken"], **headers)

    async def newcomer(self) -> Person:
        """Somebody whom nobody has met yet, at both hospitals."""
        made = Person(next(_serials))
        at_a, at_b = made.patients
        await keep(self.world.a, at_a)
        await keep(self.world.b, at_b)
        return made

    async def own(self, person: Person) -> httpx.AsyncClient:
        """The app of a person who has bound their ID card."""
        return await self.bound(person.account, person.resident_id)

    async def bound(self, openid: str = "aygul", wanted: Resource = BIND, **headers: str) -> httpx.AsyncClient:
        """The app of somebody who has logged in and bound their card."""
        app = await self.logged_in(openid, **headers)
        data(await app.post("/bind", json=wanted))
        return app


def code(openid: str) -> str:
    """A code of wx.login."""
    return f"{next(_codes)}_{openid}"


def data(answer: httpx.Response, status: int | None = None) -> Any:
    """The data of an answer that went well."""
    assert answer.status_code in ((200, 201) if status is None else (status,)), answer.text
    assert answer.json()["code"] == "ok"
    return answer.json()["data"]


def problem(answer: httpx.Response) -> tuple[int, str]:
    """(status, code) of a refusal, whose envelope is whole."""
    told = answer.json()
    assert {"code", "message", "data", "traceId"} <= told.keys() <= {"code", "message", "data", "traceId", "dir"}
    assert told["message"] and told["traceId"] == answer.headers["x-trace-id"]
    return answer.status_code, told["code"]


@asynccontextmanager
async def region(mongodb_uri: str, database: str, folder: Path, **settings: Any) -> AsyncIterator[Region]:
    """Aygul is a-1 at hospital a and b-1 at hospital b, linked by her ID card; Li is a-2."""
    secret = folder / "wechat.secret"
    secret.write_text(SECRET + "\n")
    async with wechat() as provider:
        told: dict[str, Any] = {"wechat_url": provider.url, "wechat_appid": APPID, "wechat_secret_file": secret} | settings
        clock = Clock()
        async with serving.door(mongodb_uri, database, folder, now=clock, **told) as door:
            made = Region(World(door, clock), provider)
            await _people(made)
            yield made
            for client in made.apps:
                await client.aclose()


async def _people(made: Region) -> None:
    world, admin = made.world, made.door.client("admin", lifetime=10**9)
    await keep(admin, {"resourceType": "Organization", "id": "a", "name": "天山人民医院"})
    await keep(admin, {"resourceType": "Organization", "id": "b", "name": "喀什和平医院"})
    await keep(admin, {"resourceType": "Practitioner", "id": "li", "name": [{"text": "李大夫"}]})
    await keep(world.a, with_cards("a-1", AYGUL, AYGUL_ID), with_cards("a-2", LI, LI_ID, mrn="A-000999"))
    await keep(world.b, patient("b-1", AYGUL_ID, "阿依古丽 • 买买提"))


def with_cards(known: str, name: str, card: str, mrn: str = AYGUL_HOSPITAL_CARD) -> Resource:
    made = patient(known, card, name)
    others = [{"system": MRN, "value": mrn}]
    others += [{"system": HEALTH_CARD, "value": AYGUL_HEALTH_CARD}] if known == "a-1" else []
    return made | {"identifier": [*made["identifier"], *others]}
