"""SearchParameter resources -> parameters (R4 searchparameter.html): what is offered, and what is refused with a reason."""

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.r4.errors import FhirError
from fhir_server.search.custom import definition_of, effective, known
from fhir_server.search.index import index
from fhir_server.search.match import matches
from fhir_server.search.parameters import KNOWN, STANDARD_ONLY, Known
from fhir_server.search.query import parse
from tests.search.resources import by_type
from tests.store.parameters import parameter

Resource = dict[str, Any]
URL = "urn:region:x"


@pytest.fixture(autouse=True)
def _standard_only() -> Iterator[None]:
    token = KNOWN.set(STANDARD_ONLY)
    yield
    KNOWN.reset(token)


def offered(*resources: Resource, ready: bool = True) -> Known:
    definitions = [one for resource in resources if (one := effective(resource))]
    return known(1, [(one, f"{number}@1", ready) for number, one in enumerate(definitions)])


@pytest.mark.parametrize(
    ("kind", "base", "expression", "datatypes"),
    [
        ("quantity", "Observation", "Observation.value as Quantity", {"Quantity"}),
        ("date", "Observation", "Observation.effective", {"dateTime", "Period", "Timing", "instant"}),
        ("date", "Observation", "value", {"dateTime", "Period"}),
        ("token", "Observation", "value.code", {"code"}),
        ("token", "Patient", f"Patient.extension('{URL}').value.ofType(Coding)", {"Coding"}),
        ("string", "Patient", f"extension.where(url = '{URL}').value.ofType(string)", {"string"}),
        ("token", "Patient", "Patient.contact.exists() and Patient.active", {"boolean"}),
        ("number", "Patient", "Patient.name.count()", {"integer"}),
        ("string", "Patient", "Patient.name.given.first().lower()", {"string"}),
        ("reference", "Encounter", "Encounter.participant.individual.where(resolve() is Practitioner)", {"Reference"}),
        ("token", "Condition", "Observation.status | Condition.code", {"CodeableConcept"}),
        ("uri", "Patient", "Resource.meta.profile", {"canonical"}),
    ],
)  # fmt: skip
def test_datatypes_are_told_from_the_expression(kind: str, base: str, expression: str, datatypes: set[str]) -> None:
    """Of choices all that the type of parameter can search; of tests and string functions what they yield"""
    found = offered(parameter("x", kind, base, expression)).offered[base]["x"]
    assert {path.datatype for path in found.paths} == datatypes


@pytest.mark.parametrize(
    ("kind", "expression", "said"),
    [
        ("string", "Patient.nothing", "'nothing'"), ("date", "Patient.gender", "yields code"), ("date", "now()", "now"),
        ("token", "Patient.birthDate > today()", "today"), ("string", "Patient.name.repeat(given)", "repeat"),
        ("string", "Patient.contained.name", "cannot be told"), ("string", "Patient.name.(", "expect"),
        ("string", "1 + 1", "told"),
        ("string", "Patient.generalPractitioner.resolve().name", "told"), ("token", "Observation.code", "yields nothing"),
        ("composite", "Patient.name", "define the parts"), ("special", "Patient.name", "define the parts"),
        ("string", "Patient.name." + "where(true)." * 500 + "text", "longer"),
    ],
)  # fmt: skip
def test_what_cannot_be_indexed_is_refused(kind: str, expression: str, said: str) -> None:
    """searchparameter.html: names the element, and the draft as the way out"""
    with pytest.raises(FhirError) as refusal:
        effective(parameter("x", kind, "Patient", expression))
    assert refusal.value.status == 422 and said in str(refusal.value), refusal.value
    assert "draft" in str(refusal.value)


def test_definitions_come_back_from_what_is_kept() -> None:
    one = effective(parameter("x", "reference", ["Encounter", "Device"], "extension.value", target=["Patient"]))
    assert one and definition_of({name: list(v) if isinstance(v, tuple) else v for name, v in one.plain().items()}) == one


def test_an_expression_that_fails_on_a_resource_finds_nothing_there() -> None:
    """No write fails for it: of several names `length()` is an error"""
    KNOWN.set(offered(parameter("x", "number", "Patient", "Patient.name.text.length()")))
    two: Resource = {"resourceType": "Patient", "id": "p", "name": [{"text": "A"}, {"text": "B"}]}
    (clause,) = parse("Patient", [("x", "1")]).clauses
    assert not matches(clause, two) and matches(clause, two | {"name": [{"text": "A"}]})
    assert not index(two).ranges and index(two | {"name": [{"text": "A"}]}).ranges


def test_dates_of_persons_leave_no_ordered_values() -> None:
    """DESIGN 3: they identify, so that only year, month and day are indexed"""
    KNOWN.set(offered(parameter("x", "date", "Patient", "Patient.birthDate")))
    assert not index({"resourceType": "Patient", "id": "p", "birthDate": "1980-02-03"}).ranges


def test_the_standard_is_as_it_was() -> None:
    """A custom parameter adds entries: the clinical date, by which pages are ordered, is R4's"""
    examples = [one for kind in ("Observation", "Patient", "Encounter") for one in by_type()[kind]]
    before = [index(one) for one in examples]
    KNOWN.set(offered(parameter("x", "date", ["Observation", "Encounter", "Patient"], "meta.lastUpdated")))
    for one, entries in zip(examples, before, strict=True):
        after = index(one)
        assert after.terms >= entries.terms and after.date == entries.date
        assert [entry for entry in after.ranges if ".x." not in entry.key] == entries.ranges
