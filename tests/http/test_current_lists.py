"""Functional lists (R4 search.html#list): what is current, from each record's own status."""

from typing import Any

import pytest

from tests.gate.building import about, found, keep, labelled, patient
from tests.http.test_batch import bundle, entry
from tests.serving import Door

Resource = dict[str, Any]
ABOUT = {"patient": {"reference": "Patient/p"}}


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


def allergy(known: str, status: str, certainty: str | None = None, category: str = "food", **more: Any) -> Resource:
    told: Resource = {"clinicalStatus": coded("allergyintolerance-clinical", status), "category": [category]}
    if certainty:
        told["verificationStatus"] = coded("allergyintolerance-verification", certainty)
    return {"resourceType": "AllergyIntolerance", "id": known, **told, **ABOUT, **more}


def problem(known: str, status: str | None, certainty: str = "confirmed") -> Resource:
    told = {"verificationStatus": coded("condition-ver-status", certainty)}
    if status:
        told["clinicalStatus"] = coded("condition-clinical", status)
    return {"resourceType": "Condition", "id": known, **told, **about("p")}


def medication(kind: str, known: str, status: str) -> Resource:
    more = {"intent": "order"} if kind == "MedicationRequest" else {}
    return {
        "resourceType": kind,
        "id": known,
        "status": status,
        "medicationCodeableConcept": {"text": "x"},
        **about("p"),
        **more,
    }


KEPT = (
    allergy("nuts", "active", "confirmed"),
    allergy("milk", "active"),
    allergy("penicillin", "active", "unconfirmed", "medication"),
    allergy("hidden", "active", "confirmed", "medication", **labelled("V")),
    allergy("eggs", "resolved", "confirmed"),
    allergy("dust", "inactive", "confirmed", "environment"),
    allergy("refuted", "inactive", "refuted", "medication"),
    problem("diabetes", "active"),
    problem("asthma", "recurrence"),
    problem("gout", "relapse", "provisional"),
    problem("flu", "resolved"),
    problem("refuted", "active", "refuted"),
    problem("unsaid", None),
    medication("MedicationStatement", "aspirin", "active"),
    medication("MedicationStatement", "ibuprofen", "completed"),
    medication("MedicationRequest", "insulin", "active"),
    medication("MedicationRequest", "codeine", "stopped"),
)
LISTS: list[tuple[str, set[str]]] = [
    ("AllergyIntolerance?patient=p&_list=$current-allergies", {"nuts", "milk", "penicillin"}),
    ("AllergyIntolerance?patient=p&_list=$current-drug-allergies", {"penicillin"}),
    ("AllergyIntolerance?patient=p&_list=%24current-allergies&category=food&_count=1", {"nuts", "milk"}),
    ("Patient/p/AllergyIntolerance?_list=$current-drug-allergies", {"penicillin"}),
    ("Condition?patient=p&_list=$current-problems", {"diabetes", "asthma", "gout"}),
    ("MedicationStatement?patient=p&_list=$current-medications", {"aspirin"}),
    ("?_type=MedicationStatement,MedicationRequest&patient=p&_list=$current-medications", {"aspirin", "insulin"}),
]


async def test_what_is_current_of_a_person(door: Door) -> None:
    """search.html#list: alone, in a compartment, over several types, in a batch as R4's example has it; gated"""
    await keep(door.system("a"), patient("p"), *KEPT)
    doctor = door.doctor("li", "b")
    for query, expected in LISTS[:2] + LISTS[3:]:
        assert {name.partition("/")[2] for name in await found(doctor, f"/{query}")} == expected, query
    page = (await doctor.get(f"/{LISTS[2][0]}")).json()
    rest = (await doctor.get(next(one["url"] for one in page["link"] if one["relation"] == "next"))).json()
    assert {one["resource"]["id"] for answer in (page, rest) for one in answer["entry"]} == LISTS[2][1]
    answers = (await doctor.post("", json=bundle("batch", *(entry("GET", f"/{query}") for query, _ in LISTS)))).json()["entry"]
    assert [one["resource"]["total"] for one in answers if "total" in one["resource"]] == [3, 1, 1, 3, 1, 2]
    assert await found(door.system("a"), "/AllergyIntolerance?_list=$current-drug-allergies") == {
        "AllergyIntolerance/penicillin",
        "AllergyIntolerance/hidden",
    }


@pytest.mark.parametrize(
    "query", ["Condition?_list=$current-allergies", "Condition?_list=$current-nothing", "Condition?_list=$"]
)
async def test_a_list_that_is_not_known_or_of_another_type(door: Door, query: str) -> None:
    answer = await door.system("a").get(f"/{query}")
    assert answer.status_code == 400 and answer.json()["issue"][0]["code"] == "not-supported"
