"""`:above` and `:below` on references (R4 search.html, Searching Hierarchies)."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.record import hierarchies
from tests.gate.building import consent, encounter, keep, labelled, observation, patient, provision
from tests.serving import Door


def place(known: str, within: str | None = None) -> dict[str, Any]:
    above = {"partOf": {"reference": f"Location/{within}"}} if within else {}
    return {"resourceType": "Location", "id": known, "name": known, **above}


def at(known: str, location: str, **more: Any) -> dict[str, Any]:
    return encounter(known, "p", location=[{"location": {"reference": location}}], **more)


def part_of(known: str) -> dict[str, Any]:
    return {"partOf": {"reference": f"Encounter/{known}"}}


@pytest_asyncio.fixture(loop_scope="session")
async def client(door: Door) -> httpx.AsyncClient:
    """A hospital, two wards, a room in one of them; a house beside it. A stay in each, one with a visit that is part."""
    client = door.system("a")
    await keep(client, place("hospital"), place("ward", "hospital"), place("ward-2", "hospital"), place("room", "ward"))
    await keep(client, place("house"), patient("p"))
    await keep(client, at("in-hospital", "Location/hospital"), at("in-ward", "Location/ward"), at("in-house", "Location/house"))
    await keep(client, at("in-room", "Location/room"), at("in-ward-2", "Location/ward-2"))
    await keep(client, encounter("visit", "p", **part_of("in-room")), encounter("call", "p", **part_of("visit")))
    await keep(client, observation("o", "p", encounter={"reference": "Encounter/call"}))
    return client


async def ids(client: httpx.AsyncClient, query: str) -> str:
    answer = await client.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    return " ".join(sorted(one["resource"]["id"] for one in answer.json().get("entry", ())))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Encounter?location:below=hospital", "in-hospital in-room in-ward in-ward-2"),
        ("Encounter?location:below=Location/ward&patient=p", "in-room in-ward"),
        ("Encounter?location:below=room,house", "in-house in-room"),
        ("Encounter?location:above=room", "in-hospital in-room in-ward"),
        ("Encounter?location:above=ward-2&_total=accurate", "in-hospital in-ward-2"),
        ("Encounter?location:below=nowhere", ""),
        ("Encounter?location:below=http://elsewhere.org/Location/1", ""),
        ("Location?partof:below=hospital", "room ward ward-2"),
        ("Location?partof:above=room", "room ward ward-2"),
        ("Encounter?part-of:below=in-room", "call visit"),
        ("Observation?encounter:below=in-room", "o"),
        ("Observation?encounter:below=in-ward", ""),
        ("Observation?encounter.part-of:below=in-room", "o"),
        ("Patient?_has:Encounter:patient:location:below=ward", "p"),
        ("Patient/p/Encounter?location:below=ward", "in-room in-ward"),
        ("?_type=Encounter&location:below=ward", "in-room in-ward"),
    ],
)
async def test_what_is_part_of_a_place_or_a_stay(client: httpx.AsyncClient, query: str, expected: str) -> None:
    """`:below`: there and in all that is part of it; `:above`: there and in all that it is part of"""
    assert await ids(client, query) == expected


async def test_each_page_has_what_the_hierarchy_holds(client: httpx.AsyncClient) -> None:
    asked: str | None = "/Encounter?location:below=hospital&_count=3&_total=accurate&_sort=-date"
    found: list[str] = []
    while asked:
        page = (await client.get(asked)).json()
        assert page["total"] == 4
        found += [one["resource"]["id"] for one in page["entry"]]
        asked = next((one["url"] for one in page["link"] if one["relation"] == "next"), None)
    assert sorted(found) == ["in-hospital", "in-room", "in-ward", "in-ward-2"]


async def test_a_hierarchy_with_a_loop_ends(client: httpx.AsyncClient) -> None:
    await keep(client, place("hospital", "room"))
    assert await ids(client, "Encounter?location:above=ward-2") == "in-hospital in-room in-ward in-ward-2"


async def test_a_stay_that_may_not_be_seen_leads_no_further(door: Door, client: httpx.AsyncClient) -> None:
    """DESIGN 4: as if the visit between had never been"""
    await keep(client, encounter("visit", "p", **part_of("in-room"), **labelled("R")), patient("q"))
    elsewhere = door.doctor("d", "b")
    assert await ids(client, "Observation?encounter:below=in-room") == "o"
    assert await ids(elsewhere, "Observation?encounter:below=in-room") == ""
    assert await ids(elsewhere, "Observation?encounter:below=visit") == "o"  # what the visible records themselves say
    await keep(client, consent("c", "p", provision("deny")))
    assert await ids(elsewhere, "Observation?encounter:below=visit") == ""


async def test_too_large_a_hierarchy_is_refused(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchies, "MOST", 3)
    answer = await client.get("/Encounter?location:below=hospital")
    assert answer.status_code == 403
    assert answer.json()["issue"][0]["code"] == "too-costly"


@pytest.mark.parametrize("asked", ["Observation?device:above=d", "Condition?patient:below=p"])
async def test_what_forms_no_hierarchy_is_refused(client: httpx.AsyncClient, asked: str) -> None:
    assert (await client.get(f"/{asked}")).status_code == 400


async def test_a_conditional_write_means_the_same_for_ever(client: httpx.AsyncClient) -> None:
    criteria = {"If-None-Exist": "location:below=hospital"}
    answer = await client.post("/Encounter", json=at("x", "Location/ward"), headers=criteria)
    assert answer.status_code == 400
    assert "list what is meant" in answer.text
