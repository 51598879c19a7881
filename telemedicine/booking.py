"""Hold, book, cancel and reschedule (IHE ITI-116, ITI-117): one transaction each of Appointment, time and grant.

Appointments are kept by the telemedicine service, whoever asks; the audit names who asked. The person, or the hospital that
keeps the Patient, arranges a consultation; its expert may cancel it and closes it. What an Appointment's status means for the
expert's time and for the sight of the record is in fhir_server/record: bookings.py and rules.py.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from consent.caller import Caller
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import CONSULTING, HELD_UNTIL, actors, expert_organization, held_until, taken
from fhir_server.record.consultations import SYSTEM, acts_for, free, kept
from fhir_server.record.gate import require_scope
from fhir_server.record.operations import Operation, Written
from fhir_server.record.writing import commit, refusals_audited
from telemedicine.finding import Offer, Resource, appointment, offered
from telemedicine.requests import task_of
from telemedicine.service import Telemedicine

ATTEMPTS = 3
CANCELLATION = "http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason"

Change = Callable[[Resource], Awaitable[list[Operation]]]


async def hold(service: Telemedicine, caller: Caller, slot_id: str, patient: str) -> bytes:
    """A pending Appointment that keeps the time for a while; 409 where it is taken. The Appointment as JSON."""
    until = instant(service.record.clock() + service.hold_ms)
    extension = [{"url": HELD_UNTIL, "valueInstant": until}]
    return await _arrange(service, caller, "operation-hold", slot_id, patient, {"status": "pending", "extension": extension})


async def book(service: Telemedicine, caller: Caller, slot_id: str, patient: str, reason: str = "") -> bytes:
    """A booked Appointment for a time that was not held before; 409 where it is taken."""
    told = {"reasonCode": [{"text": reason}]} if reason else {}
    return await _arrange(service, caller, "operation-book", slot_id, patient, {"status": "booked", **told})


async def confirm(service: Telemedicine, caller: Caller, appointment_id: str) -> bytes:
    """Book what is held; 409 once the hold is over."""

    async def change(current: Resource) -> list[Operation]:
        await require_standing(service, caller, current)
        until = held_until(current)
        if current["status"] != "pending" or until is None or until <= service.record.clock():
            raise FhirError(409, "conflict", "this appointment is not held any more; find another with $find")
        return [_written(booked(current)), *await task(service, current, "accepted")]

    return await _changed(service, caller, appointment_id, change)


async def reschedule(service: Telemedicine, caller: Caller, appointment_id: str, slot_id: str) -> bytes:
    """Move a held or booked Appointment to another Slot, of whichever expert; it is booked then."""

    async def change(current: Resource) -> list[Operation]:
        await require_standing(service, caller, current)
        require_status(current, "pending", *CONSULTING)
        new = await _offer(service, caller, slot_id)
        moved = current | appointment(new, "booked", "accepted", actors(current, "Patient")[0])
        return [_written(booked(moved)), *await task(service, current, "accepted")]

    return await _changed(service, caller, appointment_id, change)


async def cancel(service: Telemedicine, caller: Caller, appointment_id: str) -> bytes:
    """Give up a held or booked Appointment: its time is free, and the record closed to the expert, from now on."""

    async def change(current: Resource) -> list[Operation]:
        by_expert = is_expert(caller, current)
        if not by_expert:
            await require_standing(service, caller, current)
        require_status(current, "pending", *CONSULTING)
        reason = {"coding": [{"system": CANCELLATION, "code": "prov" if by_expert else "pat"}]}
        given_up = without_hold(current) | {"status": "cancelled", "cancelationReason": reason}
        return [_written(given_up), *await task(service, current, "cancelled")]

    return await _changed(service, caller, appointment_id, change)


async def _changed(service: Telemedicine, caller: Caller, appointment_id: str, change: Change) -> bytes:
    """The Appointment after a change; decided again where another change came first."""
    record = service.record
    access = Access(caller, "operation-book", f"Appointment/{appointment_id}", record.clock())
    async with refusals_audited(record, access):
        require_scope(caller, "Appointment", "u")
        for attempt in range(ATTEMPTS):
            current = await kept(record, "Appointment", appointment_id)
            if current is None:
                raise absent()
            try:
                return _body(await commit(record, access, SYSTEM, await change(current)))
            except FhirError as error:
                if error.status != 412 or attempt == ATTEMPTS - 1:
                    raise
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _arrange(
    service: Telemedicine, caller: Caller, interaction: str, slot_id: str, patient: str, more: Resource
) -> bytes:
    """A new Appointment of a Slot for a Patient."""
    record = service.record
    access = Access(caller, interaction, f"Slot/{slot_id}", record.clock())
    async with refusals_audited(record, access):
        require_scope(caller, "Appointment", "c")
        if not await acts_for(record, caller, patient):
            raise FhirError(404, "not-found", "no Patient with this id for whom you may arrange a consultation")
        found = await _offer(service, caller, slot_id)
        if not all(await free(record, (found.time,), access.at)):  # most losers of a race end here, without a transaction
            raise taken()
        return _body(await commit(record, access, SYSTEM, [new(service, found, patient, more)]))


def new(service: Telemedicine, found: Offer, patient: str, more: Resource) -> Operation:
    """A new Appointment; `more` has the status, and what else there is to say."""
    accepted = "accepted" if more["status"] == "booked" else "tentative"
    content = appointment(found, more["status"], accepted, patient)
    extensions = [*content["extension"], *more.get("extension", ())]
    created = {"created": instant(service.record.clock())}
    made = {"resourceType": "Appointment", **content, **more, "extension": extensions, **created}
    return Operation("create", "Appointment", service.record.new_id(), made)


async def _offer(service: Telemedicine, caller: Caller, slot_id: str) -> Offer:
    """What a Slot offers this caller: 404 unknown, 409 past, or of the caller's own hospital."""
    found = await offered(service, slot_id)
    if found is None:
        raise FhirError(404, "not-found", "no expert offers such a Slot; find one with $find", "Appointment.slot")
    if found.start < service.record.clock():
        raise FhirError(409, "conflict", "this time has begun already; find another with $find", "Appointment.slot")
    own = caller.kind != "patient" and caller.organization == found.expert.organization
    if own or caller.practitioner == found.expert.id:
        raise FhirError(409, "business-rule", "an expert of your own hospital needs no such booking", "Appointment.slot")
    return found


async def require_standing(service: Telemedicine, caller: Caller, current: Resource) -> None:
    """404 for who may not arrange consultations for the Patient of this Appointment."""
    patients = actors(current, "Patient")
    if not patients or is_expert(caller, current) or not await acts_for(service.record, caller, patients[0]):
        raise absent()


async def known(service: Telemedicine, caller: Caller, appointment_id: str) -> Resource | None:
    """The Appointment as far as this caller may know of it: to others it is an id that nothing has."""
    current = await kept(service.record, "Appointment", appointment_id)
    if current is None or is_expert(caller, current):
        return current
    patients = actors(current, "Patient")
    return current if patients and await acts_for(service.record, caller, patients[0]) else None


def absent() -> FhirError:
    """The same for an Appointment that is not there and for one of other people."""
    return FhirError(404, "not-found", "no such appointment, or not one of yours")


def is_expert(caller: Caller, current: Resource) -> bool:
    """Whether this caller is the expert of this Appointment."""
    is_same = caller.practitioner in actors(current, "Practitioner") and caller.organization == expert_organization(current)
    return caller.kind == "practitioner" and is_same


def require_status(current: Resource, *statuses: str) -> None:
    if current["status"] not in statuses:
        raise FhirError(409, "conflict", "the appointment has ended; nothing can be changed any more", "Appointment.status")


def booked(current: Resource) -> Resource:
    """The Appointment as booked: accepted by everybody, held no more."""
    participants = [one | {"status": "accepted"} for one in current["participant"]]
    return without_hold(current) | {"status": "booked", "participant": participants}


def without_hold(current: Resource) -> Resource:
    return current | {"extension": [one for one in current["extension"] if one["url"] != HELD_UNTIL]}


async def task(service: Telemedicine, current: Resource, status: str) -> list[Operation]:
    """What becomes of the pairing that led here, where there was one."""
    known = await task_of(service.record, current)
    return [Operation("update", "Task", known["id"], known | {"status": status})] if known else []


def _written(current: Resource) -> Operation:
    return Operation("update", "Appointment", current["id"], current, if_match=int(current["meta"]["versionId"]))


def _body(written: list[Written]) -> bytes:
    found: Any = written[0].body
    return bytes(found)
