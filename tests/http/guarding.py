"""A door whose store must stay as it is, whatever it is sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from fhir_server.store.database import INDEXES
from tests import serving
from tests.serving import Door

MARK = "阿依古丽-7731"
DIGITS = "7731"
JSON = {"Content-Type": "application/fhir+json"}
PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a-1", "name": [{"text": MARK}]}
DATABASE = "test_bad_input"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A door whose store must stay as it is: `counts` of its collections, all but audit and claims (locks)."""

    door: Door
    client: httpx.AsyncClient
    counts: dict[str, int]

    async def refused(self, method: str, path: str, content: Any = None, headers: dict[str, str] | None = None) -> int:
        """Send it; the status, if it was refused as it should be."""
        response = await self.client.request(method, path, content=content, headers=headers)
        assert 400 <= response.status_code < 500, response.text[:500]
        outcome = read(response.content)
        assert outcome["resourceType"] == "OperationOutcome"
        validate(outcome)
        assert MARK not in response.text
        assert DIGITS not in response.text
        assert await counted(self.door) == self.counts
        return response.status_code


FOLDED = ("tallies", "totals")  # by the exchange itself, of what was written before


async def counted(door: Door) -> dict[str, int]:
    names = [name for name in INDEXES if name not in ("audit", "claims", *FOLDED)]
    counts = await asyncio.gather(*(door.exchange.database[name].estimated_document_count() for name in names))
    return dict(zip(names, counts, strict=True))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """An exchange with two Patients of one identifier in it."""
    async with serving.door(mongodb_uri, DATABASE, tmp_path_factory.mktemp("bad")) as door:
        client = door.system("hospital-a")
        for known in ("a-1", "a-2"):
            sent = PATIENT | {"id": known, "identifier": [{"system": "urn:x", "value": "twice"}]}
            assert (await client.put(f"/Patient/{known}", json=sent)).status_code == 201
        yield Guarded(door, client, await counted(door))
        await door.exchange.database.client.drop_database(DATABASE)
