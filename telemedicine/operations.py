"""$find, $hold, $book and $close: from parameters to what was found or done. What each means is in docs/telemedicine.md."""

from typing import Any
from urllib.parse import urlencode

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.record.bookings import actors
from telemedicine import booking, parameters
from telemedicine.finding import Resource, find, proposal
from telemedicine.parameters import Values
from telemedicine.service import Telemedicine

OPEN = ("proposed", "pending", "booked")


async def propose(service: Telemedicine, caller: Caller, values: Values) -> tuple[int, list[Resource]]:
    """ITI-115: (how many free times there are, as many proposed Appointments as were asked for)."""
    shown = [(name, one) for name, given in values.items() for one in given if isinstance(one, str)]
    found = await find(service, caller, parameters.wanted(values), f"Appointment/$find?{urlencode(shown)}")
    patient = parameters.target(values, "patient-reference", "Patient")
    return len(found), [proposal(one, patient) for one in found[: parameters.count(values)]]


async def hold(service: Telemedicine, caller: Caller, values: Values) -> bytes:
    """ITI-116: the pending Appointment."""
    slot = parameters.target(values, "appointment-reference", "Appointment")
    if slot is None:
        raise _missing("appointment-reference")
    return await booking.hold(service, caller, slot, _patient(caller, values, {}))


async def book(service: Telemedicine, caller: Caller, values: Values) -> bytes:
    """ITI-117: the Appointment as it is now: booked, moved or cancelled."""
    wanted = parameters.resource(values, "appointment-resource")
    if wanted is None:
        return await _book_by_reference(service, caller, values)
    if wanted.get("resourceType") != "Appointment" or wanted.get("status") not in (*OPEN, "cancelled"):
        raise FhirError(
            400, "invalid", "must be an Appointment: pending or booked, or cancelled to give it up", "Appointment.status"
        )
    known = str(wanted.get("id", ""))
    current = await booking.known(service, caller, known)
    if wanted["status"] == "cancelled":
        return await booking.cancel(service, caller, known)
    slot = _slot(wanted)
    if current is None:
        reason = _reason(wanted) or parameters.text(values, "comment")
        return await booking.book(service, caller, slot, _patient(caller, values, wanted), reason)
    if slot == _slot(current):
        return await booking.confirm(service, caller, known)
    return await booking.reschedule(service, caller, known, slot)


async def _book_by_reference(service: Telemedicine, caller: Caller, values: Values) -> bytes:
    known = parameters.target(values, "appointment-reference", "Appointment")
    if known is None:
        raise _missing("appointment-reference")
    if await booking.known(service, caller, known) is not None:
        return await booking.confirm(service, caller, known)
    return await booking.book(service, caller, known, _patient(caller, values, {}), parameters.text(values, "comment"))


def _patient(caller: Caller, values: Values, wanted: Resource) -> str:
    """For whom: as the parameter says, else the Appointment's participant, else the patient who asks."""
    told = (
        parameters.target(values, "patient-reference", "Patient") or next(iter(_participants(wanted)), None) or caller.patient
    )
    if told is None:
        raise _missing("patient-reference")
    return told


def _participants(wanted: Resource) -> list[str]:
    try:
        return actors(wanted, "Patient")
    except (AttributeError, TypeError):
        raise FhirError(400, "structure", "must be participants with an actor", "Appointment.participant") from None


def _slot(wanted: Resource) -> str:
    given: Any = wanted.get("slot") or [None]
    found = parameters.id_of(given[0], "Slot") if isinstance(given, list) else None
    if found is None:
        raise FhirError(400, "required", "name the Slot, as $find gives it", "Appointment.slot")
    return found


def _reason(wanted: Resource) -> str:
    """The first reason in words."""
    given: Any = wanted.get("reasonCode") or [{}]
    found = given[0].get("text", "") if isinstance(given, list) and isinstance(given[0], dict) else ""
    return found if isinstance(found, str) else ""


def _missing(name: str) -> FhirError:
    return FhirError(400, "required", f"send Parameters with {name}", "Parameters.parameter")
