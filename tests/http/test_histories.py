"""history-type and history-system over HTTP (R4 http.html#history)."""

import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest_asyncio

from tests import serving
from tests.gate.building import HIV, condition, consent, encounter, keep, patient, provision
from tests.serving import Door


async def versions(client: httpx.AsyncClient, path: str) -> list[tuple[str, str, str]]:
    """(method, url, ETag) of all entries on all pages."""
    found: list[tuple[str, str, str]] = []
    url: str | None = path
    while url:
        page: dict[str, Any] = (await client.get(url)).raise_for_status().json()
        assert page["type"] == "history"
        entries = page.get("entry", [])
        found += [(one["request"]["method"], one["fullUrl"].split("/fhir/")[1], one["response"]["etag"]) for one in entries]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def ticking(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[Door]:
    """An exchange whose clock goes on by a millisecond at each look."""
    now = count(time.time_ns() // 1_000_000)
    async with serving.door(mongodb_uri, database, tmp_path, now=lambda: next(now)) as opened:
        yield opened


async def test_versions_of_a_type_newest_first(ticking: Door) -> None:
    """All versions and deletions, those of other types not; a resource that came back keeps its past"""
    client = ticking.system("a")
    written: list[tuple[str, str, str]] = []
    for known, turns in (("p", "PPD"), ("q", "P"), ("r", "PDP")):
        for number, turn in enumerate(turns, 1):
            name, sent = f"Patient/{known}", patient(known, name=f"Name {number}")
            answer = await (client.delete(f"/{name}") if turn == "D" else client.put(f"/{name}", json=sent))
            assert answer.status_code in (200, 201, 204)
            written.append(("DELETE" if turn == "D" else "PUT" if number > 1 else "POST", name, f'W/"{number}"'))
            await client.put("/Encounter/e", json=encounter("e", "q", priority={"text": f"{known}{number}"}))
    for pages in ("", "?_count=1", "?_count=3"):
        assert await versions(client, f"/Patient/_history{pages}") == written[::-1]
    every = await versions(client, "/_history?_count=4")
    assert [one for one in every if one[1] != "Encounter/e"] == written[::-1]
    assert len(every) == 2 * len(written) and len(set(every)) == len(every)


async def test_since(ticking: Door) -> None:
    """http.html#history: `_since` is inclusive"""
    client = ticking.system("a")
    await keep(client, patient("p"))
    second = await client.put("/Patient/p", json=patient("p", name="Li Si"))
    since = quote(second.json()["meta"]["lastUpdated"])
    assert await versions(client, f"/Patient/_history?_since={since}") == [("PUT", "Patient/p", 'W/"2"')]
    assert await versions(client, "/Patient/_history?_since=2999-01-01") == []


async def test_many_versions_of_one_moment(door: Door) -> None:
    """http.html#paging: a transaction of hundreds of resources shares an instant; each version is on exactly one page"""
    client, numbers = door.system("a"), count()
    for _ in range(2):
        resources = [patient(f"p{n}", name=f"Name {next(numbers)}") for n in range(250)]
        entries = [{"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}} for one in resources]
        sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert (await client.post("", json=sent)).status_code == 200
    found = await versions(client, "/Patient/_history?_count=77")
    assert len(found) == len(set(found)) == 500
    assert {etag for *_, etag in found[:250]} == {'W/"2"'}


async def test_each_version_is_gated(door: Door) -> None:
    """DESIGN 4: what the caller may not see is in no history; a patient sees the own record only"""
    client = door.system("a")
    await keep(client, patient("p"), patient("q"), condition("x", "p", HIV), condition("y", "q"))
    await keep(client, condition("x", "p", note=[{"text": "no longer sensitive"}]))
    await keep(client, consent("c", "q", provision("deny")))
    doctor = door.doctor("li", "b")
    assert await versions(doctor, "/Condition/_history") == [("PUT", "Condition/x", 'W/"2"')]
    assert not [name for _, name, _ in await versions(doctor, "/_history") if name in ("Patient/q", "Condition/y")]
    assert {name for _, name, _ in await versions(door.patient("q"), "/_history")} == {"Patient/q", "Condition/y", "Consent/c"}
    narrow = door.doctor("li", "b", scope="user/Patient.rs")
    assert await versions(narrow, "/_history") == [("POST", "Patient/p", 'W/"1"')]
    assert (await narrow.get("/Condition/_history")).status_code == 403
