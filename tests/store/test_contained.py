"""Chains into contained resources find what an oracle finds that follows every reference (search.html#contained)."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.record import chaining
from tests import serving
from tests.gate.building import id_card, patient
from tests.serving import Door
from tests.store.naive import at
from tests.store.town import keep_all

Resource = dict[str, Any]
Holds = Callable[[Resource], bool]
CODES = "urn:test:drugs"


@dataclass(frozen=True, slots=True)
class Pharmacy:
    door: Door
    client: httpx.AsyncClient
    kept: dict[str, Resource]

    def of(self, kind: str) -> list[Resource]:
        return [one for one in self.kept.values() if one["resourceType"] == kind]

    def to(self, path: str, *kinds: str) -> Callable[[Holds], Holds]:
        """Whether a reference at the path leads to one of these types that holds: here, or in the same container."""

        def made(holds: Holds) -> Holds:
            return lambda one: any(found["resourceType"] in kinds and holds(found) for found in self._targets(one, path))

        return made

    def _targets(self, one: Resource, path: str) -> Iterator[Resource]:
        around: list[Resource] = one.get("around") or one.get("contained") or []
        for text in at(one, f"{path}.reference"):
            if text.startswith("#"):
                yield from ({**each, "around": around, "inside": True} for each in around if f"#{each['id']}" == text)
            elif text in self.kept:
                yield self.kept[text]


def drug(dice: Random, **more: Any) -> Resource:
    maker = dice.choice(["Organization/north", "Organization/south", "#maker", None])
    made = {"resourceType": "Medication", "code": {"coding": [{"system": CODES, "code": dice.choice("abc")}]}, **more}
    return made | ({"manufacturer": {"reference": maker}} if maker and (maker[0] != "#" or "id" not in more) else {})


def inside(dice: Random) -> list[Resource]:
    """A contained drug, and who makes it where that is contained, too."""
    made: Resource = {**drug(dice), "id": "drug"}
    if made.get("manufacturer") == {"reference": "#maker"}:
        return [made, {"resourceType": "Organization", "id": "maker", "name": dice.choice(["North Inside", "South Inside"])}]
    return [made]


def request(dice: Random, known: str) -> Resource:
    made: Resource = {"resourceType": "MedicationRequest", "id": known, "status": dice.choice(["active", "stopped"])}
    made |= {"intent": "order", "subject": {"reference": f"Patient/{dice.choice(['p', 'q'])}"}}
    which = dice.randrange(3)
    if which == 0:
        return made | {"medicationCodeableConcept": {"text": "herbs"}}
    if which == 1:
        return made | {"medicationReference": {"reference": f"Medication/m-{dice.randrange(4)}"}}
    return made | {"contained": inside(dice), "medicationReference": {"reference": "#drug"}}


def dispense(dice: Random, known: str) -> Resource:
    made: Resource = {"resourceType": "MedicationDispense", "id": known, "status": "completed"}
    made |= {"medicationCodeableConcept": {"text": "herbs"}, "subject": {"reference": "Patient/p"}}
    if dice.random() < 0.5:
        return made | {"authorizingPrescription": [{"reference": f"MedicationRequest/r-{dice.randrange(30)}"}]}
    order = request(dice, "order")
    around = order.pop("contained", [])
    return made | {"contained": [order, *around], "authorizingPrescription": [{"reference": "#order"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pharmacy(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pharmacy]:
    dice = Random(4)
    made: list[Resource] = [patient("p", name="Gul"), patient("q", name="Bek")]
    made += [{"resourceType": "Organization", "id": one, "name": f"{one.title()} Works"} for one in ("north", "south")]
    made += [drug(dice, id=f"m-{number}") for number in range(4)]
    made += [request(dice, f"r-{number}") for number in range(30)]
    made += [dispense(dice, f"d-{number}") for number in range(20)]
    async with serving.door(mongodb_uri, "test_contained", tmp_path_factory.mktemp("contained")) as door:
        client = door.system("a")
        await keep_all(client, made)
        yield Pharmacy(door, client, {f"{one['resourceType']}/{one['id']}": one for one in made})
        await door.exchange.database.client.drop_database("test_contained")


def coded(code: str) -> Holds:
    return lambda one: code in at(one, "code.coding.code")


def refers(path: str, name: str) -> Holds:
    return lambda one: name in at(one, f"{path}.reference")


def cases(kept: Pharmacy) -> Iterator[tuple[str, list[tuple[str, str]], Holds]]:
    given, made_by = kept.to("medicationReference", "Medication"), kept.to("manufacturer", "Organization")
    ordered, subject = kept.to("authorizingPrescription", "MedicationRequest"), kept.to("subject", "Patient")
    of_north = refers("manufacturer", "Organization/north")
    north = made_by(lambda one: one["name"].startswith("North"))
    yield "MedicationRequest", [("medication.code", "a")], given(coded("a"))
    yield "MedicationRequest", [("medication.code", "zz")], lambda one: False
    yield "MedicationRequest", [("medication:Medication.code", f"{CODES}|b")], given(coded("b"))
    yield "MedicationRequest", [("medication.code", "a,b")], given(lambda one: coded("a")(one) or coded("b")(one))
    yield "MedicationRequest", [("medication.code:not", "a")], given(lambda one: not coded("a")(one))
    yield "MedicationRequest", [("medication.manufacturer", "Organization/north")], given(of_north)
    yield "MedicationRequest", [("medication.manufacturer.name", "north")], given(north)
    yield "MedicationRequest", [("medication.manufacturer:missing", "true")], given(lambda one: "manufacturer" not in one)
    both = [("medication.code", "a"), ("status", "active")]
    yield "MedicationRequest", both, lambda one: one["status"] == "active" and given(coded("a"))(one)
    of_p = [("patient", "p"), ("medication.code", "c")]
    yield "MedicationRequest", of_p, lambda one: given(coded("c"))(one) and refers("subject", "Patient/p")(one)
    twice = [("medication.code", "a"), ("medication.manufacturer.name", "south")]
    south = made_by(lambda one: one["name"].startswith("South"))
    yield "MedicationRequest", twice, lambda one: given(coded("a"))(one) and given(south)(one)
    yield "MedicationDispense", [("prescription.medication.code", "a")], ordered(given(coded("a")))
    yield "MedicationDispense", [("prescription.medication.manufacturer.name", "north")], ordered(given(north))
    yield "MedicationDispense", [("prescription.patient.name", "bek")], ordered(subject(lambda one: one["id"] == "q"))
    yield "MedicationDispense", [("prescription.patient", "Patient/q")], ordered(refers("subject", "Patient/q"))
    orders = [one for one in kept.of("MedicationRequest") if given(coded("b"))(one)]
    having = {one["subject"]["reference"] for one in orders}
    yield "Patient", [("_has:MedicationRequest:patient:medication.code", "b")], lambda one: f"Patient/{one['id']}" in having
    stopped = [one for one in kept.of("MedicationRequest") if one["status"] == "stopped"]
    named = {text for one in stopped for text in at(one, "medicationReference.reference")}
    asked = "_has:MedicationRequest:medication:status"
    yield "Medication", [(asked, "stopped")], lambda one: f"Medication/{one['id']}" in named
    lonely = [(f"medication.{asked}", "stopped")]
    yield "MedicationRequest", lonely, given(lambda one: f"Medication/{one['id']}" in named and "inside" not in one)


async def found(client: httpx.AsyncClient, kind: str, pairs: list[tuple[str, str]], count: int) -> list[str]:
    """The ids of all matches, page by page."""
    answer = await client.get(f"/{kind}", params=[*pairs, ("_count", str(count))])
    ids: list[str] = []
    while True:
        assert answer.status_code == 200, answer.text
        page = answer.json()
        ids += [entry["resource"]["id"] for entry in page.get("entry", ())]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        if url is None:
            return ids
        answer = await client.get(url)


@pytest.mark.parametrize("few", [chaining.LOOKED_UP, 2, 0], ids=["from afar", "where few stand there", "followed"])
async def test_chains_go_into_contained_resources(pharmacy: Pharmacy, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """search.html#contained: "the chained condition will be evaluated inside the contained resources"; totals are exact"""
    monkeypatch.setattr(chaining, "LOOKED_UP", few)
    monkeypatch.setattr("fhir_server.record.preparing.AT_ONCE", 0)  # however few there are, not followed for that
    found_some = 0
    for kind, pairs, holds in cases(pharmacy):
        expected = sorted(one["id"] for one in pharmacy.of(kind) if holds(one))
        for count in (1000, 1 + len(expected) // 3):
            assert sorted(await found(pharmacy.client, kind, pairs, count)) == expected, pairs
        answer = await pharmacy.client.get(f"/{kind}", params=[*pairs, ("_summary", "count")])
        assert answer.json()["total"] == len(expected), pairs
        found_some += bool(expected)
    assert found_some >= 15


async def test_several_types_at_once(pharmacy: Pharmacy) -> None:
    """search.html#_type: each by its own references"""
    pairs = [("_type", "MedicationRequest,MedicationDispense"), ("medication.code", "a")]
    holds = pharmacy.to("medicationReference", "Medication")(coded("a"))
    expected = [one["id"] for kind in ("MedicationRequest", "MedicationDispense") for one in pharmacy.of(kind) if holds(one)]
    assert sorted(await found(pharmacy.client, "", pairs, 4)) == sorted(expected)


async def test_a_contained_reference_to_a_patient_means_the_person(door: Door) -> None:
    """Decision 17: a Patient on the way stands for the whole person, in contained resources, too"""
    a, b = door.system("a"), door.system("b")
    await keep_all(b, [patient("pb", id_card(3))])
    specimen = {"resourceType": "Specimen", "id": "s", "subject": {"reference": "Patient/pa"}}
    about = {"subject": {"reference": "Patient/pa"}, "specimen": {"reference": "#s"}, "contained": [specimen]}
    made = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}, **about}
    await keep_all(a, [patient("pa", id_card(3)), made])
    reader = door.client("practitioner", practitioner="li", organization="c")
    for pairs in ([("specimen.subject", "Patient/pb")], [("specimen.subject:Patient", "pb")]):
        assert await found(reader, "Observation", pairs, 10) == ["o"]
    assert await found(reader, "Observation", [("specimen.patient.name", "zhang")], 10) == ["o"]
    assert await found(reader, "Observation", [("specimen.subject", "Patient/other")], 10) == []


async def test_what_is_contained_in_hidden_records_is_hidden(pharmacy: Pharmacy) -> None:
    """DESIGN 4: the gate of the container decides; a scope on the contained type is not asked for, as by a read of it"""
    holds = pharmacy.to("medicationReference", "Medication")(coded("a"))
    of_q = [one["id"] for one in pharmacy.of("MedicationRequest") if refers("subject", "Patient/q")(one) and holds(one)]
    asked = [("medication.code", "a")]
    assert sorted(await found(pharmacy.door.patient("q"), "MedicationRequest", asked, 2)) == sorted(of_q) and of_q
    narrow = pharmacy.door.client("system", organization="a", scope="system/MedicationRequest.rs")
    expected = [one["id"] for one in pharmacy.of("MedicationRequest") if "contained" in one and holds(one)]
    assert sorted(await found(narrow, "MedicationRequest", asked, 10)) == sorted(expected) and expected


async def test_only_what_refers_to_something_contained_has_an_entry_for_it(pharmacy: Pharmacy) -> None:
    """DESIGN 3: index entries are the cost"""
    term = pharmacy.door.exchange.record.codec.term("MedicationRequest.medication.ofType(Reference)>#")
    resources = pharmacy.door.exchange.database["resources"]
    expected = sum("contained" in one for one in pharmacy.of("MedicationRequest"))
    assert await resources.count_documents({"x": term}) == expected > 0


async def test_a_canonical_reference_may_lead_to_something_contained(door: Door) -> None:
    """references.html#canonical: "#id" is what is contained"""
    form = {"resourceType": "Questionnaire", "id": "form", "status": "active", "title": "Daily Form"}
    made = {"resourceType": "QuestionnaireResponse", "id": "answers", "status": "completed", "contained": [form]}
    client = door.system("a")
    await keep_all(client, [made | {"questionnaire": "#form"}])
    assert await found(client, "QuestionnaireResponse", [("questionnaire.title", "daily")], 10) == ["answers"]
    assert await found(client, "QuestionnaireResponse", [("questionnaire.title", "weekly")], 10) == []


@pytest.mark.parametrize("few", [chaining.LOOKED_UP, 0], ids=["from afar", "followed"])
async def test_somebody_who_is_contained(door: Door, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """references.html#contained: who has no record of their own; beside a code and a date, and beside whom is known"""
    monkeypatch.setattr(chaining, "LOOKED_UP", few)
    monkeypatch.setattr("fhir_server.record.preparing.AT_ONCE", 0)
    client = door.system("a")
    await keep_all(client, [patient("p", name="Wang Known")])
    code = {"coding": [{"system": CODES, "code": "a"}]}
    who = {"resourceType": "Patient", "id": "who"}
    wang, li = (who | {"name": [{"text": name}]} for name in ("Wang Contained", "Li"))
    made = [
        {"resourceType": "Observation", "id": known, "status": "final", "code": code, "effectiveDateTime": date, **whose}
        for known, date, whose in (
            ("of-known", "2020-01-01", {"subject": {"reference": "Patient/p"}}),
            ("of-contained", "2020-01-02", {"subject": {"reference": "#who"}, "contained": [wang]}),
            ("of-another", "2020-01-03", {"subject": {"reference": "#who"}, "contained": [li]}),
        )
    ]
    await keep_all(client, made)
    for name in ("patient.name", "subject:Patient.name", "subject.name"):
        for more in ([], [("code", f"{CODES}|a")], [("code", "a"), ("date", "ge2020-01-01"), ("_sort", "date")]):
            assert sorted(await found(client, "Observation", [(name, "wang"), *more], 1)) == ["of-contained", "of-known"]
            assert await found(client, "Observation", [(name, "wang c"), *more], 10) == ["of-contained"]
    assert await found(client, "Observation", [("patient.name", "wang"), ("date", "2020-01-01")], 10) == ["of-known"]
