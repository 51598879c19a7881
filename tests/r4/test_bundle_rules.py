"""What R4 says in words of Bundles: bundle.html, documents.html#content, messageheader.html, search.html."""

from typing import Any

import pytest

from tests.r4.test_validation import found, observation, patient

BASE = "http://example.org/fhir/"
UUID, OTHER = "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "3a0707d3-549e-4467-b8b8-5a2ab3800efe"
FIRST = "Bundle.entry[0].resource"
AUTHOR = {"resourceType": "Practitioner", "id": "a"}
ABOUT = patient(id="p")


def entry(resource: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"fullUrl": f"{BASE}{resource['resourceType']}/{resource['id']}", "resource": resource, **more}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def document(*others: dict[str, Any], **composition: Any) -> dict[str, Any]:
    told = {"status": "final", "type": {"text": "x"}, "date": "2020", "title": "x", "author": [{"display": "x"}]}
    first = entry({"resourceType": "Composition", "id": "c", **told, **composition})
    signed = {"identifier": {"system": "urn:x", "value": "1"}, "timestamp": "2020-01-01T00:00:00Z"}
    return bundle("document", first, *others) | signed


def message(*others: dict[str, Any], focus: str) -> dict[str, Any]:
    told = {"eventUri": "urn:x", "source": {"endpoint": "http://example.org"}, "focus": [{"reference": focus}]}
    return bundle("message", entry({"resourceType": "MessageHeader", "id": "m", **told}), *others)


def provenance(target: str) -> dict[str, Any]:
    return entry({"resourceType": "Provenance", "id": "v", "target": [{"reference": target}],
        "recorded": "2020-01-01T00:00:00Z", "agent": [{"who": {"display": "x"}}]})  # fmt: skip


NESTED = [{"title": "x", "section": [{"title": "y", "entry": [{"reference": "Patient/p"}]}]}]
VALID = {
    "a document with its author": document(entry(AUTHOR), author=[{"reference": "Practitioner/a"}]),
    "one named by its full URL and version": document(entry(AUTHOR),
        author=[{"reference": f"{BASE}Practitioner/a/_history/1"}]),
    "one named by its id where full URLs are URNs": bundle("message",
        {"fullUrl": f"urn:uuid:{UUID}", "resource": message(focus=f"Patient/{OTHER}")["entry"][0]["resource"]},
        {"fullUrl": f"urn:uuid:{OTHER}", "resource": patient()}),
    "one contained": document(author=[{"reference": "#a"}], contained=[AUTHOR]),
    "one told by an identifier": document(author=[{"identifier": {"value": "1"}}]),
    "what a section of a section lists": document(entry(ABOUT), section=NESTED),
    "what is referred to indirectly": document(entry(ABOUT), entry(observation(id="o", subject={"reference": "Patient/p"})),
        section=[{"title": "x", "entry": [{"reference": "Observation/o"}]}]),
    "what refers to the document": document(provenance("Composition/c")),
    "a style sheet": document({"fullUrl": "urn:oid:1.2.3", "resource": {"resourceType": "Binary", "contentType": "text/css"}}),
    "a message with its data": message(entry(ABOUT), focus="Patient/p"),
    "a request without a full URL": bundle("batch", {"resource": ABOUT, "request": {"method": "PUT", "url": "Patient/p"}}),
    "what an operation made up": bundle("collection", {"resource": patient()}),
    "a warning of a search": bundle("searchset", {"resource": {"resourceType": "OperationOutcome", "id": "w",
        "issue": [{"severity": "warning", "code": "invalid"}]}, "search": {"mode": "outcome"}}),
    "what a search found": bundle("searchset", entry(ABOUT, search={"mode": "match"})),
}  # fmt: skip

INVALID = {
    # documents.html#content: resources referenced by the Composition SHALL be included
    "an author elsewhere": (document(author=[{"reference": "Practitioner/a"}]), ("not-found", FIRST)),
    "an author on another server": (document(entry(AUTHOR), author=[{"reference": "http://other.example/Practitioner/a"}]),
        ("not-found", FIRST)),
    "an entry of a section elsewhere": (document(section=NESTED), ("not-found", FIRST)),
    "an attester elsewhere": (document(attester=[{"mode": "legal", "party": {"reference": "Practitioner/a"}}]),
        ("not-found", FIRST)),
    # documents.html#content: SHALL include only what is reached, a style sheet and Provenance
    "what nothing refers to": (document(entry(ABOUT)), ("business-rule", "Bundle.entry[1]")),
    "two that refer to each other": (document(entry(ABOUT), entry(observation(id="o", subject={"reference": "Patient/p"}))),
        ("business-rule", "Bundle.entry[2]")),
    # messageheader.html: the data is always included
    "a message without its data": (message(focus="Patient/p"), ("not-found", FIRST)),
    # bundle.html#bundle-unique: except for transactions and batches, each has a fullUrl, its identity
    "a resource with an id and no full URL": (bundle("collection", {"resource": ABOUT}),
        ("required", "Bundle.entry[0].fullUrl")),
    "a document of nothing": (bundle("document", {"fullUrl": "urn:x"}), ("invariant", "Bundle")),
    "a document's resource without one": (document({"resource": patient()}), ("required", "Bundle.entry[1].fullUrl")),
    # resource.html#id: only what is created lacks an id
    "a find without an id": (bundle("searchset", {"fullUrl": "urn:oid:1.2", "resource": patient(),
        "search": {"mode": "match"}}), ("required", f"{FIRST}.id")),
}  # fmt: skip


@pytest.mark.parametrize("resource", VALID.values(), ids=VALID)
def test_accepts(resource: dict[str, Any]) -> None:
    assert found(resource) == []


@pytest.mark.parametrize(("resource", "expected"), INVALID.values(), ids=INVALID)
def test_refuses(resource: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in found(resource)
