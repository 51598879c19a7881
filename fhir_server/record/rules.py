"""Consents and consultations take effect in the transaction that writes them: their rules go to the person they are about.

A Consent counts if its writer is the patient, or the hospital that keeps the Patient it names (docs/decisions). Any other is
stored, shown, and without effect. An Appointment of the telemedicine service opens the record to its expert while it is booked.
"""

from collections.abc import Callable
from typing import Any

from consent.rules import Rule, rules, to_plain
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal
from fhir_server.record.bookings import APPOINTMENT, CONSULTING, TELEMEDICINE, actors, consultation_end, expert_organization
from fhir_server.record.gate import View
from fhir_server.record.operations import Operation
from fhir_server.store.documents import TYPE_NUMBER, Codec, Document, resource_key
from fhir_server.store.persons import EXCHANGE, SELF, rule_entry, singleton, with_rules
from fhir_server.store.snapshot import Snapshot

CONSENT = TYPE_NUMBER["Consent"]


async def keep_rules(sight: View, resource: dict[str, Any] | None, made: Document, snapshot: Snapshot) -> None:
    """Bring the person's rules in line with a Consent or a consultation that was written (or, resource None, deleted)."""
    if made["t"] not in RULES or (made["t"] == APPOINTMENT and made["c"] != TELEMEDICINE):
        return
    codec = sight.record.codec
    find_subject, find_rules, element = RULES[made["t"]]
    subject = find_subject(codec, resource)
    flat = [to_plain(rule) for rule in find_rules(resource)] if resource else []
    if flat and subject is None:
        raise FhirError(422, "business-rule", "must be a reference Patient/ID, or it could not take effect", element)
    entries = [rule_entry(codec, made["_id"], subject, _by(sight, made, subject), flat)] if subject and flat else []
    for person in await snapshot.persons_ruled_by(made["_id"]) if made["v"] > 1 else ():
        await snapshot.put_persons((with_rules(person, made["_id"], ()),))
    if subject and entries:
        person = next(iter(await snapshot.persons((subject,))), singleton(subject))
        await snapshot.put_persons((with_rules(await _with_keeper(person, subject, snapshot), made["_id"], entries),))


def rule_claims(codec: Codec, operation: Operation) -> set[bytes]:
    """The row that a Consent and the Patient it names both lock: written at one moment, one of them must see the other."""
    if operation.resource_type == "Patient" and operation.method in ("update", "patch"):
        return {resource_key(codec, "Patient", operation.id)}
    subject = _subject(codec, operation.resource) if operation.resource_type == "Consent" else None
    return {subject} if subject else set()


def _subject(codec: Codec, resource: dict[str, Any] | None) -> bytes | None:
    target = literal((resource or {}).get("patient", {}).get("reference", ""))
    return resource_key(codec, *target) if target and target[0] == "Patient" else None


def _grant(resource: dict[str, Any]) -> tuple[Rule, ...]:
    """What a consultation opens: the record of that person, to that expert of that hospital, until it is closed."""
    experts, hospital = frozenset(actors(resource, "Practitioner")), expert_organization(resource)
    if resource.get("status") not in CONSULTING or not experts or not hospital:
        return ()
    return (Rule("permit", experts, frozenset((hospital,)), end=consultation_end(resource), source="consultation"),)


def _patient(codec: Codec, resource: dict[str, Any] | None) -> bytes | None:
    """The Patient that an Appointment is for."""
    return next((resource_key(codec, "Patient", one) for one in actors(resource or {}, "Patient")), None)


_Subject = Callable[[Codec, dict[str, Any] | None], bytes | None]
_Rules = Callable[[dict[str, Any]], tuple[Rule, ...]]
RULES: dict[int, tuple[_Subject, _Rules, str]] = {
    CONSENT: (_subject, rules, "Consent.patient"),
    APPOINTMENT: (_patient, _grant, "Appointment.participant.actor"),
}


def _by(sight: View, made: Document, subject: bytes) -> str:
    if made["t"] == APPOINTMENT:
        return EXCHANGE
    return SELF if subject in sight.own else str(made["c"])


async def _with_keeper(person: Document, patient: bytes, snapshot: Snapshot) -> Document:
    """The person with who keeps the Patient, if it is there already: whose word counts. A broken glass did not ask."""
    if patient.hex() in person["owners"]:
        return person
    stored = await snapshot.resource(patient)
    return person | {"owners": person["owners"] | {patient.hex(): stored["c"]}} if stored else person
