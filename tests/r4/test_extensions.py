"""Extensions are as their definitions say, and where these allow them (extensibility.html, defining-extensions.html)."""

import pytest

from fhir_server.r4.profiles.library import Profiles
from fhir_server.r4.profiles.validation import issues
from fhir_server.r4.validation import validate
from tests.r4.profiling import HAS_CODE, MINE, PATIENT, R4, Resource, broken, checked, profile

NATIONALITY = profile(
    "nationality", "Extension", {"at": "url", "fixedUri": MINE + "nationality"},
    {"at": "value[x]", "min": 1, "type": [{"code": "code"}]},
)  # fmt: skip


def test_extensions_of_a_profile() -> None:
    """extensibility.html: told by their url, whatever else is there"""
    strict = profile(
        "p", "Patient",
        {"at": "extension", "slice": "n", "min": 1, "type": [{"code": "Extension", "profile": [MINE + "nationality"]}]},
    )  # fmt: skip
    other = {"url": "urn:other", "valueString": "x"}
    good = {"url": MINE + "nationality", "valueCode": "CN"}
    assert broken(PATIENT | {"extension": [other, good]}, strict, NATIONALITY) == []
    assert broken(PATIENT | {"extension": [other]}, strict, NATIONALITY) == [("required", "Patient.extension")]
    assert broken(
        PATIENT | {"extension": [good | {"valueCode": "CN"}, {**other, "url": good["url"]}]}, strict, NATIONALITY
    ) == [("structure", "Patient.extension[1].value.ofType(string)")]


def test_known_extensions_anywhere_are_as_defined_and_unknown_modifiers_are_not_passed_over() -> None:
    """extensibility.html#modifierExtension"""
    anything = profile("p", "Patient")
    wrong = {"name": [{"text": "A", "extension": [{"url": MINE + "nationality", "valueString": "x"}]}]}
    assert broken(PATIENT | wrong, anything, NATIONALITY) == [
        ("structure", "Patient.name[0].extension[0].value.ofType(string)")
    ]
    assert broken(PATIENT | wrong, anything) == []
    modified = PATIENT | {"modifierExtension": [{"url": MINE + "nationality", "valueCode": "x"}]}
    assert broken(modified, anything, NATIONALITY) == []
    assert broken(modified, anything) == [("extension", "Patient.modifierExtension[0]")]


def test_extensions_are_where_their_definition_allows_them() -> None:
    """defining-extensions.html#context: by path, by type, inside another extension, or anywhere"""
    anything, used = profile("p", "Patient"), {"url": MINE + "nationality", "valueCode": "CN"}
    at_root, on_name = PATIENT | {"extension": [used]}, PATIENT | {"name": [{"text": "A", "extension": [used]}]}
    outer = PATIENT | {"extension": [{"url": "urn:outer", "extension": [used]}]}
    on_value = PATIENT | {"deceasedBoolean": True, "_deceasedBoolean": {"extension": [used]}}
    for kind, expression, allowed in (
        ("element", "Patient", [at_root]),
        ("element", "Patient.name", [on_name]),
        ("element", "HumanName", [on_name]),
        ("element", "Patient.deceased[x]", [on_value]),
        ("element", "boolean", [on_value]),
        ("element", "DomainResource", [at_root]),
        ("extension", "urn:outer", [outer]),
        ("element", "Element", [at_root, on_name, outer, on_value]),
        ("fhirpath", "Patient.name", [on_name]),
        ("fhirpath", "Patient.name.where(text = 'A') | Practitioner.name", [on_name]),
        ("fhirpath", "Patient.name.where(text = 'B')", []),
        ("fhirpath", "Patient", [at_root]),
        ("fhirpath", "descendants().where(url = 'urn:outer')", [outer]),
        ("fhirpath", "Patient.deceased | Patient", [at_root, on_value]),
        ("fhirpath", "Patient.name.text", []),
        ("fhirpath", "Patient.active and 1", []),
    ):
        definition = NATIONALITY | {"context": [{"type": kind, "expression": expression}]}
        found = [one for one in (at_root, on_name, outer, on_value) if not broken(one, anything, definition)]
        assert found == allowed, expression


def test_contexts_in_fhirpath_start_from_the_resource_they_are_in() -> None:
    """defining-extensions.html#context: all elements that match; in what is contained, from there; several are alternatives"""
    used = {"url": MINE + "nationality", "valueCode": "CN"}
    inner = {"resourceType": "Patient", "id": "c", "name": [{"text": "B", "extension": [used]}, {"text": "C"}]}
    holder = PATIENT | {"contained": [inner], "link": [{"other": {"reference": "#c"}, "type": "seealso"}]}
    for contexts, is_allowed in (
        (["Patient.name.first()"], True), (["Patient.name[1]"], False), (["Patient.contained.name"], False),
        (["Patient.birthDate", "Patient.name"], True), (["%rootResource.contained.name"], True), (["%resource.name"], True),
        (["Patient.nothing()"], None), (["Patient.nothing()", "Patient.name"], True),
        (["Patient.nothing()", "Patient.birthDate"], None),
    ):  # fmt: skip
        definition = NATIONALITY | {"context": [{"type": "fhirpath", "expression": one} for one in contexts]}
        found = checked(holder, profile("p", "Patient"), definition)
        assert [one.severity for one in found] == ([] if is_allowed else ["warning" if is_allowed is None else "error"]), (
            contexts
        )


def test_contexts_in_fhirpath_are_bounded() -> None:
    """They are selected once for a resource, however many extensions there are; what takes too long is too costly"""
    used = {"url": MINE + "nationality", "valueCode": "CN"}
    many = PATIENT | {"name": [{"text": "A", "extension": [used]} for _ in range(2_000)]}
    for expression, found in (
        ("Patient.name", []), ("Patient.name.select(%resource.descendants().where(true)).text", [("too-costly", "Patient")]),
    ):  # fmt: skip
        definition = NATIONALITY | {"context": [{"type": "fhirpath", "expression": expression}]}
        assert broken(many, profile("p", "Patient"), definition) == found


def test_rules_on_what_an_extension_extends() -> None:
    """structuredefinition.html#contextInvariant: FHIRPath on what is extended, by %extension; all must be true"""
    used = {"url": MINE + "nationality", "valueCode": "CN"}
    at_root = PATIENT | {"active": True, "extension": [used]}
    on_value = PATIENT | {"name": [{"given": ["A", "B"], "_given": [None, {"extension": [used]}]}]}
    for demanded, holder, found in (
        (["active", "%extension.value = 'CN'"], at_root, []),
        (["active", "%extension.value = 'FR'"], at_root, ["invariant"]),
        (["gender = 'male'"], at_root, ["invariant"]), (["active.not()"], at_root, ["invariant"]),
        (["%context.active and %resource.active"], at_root, []), (["nothing()"], at_root, ["not-supported"]),
        (["$this = 'B'"], on_value, []), (["$this = 'A'"], on_value, ["invariant"]),
        (["%resource.name.given.count() = 2"], on_value, []),
    ):  # fmt: skip
        definition = NATIONALITY | {"contextInvariant": demanded}
        assert [one.code for one in checked(holder, profile("p", "Patient"), definition)] == found, demanded
    unused = NATIONALITY | {"contextInvariant": ["active.not()"]}
    assert broken(PATIENT | {"active": True}, profile("p", "Patient"), unused) == []


def test_rules_on_what_r4s_own_extensions_extend() -> None:
    """extension-questionnaire-unit.html: only of integers and decimals"""
    unit = {"url": R4 + "questionnaire-unit", "valueCoding": {"system": "http://unitsofmeasure.org", "code": "mg"}}
    for kind, is_allowed in (("decimal", True), ("integer", True), ("string", False)):
        item = {"linkId": "1", "type": kind, "extension": [unit]}
        survey = {"resourceType": "Questionnaire", "status": "draft", "item": [item]}
        assert [at for _, at in broken(survey, profile("q", "Questionnaire"))] == (
            [] if is_allowed else ["Questionnaire.item[0].extension[0]"]
        )


def by_r4(resource: Resource) -> list[str | None]:
    """Where R4's own definitions are broken."""
    validate(resource)
    return [one.expression for one in issues(resource, Profiles(HAS_CODE)) if one.severity == "error"]


BIRTH_PLACE, GEOLOCATION, ORDINAL = (R4 + name for name in ("patient-birthPlace", "geolocation", "ordinalValue"))
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
LATITUDE, LONGITUDE = ({"url": name, "valueDecimal": 1.5} for name in ("latitude", "longitude"))


@pytest.mark.parametrize(
    ("extension", "wrong"),
    [
        ({"url": BIRTH_PLACE, "valueAddress": {"city": "Kashgar"}}, ""),
        ({"url": BIRTH_PLACE, "valueString": "Kashgar"}, ".value.ofType(string)"),
        ({"url": ORDINAL, "valueDecimal": 1.5}, ""),  # R4 allows it elsewhere only; its own resources do not keep to that
        ({"url": R4 + "patient-mothersMaidenName", "valueCode": "a"}, ".value.ofType(code)"),  # the type, not one like it
        ({"url": GEOLOCATION, "extension": [LATITUDE, LONGITUDE]}, ""),
        ({"url": GEOLOCATION, "extension": [LATITUDE]}, ".extension"),
        ({"url": GEOLOCATION, "extension": [LATITUDE, LONGITUDE, LONGITUDE]}, ".extension"),
        ({"url": "http://example.org/unknown", "valueString": "a"}, ""),
        ({"url": R4 + "request-doNotPerform", "valueBoolean": True}, "as an extension"),
    ],
)
def test_what_r4_defines_is_as_it_defines_it_without_a_profile(extension: Resource, wrong: str) -> None:
    """extensibility.html: wherever it stands, whether or not the resource names profiles, none of which is known here"""
    below = "" if wrong == "as an extension" else wrong
    inside = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "extension": [extension]}
    entry = {"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "resource": inside}
    reference = {"url": "urn:x", "valueReference": {"reference": "#b"}}
    for holder, place in (
        (PATIENT | {"extension": [extension]}, "Patient"),
        (PATIENT | {"extension": [extension], "meta": {"profile": ["http://example.org/not-loaded"]}}, "Patient"),
        (PATIENT | {"name": [{"extension": [extension]}]}, "Patient.name[0]"),
        (PATIENT | {"contained": [inside], "extension": [reference]}, "Patient.contained[0]"),
        ({"resourceType": "Bundle", "type": "collection", "entry": [entry]}, "Bundle.entry[0].resource"),
    ):
        assert by_r4(holder) == ([f"{place}.extension[0]{below}"] if wrong else [])


@pytest.mark.parametrize("url", [R4 + "request-doNotPerform", "http://example.org/unknown"])
def test_modifier_extensions_without_a_profile(url: str) -> None:
    """extensibility.html#modifierExtension: who reads must know it, who keeps need not"""
    assert by_r4(PATIENT | {"modifierExtension": [{"url": url, "valueBoolean": True}]}) == []


def test_a_rule_that_r4_wrote_where_it_cannot_be_true() -> None:
    """extension-allergyintolerance-substanceexposurerisk.html, inv-1: of the code of the AllergyIntolerance"""
    nuts = {"url": "substance", "valueCodeableConcept": {"text": "nuts"}}
    codes = [{"system": f"{TERMINOLOGY}allerg-intol-substance-exp-risk", "code": "known-reaction-risk"}]
    risk = {"url": "exposureRisk", "valueCodeableConcept": {"coding": codes}}
    allergy = {
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": "Patient/1"},
        "clinicalStatus": {"coding": [{"system": f"{TERMINOLOGY}allergyintolerance-clinical", "code": "active"}]},
        "extension": [{"url": R4 + "allergyintolerance-substanceExposureRisk", "extension": [nuts, risk]}],
    }  # fmt: skip
    assert by_r4(allergy) == []
    assert by_r4(allergy | {"code": {"text": "nuts"}}) == ["AllergyIntolerance.extension[0]"]
