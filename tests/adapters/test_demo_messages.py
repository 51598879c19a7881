"""The demo's people and messages: synthetic, deterministic, and wholly understood by the converter."""

import json

from adapters.hospitals import load
from exchange.demo.messages import DIAGNOSES, LABS, SENSITIVE_DIAGNOSES, adt, oru, story
from exchange.demo.people import UNASSIGNED_DIVISIONS, people
from exchange.settings import DEMO_REGION
from fhir_server.persons import idcard
from fhir_server.r4 import json as fhir_json
from fhir_server.r4 import validation
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD
from tests.adapters.support import converted, resources
from tests.fixtures import FIXTURES

HOSPITALS = load(DEMO_REGION)


def test_division_codes_are_assigned_to_no_place_gb_2260() -> None:
    assigned = json.loads((FIXTURES / "china" / "gbt2260-xinjiang.json").read_text("utf-8"))
    assert not set(UNASSIGNED_DIVISIONS) & set(assigned)


def test_diagnoses_are_of_the_insurance_icd_10() -> None:
    lines = (FIXTURES / "china" / "icd10-cn.dat").read_text("utf-8").splitlines()
    known = dict(line.split(" ", 1) for line in lines if " " in line)
    assert all(known[code] == text for code, text in (*DIAGNOSES, *SENSITIVE_DIAGNOSES))


def test_people_are_deterministic_valid_and_distinct() -> None:
    everyone = people(5000, seed=3)
    assert everyone[:50] == people(50, seed=3) != people(50, seed=4)
    assert all(idcard.valid(person.id_card) and person.id_card[:6] in UNASSIGNED_DIVISIONS for person in everyone)
    assert len({person.id_card for person in everyone}) == 5000
    assert {person.culture for person in everyone} == {"han", "uyghur", "kazakh", "hui"}


def test_stories_convert_whole_in_either_charset() -> None:
    everyone = people(20)
    for hospital in HOSPITALS.values():
        for raw in story(hospital, everyone):
            result = converted(raw, hospital)
            assert result.unmapped == [] and result.notes == []
            for entry in result.bundle["entry"]:
                validation.validate(fhir_json.read(fhir_json.write(entry["resource"])))


def test_both_hospitals_know_a_person_by_the_same_card() -> None:
    person = people(1)[0]
    for hospital in HOSPITALS.values():
        for raw in (adt(hospital, person, "A04", "1"), oru(hospital, person, "2", LABS[:2])):
            (patient,) = resources(converted(raw, hospital), "Patient")
            assert person.id_card in [i["value"] for i in patient["identifier"] if i["system"] == RESIDENT_ID_CARD]
