"""Issue 3.1: 4,200 synthetic experts as Practitioner, PractitionerRole, HealthcareService, Schedule, Slot; in Beijing time."""

import json
from datetime import date
from itertools import pairwise

from exchange.consultations import OPENAPI
from fhir_server.r4.dates import interval
from fhir_server.r4.validation import validate
from telemedicine.experts import EXPERTS, directory, expert, expert_id, load, slots
from telemedicine.specialties import LANGUAGES, SPECIALTIES
from tests.serving import Door

DAY = date(2027, 1, 15)


def test_every_expert_is_valid_and_the_same_each_time() -> None:
    """All 4,200, and the Slots of some: R4 4.0.1."""
    for number in range(EXPERTS):
        resources = expert(number)
        assert resources == expert(number)
        assert {one["id"] for one in resources} == {expert_id(number)}
        for one in resources if number % 10 == 0 else ():
            validate(one)
    for one in [*directory(), *slots(7, DAY, 1, expert(7)[1]["specialty"])]:
        validate(one)


def test_all_specialties_and_languages_are_there() -> None:
    roles = [expert(number)[1] for number in range(EXPERTS)]
    codes = {coding["code"] for role in roles for concept in role["specialty"] for coding in concept["coding"]}
    spoken = {one["valueCodeableConcept"]["coding"][0]["code"] for role in roles for one in role["extension"]}
    assert (codes, spoken) == (set(SPECIALTIES), set(LANGUAGES))


def test_slots_are_half_hours_of_beijing_time_that_do_not_overlap() -> None:
    for number in range(8):
        times = [(interval(one["start"])[0], interval(one["end"])[0]) for one in slots(number, DAY, 2, [])]
        assert len(times) == 16
        assert all(end - start == 30 * 60_000 for start, end in times)
        assert all(one[1] <= other[0] for one, other in pairwise(times))
        assert all(one["start"].endswith("+08:00") for one in slots(number, DAY, 1, []))


async def test_loading_again_changes_nothing(door: Door) -> None:
    """Idempotent: the same ids, no new versions."""
    first = await load(door.exchange.record, 9, 1)
    before = await door.exchange.database["resources"].count_documents({})
    assert await load(door.exchange.record, 9, 1) == first == 9 * (4 + 8)
    assert await door.exchange.database["resources"].count_documents({}) == before
    assert await door.exchange.database["history"].count_documents({}) == 0
    found = (await door.doctor("d", "h").get("/Slot", params={"schedule": "Schedule/expert-0009"})).json()
    assert found["total"] == 8


async def test_openapi_names_every_route(door: Door) -> None:
    """What is described answers, and the description is served."""
    described = json.loads(OPENAPI.read_bytes())
    root = door.base_url.removesuffix("/fhir")
    assert (await door.client().get(f"{root}/telemedicine/openapi.json")).json() == described
    for path, methods in described["paths"].items():
        for method in methods:
            answer = await door.client().request(method, root + path.replace("{id}", "x"))
            assert answer.status_code == 401, path
