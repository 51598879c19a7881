"""Consents and callers in a line, for the tests of this room."""

from typing import Any

from consent.caller import Caller

PURPOSE = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LABEL = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
LEVELS = ("U", "L", "M", "N", "R", "V")


def caller(practitioner: str = "li", organization: str = "north", purpose: str = "TREAT") -> Caller:
    return Caller(practitioner, "practitioner", organization, practitioner, purpose=purpose)


def system(organization: str = "north", purpose: str = "TREAT") -> Caller:
    return Caller("his", "system", organization, purpose=purpose)


def provision(
    type: str | None = None,
    *nested: dict[str, Any],
    actors: tuple[str, ...] = (),
    purposes: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    **elements: Any,
) -> dict[str, Any]:
    """A Consent.provision; `actors` as references, further `elements` as they are."""
    stated = {
        "type": type,
        "actor": [{"role": {"coding": [{"code": "PRCP"}]}, "reference": {"reference": actor}} for actor in actors],
        "purpose": [{"system": PURPOSE, "code": code} for code in purposes],
        "securityLabel": [{"system": CONFIDENTIALITY if code in LEVELS else LABEL, "code": code} for code in labels],
        "provision": list(nested),
    }
    return {element: value for element, value in stated.items() if value} | elements


def consent(root: dict[str, Any] | None = None, policy: str | None = None, **elements: Any) -> dict[str, Any]:
    """An active Consent of scope patient-privacy."""
    stated = {
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "policyRule": {"coding": [{"code": policy}]} if policy else None,
        "provision": root,
    }
    return {element: value for element, value in stated.items() if value is not None} | elements
