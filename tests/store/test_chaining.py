"""Chains, `_has`, `_list` and includes over Synthea and hand-made records, against an oracle that walks the JSON."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from fhir_server.record import chaining
from tests.store.naive import at
from tests.store.region import Resource, pages
from tests.store.town import PERSONS, Town

Holds = Callable[[Resource], bool]


def _persons(names: set[str]) -> set[str]:
    others = {f"Patient/{one}" for person in PERSONS for one in person if any(f"Patient/{each}" in names for each in person)}
    return names | others


def starts(path: str, text: str) -> Holds:
    return lambda one: any(isinstance(value, str) and value.lower().startswith(text) for value in at(one, path))


def coded(path: str, code: str) -> Holds:
    return lambda one: any(coding.get("code") == code for coding in at(one, path))


def gender(code: str) -> Holds:
    return lambda one: one.get("gender") == code


def every(*all_of_them: Holds) -> Holds:
    return lambda one: all(holds(one) for holds in all_of_them)


def to(town: Town, path: str, holds: Holds) -> Holds:
    """Whether a reference at the path leads to a resource that holds; a Patient stands for the whole person."""
    good = _persons({name for name, one in town.resources.items() if holds(one)})
    return lambda one: any(reference.get("reference") in good for reference in at(one, path))


def has(town: Town, source: str, path: str, holds: Holds) -> Holds:
    """Whether a `source` that holds refers to the resource at the path."""
    found = (reference for one in town.stored[source] if holds(one) for reference in at(one, path))
    good = _persons({reference["reference"] for reference in found if "reference" in reference})
    return lambda one: f"{one['resourceType']}/{one['id']}" in good


SUGAR, PROTEIN, HEIGHT = "15074-8", "2885-2", "8302-2"


def cases(town: Town) -> Iterable[tuple[str, list[tuple[str, str]], Holds]]:
    def born(one: Resource) -> bool:
        return str(one.get("birthDate", "")) >= "1980"

    wu, first = starts("name.family", "wu"), starts("name", "first")
    sugar, height, female = coded("code.coding", SUGAR), coded("code.coding", HEIGHT), gender("female")
    subject = functools.partial(to, town, "subject")
    observed = functools.partial(has, town, "Observation", "subject")
    patients_of_wu = to(town, "generalPractitioner", wu)
    yield "Observation", [("patient.name", "古丽")], subject(starts("name.text", "古丽"))
    yield "Observation", [("subject:Patient.birthdate", "ge1980")], subject(born)
    yield "Observation", [("code", HEIGHT), ("patient.gender", "female")], every(height, subject(female))
    at_kashgar = to(town, "encounter", to(town, "location.location", starts("name", "kash")))
    yield "Observation", [("patient", "gul-a"), ("encounter.location.name", "kash")], at_kashgar
    yield "Observation", [("patient", "gul-a"), ("performer:Practitioner.family", "wu")], to(town, "performer", wu)
    yield "Patient", [("general-practitioner:Practitioner.family", "wu")], patients_of_wu
    yield "Patient", [("organization.partof.name", "first")], to(town, "managingOrganization", to(town, "partOf", first))
    yield "Patient", [("_has:Observation:patient:code", SUGAR)], observed(sugar)
    yield "Patient", [("_has:Observation:patient:code", HEIGHT), ("gender", "female")], every(female, observed(height))
    by_ma = to(town, "performer", starts("name.family", "ma"))
    yield "Patient", [("_has:Observation:patient:performer:Practitioner.family", "ma")], observed(by_ma)
    visited = has(town, "Encounter", "subject", has(town, "Observation", "encounter", sugar))
    yield "Patient", [("_has:Encounter:patient:_has:Observation:encounter:code", SUGAR)], visited
    performed = has(town, "Observation", "performer", subject(patients_of_wu))
    asked = "_has:Observation:performer:patient.general-practitioner:Practitioner.family"
    yield "Practitioner", [(asked, "wu")], performed
    yield "Encounter", [("patient._has:Observation:patient:code", SUGAR)], subject(observed(sugar))
    yield "Encounter", [("service-provider.name", "zz")], lambda one: False
    seen_by = to(town, "encounter", to(town, "participant.individual", female))
    pairs = [("encounter.participant:Practitioner.gender", "female"), ("patient.gender", "male")]
    yield "Condition", pairs, every(seen_by, subject(gender("male")))
    yield "DiagnosticReport", [("result.code", HEIGHT)], to(town, "result", height)
    women = to(town, "target", lambda one: one["resourceType"] == "Patient" and female(one))
    yield "Provenance", [("target:Patient.gender", "female")], women
    yield "Observation", [("_list", "round")], lambda one: one["id"] in ("sugar-1", "fever-1")
    yield "Observation", [("_list", "round"), ("patient", "bek")], lambda one: one["id"] == "fever-1"
    yield "Observation", [("_list", "nothing")], lambda one: False


@pytest.mark.parametrize("few", [chaining.LOOKED_UP, 2, 0], ids=["from afar", "where few stand there", "followed"])
async def test_links_agree_with_the_oracle(town: Town, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """search.html#chaining, #has, #list: looked up from the far end, or followed from each candidate, they find the same"""
    monkeypatch.setattr(chaining, "LOOKED_UP", few)
    monkeypatch.setattr(chaining, "FEW", few or chaining.FEW)
    found_some = 0
    for kind, pairs, holds in cases(town):
        scoped = [("patient", value) for name, value in pairs if name == "patient"]
        expected = {one["id"] for one in town.stored[kind] if holds(one) and (not scoped or _about(one, scoped[0][1]))}
        got = await town.found(kind, *pairs)
        assert sorted(got) == sorted(expected), pairs
        assert sorted(await town.found(kind, *pairs, count=1 + len(expected) // 3)) == sorted(expected), pairs
        answer = await town.client.get(f"/{kind}", params=[*pairs, ("_summary", "count")])
        assert answer.json()["total"] == len(expected)
        found_some += bool(expected)
    assert found_some >= 15


def _about(one: Resource, patient: str) -> bool:
    return one["subject"]["reference"] in _persons({f"Patient/{patient}"})


async def test_a_link_that_would_lead_everywhere_is_too_costly(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound there is an error that says what to do, never a wrong answer."""
    monkeypatch.setattr(chaining, "FOLLOWED", 3)
    monkeypatch.setattr(chaining, "LOOKED_UP", 0)
    answer = await town.client.get("/Practitioner?_has:Encounter:participant:status=finished")
    assert answer.status_code == 403 and answer.json()["issue"][0]["code"] == "too-costly"


async def test_criteria_of_writes_take_no_links(town: Town) -> None:
    """http.html#ccreate: a conditional create matches on its own elements"""
    headers = {"If-None-Exist": "patient.name=x"}
    sent = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    answer = await town.door.system("a").post("/Observation", json=sent, headers=headers)
    assert answer.status_code == 400 and "leave out chains" in answer.text


async def test_a_type_that_may_not_be_searched_is_on_no_way(town: Town) -> None:
    """DESIGN 4: a scope that leaves out a type makes it absent, half way, too"""
    narrow = town.door.client("practitioner", practitioner="li", organization="a", scope="user/Observation.rs user/Patient.r")
    assert (await narrow.get("/Observation?patient.name=古丽")).json()["total"] == 0
    assert (await narrow.get("/Observation?patient=gul-a&patient.gender=female")).json()["total"] == 0
    assert (await narrow.get("/Observation?patient=gul-a&patient.gender:missing=true")).json()["total"] == 0


async def test_who_was_on_the_way_to_the_directory_is_told(town: Town) -> None:
    """DESIGN 4: an access names every person disclosed: that Ma examined somebody says something of them"""
    bek = town.door.patient("bek")

    async def told() -> int:
        return len((await bek.get("/Patient/bek/$access-log")).json().get("entry", []))

    before = await told()
    assert await town.found("Practitioner", ("_has:Observation:performer:patient.name", "bek")) == ["ma"]
    assert await told() - before == 1 + 1, "the first look at the log is in it, too"


# -- includes --


async def _included(town: Town, query: str) -> tuple[list[Resource], set[str]]:
    (page,) = await pages(town.client, query)
    of = {mode: [e["resource"] for e in page.get("entry", []) if e["search"]["mode"] == mode] for mode in ("match", "include")}
    names = [f"{one['resourceType']}/{one['id']}" for one in of["include"]]
    assert len(names) == len(set(names))
    return of["match"], set(names)


def _names(one: Any) -> set[str]:
    if isinstance(one, list):
        return {name for each in one for name in _names(each)}
    if not isinstance(one, dict):
        return set()
    own = {one["reference"]} if isinstance(one.get("reference"), str) else set()
    return own | {name for value in one.values() for name in _names(value)}


@pytest.mark.parametrize("star", ["*", "Encounter:*"])
async def test_include_of_all_references(town: Town, star: str) -> None:
    """search.html#include: `*` and `[type]:*`"""
    matches, names = await _included(town, f"Encounter?_include={star}&_count=1000&class=EMER")
    assert names == {name for one in matches for name in _names(one) if name in town.resources} and names


async def test_include_iterates(town: Town) -> None:
    """search.html#include: `:iterate` goes on from what was included; without it nothing does"""
    first = "Observation?_id=sugar-3&_include=Observation:encounter"
    assert (await _included(town, first))[1] == {"Encounter/visit"}
    assert (await _included(town, f"{first}&_include:iterate=Encounter:location"))[1] == {"Encounter/visit", "Location/kashgar"}
    around = await _included(town, f"{first}&_include:iterate=Encounter:location&_include:iterate=Encounter:patient:Patient")
    assert around[1] == {"Encounter/visit", "Location/kashgar", "Patient/gul-b"}
    up = await _included(town, "Patient?_id=bek&_include=Patient:organization&_include:iterate=Organization:partof")
    assert up[1] == {"Organization/ward", "Organization/first"}
    down = await _included(
        town, "Organization?_id=first&_revinclude:iterate=Organization:partof&_revinclude:iterate=Patient:organization"
    )
    assert down[1] == {"Organization/ward", "Patient/bek"}


@pytest.mark.parametrize("name", ["Patient/gul-a", "Encounter/visit", "Practitioner/wu", "Organization/first"])
async def test_revinclude_of_all_references(town: Town, name: str) -> None:
    """search.html#revinclude: `*` is whatever refers to the match by a search parameter"""
    kind, _, known = name.partition("/")
    _, names = await _included(town, f"{kind}?_id={known}&_revinclude=*")
    assert names == {other for other, one in town.resources.items() if name in _names(one)} and names
    _, observations = await _included(town, f"{kind}?_id={known}&_revinclude=Observation:*")
    assert observations == {one for one in names if one.startswith("Observation/")}
