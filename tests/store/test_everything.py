"""Patient/$everything and Encounter/$everything (R4 patient-operation-everything.html, encounter-operation-everything.html)."""

import base64
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.gate.building import found, keep, observation, patient
from tests.serving import Door
from tests.store.naive import span
from tests.store.region import Resource, everything, exact
from tests.store.town import PERSONS, Town

Named = dict[str, Resource]
ROUNDS = 4

# Where the care dates of some types stand, best first: too simple to be wrong.
CARE = {
    "Observation": ("effectiveDateTime", "effectivePeriod"),
    "Encounter": ("period",),
    "Condition": ("onsetDateTime",),
    "Procedure": ("performedPeriod", "performedDateTime"),
    "Immunization": ("occurrenceDateTime",),
    "MedicationRequest": ("authoredOn",),
    "DiagnosticReport": ("effectiveDateTime",),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod"),
    "AllergyIntolerance": ("recordedDate",),
    "Claim": ("created",),
    "ExplanationOfBenefit": ("created",),
    "CarePlan": ("period",),
    "CareTeam": ("period",),
    "DocumentReference": ("date",),
    "Provenance": ("recorded",),
    "ImagingStudy": ("started",),
    "List": ("date",),
}
UNDATED = ("Patient", "Practitioner", "Organization", "Location")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def all_there_is(town: Town) -> Named:
    """Every resource of every type, as searches give it."""
    every = [one for kind in RESOURCE_TYPES for one in await everything(town.client, f"{kind}?_count=1000")]
    return {name(one): one for one in every}


def name(one: Resource) -> str:
    return f"{one['resourceType']}/{one['id']}"


def references(node: Any) -> Iterator[str]:
    """What anything in it refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def is_about(one: Resource, patients: set[str]) -> bool:
    return (
        one["id"] in patients if one["resourceType"] == "Patient" else any(f"Patient/{p}" in references(one) for p in patients)
    )


def is_of_nobody(one: Resource) -> bool:
    return one["resourceType"] != "Patient" and not any("Patient/" in to for to in references(one))


def with_what_it_refers_to(every: Named, matches: Named) -> Named:
    """The directory entries that these lead to."""
    led: Named = {}
    outer = list(matches.values())
    for _ in range(ROUNDS):
        targets = {to for one in outer for to in references(one)} - led.keys() - matches.keys()
        outer = [every[to] for to in targets if to in every and is_of_nobody(every[to])]
        led |= {name(one): one for one in outer}
    return led


def life_of(every: Named, patient_id: str) -> Named:
    patients = next((set(one) for one in PERSONS if patient_id in one), {patient_id})
    return {known: one for known, one in every.items() if is_about(one, patients)}


async def answered(client: httpx.AsyncClient, path: str) -> tuple[Resource, Named, Named]:
    """The Bundle, its matches and its includes."""
    response = await client.get(path)
    assert response.status_code == 200, response.text
    bundle = exact(response.content)
    modes = {"match": dict[str, Resource](), "include": dict[str, Resource]()}
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        assert entry["fullUrl"].endswith(f"/fhir/{name(resource)}")
        assert all(name(resource) not in known for known in modes.values()), "twice"
        modes[entry["search"]["mode"]][name(resource)] = resource
    return bundle, modes["match"], modes["include"]


async def test_it_is_the_whole_life_and_the_directory_it_leads_to(town: Town, all_there_is: Named) -> None:
    """patient-operation-everything.html: the compartment, and what is needed to support it; each once, as it is stored"""
    people = [one["id"] for one in town.stored["Patient"]]
    for known in people:
        bundle, matches, included = await answered(town.client, f"/Patient/{known}/$everything")
        assert matches == life_of(all_there_is, known)
        assert included == with_what_it_refers_to(all_there_is, matches)
        assert bundle["total"] == len(matches)
        assert next(iter(matches)).startswith("Patient/")
    assert len(people) >= 8


async def test_it_is_a_valid_bundle(town: Town) -> None:
    """bundle.html"""
    for path in ("/Patient/gul-a/$everything", "/Encounter/visit/$everything", "/Patient/bek/$everything?_type=Claim"):
        response = await town.client.get(path)
        assert response.headers["content-type"].startswith("application/fhir+json")
        validate(read(response.content))


WANTED = st.fixed_dictionaries(
    {},
    optional={
        "_type": st.lists(st.sampled_from([*CARE, *UNDATED]), min_size=1, max_size=3, unique=True).map(",".join),
        "start": st.dates().map(lambda day: day.replace(year=1950 + day.year % 75).isoformat()),
        "end": st.integers(1960, 2022).map(str),
        "_count": st.integers(60, 400),
    },
).filter(lambda wanted: str(wanted.get("start", ""))[:4] <= str(wanted.get("end", "9999")))


@settings(
    max_examples=16,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(wanted=WANTED, number=st.integers(0, 20))
async def test_what_is_asked_for_is_what_is_given(town: Town, all_there_is: Named, wanted: dict[str, Any], number: int) -> None:
    """`_type`, `start`, `end` (care dates) and `_count` (pages) against a naive walk"""
    known = sorted(one["id"] for one in town.stored["Patient"])[number % len(town.stored["Patient"])]
    kinds = set(wanted["_type"].split(",")) if "_type" in wanted else {*CARE, *UNDATED}
    scanned = {at: one for at, one in life_of(all_there_is, known).items() if is_care(one, wanted)}
    expected = {at: one for at, one in scanned.items() if one["resourceType"] in kinds}
    led = {at: one for at, one in with_what_it_refers_to(all_there_is, scanned).items() if one["resourceType"] in kinds}
    matches: Named = {}
    included: Named = {}
    path: str | None = f"/Patient/{known}/$everything?{urlencode(wanted)}"
    while path:
        bundle, some, more = await answered(town.client, path)
        assert matches.keys().isdisjoint(some)
        matches |= some
        included |= more
        path = next((one["url"] for one in bundle["link"] if one["relation"] == "next"), None)
        assert bundle["total"] == len(expected) or "_type" not in wanted
    assert {at: one for at, one in matches.items() if one["resourceType"] in kinds} == expected
    assert {at: one for at, one in included.items() if one["resourceType"] in kinds} == led


def is_care(one: Resource, wanted: dict[str, Any]) -> bool:
    """Whether it is of the time asked for; only types of CARE are looked at, and those that bear no such date."""
    dated = next((one[path] for path in CARE.get(one["resourceType"], ()) if path in one), None)
    low, high = span(dated) if dated is not None else (float("-inf"), float("inf"))
    first = span(wanted["start"])[0] if "start" in wanted else float("-inf")
    last = span(wanted["end"])[1] if "end" in wanted else float("inf")
    return low <= last and high >= first


async def test_of_an_encounter_it_is_its_compartment_and_what_that_refers_to(town: Town, all_there_is: Named) -> None:
    """encounter-operation-everything.html: other records of the same person that it refers to, too; the directory beyond"""
    visits = town.stored["Encounter"][::20]
    for visit in visits:
        known = name(visit)
        inside = {at: one for at, one in all_there_is.items() if at == known or known in (to for to in references(one))}
        bundle, matches, included = await answered(town.client, f"/{known}/$everything")
        assert matches == inside
        targets = {to for one in matches.values() for to in references(one)} & all_there_is.keys()
        assert targets - matches.keys() <= included.keys()
        assert bundle["total"] == len(matches)
    (_, matches, included) = await answered(town.client, "/Encounter/visit/$everything")
    assert matches.keys() == {"Encounter/visit", "Observation/sugar-3"}
    assert included.keys() == {"Patient/gul-b", "Location/kashgar"}
    assert len(visits) > 5


async def test_what_was_written_since(door: Door) -> None:
    """`_since` is about record time; what was being written at that moment may come again, and never not at all"""
    keeper = door.system("hospital-a")
    now = door.exchange.record.clock
    await keep(keeper, patient("p"), observation("before", "p"))
    await door.exchange.database["resources"].update_many({}, {"$inc": {"u": -3_600_000}})
    moment = now()
    await keep(keeper, observation("after", "p"))
    since = (await keeper.get("/Observation/after")).json()["meta"]["lastUpdated"]
    assert moment <= now()
    assert await found(keeper, f"/Patient/p/$everything?_since={since}") == {"Observation/after"}
    assert await found(keeper, "/Patient/p/$everything?_since=2999-01-01T00:00:00Z") == set()
    assert len(await found(keeper, "/Patient/p/$everything?_since=2001-01-01")) == 3


async def test_by_post_by_head_and_empty(door: Door) -> None:
    """operations.html#request; http.html#head"""
    keeper = door.system("hospital-a")
    await keep(keeper, patient("p"), observation("o", "p"))
    given = [{"name": "_type", "valueCode": "Observation"}, {"name": "_count", "valueInteger": 1}]
    answer = await keeper.post("/Patient/p/$everything", json={"resourceType": "Parameters", "parameter": given})
    assert [one["resource"]["id"] for one in answer.json()["entry"]] == ["o"]
    head = await keeper.head("/Patient/p/$everything")
    assert (head.status_code, head.content) == (200, b"")
    nothing = (await keeper.get("/Patient/p/$everything?_type=Claim&_pretty=true")).json()
    assert (nothing["total"], "entry" in nothing) == (0, False)
    counted = (await keeper.get("/Patient/p/$everything?_count=0")).json()
    assert (counted["total"], "entry" in counted) == (2, False)


async def test_a_page_link_is_for_whom_it_was_given_to(door: Door) -> None:
    """DESIGN 4: every page is gated anew"""
    keeper, doctor = door.system("hospital-a"), door.doctor("li", "hospital-b")
    await keep(keeper, patient("p"), observation("o1", "p"), observation("o2", "p"))
    first = (await keeper.get("/Patient/p/$everything?_count=1")).json()
    (url,) = (one["url"] for one in first["link"] if one["relation"] == "next")
    assert (await doctor.get(url)).status_code == 400
    assert (await keeper.get(url)).status_code == 200


# -- streaming --


def noisy(known: str, dice: random.Random, size: int = 100_000) -> Resource:
    """It does not get smaller by compression."""
    return observation(known, "p", note=[{"text": base64.b64encode(dice.randbytes(size)).decode()}])


async def fill(door: Door, count: int) -> list[str]:
    """A life of so many large resources; their ids in the order in which they are sent."""
    dice, keeper = random.Random(1), door.system("hospital-a")
    await keep(keeper, patient("p"), *(noisy(f"o-{number}", dice) for number in range(count)))
    stored = await door.exchange.database["resources"].find({"t": {"$ne": 0}}, {"_id": 1}).to_list()
    assert len(stored) == count + 1
    answer = (await keeper.get("/Patient/p/$everything")).json()
    return [one["resource"]["id"] for one in answer["entry"]]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_the_first_bytes_leave_before_the_last_body_is_unsealed(door: Door, encoding: str) -> None:
    """A body that cannot be opened cuts the connection off: what came must not look like a whole Bundle"""
    last = (await fill(door, 8))[-1]
    key = door.exchange.record.codec.identity(f"Observation/{last}")
    sealed = (await door.exchange.database["resources"].find_one({"_id": key}) or {})["b"]
    broken = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    await door.exchange.database["resources"].update_one({"_id": key}, {"$set": {"b": broken}})
    got = b""
    client = door.system("hospital-a")
    with pytest.raises(httpx.RemoteProtocolError):
        async with client.stream("GET", "/Patient/p/$everything", headers={"Accept-Encoding": encoding}) as answer:
            assert answer.status_code == 200
            async for part in answer.aiter_bytes():
                got += part
    assert got.startswith(b'{"resourceType":"Bundle"') and len(got) > 500_000
    assert last not in got.decode()
    with pytest.raises(json.JSONDecodeError):
        json.loads(got)


async def test_what_is_sent_is_of_one_moment_whatever_is_written_meanwhile(door: Door) -> None:
    """More than is held from the first look: versions that were replaced, or deleted, while it goes out come as they were"""
    order = await fill(door, 150)
    keeper = door.system("hospital-a")
    before = {known: (await keeper.get(f"/Observation/{known}")).json() for known in order[-2:]}
    async with keeper.stream("GET", "/Patient/p/$everything", headers={"Accept-Encoding": "identity"}) as answer:
        parts = answer.aiter_bytes()
        got = await anext(parts)
        assert (
            await door.system("hospital-a").put(f"/Observation/{order[-1]}", json=observation(order[-1], "p"))
        ).status_code == 200
        assert (await door.system("hospital-a").delete(f"/Observation/{order[-2]}")).status_code == 204
        async for part in parts:
            got += part
    entries = [one["resource"] for one in json.loads(got)["entry"]]
    assert [one["id"] for one in entries] == order
    assert {one["id"]: one for one in entries[-2:]} == before
