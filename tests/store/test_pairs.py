"""A code of a patient, and how much of it, are found by pairs in the index (decision 6) as a walk of the JSON finds them."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.record import chaining
from fhir_server.record.criteria import criteria, only_itself, pairs_of
from fhir_server.search.query import parse
from fhir_server.store.documents import WITHOUT_TERMS
from tests.gate.test_persons import link
from tests.serving import Door
from tests.store.test_indexing import names

Resource = dict[str, Any]
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
CODES = ("8302-2", "29463-7", "718-7")
PERSON = {"a": {"a", "b"}, "b": {"a", "b"}, "c": {"c"}}
CENTIMETRES = {"cm": 1.0, "m": 100.0, "[in_i]": 2.54}


def measured(dice: Random, name: str) -> Resource:
    """Of somebody, coded once, twice or in words alone, in one of some units, at some time or over years; some by Patients."""
    coded = [{"system": LOINC, "code": code} for code in dice.sample(CODES, dice.choice((1, 1, 2)))]
    unit = dice.choice(("cm", "m", "[in_i]", "kg"))
    year = dice.choice((2001, 2002, 2003))
    when = (
        {"effectivePeriod": {"start": f"{year}", "end": f"{year + 4}"}}
        if dice.random() < 0.2
        else {"effectiveDateTime": f"{year}-05-01"}
    )
    return {
        "resourceType": "Observation", "id": name, "status": "final", **when,
        "code": {"coding": coded} if dice.random() < 0.9 else {"text": "height"},
        "subject": {"reference": f"Patient/{dice.choice('abc')}"},
        **({"performer": [{"reference": f"Patient/{dice.choice('abc')}"}]} if dice.random() < 0.3 else {}),
        "valueQuantity": {"value": dice.choice((1, 1.7, 68, 170, 171, -3, 0)), "system": UCUM, "code": unit},
    }  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def region(door: Door) -> tuple[httpx.AsyncClient, list[Resource]]:
    """80 observations of three Patients, of whom two are one person."""
    hospital, dice = door.system("hospital-a"), Random(5)
    for name in PERSON:
        await hospital.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name, "name": [{"text": name * 4}]})
    assert await link(door, "a", "b") == 204
    stored = [measured(dice, f"o-{number}") for number in range(80)]
    for one in stored:
        assert (await hospital.put(f"/Observation/{one['id']}", json=one)).status_code == 201
    return hospital, stored


def has_code(code: str, one: Resource) -> bool:
    return any(coding["code"] == code for coding in one["code"].get("coding", ()))


def is_of(patient: str, one: Resource) -> bool:
    return one["subject"]["reference"].removeprefix("Patient/") in PERSON[patient]


def is_above(centimetres: int, one: Resource) -> bool:
    value = one["valueQuantity"]
    return value["code"] in CENTIMETRES and value["value"] * CENTIMETRES[value["code"]] > centimetres + 0.5


def is_least(value: int, one: Resource) -> bool:
    return bool(one["valueQuantity"]["value"] >= value)


def is_below(kilograms: int, one: Resource) -> bool:
    return one["valueQuantity"]["code"] == "kg" and bool(one["valueQuantity"]["value"] < kilograms)


def begins_before_2002(one: Resource) -> bool:
    begins: str = one.get("effectiveDateTime") or one["effectivePeriod"]["start"]
    return begins < "2002"


async def test_pairs_find_what_a_walk_finds(region: tuple[httpx.AsyncClient, list[Resource]]) -> None:
    """search.html#combining, in pages, in both orders, with dates, by each name of a person"""
    hospital, stored = region
    dice = Random(7)
    for _ in range(60):
        code, patient, least = dice.choice(CODES), dice.choice("abc"), dice.choice((-400, 0, 2, 169, 300))
        clauses: dict[str, Callable[[Resource], bool]] = {
            f"code={LOINC}|{code}": partial(has_code, code),
            f"{dice.choice(('patient=', 'subject=Patient/'))}{patient}": partial(is_of, patient),
            f"value-quantity=gt{least}|{UCUM}|cm": partial(is_above, least),
            f"value-quantity=lt{least}||kg": partial(is_below, least),
            f"value-quantity=ge{least}": partial(is_least, least),
            "date=lt2002": begins_before_2002,
        }
        asked = dice.sample(sorted(clauses), dice.choice((2, 2, 3, 4)))
        wanted = {one["id"] for one in stored if all(clauses[clause](one) for clause in asked)}
        found = await names(
            hospital, f"Observation?{'&'.join(asked)}{dice.choice(('', '&_sort=date', '&_sort=-_lastUpdated'))}"
        )
        assert (set(found), len(found)) == (wanted, len(wanted)), asked


@pytest.mark.parametrize("few", [chaining.LOOKED_UP, 0], ids=["from afar", "followed"])
@pytest.mark.parametrize("candidates", [chaining.AT_ONCE, 0], ids=["few candidates", "many"])
async def test_links_by_pairs_find_what_a_walk_finds(
    region: tuple[httpx.AsyncClient, list[Resource]], monkeypatch: pytest.MonkeyPatch, few: int, candidates: int
) -> None:
    """search.html#has, #chaining: a performer is not whom it is about; what somebody else was measured for is not theirs"""
    monkeypatch.setattr(chaining, "LOOKED_UP", few)
    monkeypatch.setattr("fhir_server.record.preparing.AT_ONCE", candidates)
    hospital, stored = region
    alone = measured(Random(3), "of-c") | {"code": {"coding": [{"system": LOINC, "code": "2093-3"}]}}
    alone |= {"subject": {"reference": "Patient/c"}, "performer": [{"reference": "Patient/a"}]}
    stored.append(alone)
    assert (await hospital.put("/Observation/of-c", json=alone)).status_code == 201
    for code in (*CODES, "2093-3"):
        bearers = {name for name in PERSON if any(has_code(code, one) and is_of(name, one) for one in stored)}
        assert set(await names(hospital, f"Patient?_has:Observation:patient:code={LOINC}|{code}")) == bearers
        named = await names(hospital, f"Patient?_has:Observation:patient:code={LOINC}|{code}&name=cccc")
        assert set(named) == bearers & {"c"}
        wanted = {one["id"] for one in stored if has_code(code, one) and is_of("a", one)}
        assert set(await names(hospital, f"Observation?patient.name=aaaa&code={LOINC}|{code}")) == wanted


@pytest.mark.parametrize("query", [f"patient=c&code={LOINC}|718-7", f"code={LOINC}|718-7&value-quantity=gt1600|{UCUM}|cm"])
async def test_a_pair_is_one_look_into_the_index(door: Door, query: str) -> None:
    """No more is read than matches, whatever else the patient and the code have."""
    hospital = door.system("hospital-a")
    for number in range(60):
        made = measured(Random(1), f"o-{number}") | {"subject": {"reference": f"Patient/{'c' if number % 2 else 'a'}"}}
        code, value = ("718-7", 17) if number == 1 else ("718-7", 1) if number % 2 == 0 else ("8302-2", 17)
        made |= {"code": {"coding": [{"system": LOINC, "code": code}]}}
        made |= {"valueQuantity": {"value": value, "system": UCUM, "code": "m"}}
        assert (await hospital.put(f"/Observation/o-{number}", json=made)).status_code == 201
    asked = parse("Observation", pairs_of(query))
    wanted = await criteria(door.exchange.record.codec, asked, only_itself, by_pairs=True)
    resources = door.exchange.database["resources"]
    explained = await resources.find(wanted.filter, WITHOUT_TERMS, sort={"s": -1}, hint=wanted.hint("s")).explain()
    assert explained["executionStats"]["nReturned"] == explained["executionStats"]["totalDocsExamined"] == 1
