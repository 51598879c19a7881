"""Pages of large resources: as many as fit, so that a thousand of 20 MB are no 20 GB in memory; nothing is left out."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from tests.http.test_observation_operations import composition
from tests.serving import Door

MEGABYTE = 1_000_000
SIZE = 7  # MB: two go into 16 MB, three do not
IDS = [f"b-{number}" for number in range(5)]
PACKED = {"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"}


def large(known: str, **more: Any) -> dict[str, Any]:
    blown = [{"url": f"http://x.example/{number}", "valueString": "x" * MEGABYTE} for number in range(SIZE)]
    return {"resourceType": "Basic", "id": known, "code": {"text": "large"}, "extension": blown, **more}


async def kept(client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    for one in resources:
        path = f"/{one['resourceType']}/{one['id']}"
        answer = await client.put(path, content=gzip.compress(json.dumps(one).encode(), 1), headers=PACKED)
        assert answer.status_code in (200, 201), answer.text


async def pages(client: httpx.AsyncClient, path: str) -> list[list[str]]:
    """Ids page by page, up to the last."""
    found, url = [], path
    while url:
        page = (await client.get(url)).raise_for_status().json()
        found.append([one["resource"]["id"] for one in page["entry"] if one.get("resource")])
        url = next((one["url"] for one in page["link"] if one["relation"] == "next"), "")
    return found


@pytest.mark.parametrize(
    "query",
    [
        "Basic?_count=100",
        "Basic?_sort=-_lastUpdated",
        "Basic?_sort=_id",
        "Basic?code:text=large",
        "Basic?_content=large",
        "Basic/_history",
    ],
)
async def test_a_page_ends_before_it_is_too_large_and_the_next_goes_on(door: Door, query: str) -> None:
    """search.html#count: a server may return fewer than were asked for"""
    client = door.system("hospital-a")
    await kept(client, *map(large, IDS))
    found = await pages(client, f"/{query}")
    assert [len(page) for page in found] == [2, 2, 1]
    assert sorted(one for page in found for one in page) == IDS


async def test_a_history_of_a_large_resource_goes_on_too(door: Door) -> None:
    """http.html#history: every version once, a deletion among them"""
    client = door.system("hospital-a")
    for number in range(3):
        await kept(client, large("b", implicitRules=f"http://x.example/{number}"))
    await client.delete("/Basic/b")
    assert [len(page) for page in await pages(client, "/Basic/b/_history")] == [2, 1]


async def test_what_has_no_pages_is_refused_where_it_is_too_large(door: Door) -> None:
    """search.html#include, composition-operation-document.html"""
    client = door.system("hospital-a")
    await kept(client, {"resourceType": "Patient", "id": "p"}, {"resourceType": "Practitioner", "id": "a-li"})
    names = [f"Basic/{one}" for one in (*IDS, *"cdefgh")]
    await kept(client, *(large(one.partition("/")[2], subject={"reference": "Patient/p"}) for one in names))
    entries = [{"reference": one} for one in names]
    await kept(client, composition("d") | {"section": [{"title": "x", "entry": entries}]})
    answers = await asyncio.gather(client.get("/Patient?_revinclude=Basic:subject"), client.get("/Composition/d/$document"))
    assert [one.json()["issue"][0]["code"] for one in answers] == ["too-costly"] * 2
    assert [one.status_code for one in answers] == [403, 422]
