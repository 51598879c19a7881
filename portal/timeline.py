"""The life by date and hospital, newest first."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from fhir_server.r4.json import read
from fhir_server.record.life import life
from portal.asking import Own, Patient
from portal.display import first_date, first_words
from portal.envelope import Envelope, Model
from portal.looking import Named, named
from portal.requests import Id, Paged, following, where
from portal.routing import OF_PATIENT, routes
from portal.service import Resource

router = routes("record")

Elements = tuple[str, ...]
SHOWN: dict[str, tuple[Elements, Elements]] = {
    "Encounter": (("period",), ("reasonCode",)),
    "Condition": (("onsetDateTime", "onsetPeriod", "recordedDate"), ("code",)),
    "AllergyIntolerance": (("onsetDateTime", "onsetPeriod", "recordedDate"), ("code",)),
    "Procedure": (("performedDateTime", "performedPeriod"), ("code",)),
    "DiagnosticReport": (("effectiveDateTime", "effectivePeriod", "issued"), ("code",)),
    "ImagingStudy": (("started",), ("description", "procedureCode")),
    "MedicationRequest": (("authoredOn",), ("medicationCodeableConcept",)),
    "Immunization": (("occurrenceDateTime",), ("vaccineCode",)),
    "Composition": (("date",), ("title", "type")),
    "DocumentReference": (("date",), ("description", "type")),
}
"""Type -> elements that tell its date, elements that tell what it is; the first that is there."""


class Listed(Paged):
    hospital: Annotated[Id | None, Field(description="only what this hospital wrote")] = None


class Item(Model):
    date: Annotated[str | None, Field(description="a day, month or year; or a moment in Beijing time (+08:00)")]
    type: Annotated[str, Field(description="a FHIR resource type", examples=["DiagnosticReport"])]
    typeText: str
    title: str
    hospital: Annotated[Named, Field(description="who wrote it")]
    reference: Annotated[str, Field(examples=["DiagnosticReport/123"])]


class Timeline(Model):
    items: list[Item]
    next: Annotated[str | None, Field(description="cursor of the next page; null on the last")]


@router.get("/timeline", responses=OF_PATIENT)
async def timeline(own: Patient, wanted: Annotated[Listed, Query()]) -> Envelope[Timeline]:
    """What happened, newest first, whichever hospital wrote it."""
    pairs = [("list", "timeline"), ("hospital", wanted.hospital or "")]
    begin = where(own, wanted, pairs)
    page, cursor = await life(own.portal.record, own.caller, SHOWN, wanted.count, begin, wanted.hospital)
    hospitals = await named(own, "Organization", (custodian for _, custodian in page))
    items = [_item(own, read(raw), hospitals[custodian]) for raw, custodian in page]
    return own.answer(Timeline(items=items, next=following(own, pairs, cursor)))


def _item(own: Own, resource: Resource, hospital: Named) -> Item:
    kind = resource["resourceType"]
    dates, titles = SHOWN[kind]
    label = own.texts.text("type", kind)
    if kind == "Encounter":
        label = own.texts.label("encounter", resource["class"].get("code", ""), label)
    return Item(
        date=first_date(resource, dates),
        type=kind,
        typeText=label,
        title=first_words(resource, titles) or label,
        hospital=hospital,
        reference=f"{kind}/{resource['id']}",
    )
