"""Consultations with an expert: book, list, cancel. What can be booked and by whom is telemedicine's to say."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field, model_validator

from fhir_server.r4.json import read
from fhir_server.record.bookings import CONSULTING, actors, expert_organization
from portal.asking import Own, Patient
from portal.display import codes, first_words, local, status
from portal.envelope import Coded, Envelope, Model
from portal.looking import Named, directory, found
from portal.requests import ID, Asked, Id, Paged, following, where
from portal.routing import OF_PATIENT, refuses, routes
from portal.service import Resource

router = routes("consultations")


class Booking(Asked):
    """A free time of an expert, or an appointment that is held for the patient (status `pending`)."""

    slot: Annotated[Id | None, Field(description="from /experts")] = None
    appointment: Annotated[Id | None, Field(description="one that is held: to confirm it")] = None
    reason: Annotated[str, Field(max_length=500, description="with a slot: what it is about")] = ""

    @model_validator(mode="after")
    def _one(self) -> "Booking":
        if (self.slot is None) is (self.appointment is None) or (self.appointment and self.reason):
            raise ValueError("a slot, with a reason if you like, or an appointment that is held")
        return self


class Appointment(Model):
    id: str
    status: Annotated[str, Field(examples=["booked"])]
    statusText: str
    start: Annotated[str | None, Field(description="Beijing time")]
    end: str | None
    expert: Named | None
    hospital: Named | None
    specialties: list[Coded]
    reason: str
    cancellable: bool


class Appointments(Model):
    items: list[Appointment]
    next: str | None


@router.get("/appointments", responses=OF_PATIENT)
async def appointments(own: Patient, wanted: Annotated[Paged, Query()]) -> Envelope[Appointments]:
    """The patient's appointments, the latest first."""
    pairs = [("patient", f"Patient/{own.caller.patient}"), ("_sort", "-date"), ("_count", str(wanted.count))]
    page, cursor = await found(own, "Appointment", pairs, where(own, wanted, pairs))
    return own.answer(Appointments(items=await _shown(own, page), next=following(own, pairs, cursor)))


@router.post("/appointments", status_code=201, responses=OF_PATIENT | refuses(404, 409))
async def book(own: Patient, wanted: Booking) -> Envelope[Appointment]:
    """Book. The expert sees the patient's record from now until the consultation is closed or cancelled."""
    consultations, patient = own.portal.consultations, own.caller.patient or ""
    if wanted.appointment:
        return await _answer(own, await consultations.confirm(own.caller, wanted.appointment))
    return await _answer(own, await consultations.book(own.caller, wanted.slot or "", patient, wanted.reason))


@router.delete("/appointments/{id}", responses=OF_PATIENT | refuses(404, 409))
async def cancel(own: Patient, id: Annotated[str, Path(pattern=ID)]) -> Envelope[Appointment]:
    """Cancel: the time is free again, and the record closed to the expert, from the next request on."""
    return await _answer(own, await own.portal.consultations.cancel(own.caller, id))


async def _answer(own: Own, written: bytes) -> Envelope[Appointment]:
    return own.answer((await _shown(own, [read(written)]))[0])


async def _shown(own: Own, page: list[Resource]) -> list[Appointment]:
    known = {known for one in page if (known := expert_organization(one))}
    hospitals, experts = await directory(own, known, {known for one in page for known in actors(one, "Practitioner")})
    return [
        Appointment(
            id=one["id"],
            status=status(one),
            statusText=own.texts.label("appointment", status(one), status(one)),
            start=local(one.get("start")),
            end=local(one.get("end")),
            expert=next((experts[known] for known in actors(one, "Practitioner")), None),
            hospital=hospitals.get(expert_organization(one)),
            specialties=[
                Coded(code=code, text=own.texts.label("specialty", code, code))
                for code in dict.fromkeys(codes(one.get("specialty")))
            ],
            reason=first_words(one, ("reasonCode", "description")),
            cancellable=bool(expert_organization(one)) and status(one) in (*CONSULTING, "pending"),
        )
        for one in page
    ]
