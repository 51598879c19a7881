"""Profiles (profiling.html, elementdefinition.html): each kind of rule, by cases written by hand."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.errors import FhirError
from fhir_server.r4.profiles.tree import tree
from fhir_server.r4.profiles.values import fits, is_fixed
from tests.r4.profiling import MINE, PATIENT, R4, broken, checked, element, profile, rules

Resource = dict[str, Any]
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"


def observation(code: str = "8480-6", **more: Any) -> Resource:
    coded = {"coding": [{"system": LOINC, "code": code}]}
    return {"resourceType": "Observation", "status": "final", "code": coded, **more}


# --- elements -------------------------------------------------------------------------------------------------------------


def test_cardinality() -> None:
    """elementdefinition.html#min, #max: too few, too many, and max 0"""
    strict = profile("p", "Patient", {"at": "birthDate", "min": 1}, {"at": "name", "max": "1"}, {"at": "photo", "max": "0"})
    assert broken(PATIENT | {"birthDate": "1980"}, strict) == []
    wrong = PATIENT | {"name": [{"text": "A"}, {"text": "B"}], "photo": [{"title": "x"}]}
    assert broken(wrong, strict) == [
        ("required", "Patient.birthDate"),
        ("structure", "Patient.name"),
        ("structure", "Patient.photo"),
    ]


def test_cardinality_below_what_is_absent() -> None:
    """profiling.html: a child is required where its parent is there"""
    strict = profile("p", "Patient", {"at": "contact.name", "min": 1})
    assert broken(PATIENT, strict) == []
    assert broken(
        PATIENT | {"contact": [{"telecom": [{"system": "phone", "value": "1"}]}, {"name": {"text": "A"}}]}, strict
    ) == [("required", "Patient.contact[0].name")]


def test_an_element_with_extensions_only_is_there() -> None:
    """datatypes.html#Element: extensions in place of a value count for min; fixed values are about values"""
    absent = {"url": R4 + "data-absent-reason", "valueCode": "unknown"}
    strict = profile("p", "Patient", {"at": "birthDate", "min": 1, "fixedDate": "1980-01-01"})
    assert broken(PATIENT | {"_birthDate": {"extension": [absent]}}, strict) == []
    assert broken(PATIENT | {"birthDate": "1980-01-02"}, strict) == [("value", "Patient.birthDate")]


def test_fixed_is_all_and_pattern_is_some() -> None:
    """elementdefinition.html#fixed, #pattern"""
    concept = {"coding": [{"system": LOINC, "code": "8480-6"}]}
    fixed = profile("f", "Observation", {"at": "code", "fixedCodeableConcept": concept})
    pattern = profile("p", "Observation", {"at": "code", "patternCodeableConcept": concept})
    more = observation() | {"code": {"coding": [{"code": "x"}, {**concept["coding"][0], "display": "d"}], "text": "t"}}
    assert broken(observation(), fixed) == broken(observation(), pattern) == broken(more, pattern) == []
    assert broken(more, fixed) == [("value", "Observation.code")]
    assert broken(observation("x"), pattern) == [("value", "Observation.code")]


def test_lengths_and_limits() -> None:
    """elementdefinition.html#maxLength, #minValue, #maxValue"""
    strict = profile(
        "p", "Observation",
        {"at": "valueInteger", "minValueInteger": 3, "maxValueInteger": 5},
        {"at": "note.text", "maxLength": 3},
    )  # fmt: skip
    assert broken(observation(valueInteger=3, note=[{"text": "abc"}]), strict) == []
    assert broken(observation(valueInteger=6, note=[{"text": "abcd"}]), strict) == [
        ("value", "Observation.value.ofType(integer)"),
        ("value", "Observation.note[0].text"),
    ]
    assert broken(observation(valueString="anything"), strict) == []


def test_types_of_a_choice() -> None:
    """profiling.html: a choice is narrowed to some of its types, with a name of its own or without"""
    narrowed = profile("p", "Observation", {"at": "value[x]", "type": [{"code": "Quantity"}, {"code": "string"}]})
    assert broken(observation(valueString="x"), narrowed) == []
    assert broken(observation(valueBoolean=True), narrowed) == [("structure", "Observation.value.ofType(boolean)")]
    text = profile("t", "Extension", {"at": "value[x]", "type": [{"code": "string"}]})
    alike = {"extension": [{"url": MINE + "t", "valueCode": "x"}]}  # a code is a kind of string, but no valueString
    assert broken(PATIENT | alike, profile("q", "Patient"), text) == [("structure", "Patient.extension[0].value.ofType(code)")]
    never = profile("p", "Observation", {"at": "valueQuantity", "max": "0"})
    assert broken(observation(valueString="x"), never) == []
    assert broken(observation(valueQuantity={"value": 1}), never) == [("structure", "Observation.value")]


def test_targets_of_references() -> None:
    """references.html: target profiles, by their types"""
    person = profile("person", "Patient", {"at": "birthDate", "min": 1})
    strict = profile(
        "p", "Observation",
        {"at": "subject", "type": [{"code": "Reference", "targetProfile": [MINE + "person", R4 + "Group"]}]},
    )  # fmt: skip
    for target in ("Patient/1", "Group/1", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"):
        assert broken(observation(subject={"reference": target}), strict, person) == []
    wrong = observation(subject={"reference": "Device/1"})
    assert broken(wrong, strict, person) == [("value", "Observation.subject")]
    assert broken(wrong, strict) == []  # what is not loaded here may be of any type
    inside = observation(subject={"reference": "#d"}, contained=[{"resourceType": "Device", "id": "d"}])
    assert broken(inside, strict, person) == [("value", "Observation.subject")]


def test_how_a_reference_refers() -> None:
    """elementdefinition.html#aggregation"""

    def only(*modes: str) -> Resource:
        return profile("p", "Observation", {"at": "subject", "type": [{"code": "Reference", "aggregation": list(modes)}]})

    inside = observation(subject={"reference": "#d"}, contained=[{"resourceType": "Device", "id": "d"}])
    outside, named = observation(subject={"reference": "Patient/1"}), observation(subject={"display": "somebody"})
    assert broken(inside, only("contained")) == broken(outside, only("referenced")) == broken(named, only("bundled")) == []
    assert broken(outside, only("contained", "bundled")) == [("structure", "Observation.subject")]
    assert broken(inside, only("referenced")) == [("structure", "Observation.subject")]
    claims = outside | {"meta": {"profile": [MINE + "p"]}}
    entries = [{"fullUrl": "http://x/Observation/1", "resource": claims}]
    found = {"fullUrl": "http://x/Patient/1", "resource": PATIENT | {"id": "1"}}
    for entry, wrong in (([], [("structure", "Bundle.entry[0].resource.subject")]), ([found], [])):
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [*entries, *entry]}
        assert broken(bundle, profile("b", "Bundle"), only("bundled")) == wrong


def test_required_bindings() -> None:
    """terminologies.html#required, for code, Coding, CodeableConcept and Quantity; a maximum value set binds, too"""
    binding = {"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/ucum-bodyweight"}
    strict = profile("p", "Observation", {"at": "valueQuantity", "binding": binding})
    assert broken(observation(valueQuantity={"value": 60, "system": UCUM, "code": "kg"}), strict) == []
    for wrong in (
        {"value": 6, "system": UCUM, "code": "m"},
        {"value": 6, "unit": "kg"},
        {"value": 6, "system": LOINC, "code": "kg"},
    ):
        assert broken(observation(valueQuantity=wrong), strict) == [("code-invalid", "Observation.value.ofType(Quantity)")]
    days = "http://hl7.org/fhir/ValueSet/days-of-week"
    coded = profile("p", "Observation", {"at": "code", "binding": {"strength": "required", "valueSet": days}})
    system = "http://hl7.org/fhir/days-of-week"
    assert broken(observation() | {"code": {"coding": [{"code": "?"}, {"system": system, "code": "mon"}]}}, coded) == []
    assert broken(observation() | {"code": {"text": "Monday"}}, coded) == [("code-invalid", "Observation.code")]
    extensible = {"strength": "extensible", "valueSet": days}
    most = {"url": R4 + "elementdefinition-maxValueSet", "valueCanonical": days}
    assert broken(observation(), profile("p", "Observation", {"at": "code", "binding": extensible})) == []
    bound = profile("p", "Observation", {"at": "code", "binding": extensible | {"extension": [most]}})
    assert broken(observation(), bound) == [("code-invalid", "Observation.code")]


def test_a_value_set_that_is_not_held_is_a_warning() -> None:
    strict = profile("p", "Observation", {"at": "code", "binding": {"strength": "required", "valueSet": MINE + "nothing"}})
    assert [(one.severity, one.code) for one in checked(observation(), strict)] == [("warning", "not-supported")]


def test_invariants() -> None:
    """elementdefinition.html#constraint: errors only; what yields nothing does not hold; %resource is the resource"""

    def says(expression: str, severity: str = "error") -> Resource:
        constraint = {"key": "mine-1", "severity": severity, "human": "As said", "expression": expression}
        return profile("p", "Patient", {"at": "name", "constraint": [constraint]})

    assert broken(PATIENT, says("family.exists() and %resource.gender = 'female'")) == []
    for wrong in ("given.count() = 2", "text", "family > 3"):
        assert broken(PATIENT, says(wrong)) == [("invariant", "Patient.name[0]")]
    assert broken(PATIENT, says("text.exists()", "warning")) == []
    assert [one.text for one in checked(PATIENT, says("text.exists()"))] == [f"As said (mine-1) (profile {MINE}p)"]
    assert [one.severity for one in checked(PATIENT, says("memberOf('x')"))] == ["warning"]


def test_profiles_of_types() -> None:
    """elementdefinition.html#profile: an element is as one of the profiles of its type"""
    official = profile("official", "HumanName", {"at": "use", "min": 1, "fixedCode": "official"})
    long = profile("long", "HumanName", {"at": "given", "min": 2})
    one = profile("p", "Patient", {"at": "name", "type": [{"code": "HumanName", "profile": [MINE + "official"]}]})
    either = profile(
        "q", "Patient", {"at": "name", "type": [{"code": "HumanName", "profile": [MINE + "official", MINE + "long"]}]}
    )
    assert broken(PATIENT | {"name": [{"use": "official"}]}, one, official) == []
    assert broken(PATIENT, one, official) == [("required", "Patient.name[0].use")]
    assert broken(PATIENT | {"name": [{"given": ["A", "B"]}, {"use": "official"}]}, either, official, long) == []
    assert broken(PATIENT, either, official, long) == [("structure", "Patient.name[0]")]
    assert [one.severity for one in checked(PATIENT, either, long)] == ["warning"]


def test_content_that_is_defined_elsewhere() -> None:
    """elementdefinition.html#contentReference: items within items follow what is said of items"""
    strict = profile("p", "Questionnaire", {"at": "item.text", "min": 1})
    inner = {"linkId": "3", "type": "display"}
    form = {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [
            {
                "linkId": "1",
                "text": "t",
                "type": "group",
                "item": [{"linkId": "2", "text": "t", "type": "group", "item": [inner]}],
            }
        ],
    }
    assert broken(form, strict) == [("required", "Questionnaire.item[0].item[0].item[0].text")]


# --- slices ---------------------------------------------------------------------------------------------------------------

COMPONENT = (
    {"at": "component", **rules("value code.coding.code", "pattern code")},
    {"at": "component", "slice": "sys", "min": 1, "max": "1"},
    {"at": "component.code.coding.code", "fixedCode": "8480-6"},
    {"at": "component.value[x]", "min": 1},
)


def component(code: str, **value: Any) -> Resource:
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, **value}


def test_slices_by_value() -> None:
    """profiling.html#slicing: each slice has its own cardinality and content; open to others"""
    strict = profile("p", "Observation", *COMPONENT)
    good = component("8480-6", valueInteger=3)
    assert broken(observation(component=[component("x"), good]), strict) == []
    assert broken(observation(component=[component("x")]), strict) == [("required", "Observation.component")]
    assert broken(observation(component=[good, good]), strict) == [("structure", "Observation.component")]
    assert broken(observation(component=[component("8480-6")]), strict) == [("required", "Observation.component[0].value")]


@pytest.mark.parametrize(
    ("rules_", "order", "wrong"),
    [
        ("open", "xsyd", None), ("open", "ds", None), ("closed", "sd", None), ("closed", "sxd", 1),
        ("openAtEnd", "sdx", None), ("openAtEnd", "sxd", 2), ("ordered", "sxd", None), ("ordered", "dxs", 2),
    ],
)  # fmt: skip
def test_rules_of_slicing(rules_: str, order: str, wrong: int | None) -> None:
    """elementdefinition.html#slicing: open, closed, openAtEnd; ordered"""
    said = rules("pattern code", rules="open" if rules_ == "ordered" else rules_, ordered=rules_ == "ordered")
    slices = [
        part
        for name in "sd"
        for part in (
            {"at": "component", "slice": name},
            {"at": "component.code", "patternCodeableConcept": {"coding": [{"code": name}]}},
        )
    ]
    strict = profile("p", "Observation", {"at": "component", **said}, *slices)
    expected = [] if wrong is None else [("structure", f"Observation.component[{wrong}]")]
    assert broken(observation(component=[component(one) for one in order]), strict) == expected


def test_slices_exclude_each_other() -> None:
    """profiling.html#discriminator: what tells slices apart leaves each item in one of them"""
    slices = [
        part for name in ("one", "two") for part in ({"at": "name", "slice": name}, {"at": "name.use", "fixedCode": "usual"})
    ]
    strict = profile("p", "Patient", {"at": "name", **rules("value use")}, *slices)
    assert broken(PATIENT, strict) == []
    assert broken(PATIENT | {"name": [{"use": "usual"}]}, strict) == [("structure", "Patient.name[0]")]


def test_slices_by_existence_type_and_profile() -> None:
    """profiling.html#discriminator: exists, type, profile"""
    by_existence = profile(
        "e", "Patient", {"at": "name", **rules("exists use", rules="closed")},
        {"at": "name", "slice": "used", "max": "1"}, {"at": "name.use", "min": 1},
    )  # fmt: skip
    used = {"use": "usual", "text": "A"}
    assert broken(PATIENT | {"name": [used]}, by_existence) == []
    assert broken(PATIENT | {"name": [used, used]}, by_existence) == [("structure", "Patient.name")]
    assert broken(PATIENT | {"name": [{"text": "A"}]}, by_existence) == [("structure", "Patient.name[0]")]
    by_type = profile(
        "t", "Observation", {"at": "value[x]", **rules("type $this", rules="closed")},
        {"at": "value[x]", "slice": "valueQuantity", "type": [{"code": "Quantity"}]}, {"at": "value[x].unit", "min": 1},
    )  # fmt: skip
    assert broken(observation(valueQuantity={"value": 1, "unit": "g"}), by_type) == []
    assert broken(observation(valueQuantity={"value": 1}), by_type) == [("required", "Observation.value.ofType(Quantity).unit")]
    assert broken(observation(valueString="x"), by_type) == [("structure", "Observation.value.ofType(string)")]
    texts = profile(
        "s", "Extension", {"at": "value[x]", **rules("type $this")},
        {"at": "value[x]", "slice": "valueString", "type": [{"code": "string"}], "fixedString": "a"},
    )  # fmt: skip
    for one, wrong in ({"valueString": "b"}, "string"), ({"valueCode": "b"}, ""):
        found = broken(PATIENT | {"extension": [{"url": MINE + "s", **one}]}, profile("q", "Patient"), texts)
        assert found == ([("value", f"Patient.extension[0].value.ofType({wrong})")] if wrong else [])
    official = profile("official", "HumanName", {"at": "use", "min": 1, "fixedCode": "official"})
    by_profile = profile(
        "p", "Patient", {"at": "name", **rules("profile $this")},
        {"at": "name", "slice": "o", "min": 1, "type": [{"code": "HumanName", "profile": [MINE + "official"]}]},
    )  # fmt: skip
    assert broken(PATIENT | {"name": [used, {"use": "official"}]}, by_profile, official) == []
    assert broken(PATIENT | {"name": [used]}, by_profile, official) == [("required", "Patient.name")]


def test_slices_by_what_is_referred_to() -> None:
    """profiling.html#discriminator resolve(): contained, or in the same Bundle; what is elsewhere is not said to be wrong"""
    finding = profile("finding", "Observation", {"at": "code", "patternCodeableConcept": {"coding": [{"code": "8480-6"}]}})
    strict = profile(
        "p", "DiagnosticReport", {"at": "result", **rules("value resolve().code", rules="closed")},
        {"at": "result", "slice": "sys", "min": 1, "max": "1",
         "type": [{"code": "Reference", "targetProfile": [MINE + "finding"]}]},
    )  # fmt: skip

    def report(*codes: str, more: str = "") -> Resource:
        inside = [observation(code, id=f"o{number}") for number, code in enumerate(codes)]
        results = [{"reference": f"#{one['id']}"} for one in inside] + ([{"reference": more}] if more else [])
        return {
            "resourceType": "DiagnosticReport",
            "status": "final",
            "code": {"text": "x"},
            "contained": inside,
            "result": results,
        }

    assert broken(report("8480-6"), strict, finding) == []
    assert broken(report("8480-6", "x"), strict, finding) == [("structure", "DiagnosticReport.result[1]")]
    assert broken(report("8480-6", "8480-6"), strict, finding) == [("structure", "DiagnosticReport.result")]
    assert broken(report("x", more="Observation/1"), strict, finding) == []
    elsewhere = report("8480-6") | {"contained": [], "result": [{"reference": "Observation/o0"}]}
    elsewhere.pop("contained")
    entries = [{"fullUrl": "http://x/Observation/o0", "resource": observation("x", id="o0")}]
    entries.append({"fullUrl": "http://x/DiagnosticReport/1", "resource": elsewhere | {"meta": {"profile": [MINE + "p"]}}})
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    by_url = {MINE + "p": strict, MINE + "finding": finding}
    assert ("required", "Bundle.entry[1].resource.result") in broken(bundle, profile("b", "Bundle"), *by_url.values())


def test_entries_of_a_bundle_by_type_and_by_profile() -> None:
    """profiling.html#slicing: a document by the types of its entries, each with a profile of its own"""
    measured = profile("measured", "Observation", {"at": "valueQuantity", "min": 1})
    strict = profile(
        "p", "Bundle", {"at": "entry", **rules("type resource", rules="closed")},
        {"at": "entry", "slice": "who", "min": 1, "max": "1"},
        {"at": "entry.resource", "min": 1, "type": [{"code": "Patient"}]},
        {"at": "entry", "slice": "what"},
        {"at": "entry.resource", "type": [{"code": "Observation", "profile": [MINE + "measured"]}]},
    )  # fmt: skip

    def bundle(*resources: Resource) -> Resource:
        entries = [{"fullUrl": f"urn:x:{number}", "resource": one} for number, one in enumerate(resources)]
        return {"resourceType": "Bundle", "type": "collection", "entry": entries}

    good = observation(valueQuantity={"value": 1})
    assert broken(bundle(good, PATIENT), strict, measured) == []
    assert broken(bundle(good), strict, measured) == [("required", "Bundle.entry")]
    assert broken(bundle(PATIENT, {"resourceType": "Device"}), strict, measured) == [("structure", "Bundle.entry[1]")]
    assert broken(bundle(PATIENT, observation()), strict, measured) == [("required", "Bundle.entry[1].resource.value")]
    by_profile = profile(
        "q", "Bundle", {"at": "entry", **rules("profile resource")},
        {"at": "entry", "slice": "what", "max": "1"},
        {"at": "entry.resource", "type": [{"code": "Observation", "profile": [MINE + "measured"]}]},
    )  # fmt: skip
    assert broken(bundle(good, observation()), by_profile, measured) == []
    assert broken(bundle(good, good), by_profile, measured) == [("structure", "Bundle.entry")]


def test_slices_of_slices_and_the_default_slice() -> None:
    """elementdefinition.html#sliceName: `a/b` is a slice of slice a; @default is what is in no other"""
    strict = profile(
        "p", "Patient", {"at": "identifier", **rules("value system")},
        {"at": "identifier", "slice": "card", "max": "2", **rules("value use")},
        {"at": "identifier.system", "fixedUri": "urn:card"},
        {"at": "identifier", "slice": "card/old", "max": "1"}, {"at": "identifier.use", "fixedCode": "old"},
        {"at": "identifier", "slice": "@default"}, {"at": "identifier.value", "min": 1},
    )  # fmt: skip
    card, old = {"system": "urn:card"}, {"system": "urn:card", "use": "old"}
    assert broken(PATIENT | {"identifier": [card, old, {"system": "urn:x", "value": "1"}]}, strict) == []
    assert broken(PATIENT | {"identifier": [old, old]}, strict) == [("structure", "Patient.identifier")]
    assert broken(PATIENT | {"identifier": [{"system": "urn:x"}]}, strict) == [("required", "Patient.identifier[0].value")]


# --- profiles as such -----------------------------------------------------------------------------------------------------


def test_what_meta_profile_names() -> None:
    """resource.html#Meta: profiles of this type that are loaded; others are warnings; those inside a resource count for it"""
    strict = profile("p", "Patient", {"at": "birthDate", "min": 1})
    claims = PATIENT | {"meta": {"profile": [f"{MINE}p", "urn:unknown", R4 + "Patient"]}}
    other = profile("other", "Bundle")
    entry = {"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "resource": claims}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    found = checked(bundle, other, strict)
    assert [(one.severity, one.expression) for one in found] == [
        ("error", "Bundle.entry[0].resource.birthDate"),
        ("warning", "Bundle.entry[0].resource.meta.profile"),
    ]
    assert broken(observation(meta={"profile": [R4 + "Patient"]}), profile("o", "Observation")) == [
        ("structure", "Observation.meta.profile")
    ]
    assert broken(PATIENT, profile("r", "DomainResource", {"at": "text", "min": 1})) == [("required", "Patient.text")]


def test_a_profile_of_a_profile_says_what_both_say() -> None:
    """profiling.html: derivation; a slice of the base is refined by its name, with the discriminator of the base"""
    base = profile("base", "Observation", *COMPONENT)
    derived = profile(
        "p",
        "Observation",
        {"at": "component", "slice": "sys"},
        {"at": "component.interpretation", "min": 1},
        base=MINE + "base",
    )
    good = component("8480-6", valueInteger=3)
    assert broken(observation(component=[good | {"interpretation": [{"text": "H"}]}]), derived, base) == []
    assert broken(observation(component=[good]), derived, base) == [("required", "Observation.component[0].interpretation")]
    assert broken(observation(), derived, base) == [("required", "Observation.component")]


@pytest.mark.parametrize(
    ("changed", "expression"),
    [
        ({"baseDefinition": "http://example.org/nothing"}, "StructureDefinition.baseDefinition"),
        ({"baseDefinition": MINE + "p"}, "StructureDefinition.baseDefinition"),
        (
            {"differential": {"element": [element("Patient"), element("Observation.code")]}},
            "StructureDefinition.differential",
        ),
        ({"differential": {"element": [element(".".join(["Patient", *["name"] * 40]))]}}, "StructureDefinition.differential"),
        ({"type": "Nothing"}, "StructureDefinition"),
    ],
)
def test_what_cannot_be_followed_is_refused(changed: Resource, expression: str) -> None:
    """A profile whose base is not loaded or is itself, that is of another type, or too deep"""
    odd = profile("p", "Patient", {"at": "name", "min": 1}) | changed
    with pytest.raises(FhirError) as refused:
        tree(odd, {odd["url"]: odd}.get)
    assert (refused.value.status, refused.value.issues[0].expression) == (422, expression)


def test_what_takes_too_long_is_refused() -> None:
    """A stored profile is input: cycles of profiles, and invariants, are bounded"""
    kinds = [{"code": "Extension", "profile": [MINE + "p"]}]
    slices = [{"at": "extension", "slice": f"s{number}", "type": kinds} for number in range(8)]
    cyclic = profile("p", "Extension", {"at": "extension", **rules("profile $this")}, *slices)
    nested: Resource = {"url": MINE + "p", "valueBoolean": True}
    for _ in range(60):
        nested = {"url": MINE + "p", "extension": [nested]}
    assert broken(PATIENT | {"extension": [nested]}, profile("q", "Patient"), cyclic) == [("too-costly", "Patient")]
    slow = {"key": "x", "severity": "error", "human": "slow", "expression": "repeat($this | ($this + 'x')).count() > 0"}
    wide = PATIENT | {"name": [{"given": [str(n) for n in range(1000)]}]}
    assert ("too-costly", "Patient") in broken(wide, profile("q", "Patient", {"at": "name.given", "constraint": [slow]}))


def test_no_text_has_a_value_of_the_resource() -> None:
    """DESIGN 5: never a patient's data"""
    strict = profile(
        "p", "Patient",
        {"at": "name", "patternHumanName": {"use": "official"}},
        {"at": "gender", "fixedCode": "male"}, {"at": "birthDate", "min": 1},
    )  # fmt: skip
    texts = " ".join(one.text for one in checked(PATIENT, strict))
    assert not any(value in texts for value in ("Li", "Na", "female"))


# --- values against an oracle ---------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.data(), VALUES)
def test_what_is_left_of_a_value_is_a_pattern_of_it(data: st.DataObject, value: Any) -> None:
    assert is_fixed(value, copy.deepcopy(value))
    assert fits(value, _thinned(data, value))


def _thinned(data: st.DataObject, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _thinned(data, one) for name, one in value.items() if data.draw(st.booleans())}
    if isinstance(value, list):
        return [_thinned(data, one) for one in value if data.draw(st.booleans())]
    return value


@given(VALUES, VALUES)
def test_fixed_is_equality(one: Any, other: Any) -> None:
    assert is_fixed(one, other) is (_typed(one) == _typed(other))


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _typed(one) for name, one in value.items()}
    return [_typed(one) for one in value] if isinstance(value, list) else (type(value), value)
