"""Who looked: a patient's own access log, and the privacy officer's list of broken glass (DESIGN 4)."""

from typing import Any

from consent.caller import Caller
from consent.decision import BREAK_GLASS
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import admit, refuse, view
from fhir_server.record.naming import patient_there
from fhir_server.record.paging import Cursor
from fhir_server.store.documents import resource_key

LIMIT = 500
CHUNK = 200


async def of_patient(record: Record, caller: Caller, patient_id: str) -> list[dict[str, Any]]:
    """The newest accesses, allowed and denied, to the person this token is for; 404 for anybody else's."""
    access = Access(caller, "operation-access-log", f"Patient/{patient_id}/$access-log", record.clock())
    await admit(record, access, "AuditEvent", "r")
    sight = await view(record, caller)
    if resource_key(record.codec, "Patient", patient_id) not in sight.own:
        await record.audit.record(access.entry(about=await patient_there(record, patient_id), outcome="deny"))
        raise FhirError(404, "not-found", "an access log is for the person it is about")
    found = [_told(one, sight.own) async for one in record.audit.of_persons(sight.own, LIMIT)]
    await record.audit.record(access.entry(about=sight.own))
    return found


async def page_of_own(
    record: Record, caller: Caller, size: int, cursor: Cursor | None = None, *, others: bool = False
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """A page of the accesses to the caller's own person, newest first, each with `own`: whether it was by this very account.

    `others`: without those. And where to go on, if there is more.
    """
    access = Access(caller, "operation-access-log", f"Patient/{caller.patient}/$access-log", record.clock())
    await admit(record, access, "AuditEvent", "r")
    own = (await view(record, caller)).own
    found: list[dict[str, Any]] = []
    at, passed = (cursor.value, list(cursor.tied)) if cursor else (None, [])
    while len(found) <= size:
        chunk = [one async for one in record.audit.of_persons(own, CHUNK, at, passed)]
        told = [_told(one, own) | {"own": one["caller"]["id"] == caller.id} for one in chunk]
        found += [one for one in told if not (others and one["own"])]
        if len(chunk) < CHUNK:
            break
        at, passed = _after(chunk, at, passed)
    await record.audit.record(access.entry(about=own))
    shown = found[:size]
    if len(found) <= size:
        return shown, None
    at, passed = _after(shown, cursor.value if cursor else None, list(cursor.tied) if cursor else [])
    return shown, Cursor(passed[0], value=at, tied=tuple(passed))


def _after(shown: list[dict[str, Any]], before: int | None, passed: list[bytes]) -> tuple[int, list[bytes]]:
    """Where a page or chunk ended: its last moment, and all of that moment that have been passed."""
    last: int = shown[-1]["at"]
    tied = [bytes.fromhex(one["id"]) for one in shown if one["at"] == last]
    return last, tied + (passed if last == before else [])


async def of_broken_glass(record: Record, caller: Caller) -> list[dict[str, Any]]:
    """The newest uses of break-glass, with their reasons; for administrators (the privacy officer)."""
    access = Access(caller, "operation-broken-glass", "$broken-glass", record.clock())
    if caller.kind != "admin":
        await refuse(record, access, "not an administrator", "only an administrator may list broken glass")
    found = [one async for one in record.audit.marked(BREAK_GLASS, LIMIT)]
    await record.audit.record(access.entry())
    return found


def _told(access: dict[str, Any], own: frozenset[bytes]) -> dict[str, Any]:
    """The access without what was searched for: one search may name several persons.

    Where others are named as well, it may be theirs that was asked for, and their consent or emergency that decided.
    """
    if own.issuperset(access["persons"]):
        return access | {"asked": access["asked"].partition("?")[0]}
    return access | {"asked": access["asked"].partition("?")[0].partition("/")[0], "reason": ""}
