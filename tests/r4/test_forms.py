"""URIs, languages, media types and currencies have the form that R4 gives them (datatypes.html, terminologies.html)."""

from typing import Any

import pytest

from tests.r4.test_validation import found, observation, patient

UUID = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


def identifier(system: str) -> dict[str, Any]:
    return patient(identifier=[{"system": system, "value": "1"}])


def value_set(url: str) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "status": "draft", "url": url}


def attachment(content_type: str) -> dict[str, Any]:
    return patient(photo=[{"contentType": content_type, "url": "http://example.org/a"}])


def amount(currency: str) -> dict[str, Any]:
    return {"resourceType": "Invoice", "status": "draft", "totalNet": {"value": 1, "currency": currency}}


def coding(system: str, code: str) -> dict[str, Any]:
    return observation(method={"coding": [{"system": system, "code": code}]})


VALID = {
    "a URN of an OID": identifier("urn:oid:2.16.156.10011.1.3"),
    "a URN of a UUID": identifier(UUID),
    "another URN": identifier("urn:ietf:rfc:3986"),
    "a name for a system, as hospitals have them: R4 does not say that it is absolute": identifier("mrn"),
    "a name for a code system": coding("local", "1"),
    "a URL with other letters": identifier("http://example.org/门诊号"),
    "a UUID and a fragment": value_set(f"{UUID}#a"),
    "an OID and what it is of": value_set("urn:oid:2.16.156.10011.2.3.3.11:vs"),
    "a UUID in capitals": identifier(f"urn:uuid:{UUID[9:].upper()}"),
    "a canonical of a UUID and a version": patient(meta={"profile": [f"{UUID}|1"]}),
    "a language": patient(language="zh-Hans-CN"),
    "a language of two letters": patient(language="ug"),
    "a language of private use": patient(language="x-local"),
    "a media type": attachment("image/svg+xml"),
    "a media type with parameters": attachment("text/html; charset=utf-8"),
    "a short name of a format of FHIR": {"resourceType": "Endpoint", "status": "active", "address": "http://example.org",
        "connectionType": {"code": "x"}, "payloadType": [{"text": "x"}], "payloadMimeType": ["json"]},
    "a currency": amount("CNY"),
    "a coded language": coding("urn:ietf:bcp:47", "zh-CN"),
    "a coded media type": coding("urn:ietf:bcp:13", "application/pdf"),
    "a language in words": patient(communication=[{"language": {"text": "维吾尔语"}}]),
}  # fmt: skip

INVALID = {
    # datatypes.html#uri: UUIDs and OIDs in the form of their types
    "an OID with a letter": (identifier("urn:oid:1.2.x"), ("value", "Patient.identifier[0].system")),
    "a short UUID": (identifier("urn:uuid:1234"), ("value", "Patient.identifier[0].system")),
    "an OID that is no URN": (identifier("oid:1.2.3"), ("value", "Patient.identifier[0].system")),
    "a UUID that is no URN": (identifier(UUID.removeprefix("urn:")), ("value", "Patient.identifier[0].system")),
    "a short UUID among canonicals": (patient(meta={"profile": ["urn:uuid:1|1"]}), ("value", "Patient.meta.profile[0]")),
    # "An absolute URI ..." say the definitions
    "a relative url of a definition": (value_set("mine"), ("value", "ValueSet.url")),
    # terminologies.html#required, ElementDefinition maximum value sets
    "a locale for a language": (patient(language="en_US"), ("code-invalid", "Patient.language")),
    "words for a language": (patient(language="plain English"), ("code-invalid", "Patient.language")),
    "no media type": (attachment("jpeg"), ("code-invalid", "Patient.photo[0].contentType")),
    "no currency": (amount("Yuan"), ("code-invalid", "Invoice.totalNet.currency")),
    # datatypes.html#coding: `code` is one of `system`
    "a coded locale": (coding("urn:ietf:bcp:47", "en_US"), ("code-invalid", "Observation.method.coding[0].code")),
    "a coded word": (coding("urn:ietf:bcp:13", "jpeg"), ("code-invalid", "Observation.method.coding[0].code")),
    "a coded currency": (coding("urn:iso:std:iso:4217", "yuan"), ("code-invalid", "Observation.method.coding[0].code")),
}  # fmt: skip


@pytest.mark.parametrize("resource", VALID.values(), ids=VALID)
def test_accepts(resource: dict[str, Any]) -> None:
    assert found(resource) == []


@pytest.mark.parametrize(("resource", "expected"), INVALID.values(), ids=INVALID)
def test_refuses(resource: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in found(resource)
