"""Who looked: a patient's own access log, and the privacy officer's list of broken glass (DESIGN 4)."""

from typing import Any

from consent.caller import Caller
from consent.decision import BREAK_GLASS
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import admit, view
from fhir_server.store.documents import resource_key

LIMIT = 500


async def of_patient(record: Record, caller: Caller, patient_id: str) -> list[dict[str, Any]]:
    """The newest accesses, allowed and denied, to the person this token is for; 404 for anybody else's."""
    access = Access(caller, "operation-access-log", f"Patient/{patient_id}/$access-log", record.clock())
    await admit(record, access, "AuditEvent", "r")
    sight = await view(record, caller)
    if resource_key(record.codec, "Patient", patient_id) not in sight.own:
        await record.audit.record(access.entry(outcome="absent"))
        raise FhirError(404, "not-found", "an access log is for the person it is about")
    found = [_without_criteria(one) async for one in record.audit.of_persons(sight.own, LIMIT)]
    await record.audit.record(access.entry())
    return found


async def of_broken_glass(record: Record, caller: Caller) -> list[dict[str, Any]]:
    """The newest uses of break-glass, with their reasons; for administrators (the privacy officer)."""
    access = Access(caller, "operation-broken-glass", "$broken-glass", record.clock())
    if caller.kind != "admin":
        await record.audit.record(access.entry(outcome="refused", reason="not an administrator"))
        raise FhirError(403, "forbidden", "only an administrator may list broken glass")
    found = [one async for one in record.audit.marked(BREAK_GLASS, LIMIT)]
    await record.audit.record(access.entry())
    return found


def _without_criteria(access: dict[str, Any]) -> dict[str, Any]:
    """The access without what was searched for: one search may name several persons."""
    return access | {"asked": access["asked"].partition("?")[0]}
