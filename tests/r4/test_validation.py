"""What R4 4.0.1 requires of a resource: datatypes.html, references.html, json.html, narrative.html, and chosen invariants."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.errors import FhirError, Issue
from fhir_server.r4.json import read
from fhir_server.r4.validation import MAX_ISSUES, validate

XHTML = 'xmlns="http://www.w3.org/1999/xhtml"'
CODE = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}


def issues_of(resource: dict[str, Any]) -> tuple[Issue, ...]:
    try:
        validate(resource)
    except FhirError as refused:
        assert refused.status == 400
        return refused.issues
    return ()


def found(resource: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(issue.code, issue.expression) for issue in issues_of(resource)]


def patient(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **elements}


def observation(**elements: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": CODE, **elements}


def extension(**elements: Any) -> dict[str, Any]:
    return patient(extension=[{"url": "http://example.org/e", **elements}])


def narrative(content: str, attributes: str = XHTML) -> dict[str, Any]:
    return patient(text={"status": "generated", "div": f"<div {attributes}>{content}</div>"})


def capability_statement(kind: str) -> dict[str, Any]:
    offered = {"name": "name", "type": kind, "definition": "http://hl7.org/fhir/SearchParameter/Organization-name"}
    rest = [{"mode": "server", "resource": [{"type": "Organization", "searchParam": [offered]}]}]
    told = {"status": "draft", "date": "2020", "kind": "requirements", "fhirVersion": "4.0.1", "format": ["json"]}
    return {"resourceType": "CapabilityStatement", "description": "x", **told, "rest": rest}


def search_parameter(**elements: Any) -> dict[str, Any]:
    told = {"url": "urn:x", "name": "x", "status": "draft", "description": "x", "code": "x", "base": ["Patient"]}
    return {"resourceType": "SearchParameter", "type": "string", **told, **elements}


def period(start: str, end: str) -> dict[str, Any]:
    return patient(name=[{"text": "x", "period": {"start": start, "end": end}}])


CONTAINED = {"resourceType": "Organization", "id": "o", "name": "x"}

VALID = {
    "a resource with nothing": patient(),
    "Chinese with ideographic space and NBSP": patient(name=[{"text": "张\u3000三\u00a0丰"}]),
    "a leap day": patient(birthDate="2000-02-29"),
    "a leap second": observation(effectiveInstant="2016-12-31T23:59:60Z"),
    "a partial date": patient(birthDate="1970-05"),
    "a zone": observation(effectiveDateTime="2020-01-01T00:00:00.123+08:00"),
    "an extension instead of a required value": {"resourceType": "Observation", "code": CODE, "_status": {"extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}},
    "aligned nulls": patient(name=[{"given": ["A", None], "_given": [None, {"id": "g"}]}]),
    "a value and its extension": patient(birthDate="1970-01-01", _birthDate={"id": "b"}),
    "an extension with an id": extension(id="1", valueString="x"),
    "a choice and its extension": extension(valueString="x", _valueString={"id": "1"}),
    "a choice of only extensions": extension(_valueString={"extension": [{"url": "http://example.org/f", "valueCode": "x"}]}),
    "nested extensions": extension(extension=[{"url": "a", "valueInteger": 1}]),
    "an absolute reference": observation(subject={"reference": "http://example.org/fhir/Patient/1"}),
    "a urn": observation(subject={"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}),
    "a conditional reference": observation(subject={"reference": "Patient?identifier=http://example.org|1"}),
    "a logical reference": observation(subject={"type": "Patient", "identifier": {"value": "1"}}),
    "a used contained resource": patient(contained=[CONTAINED], managingOrganization={"reference": "#o"}),
    "a contained resource that points back": {"resourceType": "Organization", "name": "x", "contained": [
        {"resourceType": "Location", "id": "l", "managingOrganization": {"reference": "#"}}]},
    "a decimal that is whole": observation(valueQuantity={"value": 72.0}),
    "a Bundle of requests without resources": {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"request": {"method": "DELETE", "url": "Patient/1"}}]},
    "a narrative": narrative('<p style="color:red"><a href="#x"/><img src="data:image/png;base64,AA==" alt="x"/></p>&#160;'),
    "a relative link with a colon": narrative('<a href="a/b:c">x</a><a href="https://example.org">x</a>'),
    "backslashes before letters": patient(name=[{"text": "\\b \\\\f \\u0000"}]),
    "tabs and line ends": patient(name=[{"text": "a\tb\r\nc"}]),
    "a period within a day": period("2020-01-01", "2020-01-01"),
    "a date and an instant half a day off": period("2020-01-01T20:00:00-08:00", "2020-01-01"),
    "base64 with white space": {"resourceType": "Binary", "contentType": "text/plain", "data": "QUJD\nRA=="},
    "what only best practice misses (con-3, dom-6, vsd-0)": {"resourceType": "Condition", "subject": {"reference": "Patient/1"},
        "contained": [{"resourceType": "ValueSet", "id": "v", "status": "draft", "name": "no name for a machine"}],
        "extension": [{"url": "urn:x", "valueReference": {"reference": "#v"}}]},
    "a range of units that do not compare": observation(valueRange={"low": {"value": 2, "unit": "wk"}, "high": {"value": 1}}),
    "a code of FHIR's from a later version": patient(maritalStatus={"coding": [{"code": "nothing", "version": "5.0.0",
        "system": "http://hl7.org/fhir/administrative-gender"}]}),
    "an entry without a full reference": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]},
    "a required CodeableConcept with a second code": {"resourceType": "Condition", "subject": {"reference": "Patient/1"},
        "clinicalStatus": {"coding": [{"system": "urn:x", "code": "y"},
            {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]}},
}  # fmt: skip


@pytest.mark.parametrize("resource", VALID.values(), ids=VALID)
def test_accepts(resource: dict[str, Any]) -> None:
    assert found(resource) == []


INVALID = {
    # Structure: json.html, resource.html
    "an unknown type": ({"resourceType": "Foo"}, ("structure", "resourceType")),
    "an abstract type": ({"resourceType": "DomainResource"}, ("structure", "resourceType")),
    "no type": ({}, ("structure", "resourceType")),
    "a type that is no text": ({"resourceType": ["Patient"]}, ("structure", "resourceType")),
    "an unknown element": (patient(contact=[{"nam": 1}]), ("structure", "Patient.contact[0].nam")),
    "an unknown element that may be data": (patient(**{"张 三": 1}), ("structure", "Patient")),
    "an unknown sibling": (patient(_name=[{"id": "1"}]), ("structure", "Patient._name")),
    "an unknown nested type": (patient(contained=[{"resourceType": "Foo"}]), ("structure", "Patient.contained[0]")),
    "a nested resource without type": (patient(contained=[{"id": "x"}]), ("structure", "Patient.contained[0]")),
    "a missing element": ({"resourceType": "Observation", "code": CODE}, ("required", "Observation.status")),
    "a missing element, complex": ({"resourceType": "Observation", "status": "final"}, ("required", "Observation.code")),
    "a missing choice": ({"resourceType": "MedicationStatement", "status": "active", "subject": {"reference": "Patient/1"}},
        ("structure", "MedicationStatement.medication")),
    "two choices": (observation(valueString="x", valueBoolean=True), ("structure", "Observation.value")),
    "two choices, one of extensions": (observation(valueString="x", _valueBoolean={"id": "1"}),
        ("structure", "Observation.value")),
    "one for many": (patient(name={"text": "x"}), ("structure", "Patient.name")),
    "many for one": (patient(birthDate=["1970"]), ("structure", "Patient.birthDate")),
    "an empty array": (patient(name=[]), ("structure", "Patient.name")),
    "an empty object": (patient(name=[{}]), ("structure", "Patient.name[0]")),
    "only an id": (patient(name=[{"id": "1"}]), ("invariant", "Patient.name[0]")),
    "null": (patient(birthDate=None), ("structure", "Patient.birthDate")),
    "null among objects": (patient(name=[None]), ("structure", "Patient.name[0]")),
    "an empty string": (patient(name=[{"text": ""}]), ("value", "Patient.name[0].text")),
    "white space": (patient(name=[{"text": " \n"}]), ("value", "Patient.name[0].text")),
    "unaligned null": (patient(name=[{"given": ["A", None]}]), ("structure", "Patient.name[0].given")),
    "unaligned null of extensions": (patient(name=[{"given": ["A"], "_given": [None, None]}]),
        ("structure", "Patient.name[0].given")),
    # Primitive types: datatypes.html#primitive
    "a string for a boolean": (patient(active="true"), ("structure", "Patient.active")),
    "a number for a string": (patient(name=[{"text": 1}]), ("structure", "Patient.name[0].text")),
    "30 February": (patient(birthDate="2000-02-30"), ("value", "Patient.birthDate")),
    "29 February of no leap year": (patient(birthDate="1900-02-29"), ("value", "Patient.birthDate")),
    "a line end after a date": (patient(birthDate="2000-02-28\n"), ("value", "Patient.birthDate")),
    "Arabic digits": (patient(birthDate="٢٠٠٠"), ("value", "Patient.birthDate")),
    "a time without zone": (observation(effectiveDateTime="2020-01-01T00:00:00"),
        ("value", "Observation.effective.ofType(dateTime)")),
    "24 hours": (observation(valueTime="24:00:00"), ("value", "Observation.value.ofType(time)")),
    "a fraction for an integer": (patient(multipleBirthInteger=1.5), ("structure", "Patient.multipleBirth.ofType(integer)")),
    "an integer above 32 bits": (patient(multipleBirthInteger=2**31), ("value", "Patient.multipleBirth.ofType(integer)")),
    "zero for a positiveInt": (patient(telecom=[{"system": "phone", "rank": 0}]), ("value", "Patient.telecom[0].rank")),
    "a long id": (patient(id="x" * 65), ("value", "Patient.id")),
    "an id with a blank": (patient(id="a b"), ("value", "Patient.id")),
    "a uri with a blank": (patient(identifier=[{"system": "a b"}]), ("value", "Patient.identifier[0].system")),
    "broken base64": ({"resourceType": "Binary", "contentType": "text/plain", "data": "QUJ"}, ("value", "Binary.data")),
    "a control character": (patient(name=[{"text": "a\0b"}]), ("value", "Patient.name[0].text")),
    "a backspace in a list": (patient(name=[{"given": ["a", "b\b"]}]), ("value", "Patient.name[0].given[1]")),
    # Bindings: terminologies.html#required
    "an unknown code": (patient(gender="m"), ("code-invalid", "Patient.gender")),
    "an unknown code in a list": ({"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"},
        "category": ["x"]}, ("code-invalid", "AllergyIntolerance.category[0]")),
    "an unknown required concept": ({"resourceType": "Condition", "subject": {"reference": "Patient/1"},
        "clinicalStatus": {"coding": [{"system": "urn:x", "code": "active"}]}},
        ("code-invalid", "Condition.clinicalStatus.coding")),
    "text for a required concept": ({"resourceType": "Condition", "subject": {"reference": "Patient/1"},
        "clinicalStatus": {"text": "active"}}, ("code-invalid", "Condition.clinicalStatus")),
    # References: references.html
    "a reference to a wrong type": (observation(subject={"reference": "Practitioner/1"}),
        ("value", "Observation.subject.reference")),
    "an absolute one to a wrong type": (observation(subject={"reference": "http://a.example/Practitioner/1/_history/2"}),
        ("value", "Observation.subject.reference")),
    "a wrong Reference.type": (observation(subject={"type": "Practitioner", "display": "x"}),
        ("value", "Observation.subject.type")),
    "nothing contained there": (observation(subject={"reference": "#p"}), ("invariant", "Observation")),
    # Invariants
    "ext-1 both": (extension(valueString="x", extension=[{"url": "a", "valueCode": "x"}]),
        ("invariant", "Patient.extension[0].value")),
    "ext-1 neither": (extension(), ("invariant", "Patient.extension[0].value")),
    "ext-1 neither, with an id": (extension(id="1"), ("invariant", "Patient.extension[0].value")),
    "ext-1 two values": (extension(valueString="x", valueCode="x"), ("invariant", "Patient.extension[0].value")),
    "an extension without url": (patient(extension=[{"id": "1", "valueString": "x"}]),
        ("required", "Patient.extension[0].url")),
    "dom-2": (patient(contained=[{**CONTAINED, "contained": [{**CONTAINED, "id": "i"}], "partOf": {"reference": "#i"}}],
        managingOrganization={"reference": "#o"}), ("invariant", "Patient.contained[0].contained")),
    "dom-3": (patient(contained=[CONTAINED]), ("invariant", "Patient.contained[0]")),
    "dom-4": (patient(contained=[{**CONTAINED, "meta": {"versionId": "1"}}], managingOrganization={"reference": "#o"}),
        ("invariant", "Patient.contained[0].meta")),
    "dom-5": (patient(contained=[{**CONTAINED, "meta": {"security": [{"code": "R"}]}}],
        managingOrganization={"reference": "#o"}), ("invariant", "Patient.contained[0].meta.security")),
    "contained without id": (patient(contained=[{"resourceType": "Organization", "name": "x", "partOf": {"reference": "#"}}]),
        ("required", "Patient.contained[0]")),
    "the same id twice": (patient(contained=[CONTAINED, CONTAINED], managingOrganization={"reference": "#o"}),
        ("invariant", "Patient.contained")),
    "per-1": (period("2020-01-02", "2020-01-01"), ("invariant", "Patient.name[0].period")),
    "per-1 across zones": (period("2020-01-01T00:00:01Z", "2020-01-01T08:00:00+08:00"),
        ("invariant", "Patient.name[0].period")),
    "qty-3": (observation(valueQuantity={"value": 1, "code": "mg"}), ("invariant", "Observation.value.ofType(Quantity)")),
    "cpt-2": (patient(telecom=[{"value": "1"}]), ("invariant", "Patient.telecom[0]")),
    "pat-1": (patient(contact=[{"gender": "male"}]), ("invariant", "Patient.contact[0]")),
    "obs-3": (observation(referenceRange=[{"appliesTo": [CODE]}]), ("invariant", "Observation.referenceRange[0]")),
    "obs-6": (observation(valueString="x", dataAbsentReason={"text": "x"}), ("invariant", "Observation")),
    "obs-7": (observation(valueString="x", component=[{"code": CODE, "valueString": "x"}]),
        ("invariant", "Observation")),
    "tim-4": ({"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"display": "x"},
        "occurrenceTiming": {"repeat": {"duration": -1, "durationUnit": "h"}}},
        ("invariant", "ServiceRequest.occurrence.ofType(Timing).repeat")),
    "rng-2": (observation(valueRange={"low": {"value": 2.0}, "high": {"value": 1}}),
        ("invariant", "Observation.value.ofType(Range)")),
    "att-1 in an extension": (patient(extension=[{"url": "urn:x", "valueAttachment": {"data": "QQ=="}}]),
        ("invariant", "Patient.extension[0].value.ofType(Attachment)")),
    "org-1": ({"resourceType": "Organization", "active": True}, ("invariant", "Organization")),
    "org-3": ({"resourceType": "Organization", "name": "x", "telecom": [{"system": "phone", "value": "1", "use": "home"}]},
        ("invariant", "Organization")),
    "que-12": ({"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "string"},
        {"linkId": "2", "type": "string", "enableWhen": [{"question": "1", "operator": "exists", "answerBoolean": True}] * 2}]},
        ("invariant", "Questionnaire.item[1]")),
    "que-7": ({"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "string"},
        {"linkId": "2", "type": "string", "enableWhen": [{"question": "1", "operator": "exists", "answerInteger": 1}]}]},
        ("invariant", "Questionnaire.item[1].enableWhen[0]")),
    "csd-1": ({"resourceType": "CodeSystem", "status": "draft", "content": "complete",
        "concept": [{"code": "a", "concept": [{"code": "b"}]}, {"code": "b"}]}, ("invariant", "CodeSystem")),
    "an invariant of a contained resource": (patient(contained=[{"resourceType": "Organization", "id": "o", "active": True}],
        managingOrganization={"reference": "#o"}), ("invariant", "Patient.contained[0]")),
    "an invariant in a Bundle": ({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": patient(contact=[{"gender": "male"}])}]}, ("invariant", "Bundle.entry[0].resource.contact[0]")),
    # Rules that R4 states in words
    "the size of an attachment": (patient(photo=[{"contentType": "image/png", "data": "QUE=", "size": 3}]),
        ("value", "Patient.photo[0].size")),
    "base64 with a gap within four digits": (patient(photo=[{"contentType": "image/png", "data": "QU E="}]),
        ("value", "Patient.photo[0].data")),
    "the hash of another attachment": (patient(photo=[{"contentType": "image/png", "data": "QUE=",
        "hash": "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="}]), ("value", "Patient.photo[0].hash")),
    "two links to one page": ({"resourceType": "Bundle", "type": "searchset",
        "link": [{"relation": "next", "url": "u"}, {"relation": "next", "url": "v"}]}, ("structure", "Bundle.link")),
    "an outcome that is none": ({"resourceType": "Bundle", "type": "searchset",
        "entry": [{"resource": patient(), "search": {"mode": "outcome"}}]}, ("structure", "Bundle.entry[0].resource")),
    "a relative full URL": ({"resourceType": "Bundle", "type": "collection",
        "entry": [{"resource": patient(), "fullUrl": "Patient/1"}]}, ("value", "Bundle.entry[0].fullUrl")),
    "a relative code system": ({"resourceType": "ValueSet", "status": "draft", "compose": {"exclude": [{"system": "x"}],
        "include": [{"system": "urn:x"}]}}, ("value", "ValueSet.compose.exclude[0].system")),
    "a supplement that says it is none": ({"resourceType": "CodeSystem", "status": "draft", "content": "complete",
        "supplements": "urn:x"}, ("value", "CodeSystem.content")),
    "a composite parameter of one": (search_parameter(type="composite"), ("structure", "SearchParameter.component")),
    "a parameter unlike what it is derived from": (search_parameter(type="token",
        derivedFrom="http://hl7.org/fhir/SearchParameter/Organization-name"), ("value", "SearchParameter.type")),
    "a parameter that a server offers under another type": (capability_statement("date"),
        ("value", "CapabilityStatement.rest[0].resource[0].searchParam[0].type")),
    "a parameter that is not FHIRPath": (search_parameter(expression="Patient."), ("value", "SearchParameter.expression")),
    "an expression that is not FHIRPath": (patient(_birthDate={"extension": [{"url": "urn:x",
        "valueExpression": {"language": "text/fhirpath", "expression": "today("}}]}),
        ("value", "Patient.birthDate.extension[0].value.ofType(Expression).expression")),
    "a code that FHIR's own system has not": (patient(maritalStatus={"coding": [{"code": "nothing",
        "system": "http://hl7.org/fhir/administrative-gender"}]}), ("code-invalid", "Patient.maritalStatus.coding[0].code")),
    "a string of more than a megabyte": (patient(name=[{"text": "x" * (1024 * 1024 + 1)}]),
        ("value", "Patient.name[0].text")),
    # Narrative: narrative.html
    "a script": (narrative("x<script>alert(1)</script>"), ("invariant", "Patient.text.div")),
    "a style": (narrative("x<style>p{}</style>"), ("invariant", "Patient.text.div")),
    "a form": (narrative("<form><input/></form>x"), ("invariant", "Patient.text.div")),
    "an iframe": (narrative('<iframe src="https://a.example"/>x'), ("invariant", "Patient.text.div")),
    "SVG": (narrative('x<svg xmlns="http://www.w3.org/2000/svg"/>'), ("invariant", "Patient.text.div")),
    "a foreign namespace": (narrative('x<p xmlns="http://www.w3.org/2000/svg"/>'), ("invariant", "Patient.text.div")),
    "an event handler": (narrative('<p onclick="x()">x</p>'), ("invariant", "Patient.text.div")),
    "a script link": (narrative('<a href="JavaScript:x()">x</a>'), ("invariant", "Patient.text.div")),
    "a script link hidden by white space": (narrative('<a href=" java&#10;script:x()">x</a>'),
        ("invariant", "Patient.text.div")),
    "a page in a link": (narrative('<a href="data:text/html,x">x</a>'), ("invariant", "Patient.text.div")),
    "a style that loads": (narrative('<p style="background: URL (https://a.example)">x</p>'),
        ("invariant", "Patient.text.div")),
    "an entity": (narrative("&nbsp;x"), ("invariant", "Patient.text.div")),
    "a document type": (patient(text={"status": "generated", "div": f"<!DOCTYPE div><div {XHTML}>x</div>"}),
        ("invariant", "Patient.text.div")),
    "no namespace": (narrative("x", ""), ("invariant", "Patient.text.div")),
    "not well-formed": (narrative("<p>x"), ("invariant", "Patient.text.div")),
    "two roots": (patient(text={"status": "generated", "div": f"<div {XHTML}>x</div><p/>"}), ("invariant", "Patient.text.div")),
    "no content": (narrative("<p> </p>"), ("invariant", "Patient.text.div")),
}  # fmt: skip


@pytest.mark.parametrize(("resource", "expected"), INVALID.values(), ids=INVALID)
def test_refuses_naming_the_element(resource: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in found(resource)


@pytest.mark.parametrize("number", ["1.0", "1e0", "100000000000000000000"])
def test_a_number_written_as_decimal_is_no_integer(number: str) -> None:
    """json.html#primitive: an integer has no point and no exponent; the same number is a decimal."""
    text = f'{{"resourceType":"Patient","multipleBirthInteger":{number}}}'
    assert found(read(text.encode())) == [("structure", "Patient.multipleBirth.ofType(integer)")]
    assert found(observation(valueQuantity=read(f'{{"value":{number}}}'.encode()))) == []


def test_says_everything_that_is_wrong_up_to_a_bound() -> None:
    assert set(found(patient(gender="m", birthDate="x", foo=1))) == {
        ("structure", "Patient.foo"), ("value", "Patient.birthDate"), ("code-invalid", "Patient.gender"),
    }  # fmt: skip
    assert len(found(patient(name=[{"text": 1}] * 100))) == MAX_ISSUES
    assert len(found(patient(contact=[{"gender": "male"}] * 100))) == MAX_ISSUES


def test_texts_quote_no_value() -> None:
    """Errors reach logs and screens: they name elements, never a person's data."""
    secret = "Zhang-1970"
    for resource in (
        patient(gender=secret, birthDate=secret, active=secret, name=secret, **{f"{secret}!": secret}),
        patient(id=f"{secret} ", link=[{"type": secret}], text={"status": secret, "div": secret}),
        narrative(f'{secret}<p onclick="{secret}">&{secret};</p>'),
        observation(subject={"reference": f"Practitioner/{secret}"}, valueString=secret, valueCode=secret),
        {"resourceType": secret},
    ):
        issues = issues_of(resource)
        assert issues
        assert secret not in repr(issues)


_NAMES = [
    "id", "url", "value", "code", "system", "start", "end", "reference", "coding", "given", "_given", "resourceType", "div",
    "contained", "telecom", "extension", "valueString", "text", "status", "component", "meta", "contact",
]  # fmt: skip
_JSON = st.recursive(
    st.sampled_from([None, True, 1, -1.5, "", "\0", "#", "#o", "Patient/1", "2020", "final", "male", f"<div {XHTML}>x</div>"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), values, max_size=4),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["Patient", "Observation", "Bundle", "Parameters"]),
    st.dictionaries(
        st.sampled_from(["id", "text", "contained", "contact", "name", "telecom", "component", "entry", "code"]), _JSON
    ),
)
def test_any_json_is_accepted_or_refused(kind: str, elements: dict[str, Any]) -> None:
    """No shape of JSON makes validation fail other than by refusing."""
    found({"resourceType": kind, **elements})


def test_validation_leaves_the_resource_alone() -> None:
    resource = read(b'{"resourceType":"Observation","status":"x","valueQuantity":{"value":1.10}}')
    before = copy.deepcopy(resource)
    assert found(resource)
    assert resource == before
    assert resource["valueQuantity"]["value"].text == "1.10"


@pytest.mark.parametrize(
    "resource",
    [
        narrative("<b>" * 20_000 + "x" + "</b>" * 20_000),
        narrative('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>&b;'),
        patient(name=[{"text": "a" * 1_000_000}], birthDate="1" * 1_000_000),
        {"resourceType": "Binary", "contentType": "text/plain", "data": "A" * 1_000_001},
        {"resourceType": "Binary", "contentType": "text/plain", "data": " " * 1_000_000},
        patient(name=[{"text": 1}] * 100_000),
        patient(**{f"unknown{number}": 1 for number in range(100_000)}),
        patient(contained=[{**CONTAINED, "id": f"o{number}"} for number in range(20_000)]),
    ],
    ids=["tags", "entities", "texts", "base64", "blank base64", "errors everywhere", "unknown elements", "contained"],
)
def test_hostile_sizes_take_no_time(resource: dict[str, Any]) -> None:
    start = time.process_time()
    issues_of(resource)
    assert time.process_time() - start < 2
