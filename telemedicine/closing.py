"""The end of a consultation: Encounter and Composition written, the Appointment fulfilled, the grant gone; all or nothing."""

from html import escape
from typing import Any

from consent.caller import Caller
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import CONSULTING, TELEMEDICINE, actors, period
from fhir_server.record.consultations import SYSTEM, kept
from fhir_server.record.gate import require_scope
from fhir_server.record.operations import Operation
from fhir_server.record.writing import commit, refusals_audited
from telemedicine.booking import absent, is_expert, require_status, task
from telemedicine.finding import Resource
from telemedicine.service import Telemedicine
from telemedicine.specialties import SNOMED

LONGEST_OPINION = 20_000
VIRTUAL = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "VR", "display": "virtual"}
CONSULT_NOTE = {"coding": [{"system": "http://loinc.org", "code": "11488-4", "display": "Consult note"}]}
OPINION = {"coding": [{"system": "http://loinc.org", "code": "51848-0", "display": "Evaluation note"}]}


async def close(service: Telemedicine, caller: Caller, appointment_id: str, opinion: str) -> list[bytes]:
    """Appointment, Encounter and Composition as JSON. Only its expert closes a consultation; 409 if it is over already."""
    record = service.record
    access = Access(caller, "operation-close", f"Appointment/{appointment_id}", record.clock())
    async with refusals_audited(record, access):
        require_scope(caller, "Appointment", "u")
        if caller.kind != "practitioner":
            raise FhirError(403, "forbidden", "only the expert of a consultation closes it")
        current = await kept(record, "Appointment", appointment_id)
        if current is None or not is_expert(caller, current):
            raise absent()
        require_status(current, *CONSULTING)
        if not 1 <= len(opinion.strip()) <= LONGEST_OPINION:
            raise FhirError(400, "required", f"state the opinion in 1 to {LONGEST_OPINION} characters", "Parameters.parameter")
        written = await commit(record, access, SYSTEM, await _report(service, current, opinion.strip(), access.at))
        return [one.body or b"" for one in written[:3]]


async def _report(service: Telemedicine, current: Resource, opinion: str, now: int) -> list[Operation]:
    new_id = service.record.new_id
    encounter = {"resourceType": "Encounter", "id": new_id(), **await _encounter(service, current, now)}
    composition = {"resourceType": "Composition", "id": new_id(), **_composition(current, encounter, opinion, now)}
    fulfilled = current | {"status": "fulfilled"}
    return [
        Operation("update", "Appointment", current["id"], fulfilled, if_match=int(current["meta"]["versionId"])),
        Operation("create", "Encounter", encounter["id"], encounter),
        Operation("create", "Composition", composition["id"], composition),
        *await task(service, current, "completed"),
    ]


async def _encounter(service: Telemedicine, current: Resource, now: int) -> Resource:
    expert = (await service.experts()).get(actors(current, "Practitioner")[0])
    return {
        "status": "finished",
        "class": VIRTUAL,
        "serviceType": current["serviceType"][0],
        "subject": _actor(current, "Patient"),
        "participant": [{"individual": _actor(current, "Practitioner")}],
        "appointment": [{"reference": f"Appointment/{current['id']}"}],
        "period": {"start": instant(min(period(current)[0], now)), "end": instant(now)},
        **({"serviceProvider": {"reference": f"Organization/{expert.organization}"}} if expert else {}),
    }


def _composition(current: Resource, encounter: Resource, opinion: str, now: int) -> Resource:
    div = "".join(f"<p>{escape(line)}</p>" for line in opinion.splitlines() if line.strip())
    text = {"status": "additional", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{div}</div>'}
    return {
        "status": "final",
        "type": CONSULT_NOTE,
        "subject": _actor(current, "Patient"),
        "encounter": {"reference": f"Encounter/{encounter['id']}"},
        "date": instant(now),
        "author": [_actor(current, "Practitioner")],
        "title": "远程会诊意见",
        "custodian": {"reference": f"Organization/{TELEMEDICINE}"},
        "event": [{"code": [{"coding": [{"system": SNOMED, "code": "448337001"}]}], "period": encounter["period"]}],
        "section": [{"title": "会诊意见", "code": OPINION, "text": text}],
    }


def _actor(current: Resource, resource_type: str) -> dict[str, Any]:
    """The reference of the participant of this type."""
    found = (
        one["actor"] for one in current["participant"] if (literal(one["actor"]["reference"]) or ("",))[0] == resource_type
    )
    return dict(next(found))
