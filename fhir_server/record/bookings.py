"""What an Appointment of the telemedicine service means: its practitioners' time, in the transaction that writes it.

Overlapping appointments of one expert are impossible, whatever the Slots say, because the time itself has unique rows in the
database. An expert is a Practitioner that the telemedicine service keeps; nobody else writes Appointments that take their time.
"""

from collections.abc import Iterable
from typing import Any

from fhir_server.r4.dates import interval
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal
from fhir_server.record.context import Record
from fhir_server.store.bookings import Booking, rows
from fhir_server.store.documents import TYPE_NUMBER, Document, resource_key
from fhir_server.store.snapshot import Snapshot

TELEMEDICINE = "telemedicine"
"""The Organization that keeps experts, their Slots and their Appointments."""

HELD_UNTIL = "urn:hie:StructureDefinition:held-until"
"""Extension of a pending Appointment: when the hold ends (valueInstant)."""

EXPERT_ORGANIZATION = "urn:hie:StructureDefinition:expert-organization"
"""Extension of an Appointment: the Organization its expert works for (valueReference), whose token the expert comes with."""

LONGEST_MS = 4 * 3_600_000
CLOSES_AFTER_MS = 24 * 3_600_000  # a consultation that nobody closes is over a day after its time
APPOINTMENT = TYPE_NUMBER["Appointment"]
CONSULTING = frozenset(("booked", "arrived", "checked-in"))
"""Statuses in which a consultation goes on: its expert sees the record."""

TAKES_TIME = frozenset(("pending", "booked", "arrived", "checked-in", "fulfilled", "noshow"))


def actors(appointment: dict[str, Any], resource_type: str) -> list[str]:
    """The ids of the participants of one type."""
    references = (one.get("actor", {}).get("reference", "") for one in appointment.get("participant", ()))
    return [target[1] for one in references if (target := literal(one)) and target[0] == resource_type]


def expert_organization(appointment: dict[str, Any]) -> str:
    """The id of the Organization that the expert works for."""
    references = (one["valueReference"] for one in appointment.get("extension", ()) if one["url"] == EXPERT_ORGANIZATION)
    return next((target[1] for one in references if (target := literal(one.get("reference", "")))), "")


def held_until(appointment: dict[str, Any]) -> int | None:
    """When the hold of a pending Appointment ends, ms."""
    found = (one["valueInstant"] for one in appointment.get("extension", ()) if one["url"] == HELD_UNTIL)
    return next((interval(one)[0] for one in found), None)


def period(appointment: dict[str, Any]) -> tuple[int, int]:
    """[start, end) of an Appointment, ms; 400 without both, or where it is no time to be booked."""
    try:
        start, end = interval(appointment["start"])[0], interval(appointment["end"])[0]
    except KeyError:
        raise FhirError(400, "required", "an appointment that takes time has a start and an end", "Appointment.start") from None
    if not start < end <= start + LONGEST_MS:
        raise FhirError(400, "invalid", "must be after the start, by four hours at most", "Appointment.end")
    return start, end


def consultation_end(appointment: dict[str, Any]) -> int:
    """The last moment of a consultation that nobody closes, ms."""
    return period(appointment)[1] + CLOSES_AFTER_MS


async def bookings(
    record: Record, written: Iterable[tuple[Document, dict[str, Any] | None]], snapshot: Snapshot, now: int
) -> list[Booking]:
    """The time that these documents take, once nothing stands against it; resource None: deleted. 409 where it is taken."""
    found = []
    for made, resource in written:
        if made["t"] != APPOINTMENT:
            continue
        if made["c"] == TELEMEDICINE:
            found.append(await _free(_booking(record, made, resource), snapshot, now))
        elif resource is not None and resource.get("status") in TAKES_TIME:
            await _require_no_expert(record, resource, snapshot)
    cells = [row["_id"] for one in found for row in one.rows]
    if len(set(cells)) < len(cells):
        raise taken()
    return found


def _booking(record: Record, made: Document, resource: dict[str, Any] | None) -> Booking:
    key = made["_id"]
    if resource is None or resource.get("status") not in TAKES_TIME:
        return Booking(key)
    until = held_until(resource) if resource["status"] == "pending" else None
    start, end = period(resource)
    experts = actors(resource, "Practitioner")
    return Booking(
        key, tuple(row for one in experts for row in rows(record.codec, key, one, start, end, until)), made["v"] == 1
    )


async def _free(booking: Booking, snapshot: Snapshot, now: int) -> Booking:
    if booking.rows and await snapshot.is_taken(booking, now):
        raise taken()
    return booking


async def _require_no_expert(record: Record, resource: dict[str, Any], snapshot: Snapshot) -> None:
    for one in actors(resource, "Practitioner"):
        stored = await snapshot.resource(resource_key(record.codec, "Practitioner", one))
        if stored is not None and stored["c"] == TELEMEDICINE:
            raise FhirError(403, "business-rule", "experts are booked with Appointment/$book", "Appointment.participant.actor")


def taken() -> FhirError:
    """Why a time cannot be had."""
    return FhirError(409, "conflict", "this time is not free any more; find another with $find", "Appointment.start")
