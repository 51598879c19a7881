"""Issue 3.1: requests are paired in a round, a time is held for each pair, and the reason is kept with the request."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from fhir_server.r4.dates import instant
from telemedicine.finding import TELECONSULTATION
from telemedicine.requests import LANGUAGE
from tests.telemedicine import world
from tests.telemedicine.world import HOUR, NOW, World, call, expert_of, found, named, one, put

CARDIOLOGY = "394579002"


@pytest_asyncio.fixture(loop_scope="session")
async def open_region(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world with the usual default, under which the service sees what hospitals ask for."""
    async with world.world(mongodb_uri, database, tmp_path) as made:
        yield made


def request(known: str, patient: str = "a-1", language: str = "zh", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": known,
        "extension": [{"url": LANGUAGE, "valueCode": language}],
        "status": "active",
        "intent": "order",
        "priority": "urgent",
        "code": TELECONSULTATION,
        "subject": {"reference": f"Patient/{patient}"},
        "requester": {"reference": "Organization/a"},
        "performerType": {"coding": [{"system": "http://snomed.info/sct", "code": CARDIOLOGY}]},
        "authoredOn": instant(NOW - HOUR),
        **more,
    }


async def rounds(region: World) -> dict[str, int]:
    answer = await region.service.post(region.door.base_url.replace("/fhir", "/telemedicine/rounds"))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_request_is_paired_held_and_booked(open_region: World) -> None:
    """From ServiceRequest to a hold with its reason; booked, it is open no more."""
    region = open_region
    await put(region.a, request("a-r1"))
    assert await rounds(region) == {"open": 1, "paired": 1, "held": 1}
    held = one(await region.patient.get("/Appointment", params={"patient": "Patient/a-1", "status": "pending"}))
    assert held["basedOn"] == [{"reference": "ServiceRequest/a-r1"}]
    task = one(await region.a.get("/Task", params={"focus": "ServiceRequest/a-r1"}))
    reasons = {output["type"]["coding"][0]["code"]: output for output in task["output"]}
    assert task["owner"] == {"reference": f"Practitioner/{expert_of(held)}"}
    assert (reasons["specialty"]["valueCode"], reasons["wait-minutes"]["valueInteger"]) == (CARDIOLOGY, 60)
    assert reasons["appointment"]["valueReference"] == {"reference": named(held)}
    assert await rounds(region) == {"open": 0, "paired": 0, "held": 0}
    assert one(await call(region.patient, "$book", appointment_reference=named(held)))["status"] == "booked"
    region.clock.now += HOUR
    assert (await rounds(region))["open"] == 0
    assert (await region.a.get(f"/Task/{task['id']}")).json()["status"] == "accepted"


async def test_a_hold_that_nobody_books_opens_the_request_again(open_region: World) -> None:
    """The next pairing is the next version of the Task: the earlier reason stays in its history."""
    region = open_region
    await put(region.a, request("a-r1"))
    await rounds(region)
    region.clock.now += 15 * 60_000
    assert await rounds(region) == {"open": 1, "paired": 1, "held": 1}
    task = one(await region.a.get("/Task", params={"focus": "ServiceRequest/a-r1"}))
    assert len(found(await region.a.get(f"/Task/{task['id']}/_history"))) == 2


async def test_the_more_pressing_gets_the_earlier_time(open_region: World) -> None:
    """Where one expert has several, the routine request is not seen first."""
    region = open_region
    for number, priority in enumerate(("routine", "stat", "urgent")):
        await put(region.a, request(f"a-r{number}", priority=priority))
    assert await rounds(region) == {"open": 3, "paired": 3, "held": 3}
    held = found(await region.patient.get("/Appointment", params={"patient": "Patient/a-1", "_sort": "date"}))
    by_expert: dict[str, list[str]] = {}
    for each in held:
        by_expert.setdefault(expert_of(each), []).append(each["basedOn"][0]["reference"])
    assert len(held) == 3
    assert all(one[0] != "ServiceRequest/a-r0" for one in by_expert.values() if len(one) > 1)


async def test_what_cannot_be_paired_stays_open(open_region: World) -> None:
    """No specialty, or an unknown language: not guessed at."""
    await put(open_region.a, request("a-r1", language="xx"))
    assert await rounds(open_region) == {"open": 0, "paired": 0, "held": 0}


async def test_only_the_service_runs_rounds(open_region: World) -> None:
    url = open_region.door.base_url.replace("/fhir", "/telemedicine/rounds")
    assert (await open_region.a.post(url)).status_code == 403
    assert (await open_region.patient.post(url)).status_code == 403


async def test_what_says_too_little_in_the_directory_stops_nobody_else(open_region: World) -> None:
    """R4 PractitionerRole, Slot: what is optional there, or only an extension, is passed over by $find and by rounds."""
    region = open_region
    wanted = (await region.offers(specialty=f"http://snomed.info/sct|{CARDIOLOGY}"))[0]
    role = (await region.service.get(f"/PractitionerRole/{expert_of(wanted)}")).json()
    slot = (await region.service.get(f"/Slot/{wanted['id']}")).json()
    unknown = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}
    await put(region.service, {**without(role, "practitioner"), "id": "odd-1"})
    await put(region.service, {**role, "id": "odd-2", "practitioner": {"display": "?"}})
    await put(region.service, {**role, "id": "odd-3", "organization": {"display": "?"}})
    await put(region.service, {**role, "specialty": [*role["specialty"], {"coding": [{"display": "?"}]}]})
    await put(region.service, {**without(slot, "status"), "id": "odd-4", "_status": unknown})
    await put(region.service, {**without(slot, "end"), "id": "odd-5", "_end": unknown})
    await put(region.service, {**slot, "id": "odd-6", "end": instant(NOW + 10 * HOUR)})
    region.clock.now += 61_000
    again = await region.offers(specialty=f"http://snomed.info/sct|{CARDIOLOGY}", practitioner=f"Practitioner/{role['id']}")
    assert again and not [one["id"] for one in again if one["id"].startswith("odd")]
    await put(region.a, request("a-r1"))
    assert await rounds(region) == {"open": 1, "paired": 1, "held": 1}


def without(resource: dict[str, Any], element: str) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != element}
