"""Identifiers and codes that are written in part, or in several ways, against an oracle of its own (search.html#token)."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD
from fhir_server.search.clauses import Clause
from fhir_server.search.match import matches, sort_key
from fhir_server.search.parameters import parameters
from fhir_server.search.plan import by_old_entries, lookup
from fhir_server.search.query import parse
from tests.search.test_search import agree

Resource = dict[str, Any]
CARDS = {RESIDENT_ID_CARD, "urn:oid:2.16.840.1.113883.2.23.1.19.1"}
OTHER = "urn:test:numbers"
SYSTEMS = [*sorted(CARDS), OTHER]
VALUES = ["11010119900307002x", "11010119900307002X", "1101011990030702x", "x", "X", "7"]
MEDICAL_RECORD = {"coding": [{"system": "urn:types", "code": "MR"}]}


@st.composite
def patients(draw: st.DrawFn) -> Resource:
    parts = {"system": st.sampled_from(SYSTEMS), "value": st.sampled_from(VALUES), "type": st.just(MEDICAL_RECORD)}
    identifiers = draw(st.lists(st.fixed_dictionaries({}, optional=parts), min_size=1, max_size=2))
    return {"resourceType": "Patient", "id": "p", "identifier": identifiers}


def same(system: str | None, value: str | None, other: str) -> bool:
    """Whether two values of one system are the same; the x of an ID card has no case."""
    is_number = len(other) == 18 and system in CARDS
    return value == other or (is_number and value is not None and value.upper() == other.upper())


def is_of(system: str | None, wanted: str) -> bool:
    return system == wanted or (system in CARDS and wanted in CARDS)


def meets(identifier: Resource, system: str | None, value: str) -> bool:
    """[value], [system]|[value], |[value] (system ""), [system]| (value "")"""
    own = identifier.get("system")
    in_system = system is None or (own is None if not system else is_of(own, system))
    return in_system and (same(own, identifier.get("value"), value) if value else own is not None)


def clause(name: str, text: str) -> Clause:
    [found] = parse("Patient", [(name, text)]).clauses
    return found


@settings(max_examples=300, deadline=None)
@example({"resourceType": "Patient", "identifier": [{"system": OTHER}]}, OTHER, "")
@example({"resourceType": "Patient", "identifier": [{"system": OTHER}]}, OTHER, "7")
@given(patients(), st.sampled_from([None, "", *SYSTEMS]), st.sampled_from([*VALUES, ""]))
def test_identifiers(resource: Resource, system: str | None, value: str) -> None:
    """search.html#token: `[system]|` is any of the system, with a value or without; GB 11643: an ID card ends in x or X"""
    if not (system or value):
        return
    asked = clause("identifier", value if system is None else f"{system}|{value}")
    assert matches(asked, resource) is any(meets(one, system, value) for one in resource["identifier"])
    agree(asked, resource)


@settings(max_examples=200, deadline=None)
@given(patients(), st.sampled_from(VALUES))
def test_identifiers_of_a_type(resource: Resource, value: str) -> None:
    """search.html#token, :of-type"""
    asked = clause("identifier:of-type", f"urn:types|MR|{value}")
    of_type = [one for one in resource["identifier"] if "type" in one]
    assert matches(asked, resource) is any(same(one.get("system"), one.get("value"), value) for one in of_type)
    agree(asked, resource)


@pytest.mark.parametrize("code", [{"coding": [{"system": "urn:s"}]}, {"coding": [{"system": "urn:s", "code": "a"}]}])
def test_a_system_alone_is_any_code_of_it(code: Resource) -> None:
    """search.html#token: "any code/value that is scoped by the given system", one that is not told, too"""
    resource = {"resourceType": "Observation", "code": code}
    for text, expected in (("urn:s|", True), ("urn:t|", False)):
        [asked] = parse("Observation", [("code", text)]).clauses
        assert matches(asked, resource) is expected
        agree(asked, resource)


def test_a_system_alone_is_no_code_to_sort_by() -> None:
    """search.html#sort: as if it had none"""
    resource = {"resourceType": "Observation", "code": {"coding": [{"system": "urn:s"}]}}
    assert sort_key(parameters("Observation")["code"], resource, False) == (0, 0)


def test_a_store_of_an_earlier_release_is_asked_for_a_small_x_too() -> None:
    """Decision 32: what was found is found until all is indexed anew"""
    for system in (f"{RESIDENT_ID_CARD}|", ""):
        asked = clause("identifier", f"{system}{VALUES[0]}")
        terms = {f"Patient.identifier{'=' if system else '~'}{system}{one}" for one in VALUES[:2]}
        assert terms == set(by_old_entries(asked).terms)
    assert by_old_entries(clause("gender", "male")) == lookup(clause("gender", "male"))
