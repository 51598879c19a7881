"""People and what hospitals know about them, in a line each, for the tests of this room."""

from typing import Any

import httpx

from fhir_server.persons.idcard import check_character
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD
from tests.consent.build import CONFIDENTIALITY
from tests.consent.build import consent as consent_of
from tests.consent.build import provision as provision

Resource = dict[str, Any]
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
HIV, FLU = "B20", "J10"


def id_card(serial: int, born: str = "1980-02-03") -> str:
    """A valid number of GB 11643 in a division that is not assigned."""
    seventeen = f"990000{born.replace('-', '')}{serial:03d}"
    return seventeen + check_character(seventeen)


def patient(known: str, card: str | None = None, name: str = "Zhang San", born: str = "1980-02-03", **more: Any) -> Resource:
    cards = [{"system": RESIDENT_ID_CARD, "value": card}] if card else []
    told = {"name": [{"text": name}], "birthDate": born, "identifier": cards}
    return {"resourceType": "Patient", "id": known, **{key: value for key, value in told.items() if value}, **more}


def about(subject: str | None) -> Resource:
    return {"subject": {"reference": f"Patient/{subject}"}} if subject else {}


def observation(known: str, subject: str | None, text: str = "x", **more: Any) -> Resource:
    return {"resourceType": "Observation", "id": known, "status": "final", "code": {"text": text}, **about(subject), **more}


def condition(known: str, subject: str, code: str = FLU, **more: Any) -> Resource:
    coding = [{"system": ICD_10, "code": code}]
    return {"resourceType": "Condition", "id": known, "code": {"coding": coding}, **about(subject), **more}


def encounter(known: str, subject: str, **more: Any) -> Resource:
    return {"resourceType": "Encounter", "id": known, "status": "finished", "class": {"code": "AMB"}, **about(subject), **more}


def appointment(known: str, *patients: str) -> Resource:
    who = [{"actor": {"reference": f"Patient/{one}"}, "status": "accepted"} for one in patients]
    return {"resourceType": "Appointment", "id": known, "status": "proposed", "participant": who}


def consent(known: str, subject: str, root: Resource, **more: Any) -> Resource:
    """An active privacy Consent; `root` is its provision."""
    category = [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}]
    scope = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}
    policy = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIE"}]}
    named = {"id": known, "patient": {"reference": f"Patient/{subject}"}, "scope": scope, "category": category}
    return {**consent_of(root), **named, "policyRule": policy, **more}


def labelled(code: str) -> Resource:
    return {"meta": {"security": [{"system": CONFIDENTIALITY, "code": code}]}}


def put(resource: Resource) -> Resource:
    """The resource as a Bundle entry that updates it."""
    request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
    return {"resource": resource, "request": request}


def transaction(*resources: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": [put(one) for one in resources]}


async def keep(client: httpx.AsyncClient, *resources: Resource) -> None:
    """Store resources as this client."""
    for one in resources:
        answer = await client.put(f"/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code in (200, 201), answer.text


async def status(client: httpx.AsyncClient, path: str) -> int:
    return (await client.get(path)).status_code


async def found(client: httpx.AsyncClient, path: str) -> set[str]:
    """`Type/id` of everything in a searchset."""
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    entries = answer.json().get("entry", [])
    return {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in entries}
