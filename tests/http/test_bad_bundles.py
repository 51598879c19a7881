"""Bad Bundles: a transaction is refused whole, of a batch only the entry that is wrong (R4 http.html#transaction, #trules)."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.r4.validation import validate
from tests.http.guarding import DIGITS, JSON, MARK, PATIENT, Guarded, guarded

__all__ = ["guarded"]  # a fixture


def bundle(*entries: Any, **members: Any) -> Callable[[str], bytes]:
    def made(kind: str) -> bytes:
        return json.dumps({"resourceType": "Bundle", "type": kind, "entry": list(entries)} | members).encode()

    return made


def request(method: str, url: str, resource: Any = None, **more: Any) -> dict[str, Any]:
    asked = {"method": method, "url": url} | {name: value for name, value in more.items() if name != "fullUrl"}
    entry = {name: value for name, value in more.items() if name == "fullUrl"} | {"request": asked}
    return entry | ({"resource": resource} if resource is not None else {})


GOOD = request("POST", "Patient", {"resourceType": "Patient", "gender": "male"})


def binary(patch: bytes, kind: str = "application/json-patch+json") -> dict[str, Any]:
    """A patch as a Bundle carries it (http.html#patch)."""
    return {"resourceType": "Binary", "contentType": kind, "data": b64encode(patch).decode()}


def about(reference: str) -> dict[str, Any]:
    return {"resourceType": "Basic", "code": {"text": MARK}, "subject": {"reference": reference}}


# Bundles that are refused whole, whatever their type.
ENVELOPES: dict[str, Callable[[str], bytes]] = {
    "entry that is no list": bundle(entry={"a": MARK}),
    "entries that are no objects": bundle(MARK, 7731),
    "entry without request": bundle({"resource": PATIENT}),
    "request that is no object": bundle({"resource": PATIENT, "request": MARK}),
    "request without method": bundle({"resource": PATIENT, "request": {"url": "Patient"}}),
    "request without url": bundle({"resource": PATIENT, "request": {"method": "PUT"}}),
    "a method that is none": bundle(request(MARK, "Patient", PATIENT)),
    "an unknown element": bundle(GOOD, nothing=MARK),
    "a total that is no number": bundle(GOOD, total=MARK),
    "type that is another": bundle(GOOD, type="collection"),
    "type that is none": bundle(GOOD, type=MARK),
    "type that is a list": bundle(GOOD, type=[MARK]),
    "type that is an object": bundle(GOOD, type={"a": MARK}),
    "no Bundle": bundle(GOOD, resourceType="Patient"),
}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("name", ENVELOPES)
async def test_a_bad_envelope_is_refused(guarded: Guarded, name: str, kind: str) -> None:
    """http.html#transaction, bundle.html"""
    assert await guarded.refused("POST", "", ENVELOPES[name](kind), JSON) == 400


# Entries that fail a transaction as a whole, and of a batch only themselves; with the status that they deserve.
ENTRIES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "an unknown type": ([request("POST", "Nothing", PATIENT)], "400"),
    "a search by POST": ([request("POST", "Patient/_search", PATIENT)], "400"),
    "a Bundle": ([request("POST", "/", {"resourceType": "Bundle", "type": "batch"})], "400"),
    "a patch that is none": ([request("PATCH", "Patient/a-1", PATIENT)], "400"),
    "a patch in another format": ([request("PATCH", "Patient/a-1", binary(b"[]", "application/xml-patch+xml"))], "400"),
    "a patch that is not base64": ([request("PATCH", "Patient/a-1", binary(b"") | {"data": MARK})], "400"),
    "a patch of nothing": ([request("PATCH", "Patient/a-7731", binary(b"[]"))], "404"),
    "a patch that does not fit": ([request("PATCH", "Patient/a-1", binary(b'[{"op":"remove","path":"/gender"}]'))], "422"),
    "a patch of another version": ([request("PATCH", "Patient/a-1", binary(b"[]"), ifMatch='W/"7731"')], "412"),
    "a type unlike the url": ([request("POST", "Observation", PATIENT)], "400"),
    "an id unlike the url": ([request("PUT", "Patient/a-3", PATIENT)], "400"),
    "POST to an instance": ([request("POST", "Patient/a-1", PATIENT)], "400"),
    "PUT to a type": ([request("PUT", "Patient", PATIENT)], "400"),
    "PUT without criteria": ([request("PUT", "Patient?", PATIENT)], "412"),
    "conditional update of several": ([request("PUT", "Patient?identifier=urn:x|twice", PATIENT)], "412"),
    "conditional update of another id": ([request("PUT", "Patient?_id=a-1", PATIENT | {"id": "a-2"})], "400"),
    "conditional update to a used id": ([request("PUT", "Patient?identifier=7731", PATIENT | {"language": "ug"})], "409"),
    "conditional update by nothing known": ([request("PUT", "Patient?nothing=7731", PATIENT)], "400"),
    "conditional patch of nothing": ([request("PATCH", "Patient?identifier=7731", binary(b"[]"))], "404"),
    "conditional patch of several": ([request("PATCH", "Patient?identifier=urn:x|twice", binary(b"[]"))], "412"),
    "conditional delete of what a search shapes": ([request("DELETE", "Patient?identifier=7731&_count=1")], "400"),
    "conditional delete of everything": ([request("DELETE", "Patient?")], "412"),
    "criteria beside an id": ([request("DELETE", "Patient/a-1?name=7731")], "400"),
    "criteria of a create in its url": ([request("POST", "Patient?identifier=7731", PATIENT)], "400"),
    "a bad id": ([request("PUT", "Patient/a_7731", PATIENT | {"id": "a_7731"})], "400"),
    "another server": ([request("POST", "http://example.org/fhir/Patient", PATIENT)], "400"),
    "no resource": ([request("POST", "Patient")], "400"),
    "a resource that is no object": ([request("POST", "Patient", MARK)], "400"),
    "an invalid resource": ([request("POST", "Patient", PATIENT | {"gender": MARK})], "400"),
    "a bad ifMatch": ([request("PUT", "Patient/a-1", PATIENT, ifMatch=MARK)], "400"),
    "ifMatch of another version": ([request("PUT", "Patient/a-1", PATIENT, ifMatch='W/"7731"')], "412"),
    "ifNoneExist of an unknown parameter": ([request("POST", "Patient", PATIENT, ifNoneExist=f"nothing={MARK}")], "400"),
    "ifNoneExist that matches several": ([request("POST", "Patient", PATIENT, ifNoneExist="identifier=urn:x|twice")], "412"),
    "a conditional reference to nothing": ([request("POST", "Basic", about("Patient?identifier=urn:x|7731"))], "412"),
    "a conditional reference to several": ([request("POST", "Basic", about("Patient?identifier=urn:x|twice"))], "412"),
    "a conditional reference by nothing known": ([request("POST", "Basic", about("Patient?nothing=7731"))], "400"),
    "a conditional reference of many fields": ([request("POST", "Basic", about("Patient?" + "name=a&" * 300))], "400"),
}


@pytest.mark.parametrize("name", ENTRIES)
async def test_a_bad_entry_fails_the_transaction_and_in_a_batch_only_itself(guarded: Guarded, name: str) -> None:
    """http.html#transaction, #trules"""
    entries, status = ENTRIES[name]
    assert str(await guarded.refused("POST", "", bundle(GOOD, *entries)("transaction"), JSON)) == status
    harmless = request("GET", "Patient/a-1")
    batch = json.loads(bundle(harmless, *entries)("batch"))
    answers = (await guarded.client.post("", json=batch)).json()["entry"]
    assert [answer["response"]["status"] for answer in answers] == ["200", status]
    validate(answers[1]["response"]["outcome"])
    assert DIGITS not in json.dumps(answers[1])


TWICE = {
    "PUT and PUT": [request("PUT", "Patient/a-1", PATIENT), request("PUT", "Patient/a-1", PATIENT | {"gender": "male"})],
    "PUT and DELETE": [request("PUT", "Patient/a-1", PATIENT), request("DELETE", "Patient/a-1")],
    "two conditional creates": [request("POST", "Patient", PATIENT, ifNoneExist="identifier=urn:x|new")] * 2,
    "conditional create and update": [
        request("POST", "Patient", PATIENT, ifNoneExist="identifier=urn:x|new"),
        request("PUT", "Patient?identifier=urn:x|new", {"resourceType": "Patient"}),
    ],
    "PUT and conditional PATCH": [request("PUT", "Patient/a-1", PATIENT), request("PATCH", "Patient?_id=a-1", binary(b"[]"))],
    "DELETE and conditional DELETE": [request("DELETE", "Patient/a-1"), request("DELETE", "Patient?identifier=urn:x|twice")],
    "one full url": [
        request("POST", "Patient", {"resourceType": "Patient"}, fullUrl="urn:uuid:6b7a1c3e-0d8f-4a55-9a0e-0123456789ab")
    ]
    * 2,
}


@pytest.mark.parametrize("name", TWICE)
async def test_a_transaction_names_each_resource_once(guarded: Guarded, name: str) -> None:
    """http.html#trules: identities must not overlap; bdl-7: full urls are unique"""
    assert await guarded.refused("POST", "", bundle(*TWICE[name])("transaction"), JSON) == 400
