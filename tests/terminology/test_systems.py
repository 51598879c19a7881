"""Hierarchies: what subsumes what, against a naive walk; $lookup and $subsumes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.errors import FhirError
from fhir_server.terminology import sets
from fhir_server.terminology.chinese import ICD_9_CM_3, ICD_10
from fhir_server.terminology.library import Library
from fhir_server.terminology.lookup import lookup, subsumes
from fhir_server.terminology.systems import System, system_of

V3 = "http://terminology.hl7.org/CodeSystem/v3-"
CODES = "abcdefgh"


@st.composite
def code_systems(draw: st.DrawFn) -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """A CodeSystem told in every way there is, and its links as (child, parent). Links may form cycles."""
    links: set[tuple[str, str]] = set()
    roots: list[dict[str, Any]] = []
    concepts: dict[str, dict[str, Any]] = {}
    for code in CODES:
        concept: dict[str, Any] = {"code": code}
        parent = draw(st.sampled_from([None, *concepts]))
        (concepts[parent].setdefault("concept", []) if parent else roots).append(concept)
        links |= {(code, parent)} if parent else set()
        concepts[code] = concept
    for name, one, other in draw(st.lists(st.tuples(WAYS, st.sampled_from(CODES), st.sampled_from(CODES)), max_size=6)):
        concepts[one].setdefault("property", []).append({"code": name, "valueCode": other})
        links.add((other, one) if name == "child" else (one, other))
    return {"resourceType": "CodeSystem", "url": "urn:x", "content": "complete", "concept": roots}, links


WAYS = st.sampled_from(("parent", "child", "subsumedBy"))


def naive(links: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The transitive closure, by adding until nothing is new."""
    closed = set(links)
    while True:
        more = {(one, last) for one, middle in closed for first, last in closed if middle == first} - closed
        if not more:
            return closed
        closed |= more


@given(code_systems())
def test_ancestors_and_descendants_are_the_transitive_closure(drawn: tuple[dict[str, Any], set[tuple[str, str]]]) -> None:
    """codesystem.html#hierarchy"""
    resource, links = drawn
    system, closed = system_of(resource), naive(links)
    for code in CODES:
        assert system.above(code) == {parent for child, parent in closed if child == code}
        assert system.below(code) == {child for child, parent in closed if parent == code}
    for one in CODES:
        for other in CODES:
            assert outcome(system, one, other) == expected(closed, one, other)


def outcome(system: System, one: str, other: str) -> str:
    return str(subsumes(system, one, other)["parameter"][0]["valueCode"])


def expected(closed: set[tuple[str, str]], one: str, other: str) -> str:
    """concept-subsumption-outcome"""
    if one == other:
        return "equivalent"
    return "subsumes" if (other, one) in closed else "subsumed-by" if (one, other) in closed else "not-subsumed"


@pytest.mark.parametrize(
    ("system", "code", "above"),
    [
        (ICD_10, "A01.000x004", {"A01.000", "A01.0", "A01"}),
        (ICD_10, "A01.001+K77.0*", {"A01.0", "A01", "K77.0", "K77"}),
        (ICD_10, "A18.000x002+M90.0*", {"A18.000", "A18.0", "A18", "M90.0", "M90"}),
        (ICD_10, "A33.x00", {"A33"}),
        (ICD_9_CM_3, "00.0900x001", {"00.0900", "00.09", "00.0", "00"}),
        (ICD_9_CM_3, "03.1x00x001", {"03.1x00", "03.1", "03"}),
        (f"{V3}Confidentiality", "R", {"_Confidentiality"}),
    ],
)
def test_what_is_above(system: str, code: str, above: set[str]) -> None:
    """ICD tells its hierarchy by prefix; a dagger code with an asterisk belongs to both chapters."""
    assert sets.above(system, code) == {code, *above}
    assert all(code in sets.below(system, one) for one in above)


def test_every_icd_code_stands_below_its_category() -> None:
    """ICD-10: three characters; ICD-9-CM-3: two; every parent is a concept"""
    for url, length in ((ICD_10, 3), (ICD_9_CM_3, 2)):
        system = Library().system(url)
        assert all(code[:length] in system.above(code) for code in system.concepts if len(code) > length)
        assert all(parent in system.concepts for above in system.parents.values() for parent in above)


def test_a_hierarchy_of_parts_subsumes_nothing() -> None:
    """codesystem-hierarchy-meaning: part-of and grouped-by are not is-a"""
    parts = {"url": "urn:x", "hierarchyMeaning": "part-of", "concept": [{"code": "hand", "concept": [{"code": "finger"}]}]}
    with pytest.raises(FhirError) as refused:
        subsumes(system_of(parts), "hand", "finger")
    assert (refused.value.status, refused.value.issues[0].code) == (422, "not-supported")


def test_lookup_gives_names_properties_and_neighbours() -> None:
    """codesystem-operation-lookup.html"""
    found = lookup(Library().system(f"{V3}Confidentiality"), "R")["parameter"]
    told = {one["name"]: one.get("valueString") for one in found}
    assert (told["name"], told["display"], told["version"]) == ("v3.Confidentiality", "restricted", "2018-08-12")
    given = [one["part"] for one in found if "part" in one]
    parts = [tuple(part[name] for part in one for name in part if name.startswith("value")) for one in given]
    assert ("inactive", False) in parts
    assert ("parent", "_Confidentiality", "Confidentiality") in parts
    only = lookup(Library().system(f"{V3}Confidentiality"), "R", None, ("parent",))["parameter"]
    assert [one["name"] for one in only] == ["name", "version", "display", "property"]


def test_lookup_speaks_the_language_that_is_asked_for() -> None:
    """displayLanguage: a designation of it, else the display"""
    system = Library().system("http://terminology.hl7.org/CodeSystem/v2-0001")
    displays = {language: lookup(system, "F", language)["parameter"][2]["valueString"] for language in (None, "de", "nl", "ug")}
    assert displays == {None: "Female", "de": "weiblich", "nl": "Vrouw", "ug": "Female"}


def test_what_is_not_there_is_not_found() -> None:
    """Never a guess: an unknown code, an unknown system"""
    with pytest.raises(FhirError) as refused:
        lookup(Library().system(ICD_10), "Z99.999999")
    assert refused.value.status == 404
    for url in ("http://snomed.info/sct", "http://loinc.org"):
        with pytest.raises(FhirError) as refused:
            sets.below(url, "1")
        assert refused.value.status == 404


def test_sets_for_search_are_bounded() -> None:
    """search.html#token: :in, :below"""
    assert sets.members("http://hl7.org/fhir/ValueSet/administrative-gender") == {
        ("http://hl7.org/fhir/administrative-gender", code) for code in ("male", "female", "other", "unknown")
    }
    own = {
        "resourceType": "CodeSystem",
        "url": "urn:x",
        "content": "complete",
        "concept": [{"code": "a", "concept": [{"code": "b"}]}],
    }
    value_set = {"resourceType": "ValueSet", "compose": {"include": [{"system": "urn:x"}]}}
    library = Library({("CodeSystem", "urn:x"): own, ("ValueSet", "urn:vs"): value_set})
    assert sets.members("urn:vs", library) == {("urn:x", "a"), ("urn:x", "b")}
    assert sets.below("urn:x", "a", library) == sets.above("urn:x", "b", library) == {"a", "b"}
    with pytest.raises(FhirError) as refused:
        sets.members(f"{ICD_10}:vs")
    assert refused.value.issues[0].code == "too-costly"
