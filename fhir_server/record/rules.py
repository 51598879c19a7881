"""Consents and consultations take effect in the transaction that writes them: their rules go to the person they are about.

A Consent counts if its writer is the patient, or the hospital that keeps the Patient it names (docs/decisions). Any other is
stored, shown, and without effect. An Appointment of the telemedicine service opens the record to its expert while it is booked.
"""

from collections.abc import Callable
from typing import Any

from consent.rules import Rule, rules, to_plain
from fhir_server.r4.references import literal
from fhir_server.record.bookings import APPOINTMENT, CONSULTING, TELEMEDICINE, actors, expert_organization, period
from fhir_server.record.gate import View
from fhir_server.store.documents import TYPE_NUMBER, Document, resource_key
from fhir_server.store.persons import EXCHANGE, SELF, rule_entry, singleton, with_rules
from fhir_server.store.snapshot import Snapshot

CONSENT = TYPE_NUMBER["Consent"]
CLOSES_AFTER_MS = 24 * 3_600_000  # a consultation that nobody closes is over a day after its time


async def keep_rules(sight: View, resource: dict[str, Any] | None, made: Document, snapshot: Snapshot) -> None:
    """Bring the person's rules in line with a Consent or an Appointment that was written (or, resource None, deleted)."""
    if made["t"] not in RULES or (made["t"] == APPOINTMENT and made["c"] != TELEMEDICINE):
        return
    find_subject, find_rules = RULES[made["t"]]
    subject = _key(sight, find_subject(resource or {}))
    codec = sight.record.codec
    flat = [to_plain(rule) for rule in find_rules(resource)] if resource else []
    entries = [rule_entry(codec, made["_id"], subject, _by(sight, made, subject), flat)] if subject and flat else []
    for person in await snapshot.persons_ruled_by(made["_id"]):
        await snapshot.put_persons((with_rules(person, made["_id"], ()),))
    if subject and entries:
        found = next(iter(await snapshot.persons((subject,))), None)
        person = found or await _first_seen(sight, subject, snapshot)
        await snapshot.put_persons((with_rules(person, made["_id"], entries),))


def _grant(resource: dict[str, Any]) -> tuple[Rule, ...]:
    """What a consultation opens: the record of that person, to that expert of that hospital, until it is closed."""
    experts, hospital = frozenset(actors(resource, "Practitioner")), expert_organization(resource)
    if resource["status"] not in CONSULTING or not experts or not hospital:
        return ()
    end = period(resource)[1] + CLOSES_AFTER_MS
    return (Rule("permit", experts, frozenset((hospital,)), end=end, source="consultation"),)


def _patient_of_consent(resource: dict[str, Any]) -> str:
    target = literal(resource.get("patient", {}).get("reference", ""))
    return target[1] if target and target[0] == "Patient" else ""


def _patient_of_appointment(resource: dict[str, Any]) -> str:
    return next(iter(actors(resource, "Patient")), "")


_Subject = Callable[[dict[str, Any]], str]
_Rules = Callable[[dict[str, Any]], tuple[Rule, ...]]
RULES: dict[int, tuple[_Subject, _Rules]] = {
    CONSENT: (_patient_of_consent, rules),
    APPOINTMENT: (_patient_of_appointment, _grant),
}


def _key(sight: View, patient: str) -> bytes | None:
    return resource_key(sight.record.codec, "Patient", patient) if patient else None


def _by(sight: View, made: Document, subject: bytes) -> str:
    if made["t"] == APPOINTMENT:
        return EXCHANGE
    return SELF if subject in sight.own else str(made["c"])


async def _first_seen(sight: View, patient: bytes, snapshot: Snapshot) -> Document:
    """A person nobody has written rules for yet, and who keeps the Patient, if it is there already."""
    stored = await snapshot.resource(patient)
    owners = {patient.hex(): stored["c"]} if stored else {}
    return singleton(patient) | {"owners": owners}
