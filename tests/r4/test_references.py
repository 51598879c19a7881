"""R4 references.html and http.html#trules."""

import json

import pytest

from fhir_server.r4.definitions import COMPARTMENTS, LINK_ELEMENTS, RESOURCE_TYPES
from fhir_server.r4.references import ID_PATTERN, literal, rewrite, walk_references
from tests.fixtures import FIXTURES

URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


def test_definitions_of_r4() -> None:
    """resourcelist.html names 148 resources, two of them abstract; compartmentdefinition-patient.html."""
    assert len(RESOURCE_TYPES) == 146
    assert list(RESOURCE_TYPES) == sorted(RESOURCE_TYPES)
    assert {"Patient", "Parameters", "Binary"} <= set(RESOURCE_TYPES)
    assert "DomainResource" not in RESOURCE_TYPES
    assert COMPARTMENTS["Patient"]["Observation"] == ("subject", "performer")
    assert "Organization" not in COMPARTMENTS["Patient"]
    assert {"valueUri", "reference", "url"} <= LINK_ELEMENTS
    assert {"value", "profile", "valueCanonical", "fullUrl"}.isdisjoint(LINK_ELEMENTS)


def test_walks_every_reference_in_document_order() -> None:
    resource = {
        "resourceType": "Observation",
        "contained": [{"resourceType": "Patient", "managingOrganization": {"reference": "Organization/o"}}],
        "extension": [{"url": "http://example.org/e", "valueReference": {"reference": "Device/d"}}],
        "subject": {"reference": "#p", "display": "x"},
        "performer": [{"identifier": {"value": "1"}, "type": "Practitioner"}, {"reference": "Practitioner/a"}],
    }
    found = [reference.get("reference") for reference in walk_references(resource)]
    assert found == ["Organization/o", "Device/d", "#p", None, "Practitioner/a"]


def test_elements_that_only_look_like_references_are_none() -> None:
    """Expression.reference is a uri; other elements have an identifier and a type, or a Reference named reference."""
    resource = {
        "expression": {"language": "text/cql", "reference": "http://example.org/library"},
        "procedure": {"identifier": {"value": "1"}, "type": {"text": "x"}},
        "related": {"reference": {"system": "urn:x", "value": "1"}},
        "patient": {"identifier": [{"value": "1"}]},
    }
    assert list(walk_references(resource)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Patient/1", ("Patient", "1")),
        ("Patient/a-B.9/_history/2", ("Patient", "a-B.9")),
        ("Patient/" + "x" * 64, ("Patient", "x" * 64)),
        ("Patient/" + "x" * 65, None),
        ("Person1/1", None),
        ("Foo/1", None),
        ("#p", None),
        (URN, None),
        ("http://example.org/fhir/Patient/1", None),
        ("Patient?identifier=1", None),
        ("Patient/1\n", None),
        ("Patient/", None),
    ],
)
def test_literal(text: str, expected: tuple[str, str] | None) -> None:
    """references.html#literal: relative, to a type of R4, with an id."""
    assert literal(text) == expected


def test_id_pattern() -> None:
    """datatypes.html#id."""
    assert ID_PATTERN.fullmatch("aZ0-.")
    assert not any(ID_PATTERN.fullmatch(text) for text in ("", "a_b", "é", "a\n", "x" * 65))


def test_rewrites_links_where_the_spec_says() -> None:
    """http.html#trules: references, uri, url, oid, uuid and narrative; not canonicals, not an identifier's value."""
    link = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{{0}}">{URN}</a><img alt="{URN}" src=\'{{0}}#a\'/></div>'
    resource = {
        "text": {"div": link.format(URN)},
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": URN}],
        "subject": {"reference": URN},
        "focus": [{"reference": f"{URN}#part"}, {"reference": "Patient?identifier=urn:x|1"}],
        "instantiatesUri": [URN, "http://example.org/other"],
        "instantiatesCanonical": [URN],
        "extension": [{"url": URN, "valueUri": URN}, {"url": "http://example.org/s", "valueString": URN}],
    }
    rewrite(resource, {URN: "Patient/7", "Patient?identifier=urn:x|1": "Patient/8"})
    assert resource == {
        "text": {"div": link.format("Patient/7")},
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": URN}],
        "subject": {"reference": "Patient/7"},
        "focus": [{"reference": "Patient/7#part"}, {"reference": "Patient/8"}],
        "instantiatesUri": ["Patient/7", "http://example.org/other"],
        "instantiatesCanonical": [URN],
        "extension": [{"url": "Patient/7", "valueUri": "Patient/7"}, {"url": "http://example.org/s", "valueString": URN}],
    }


def test_rewrites_every_link_of_a_transaction() -> None:
    """No full url of a Synthea Bundle is left in a reference of it."""
    path = min(path for path in (FIXTURES / "synthea").glob("*.json") if not path.name.startswith("0-"))
    bundle = json.loads(path.read_bytes())
    mapping = {entry["fullUrl"]: f"{entry['resource']['resourceType']}/n{index}" for index, entry in enumerate(bundle["entry"])}
    for entry in bundle["entry"]:
        before = sum(1 for reference in walk_references(entry["resource"]) if reference.get("reference") in mapping)
        rewrite(entry["resource"], mapping)
        after = [reference.get("reference", "") for reference in walk_references(entry["resource"])]
        assert sum(1 for reference in after if (literal(reference) or ("", ""))[1].startswith("n")) >= before
        assert not any(reference in mapping for reference in after)
