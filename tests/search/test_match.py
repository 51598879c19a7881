"""What matches, includes and sorts: the rules and tables of R4 search.html."""

from typing import Any

import pytest

from fhir_server.r4.dates import interval
from fhir_server.r4.errors import FhirError
from fhir_server.search.clauses import Clause
from fhir_server.search.include import included, reverse
from fhir_server.search.match import matches, sort_key
from fhir_server.search.parameters import parameters
from fhir_server.search.query import parse
from fhir_server.search.rewriting import as_of

NOW = interval("2013-06-22T00:00:00.000Z")[0]


def met(kind: str, name: str, text: str, /, **elements: Any) -> bool:
    [clause] = as_of(parse(kind, [(name, text)]), NOW).clauses
    return matches(clause, {"resourceType": kind, **elements})


@pytest.mark.parametrize(
    ("asked", "stored", "expected"),
    [
        ("eq2013-01-14", "2013-01-14T00:00:00Z", True),
        ("eq2013-01-14", "2013-01-14T10:00:00Z", True),
        ("eq2013-01-14", "2013-01-15T00:00:00Z", False),
        ("eq2013-01-14", "2013-01", False),
        ("eq2013-01", "2013-01-14", True),
        ("eq2013-01-14", "2013-01-15T06:00:00+08:00", True),
        ("ne2013-01-14", "2013-01-15T00:00:00Z", True),
        ("ne2013-01-14", "2013-01-14T10:00:00Z", False),
        ("ne2013-01-14", "2013-01", True),
        ("lt2013-01-14T10:00", "2013-01-14", True),
        ("gt2013-01-14T10:00", "2013-01-14", True),
        ("lt2013-01-14", "2013-01-14", False),
        ("gt2013-01-14", "2013-01-14", False),
        ("ge2013-03-14", ("2013-01-21", None), True),
        ("le2013-03-14", ("2013-01-21", None), True),
        ("ge2013-03-14", "2013-03-14", True),
        ("le2013-03-14", "2013-03-14", True),
        ("ge2013-03-14", "2013-03-13", False),
        ("sa2013-03-14", ("2013-03-15", None), True),
        ("sa2013-03-14", ("2013-01-21", None), False),
        ("sa2013-03-14", (None, "2013-01-21"), False),
        ("eb2013-03-14", ("2013-03-15", None), False),
        ("eb2013-03-14", (None, "2013-01-21"), True),
        ("ap2013-03-14", "2013-03-14", True),
        ("ap2013-03-14", "2013-03-04", True),  # 99 days before now: 9.9 days off
        ("ap2013-03-14", "2013-03-03", False),
        ("ap2013-03-14", "2013-03-24T21:35", True),
        ("ap2013-03-14", "2013-03-24T21:37", False),
        ("ap2013-03-14", ("2013-03-24", None), True),
        ("ap2013-03-14", (None, "2013-03-03"), False),
        ("ap2013-09-30", "2013-09-20", True),  # 100 days to come
        ("ap2013-09-30", "2013-09-19", False),
        ("ap2013-09-30", "2013-10-11", False),
        ("ap2013-06", "2013-05-31", False),  # it is now
        ("ap2013-06", "2013-06-01", True),
    ],
)
def test_prefixes_of_dates(asked: str, stored: str | tuple[str | None, str | None], expected: bool) -> None:
    """search.html#prefix, the examples of its table"""
    if isinstance(stored, str):
        assert met("Observation", "date", asked, effectiveDateTime=stored) is expected
    else:
        period = {name: end for name, end in zip(("start", "end"), stored, strict=True) if end}
        assert met("Observation", "date", asked, effectivePeriod=period) is expected


@pytest.mark.parametrize(
    ("asked", "value", "expected"),
    [
        ("100", 99.5, True), ("100", 100.49, True), ("100", 100.5, False), ("100.00", 100.004, True),
        ("100.00", 100.005, False),
        ("1e2", 149.9, True), ("1e2", 150, False), ("ne100", 100.2, False), ("ne100", 101, True), ("lt100", 99.99, True),
        ("lt100", 100, False), ("le100", 100, True), ("gt100", 100, False), ("gt100", 100.01, True), ("ge100", 100, True),
        ("sa100", 100.1, True), ("eb100", 100, False), ("ap100", 109, True), ("ap100", 111, False), ("ap0", 0, True),
        ("-7", -7.4, True), ("gt-7", -6.9, True),
    ],
)  # fmt: skip
def test_prefixes_of_numbers(asked: str, value: float, expected: bool) -> None:
    """search.html#number: equality to the written precision, comparison exact"""
    assert met("RiskAssessment", "probability", asked, prediction=[{"probabilityDecimal": value}]) is expected


UCUM = "http://unitsofmeasure.org"


@pytest.mark.parametrize(
    ("asked", "quantity", "expected"),
    [
        (f"5.4|{UCUM}|mg", {"value": 5.4, "system": UCUM, "code": "mg", "unit": "mg"}, True),
        (f"5.4|{UCUM}|mg", {"value": 5.4, "system": UCUM, "code": "g"}, False),
        (f"5.4|{UCUM}|mg", {"value": 5.4, "unit": "mg"}, False),
        ("5.4||mg", {"value": 5.4, "unit": "mg"}, True),
        ("5.4||mg", {"value": 5.4, "system": "http://x", "code": "mg"}, True),
        ("5.4||mg", {"value": 5.4, "unit": "g"}, False),
        ("5.4", {"value": 5.41, "unit": "anything"}, True),
        ("gt5", {"value": 5, "comparator": ">"}, True),
        ("le5", {"value": 5, "comparator": ">"}, False),
        ("lt5", {"value": 9, "comparator": "<"}, True),
        ("eq9", {"value": 9, "comparator": "<"}, False),
        ("eq9", {"unit": "mg"}, False),
    ],
)
def test_quantities(asked: str, quantity: dict[str, Any], expected: bool) -> None:
    """search.html#quantity; a comparator makes the stored value an open range"""
    assert met("Observation", "value-quantity", asked, valueQuantity=quantity) is expected


CODED = {"coding": [{"system": "http://s", "code": "a"}, {"code": "b"}], "text": "c"}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("a", True), ("http://s|a", True), ("|a", False), ("|b", True), ("http://s|b", False), ("http://s|", True),
        ("http://t|", False), ("b", True), ("A", False), ("c", False),
    ],
)  # fmt: skip
def test_tokens(asked: str, expected: bool) -> None:
    """search.html#token: literal, by system, code or both; `|b` is a code without a system"""
    assert met("Observation", "code", asked, code=CODED) is expected
    assert met("Observation", "code:not", asked, code=CODED) is not expected


def test_tokens_of_simple_elements() -> None:
    """search.html#token: the system of a code is implied, true and false are codes, plain strings have no case"""
    assert met("Observation", "status", "final", status="final")
    assert met("Observation", "status", "http://hl7.org/fhir/observation-status|final", status="final")
    assert not met("Observation", "status", "http://loinc.org|final", status="final")
    assert met("Patient", "active", "false", active=False)
    assert met("Patient", "email", "WEI@Example.org", telecom=[{"system": "email", "value": "wei@example.org"}])
    assert not met("Patient", "email", "1", telecom=[{"system": "phone", "value": "1"}])
    assert met(
        "Patient",
        "identifier",
        "urn:oid:2.16.156.10011.1.3|X",
        identifier=[{"system": "urn:oid:2.16.156.10011.1.3", "value": "X"}],
    )
    assert met("Patient", "_id", "a", id="a") and not met("Patient", "_id", "A", id="a")


def test_deceased_is_a_token_of_its_own() -> None:
    """patient.html: deceased is true for a date and for true, false for false and for nothing"""
    assert met("Patient", "deceased", "true", deceasedDateTime="2015")
    assert met("Patient", "deceased", "true", deceasedBoolean=True)
    assert met("Patient", "deceased", "false", deceasedBoolean=False)
    assert met("Patient", "deceased", "false")


@pytest.mark.parametrize(
    ("name", "asked", "expected"),
    [
        ("name", "阿依", True), ("name", "阿依古丽•买买提", True), ("name", "买买提", False), ("name:contains", "买买", True),
        ("name", "ئايگۈل", True), ("name:contains", "مەمەت", True), ("name", "AYG", True), ("name:exact", "Aygül", True),
        ("name:exact", "aygul", False), ("name", "aygul", True), ("given", "aygul", True), ("family", "aygul", False),
        ("name", "王", False), ("name", "阿", True), ("name", "Ayg,王", True), ("name", "obrien", True), ("name", "O’B", True),
        ("name:exact", "OBrien", False), ("name:contains", "brien", True), ("name", "阿依古丽买买提", False),
    ],
)  # fmt: skip
def test_names_in_any_script(name: str, asked: str, expected: bool) -> None:
    """search.html#string: starts with, without case, accents and punctuation; :exact; :contains"""
    names = [{"text": "阿依古丽·买买提"}, {"text": "ئايگۈل مەمەت"}, {"given": ["Aygül"]}, {"family": "O'Brien"}]
    assert met("Patient", name, asked, name=names) is expected


def test_missing() -> None:
    """search.html#missing"""
    assert met("Patient", "gender:missing", "true") and not met("Patient", "gender:missing", "false")
    assert met("Patient", "gender:missing", "false", gender="male")


def test_references() -> None:
    """search.html#reference: by id, by type and id, by URL; versions and fragments aside"""
    subject = {"reference": "Patient/1/_history/2"}
    assert met("Observation", "subject", "1", subject=subject) and met("Observation", "patient", "1", subject=subject)
    assert met("Observation", "subject:Patient", "1", subject=subject)
    assert not met("Observation", "subject:Group", "1", subject=subject)
    assert not met("Observation", "patient", "1", subject={"reference": "Group/1"})
    assert not met("Observation", "subject", "p", subject={"reference": "#p"})
    assert met("Observation", "patient", "http://x/fhir/Patient/1", subject={"reference": "http://x/fhir/Patient/1"})


def test_uris_above_and_below() -> None:
    """search.html#uri"""
    assert met("ValueSet", "url", "http://acme.org/fhir/ValueSet/1", url="http://acme.org/fhir/ValueSet/1")
    assert not met("ValueSet", "url", "http://acme.org/fhir", url="http://acme.org/fhir/ValueSet/1")
    assert met("ValueSet", "url:below", "http://acme.org/fhir", url="http://acme.org/fhir/ValueSet/1")
    assert not met("ValueSet", "url:below", "http://acme.org/fh", url="http://acme.org/fhir/ValueSet/1")
    assert met("ValueSet", "url:above", "http://acme.org/fhir/ValueSet/1/2", url="http://acme.org/fhir/ValueSet/1")
    assert met("Patient", "_profile", "http://p", meta={"profile": ["http://p|1.0"]})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("http://acme.org/Q", True),
        ("http://acme.org/Q|1", True),
        ("http://acme.org/Q|1.1", True),
        ("http://acme.org/Q|2", False),
        ("http://acme.org/Q|1.", False),
        ("http://acme.org", False),
        ("http://other.org/Q,http://acme.org/Q|1", True),
    ],
)
def test_versions_of_canonical_references(asked: str, expected: bool) -> None:
    """search.html#versions: `:below` takes a part of the version, or none"""
    assert met("QuestionnaireResponse", "questionnaire:below", asked, questionnaire="http://acme.org/Q|1.1") is expected


def test_a_canonical_url_may_be_asked_for_with_its_version() -> None:
    """search.html#uri: `|[version]` is a search on the version"""
    of_two = {"url": "http://acme.org/V", "version": "2"}
    assert met("ValueSet", "url", "http://acme.org/V|2", **of_two)
    assert met("ValueSet", "url", "http://acme.org/V|1,http://acme.org/V|2", **of_two)
    assert not met("ValueSet", "url", "http://acme.org/V|1", **of_two)
    assert not met("ValueSet", "url", "http://acme.org/V|2", url="http://acme.org/V")
    for wrong in ("http://acme.org/V|1,http://acme.org/V", "http://acme.org/V|1|2", "|1"):
        with pytest.raises(FhirError, match="version"):
            parse("ValueSet", [("url", wrong)])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("text/xml", True), ("TEXT/XML", True), ("text", True), ("text/x", False), ("image/png,text/xml", True)],
)
def test_mime_types_below(asked: str, expected: bool) -> None:
    """search.html#mimetype: whatever the parameters"""
    content = [{"attachment": {"contentType": "text/xml; charset=UTF-8"}}]
    assert met("DocumentReference", "contenttype:below", asked, content=content) is expected
    assert not met("DocumentReference", "contenttype", "text/xml", content=content)


def test_last_updated() -> None:
    """search.html#lastUpdated"""
    meta = {"lastUpdated": "2024-05-06T07:08:09.123Z"}
    assert met("Patient", "_lastUpdated", "gt2024-05-06T07:08:09.122Z", meta=meta)
    assert not met("Patient", "_lastUpdated", "gt2024-05-06", meta=meta)


def test_sort_by_the_least_or_the_greatest() -> None:
    """search.html#sort"""
    patient = {"resourceType": "Patient", "name": [{"family": "Zhao"}, {"family": "Ābel"}]}
    family = parameters("Patient")["family"]
    assert sort_key(family, patient, False) == (1, "abel") and sort_key(family, patient, True) == (1, "zhao")


def test_includes() -> None:
    """search.html#include"""
    observation = {
        "resourceType": "Observation",
        "subject": {"reference": "Patient/1"},
        "encounter": {"reference": "Encounter/2"},
        "performer": [{"reference": "http://x/Practitioner/3"}, {"reference": "Patient/1"}],
    }
    one, every, none = parse("Observation", [("_include", "Observation:subject,*,Observation:performer:Organization")]).includes
    assert included(one, observation) == ["Patient/1"]
    assert set(included(every, observation)) == {"Patient/1", "Encounter/2"}
    assert included(none, observation) == []
    [back] = parse("Patient", [("_revinclude", "Observation:patient")]).revincludes
    assert back.parameter and matches(reverse(back.parameter, ["Patient/0", "Patient/1"]), observation)


def test_a_clause_is_plain_data() -> None:
    """Clauses compare and hash, so that plans may be kept."""
    again: list[Clause] = [parse("Patient", [("name", "x")]).clauses[0] for _ in range(2)]
    assert again[0] == again[1] and len(set(again)) == 1
