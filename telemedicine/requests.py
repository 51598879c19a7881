"""Requests for a consultation: active ServiceRequests for one, as far as the gate lets the telemedicine service see them.

    code           SNOMED CT 448337001          performerType  the specialty        priority  the urgency
    requester      the own hospital             authoredOn     since when            extension  the language
What became of a request stands in one Task (R4 task.html), whose versions are its pairings, each with its reason.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.r4.dates import interval
from fhir_server.r4.json import read
from fhir_server.r4.references import literal
from fhir_server.record.consultations import SYSTEM, kept
from fhir_server.record.context import Record
from fhir_server.record.paging import Cursor
from fhir_server.record.searching import search
from fhir_server.search.query import parse
from telemedicine.pairing import URGENCY, Request
from telemedicine.specialties import LANGUAGES, SNOMED, SPECIALTIES

LANGUAGE = "urn:hie:StructureDefinition:consultation-language"
PAGE = 500
QUERY = (
    ("code", f"{SNOMED}|448337001"),
    ("status", "active"),
    ("_count", str(PAGE)),
)


@dataclass(frozen=True, slots=True)
class Open:
    """An open request, and the Patient it is for."""

    request: Request
    patient: str


async def open_requests(record: Record, now: int) -> AsyncIterator[Open]:
    """All requests that wait for an expert: not booked, nor held still."""
    cursor: Cursor | None = None
    query = parse("ServiceRequest", QUERY)
    while True:
        page = await search(record, SYSTEM, query, "ServiceRequest?code=teleconsultation&status=active", cursor)
        found = [one for one in map(_open, map(read, page.matches)) if one is not None]
        settled = await asyncio.gather(*(_settled(record, one.request.id, now) for one in found))
        for one, is_settled in zip(found, settled, strict=True):
            if not is_settled:
                yield one
        if page.next is None:
            return
        cursor = page.next


def _open(resource: Mapping[str, Any]) -> Open | None:
    """A request that can be paired; None where it names no specialty, language or Patient that is known."""
    specialties = [one["code"] for one in resource.get("performerType", {}).get("coding", ()) if one.get("code") in SPECIALTIES]
    languages = [one.get("valueCode") for one in resource.get("extension", ()) if one["url"] == LANGUAGE]
    patient, own = _target(resource.get("subject"), "Patient"), _target(resource.get("requester"), "Organization")
    language = languages[0] if languages else "zh"
    if not specialties or language not in LANGUAGES or not patient:
        return None
    urgency = resource.get("priority", "routine")
    since = interval(resource["authoredOn"] if "authoredOn" in resource else resource["meta"]["lastUpdated"])[0]
    assert urgency in URGENCY  # the binding of ServiceRequest.priority is required
    return Open(Request(resource["id"], specialties[0], language, urgency, own, since), patient)


def _target(reference: Mapping[str, Any] | None, resource_type: str) -> str:
    target = literal((reference or {}).get("reference", ""))
    return target[1] if target and target[0] == resource_type else ""


def task_id(record: Record, request: str) -> str:
    """The id of the Task that says what becomes of a request."""
    return f"pairing-{record.codec.identity(f'pairing/{request}').hex()}"


async def task_of(record: Record, appointment: Mapping[str, Any]) -> dict[str, Any] | None:
    """The Task whose present pairing made this Appointment; None where there is none, or where a later one took its place."""
    for one in appointment.get("basedOn", ()):
        found = await kept(record, "Task", task_id(record, _target(one, "ServiceRequest")))
        if found is not None and _appointment(found) == appointment["id"]:
            return found
    return None


def _appointment(task: Mapping[str, Any]) -> str:
    references = (one["valueReference"] for one in task["output"] if "valueReference" in one)
    return next((_target(one, "Appointment") for one in references), "")


async def _settled(record: Record, request: str, now: int) -> bool:
    """Whether a pairing stands: taken up, or held still."""
    task = await kept(record, "Task", task_id(record, request))
    if task is not None and task["status"] == "requested":
        return now < interval(task["restriction"]["period"]["end"])[0]
    return task is not None and task["status"] in ("accepted", "completed")
