"""Searches of several types at once: what holds for one of them only, and what is included of one (search.html)."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.gate.building import condition, keep, observation, patient
from tests.serving import Door

LENIENT = {"Prefer": "handling=lenient"}


@pytest_asyncio.fixture(loop_scope="session")
async def client(door: Door) -> httpx.AsyncClient:
    client = door.system("a")
    doctor = {"resourceType": "Practitioner", "id": "dr", "name": [{"family": "Wu"}]}
    seen = observation("o", "p1", performer=[{"reference": "Practitioner/dr"}])
    await keep(client, doctor, patient("p1", name="Gul"), patient("p2", name="Bek"), seen, condition("c", "p2"))
    return client


async def searched(client: httpx.AsyncClient, query: str, **headers: str) -> dict[str, Any]:
    answer = await client.get(f"/{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def entries(bundle: dict[str, Any], mode: str) -> list[str]:
    found = (one for one in bundle.get("entry", ()) if one["search"]["mode"] == mode)
    return sorted(one["resource"].get("id") or one["resource"]["issue"][0]["diagnostics"] for one in found)


@pytest.mark.parametrize("types", ["Patient,Observation", "Observation,Patient"])
async def test_what_one_type_does_not_know_is_ignored_for_all_and_said_so(client: httpx.AsyncClient, types: str) -> None:
    """search.html#errors: in whichever order the types are named, on each page, and the self link is what was done"""
    first = await searched(client, f"?_type={types}&name=gul&_sort=name&_count=1", **LENIENT)
    assert entries(first, "outcome") == ["parameters that were ignored: _sort, name"]
    links = {one["relation"]: one["url"] for one in first["link"]}
    assert "name" not in links["self"]
    found = entries(first, "match")
    while "next" in links:
        page = (await client.get(links["next"])).json()
        found += entries(page, "match")
        links = {one["relation"]: one["url"] for one in page["link"]}
    assert sorted(found) == ["o", "p1", "p2"]


async def test_what_is_no_name_is_ignored_on_every_page(client: httpx.AsyncClient) -> None:
    """search.html#errors: nor does the self link have it, which says what was done"""
    page = await searched(client, "Patient?shoe%20size=43&_count=1", **LENIENT)
    assert entries(page, "outcome") == ["parameters that were ignored: (not a parameter name)"]
    links = {one["relation"]: one["url"] for one in page["link"]}
    assert links["self"].endswith("/Patient?_count=1")
    assert (await client.get(links["next"])).status_code == 200


@pytest.mark.parametrize(
    ("query", "included"),
    [
        ("?_type=Patient,Observation&_include=Observation:performer", ["dr"]),
        ("?_type=Observation,Patient&_include=Observation:performer", ["dr"]),
        ("Patient/p1/*?_include=Observation:performer", ["dr"]),
        ("?_type=Practitioner,Patient&_revinclude=Observation:performer", ["o"]),
        ("?_type=Patient,Practitioner&_revinclude=Condition:patient:Patient", ["c"]),
    ],
)
async def test_includes_are_of_the_types_that_have_them(client: httpx.AsyncClient, query: str, included: list[str]) -> None:
    """search.html#include: from one of the types that are searched"""
    assert entries(await searched(client, query), "include") == included


async def test_without_types_all_are_searched_by_what_they_share(door: Door, client: httpx.AsyncClient) -> None:
    """search.html#type: only the parameters of all resources; of all types that the token may search"""
    found = await searched(client, "?_id=p1,o,c,nothing&_sort=-_lastUpdated&_count=2&_total=accurate")
    assert (found["total"], entries(found, "match")) == (3, ["c", "o"])
    assert entries(await searched(client, "?_lastUpdated=ge2020&_id:not=dr"), "match") == ["c", "o", "p1", "p2"]
    posted = await client.post("/_search", data={"_id": "p1"})
    assert entries(posted.json(), "match") == ["p1"]
    narrow = door.client("system", organization="a", scope="system/Condition.rs")
    assert entries(await searched(narrow, "?_id=p1,c"), "match") == ["c"]
    assert (await client.get("/?name=gul")).status_code == 400


@pytest.mark.parametrize("asked", ["_include=Encounter:subject", "_revinclude=Encounter:diagnosis"])
async def test_an_include_that_is_of_none_of_them_is_refused(client: httpx.AsyncClient, asked: str) -> None:
    assert (await client.get(f"/?_type=Patient,Observation&{asked}")).status_code == 400
