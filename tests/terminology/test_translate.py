"""ConceptMap/$translate (R4 conceptmap-operation-translate.html)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.terminology.library import Library
from fhir_server.terminology.published import concept_maps
from fhir_server.terminology.translate import Asked, translate

Resource = dict[str, Any]


def matches(answer: Resource) -> list[tuple[str, str]]:
    """(equivalence, code) of each match."""
    found = [{part["name"]: part for part in one["part"]} for one in answer["parameter"] if one["name"] == "match"]
    return [(one["equivalence"]["valueCode"], one.get("concept", {}).get("valueCoding", {}).get("code", "")) for one in found]


def is_found(answer: Resource) -> bool:
    return bool(answer["parameter"][0]["valueBoolean"])


def ask(system: str, code: str, *maps: Resource, library: Library | None = None, **more: Any) -> Resource:
    asked = Asked([{"system": system, "code": code}], **more)
    return translate(library or Library(), maps or concept_maps(), asked)


def test_official_maps_both_ways() -> None:
    """The example of the specification: cm-address-use-v2"""
    use, v2 = "http://hl7.org/fhir/address-use", "http://terminology.hl7.org/CodeSystem/v2-0190"
    there = ask(use, "home", target_system=v2)
    assert (is_found(there), matches(there)) == (True, [("equivalent", "H")])
    back = ask(v2, "H", reverse=True, target_system=use)
    assert (is_found(back), matches(back)) == (True, [("equivalent", "home")])
    assert is_found(ask(use, "nothing", target_system=v2)) is False
    assert not is_found(ask("http://snomed.info/sct", "1"))


def test_unmatched_is_told_and_is_no_match() -> None:
    """result is true only with an equivalence that is not unmatched or disjoint"""
    mapped = {
        "group": [{"source": "urn:a", "target": "urn:b", "element": [{"code": "1", "target": [{"equivalence": "unmatched"}]}]}]
    }
    answer = ask("urn:a", "1", mapped)
    assert (is_found(answer), matches(answer)) == (False, [("unmatched", "")])


def test_unmapped_codes_go_where_the_map_says() -> None:
    """ConceptMap.group.unmapped: provided, fixed, other-map, and other-maps in a circle"""

    def mapped(**unmapped: str) -> Resource:
        return {"resourceType": "ConceptMap", "group": [{"source": "urn:a", "target": "urn:b", "unmapped": unmapped}]}

    assert matches(ask("urn:a", "1", mapped(mode="provided"))) == [("relatedto", "1")]
    assert matches(ask("urn:a", "1", mapped(mode="fixed", code="9"))) == [("relatedto", "9")]
    library = Library(
        {
            ("ConceptMap", "urn:m"): mapped(mode="other-map", url="urn:m"),
            ("ConceptMap", "urn:f"): mapped(mode="fixed", code="7"),
        }
    )
    assert matches(ask("urn:a", "1", mapped(mode="other-map", url="urn:f"), library=library)) == [("relatedto", "7")]
    assert matches(ask("urn:a", "1", mapped(mode="other-map", url="urn:m"), library=library)) == []


def test_other_maps_are_followed_once_each() -> None:
    """ConceptMap.group.unmapped: groups that all lead to the same map, which does so again: 50^9 ways, and one match"""

    def mapped(**unmapped: str) -> Resource:
        return {"group": [{"source": "urn:a", "target": "urn:b", "unmapped": unmapped}] * 50}

    stored = {("ConceptMap", f"urn:{n}"): mapped(mode="other-map", url=f"urn:{n + 1}") for n in range(8)}
    library = Library(stored | {("ConceptMap", "urn:8"): mapped(mode="provided")})
    assert matches(ask("urn:a", "1", mapped(mode="other-map", url="urn:0"), library=library)) == [("relatedto", "1")]


def test_a_mapping_of_another_version_is_none() -> None:
    """conceptmap-operation-translate.html: version; ConceptMap.group.sourceVersion"""
    element = {"code": "1", "target": [{"code": "2", "equivalence": "equal"}]}
    mapped = {"group": [{"source": "urn:a", "sourceVersion": "9", "target": "urn:b", "element": [element]}]}
    for version, found in ({}, True), ({"version": "9"}, True), ({"version": "10"}, False):
        assert is_found(translate(Library(), [mapped], Asked([{"system": "urn:a", "code": "1", **version}]))) is found


def test_what_a_mapping_depends_on_must_be_given() -> None:
    """ConceptMap.group.element.target.dependsOn"""
    target = {"code": "2", "equivalence": "equal", "dependsOn": [{"property": "urn:organ", "value": "lung"}]}
    mapped = {"group": [{"source": "urn:a", "target": "urn:b", "element": [{"code": "1", "target": [target]}]}]}
    assert not is_found(ask("urn:a", "1", mapped))
    assert not is_found(ask("urn:a", "1", mapped, dependencies={"urn:organ": frozenset({"heart"})}))
    assert is_found(ask("urn:a", "1", mapped, dependencies={"urn:organ": frozenset({"lung"})}))


ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.sampled_from(("equal", "wider", "narrower", "unmatched")),
              st.sampled_from("xy"), st.sampled_from("789")), max_size=12)  # fmt: skip


@given(ROWS, st.booleans())
def test_a_translation_is_what_a_walk_over_the_rows_finds(rows: Any, reverse: bool) -> None:
    turned = {"wider": "narrower", "narrower": "wider"}
    groups = [
        {"source": f"urn:{s}", "target": f"urn:{t}", "element": [{"code": c, "target": [{"code": d, "equivalence": e}]}]}
        for s, c, e, t, d in rows
    ]
    for system, code in {(f"urn:{s}", c) for s, c, *_ in rows} | {(f"urn:{t}", d) for *_, t, d in rows}:
        expected = {
            (turned.get(e, e), f"urn:{s}", c) if reverse else (e, f"urn:{t}", d)
            for s, c, e, t, d in rows
            if (system, code) == ((f"urn:{t}", d) if reverse else (f"urn:{s}", c))
        }
        answer = ask(system, code, {"group": groups}, reverse=reverse)
        found = [{part["name"]: part for part in one["part"]} for one in answer["parameter"] if one["name"] == "match"]
        got = {
            (m["equivalence"]["valueCode"], m["concept"]["valueCoding"]["system"], m["concept"]["valueCoding"]["code"])
            for m in found
        }
        assert got == expected
        assert is_found(answer) is any(equivalence != "unmatched" for equivalence, *_ in expected)
