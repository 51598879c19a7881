"""SearchParameter resources -> parameters (R4 searchparameter.html): what is offered, and what is refused with a reason."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from fhir_server.search.building import Definition, definition_of
from fhir_server.search.custom import changed_below, effective, known
from fhir_server.search.index import index
from fhir_server.search.match import matches
from fhir_server.search.parameters import KNOWN, STANDARD_ONLY, Known, parameters
from fhir_server.search.plan import lookup, parts
from fhir_server.search.query import parse
from tests.search.resources import by_type
from tests.store.parameters import composite, parameter

Resource = dict[str, Any]
URL = "urn:region:x"
R4 = "http://hl7.org/fhir/SearchParameter/"


@pytest.fixture(autouse=True)
def _standard_only() -> Iterator[None]:
    token = KNOWN.set(STANDARD_ONLY)
    yield
    KNOWN.reset(token)


def offered(*resources: Resource, ready: bool = True) -> Known:
    definitions: list[Definition] = []
    for resource in resources:
        definitions += [one for one in [effective(resource, definitions)] if one]
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
        ("special", "Patient.name", "Choose the type"),
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
    two = effective(
        composite("y", "Encounter", "location", (f"{R4}Encounter-location", "location"), (f"{R4}clinical-date", "period"))
    )
    for made in (one, two):
        assert made and definition_of(read(write(made.plain()))) == made
    assert two and two.components[0].targets == ("Location",)
    assert (
        one and definition_of({name: value for name, value in read(write(one.plain())).items() if name != "components"}) == one
    )


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


PART = parameter("dose", "quantity", "MedicationStatement", "MedicationStatement.dosage.doseAndRate.dose.ofType(Quantity)")
ROUTE, RATE = (f"{R4}clinical-code", "route"), ("urn:region:dose|1.0", "doseAndRate.dose.ofType(Quantity)")
STATEMENT: Resource = {
    "resourceType": "MedicationStatement", "id": "m", "status": "active",
    "dosage": [
        {"route": {"coding": [{"code": "oral"}]}, "doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mg"}}]},
        {"route": {"coding": [{"code": "nasal"}]}, "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "mg"}}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("oral$5", True), ("oral$2", False), ("nasal$le2,oral$le2", True), ("nasal$5", False), ("oral$gt1||mg", True)],
)
def test_parts_of_a_composite_are_of_one_element(asked: str, expected: bool) -> None:
    """searchparameter.html, search.html#combining: each component on each element that the composite's expression gives"""
    KNOWN.set(offered(PART, composite("route-dose", "MedicationStatement", "dosage", ROUTE, RATE)))
    (clause,) = parse("MedicationStatement", [("route-dose", asked)]).clauses
    assert matches(clause, STATEMENT) is expected
    entries = index(STATEMENT)
    for part in parts(clause):
        found = lookup(part)
        assert found.terms or found.ranges, "the index gives candidates"
        assert not found.terms or entries.terms & set(found.terms)
        keys = {entry.key for entry in entries.ranges}
        assert all(test.key in keys for test in found.ranges)


def test_a_part_that_r4_searches_too_has_no_entries_of_its_own() -> None:
    """Entries are the cost (DESIGN 3): those of component-code and component-value-quantity give the candidates"""
    both = (f"{R4}Observation-component-code", "code"), (f"{R4}Observation-component-value-quantity", "value as Quantity")
    made = offered(composite("one", "Observation", "Observation.component", *both))
    assert made.entries == {"Observation": ()}
    of_r4 = parameters("Observation")["component-code-value-quantity"]
    own = made.offered["Observation"]["one"]
    assert [[p.key for p in part.paths] for part in own.components] == [
        [p.key for p in part.paths] for part in of_r4.components
    ]


@pytest.mark.parametrize(
    ("expression", "one", "other", "expected"),
    [
        ("Observation", ("Observation-status", "status"), ("clinical-code", "code"), "final$8480-6"),
        ("Observation.component", ("Observation-status", "%resource.status"), ("clinical-code", "code"), "final$8462-4"),
        (
            "Observation | Observation.component", ("clinical-code", "code"),
            ("Observation-value-quantity", "value.where(unit.exists())"), "8462-4$80",
        ),
        ("component.where(value.exists())", ("clinical-code", "code"), ("clinical-code", "code.coding"), "8462-4$8462-4"),
    ],
)  # fmt: skip
def test_what_components_may_look_at(expression: str, one: tuple[str, str], other: tuple[str, str], expected: str) -> None:
    """searchparameter.html: the whole resource, elements, several kinds of them, and the resource from an element"""
    coded = ["8480-6", "8462-4"]
    pressure = [{"code": {"coding": [{"code": code}]}, "valueQuantity": {"value": 80, "unit": "mm"}} for code in coded]
    panel: Resource = {"resourceType": "Observation", "id": "o", "status": "final", **pressure[0], "component": pressure[1:]}
    KNOWN.set(offered(composite("x", "Observation", expression, *((f"{R4}{url}", where) for url, where in (one, other)))))
    for asked, is_met in ((expected, True), (expected.replace("80", "81").replace("62-4", "62-5"), False)):
        (clause,) = parse("Observation", [("x", asked)]).clauses
        assert matches(clause, panel) is (is_met or asked == expected), asked


@pytest.mark.parametrize(
    ("component", "element", "said"),
    [
        (("urn:region:nobodys", "code"), "component[1].definition", "store that one first"),
        ((f"{R4}Observation-nothing", "code"), "component[1].definition", "store that one first"),
        ((f"{R4}individual-phonetic", "code"), "component[1].definition", "searched here"),
        ((f"{R4}Observation-code-value-quantity", "$this"), "component[1].definition", "composite"),
        ((f"{R4}Location-near", "$this"), "component[1].definition", "special"),
        ((f"{R4}Observation-performer", "performer"), "component[1].definition", "other targets"),
        ((f"{R4}clinical-code", "nothing"), "component[1].expression", "no element 'nothing'"),
        ((f"{R4}clinical-date", "code"), "component[1].expression", "yields CodeableConcept"),
        ((f"{R4}clinical-code", "code.where(%context.exists())"), "component[1].expression", "no other variable"),
        ((f"{R4}clinical-code", "code.repeat(coding)"), "component[1].expression", "repeat"),
        ((f"{R4}clinical-code", "code" + ".where(true)" * 500), "component[1].expression", "longer"),
    ],
)
def test_composites_that_are_refused(component: tuple[str, str], element: str, said: str) -> None:
    """searchparameter.html: with the element, and what to do"""
    with pytest.raises(FhirError) as refusal:
        offered(composite("x", "Observation", "Observation", (f"{R4}clinical-code", "code"), component))
    assert refusal.value.status == 422 and said in str(refusal.value), refusal.value
    assert refusal.value.issues[0].expression == f"SearchParameter.{element}"


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(FhirError, match="more than 8"):
        offered(composite("x", "Observation", "Observation", *[(f"{R4}clinical-code", "code")] * 9))


def test_a_part_that_changes_is_noticed() -> None:
    """Its type decides how the composite is asked; where it looks itself makes no difference"""
    first = effective(PART)
    made = effective(composite("x", "MedicationStatement", "dosage", ROUTE, RATE), [first] if first else [])
    assert first and made and changed_below([first, made]) is None and changed_below([first]) is None
    assert changed_below([made]) == "x" and changed_below([replace(first, type="number"), made]) == "x"
    assert changed_below([replace(first, expression="dosage.doseAndRate.dose"), made]) is None
