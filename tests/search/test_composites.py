"""Composite parameters, and modifiers of tokens and references (R4 search.html#combining, #modifiers)."""

from typing import Any

import pytest

from fhir_server.search.match import matches
from fhir_server.search.query import parse
from tests.search.resources import Resource, by_type

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"


def met(kind: str, name: str, text: str, /, **elements: Any) -> bool:
    [clause] = parse(kind, [(name, text)]).clauses
    return matches(clause, {"resourceType": kind, **elements})


def part(code: str, value: float) -> Resource:
    quantity = {"value": value, "system": UCUM, "code": "mm[Hg]"}
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": quantity}


PRESSURE = [part("8480-6", 150), part("8462-4", 80)]


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("component-code-value-quantity", "8480-6$gt140", True),
        ("component-code-value-quantity", f"{LOINC}|8480-6$ge20|{UCUM}|kPa", False),
        ("component-code-value-quantity", f"{LOINC}|8480-6$ge19|{UCUM}|kPa", True),
        ("component-code-value-quantity", "8462-4$gt140", False),
        ("component-code-value-quantity", "8462-4$gt140,8462-4$lt90", True),
        ("combo-code-value-quantity", "8480-6$gt140", True),
        ("combo-code-value-quantity", "85354-9$gt140", False),
        ("code-value-quantity", "8480-6$gt140", False),
    ],
)
def test_components_are_of_one_repetition(name: str, asked: str, expected: bool) -> None:
    """search.html#combining: the systolic pressure is not the diastolic one"""
    panel = {"coding": [{"system": LOINC, "code": "85354-9"}]}
    assert met("Observation", name, asked, code=panel, component=PRESSURE) is expected


def test_a_component_may_start_from_the_resource() -> None:
    """molecularsequence.html: %resource.referenceSeq stands beside each variant"""
    chromosome = {"chromosome": {"coding": [{"code": "1"}]}}
    variants = [{"start": 10, "end": 20}, {"start": 30, "end": 40}]
    for asked, expected in [("1$10$20", True), ("1$10$40", False), ("2$10$20", False)]:
        name = "chromosome-variant-coordinate"
        assert met("MolecularSequence", name, asked, referenceSeq=chromosome, variant=variants) is expected


def test_a_component_may_be_a_reference() -> None:
    """documentreference.html: relationship"""
    relates = [
        {"code": "replaces", "target": {"reference": "DocumentReference/1"}},
        {"code": "signs", "target": {"display": "x"}},
    ]
    assert met("DocumentReference", "relationship", "DocumentReference/1$replaces", relatesTo=relates)
    assert not met("DocumentReference", "relationship", "DocumentReference/1$signs", relatesTo=relates)


def test_composites_agree_with_a_walk_of_the_json() -> None:
    """Each code and value that stand together in an example are found together, crossed ones only where they do."""
    codes, values = ["8480-6", "8462-4", "8302-2", "72166-2"], [107, 120, 60, 177]
    for resource in by_type()["Observation"]:
        for code in codes:
            for value in values:
                [clause] = parse("Observation", [("combo-code-value-quantity", f"{code}$gt{value}")]).clauses
                expected = any(
                    any(coding.get("code") == code for coding in one.get("code", {}).get("coding", ()))
                    and one.get("valueQuantity", {}).get("value", 0) > value
                    for one in [resource, *resource.get("component", ())]
                )
                assert matches(clause, resource) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("head", True), ("HEADACHE", True), ("ache", False), ("头痛", True), ("偏头痛", False), ("g43", False)],
)
def test_text_of_codes(asked: str, expected: bool) -> None:
    """search.html#modifiers: `:text` is a string search on CodeableConcept.text and Coding.display"""
    code = {"coding": [{"code": "G43", "display": "Headache disorder"}], "text": "头痛"}
    assert met("Condition", "code:text", asked, code=code) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("http://t|MR|12", True), ("http://t|MR|13", False), ("http://t|SS|12", False), ("http://x|MR|12", False)],
)
def test_identifiers_of_a_type(asked: str, expected: bool) -> None:
    """search.html#modifiers: `:of-type`"""
    one = {"type": {"coding": [{"system": "http://t", "code": "MR"}], "text": "record number"}, "value": "12"}
    other = {"type": {"coding": [{"system": "http://t", "code": "SS"}]}, "value": "99"}
    assert met("Patient", "identifier:of-type", asked, identifier=[one, other]) is expected
    assert met("Patient", "identifier:text", "record", identifier=[one, other])


@pytest.mark.parametrize(
    ("asked", "expected"), [("http://s|7", True), ("7", True), ("http://s|8", False), ("|7", False), ("http://s|", True)]
)
def test_references_by_identifier(asked: str, expected: bool) -> None:
    """search.html#modifiers: `:identifier`"""
    subject = {"identifier": {"system": "http://s", "value": "7"}, "display": "somebody"}
    assert met("Observation", "subject:identifier", asked, subject=subject) is expected
    assert not met("Observation", "subject:identifier", asked, subject={"reference": "Patient/7"})


def test_full_text() -> None:
    """search.html#text, #content: every word, anywhere, in any script"""
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>患者有<b>哮喘</b>病史</p><p>Penicillin &amp; more</p></div>'
    told = {"text": {"status": "generated", "div": div}, "note": [{"text": "过敏"}]}
    for name, asked, expected in [
        ("_text", "哮喘", True), ("_text", "有哮喘病", True), ("_text", "penicillin 病史", True), ("_text", "过敏", False),
        ("_content", "过敏", True), ("_content", "哮喘 过敏", True), ("_content", "div", False),
        ("_text", "aspirin,哮喘", True),
    ]:  # fmt: skip
        assert met("Condition", name, asked, **told) is expected, (name, asked)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("43.8|87.6", True), ("43.8|87.6|1", True), ("43.8|87.6|1|m", False), ("44.8|87.6|112", True), ("44.8|87.6|110", False),
        ("44.8|87.6|111300|m", True), ("39.9|116.4", False), ("39.9|116.4|2500", True),
    ],
)  # fmt: skip
def test_places_near(asked: str, expected: bool) -> None:
    """location.html#search: along the sphere; km if no units are given"""
    assert met("Location", "near", asked, position={"latitude": 43.801, "longitude": 87.6}) is expected
    assert not met("Location", "near", asked)
