"""The exchange as its callers meet it: real HTTP on a free port of 127.0.0.1, real MongoDB, real tokens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from consent.caller import Kind
from exchange.app import create_app
from exchange.issuing import token_for
from exchange.listening import bound, http
from exchange.opening import Opened, clock, new_id, opened
from exchange.settings import Settings

REGION = Path(__file__).parent / "region.toml"


@dataclass(frozen=True, slots=True)
class Door:
    """A running exchange: `base_url` of FHIR, and clients that carry a token of the kind asked for."""

    exchange: Opened
    base_url: str
    _clients: list[httpx.AsyncClient]

    def token(self, kind: Kind, **claims: Any) -> str:
        return token_for(self.exchange.settings, kind, **claims)

    def client(self, kind: Kind | None = None, **claims: Any) -> httpx.AsyncClient:
        """A client of `base_url`; without a kind it carries no token."""
        headers = {"Authorization": f"Bearer {self.token(kind, **claims)}"} if kind else {}
        made = httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=60)
        self._clients.append(made)
        return made

    def system(self, organization: str) -> httpx.AsyncClient:
        return self.client("system", organization=organization)

    def doctor(self, practitioner: str, organization: str, **claims: Any) -> httpx.AsyncClient:
        return self.client("practitioner", practitioner=practitioner, organization=organization, **claims)

    def patient(self, patient: str) -> httpx.AsyncClient:
        return self.client("patient", patient=patient)

    def admin(self) -> httpx.AsyncClient:
        return self.client("admin")


@dataclass(slots=True)
class Watch:
    """A clock that goes until it is set to a moment (ms), where it stands."""

    stands: int | None = None

    def __call__(self) -> int:
        return clock() if self.stands is None else self.stands

    def stop(self) -> int:
        self.stands = clock()
        return self.stands


@asynccontextmanager
async def door(
    uri: str, database: str, data: Path, *, now: Callable[[], int] = clock, ids: Callable[[], str] = new_id, **settings: Any
) -> AsyncIterator[Door]:
    """The exchange on `database`, served on a free port; `settings` are fields of Settings."""
    wanted = replace(Settings(region=REGION), data=data, mongodb_uri=uri, database=database, **settings)
    listening = bound("127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/fhir"
    async with opened(wanted, now, ids) as exchange:
        made = Door(exchange, base_url, [])
        async with http(create_app(exchange, base_url), listening, asyncio.Event()):
            yield made
            for client in made._clients:
                await client.aclose()
