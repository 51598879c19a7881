"""consent.labels: sensitivity labels set at write from a table of codes (R4 security-labels.html; DESIGN 4)."""

import json
from typing import Any

import pytest

from consent.codes import LEVELS, SENSITIVITIES, table
from consent.labels import labels
from tests.consent.build import CONFIDENTIALITY, LABEL
from tests.fixtures import FIXTURES

ICD10 = "http://hl7.org/fhir/sid/icd-10"


def condition(code: str, system: str | None = ICD10) -> dict[str, Any]:
    coding = {"code": code} | ({"system": system} if system else {})
    return {"resourceType": "Condition", "code": {"coding": [coding]}, "subject": {"reference": "Patient/x"}}


DIAGNOSES = [
    ("B20", "HIV"), ("B24.x00", "HIV"), ("b22.7", "HIV"), ("Z21", "HIV"), ("F02.4", "HIV PSY"), ("F024", "HIV PSY"),
    ("A50.0", "STD"), ("A64", "STD"), ("A49.9", ""), ("A65", ""), ("B19.9", ""), ("B25", ""),
    ("F10.200", "ETH"), ("F19", "ETH"), ("F09", "PSY"), ("F20", "PSY"), ("F52.0", "PSY SEX"), ("F99", "PSY"),
    ("O04.5", "SEX"), ("O09", ""), ("T74.1", "SDV"), ("Y07.0", "SDV"), ("D57.1", "SCA"), ("Q90.9", "GDIS"),
    ("J18.9", ""), ("I10", ""), ("Z11.4", "HIV"), ("Z11.5", ""),
    # Chinese insurance edition: extensions, and dagger with asterisk codes written as one.
    ("B20.000x001", "HIV"), ("A01.000x005+J17.0*", ""), ("A50.402+G01*", "STD"), ("G40.900+F02.8*", "PSY"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), DIAGNOSES)
def test_diagnoses(code: str, expected: str) -> None:
    assert labels(condition(code)) == frozenset(expected.split())


@pytest.mark.parametrize(
    ("system", "known"),
    [
        ("http://hl7.org/fhir/sid/icd-10-cm", True),
        ("urn:oid:2.16.156.10011.2.3.3.11", True),
        ("http://fhir.de/CodeSystem/bfarm/ICD-10-GM", True),
        ("http://hospital.example/icd10", True),
        (None, True),
        ("http://www.cms.gov/Medicare/Coding/ICD10PCS", False),
        ("http://hospital.example/departments", False),
    ],
)
def test_editions_of_icd10(system: str | None, known: bool) -> None:
    assert bool(labels(condition("B20", system))) is known


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        ("http://loinc.org", "75622-1", "HIV"),
        ("http://loinc.org", "718-7", ""),
        ("http://snomed.info/sct", "86406008", "HIV"),
        ("http://snomed.info/sct", "864060081", ""),
        ("http://www.whocc.no/atc", "J05AR02", "HIV"),
        ("http://www.whocc.no/atc", "J05AB01", ""),
    ],
)
def test_other_code_systems(system: str, code: str, expected: str) -> None:
    assert labels(condition(code, system)) == frozenset(expected.split())


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ({"system": CONFIDENTIALITY, "code": "R"}, "R"),
        ({"system": CONFIDENTIALITY, "code": "V"}, "V"),
        ({"system": CONFIDENTIALITY, "code": "N"}, ""),
        ({"system": CONFIDENTIALITY, "code": "HIV"}, "HIV"),
        ({"system": CONFIDENTIALITY, "code": "S"}, "R"),
        ({"system": LABEL, "code": "OPIOIDUD"}, "OPIOIDUD"),
        ({"code": "R"}, "R"),
        ({"code": "PSY"}, "PSY"),
        ({"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}, ""),
        ({"system": LABEL}, ""),
    ],
)
def test_labels_it_carries(coding: dict[str, str], expected: str) -> None:
    """R4 Meta.security."""
    assert labels(condition("I10") | {"meta": {"security": [coding]}}) == frozenset(expected.split())


def test_labels_inside_documents() -> None:
    """R4 DocumentReference.securityLabel, Composition.confidentiality."""
    document = {"resourceType": "DocumentReference", "securityLabel": [{"coding": [{"system": LABEL, "code": "SDV"}]}]}
    assert labels(document) == {"SDV"}
    assert labels({"resourceType": "Composition", "confidentiality": "V"}) == {"V"}


def test_codes_are_found_wherever_they_stand() -> None:
    inner = condition("F20.0")["code"]
    extension = {"url": "urn:x", "valueCodeableConcept": inner}
    assert labels({"resourceType": "Encounter", "reasonCode": [{"text": "x"}, inner]}) == {"PSY"}
    assert labels({"resourceType": "Patient", "extension": [{"url": "urn:y", "extension": [extension]}]}) == {"PSY"}


def test_a_consent_speaks_about_labels_without_having_them() -> None:
    provision = {"securityLabel": [{"system": LABEL, "code": "PSY"}]}
    meta = {"security": [{"system": CONFIDENTIALITY, "code": "R"}]}
    assert labels({"resourceType": "Consent", "provision": provision}) == frozenset()
    assert labels({"resourceType": "Consent", "provision": provision, "meta": meta}) == {"R"}


def test_the_table_speaks_known_labels() -> None:
    for row in table("sensitive-codes.toml").values():
        assert row["labels"].keys() <= SENSITIVITIES.keys() - LEVELS.keys()


def test_insurance_codes_of_china_are_labelled_by_their_category() -> None:
    """china/icd10-cn.dat: every code of a sensitive chapter, no code of another."""
    wanted = {"B20": "HIV", "A53": "STD", "F32": "PSY", "F10": "ETH"}
    for line in (FIXTURES / "china" / "icd10-cn.dat").read_text().splitlines():
        code = line.split(" ")[0]
        label = wanted.get(code[:3])
        assert label is None or label in labels(condition(code))
        assert code[0] not in "CHK" or "+" in code or not labels(condition(code))


def test_people_of_synthea_have_some_sensitive_data_and_mostly_none() -> None:
    entries = [
        entry["resource"]
        for path in sorted((FIXTURES / "synthea").glob("*.json"))[2:5]
        for entry in json.loads(path.read_text())["entry"]
    ]
    labelled = sum(bool(labels(resource)) for resource in entries)
    assert labelled < len(entries) / 10
