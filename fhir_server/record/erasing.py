"""Patient/$erase: a person's data keys are destroyed, and behind that all rows (docs/decisions/0026-erasing-a-person.md).

The mark on the person document is the whole state: it is committed with the audit entry, hides the person from the next
request on, and stays until nothing is left. Every process that finds it goes on with the work, after a restart as well.
"""

import asyncio
import logging

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import refuse
from fhir_server.record.glass import require_reason
from fhir_server.record.naming import patient_there
from fhir_server.record.operations import Operation
from fhir_server.record.paging import Cursor, follow, link
from fhir_server.record.writing import refusals_audited
from fhir_server.store.chain import Entry
from fhir_server.store.documents import resource_key
from fhir_server.store.erasing import Held, held, remove
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.persons import singleton
from fhir_server.store.snapshot import Snapshot

log = logging.getLogger("hie.erasing")

ERASE = "operation-erase"
VALID = 10 * 60_000  # ms that a confirmation holds
POLL = 0.5  # seconds: how often each process looks for marks
SETTLE = 2_000  # ms from mark to destruction: what was being read before it is read to the end


async def foresee(record: Record, caller: Caller, patient_id: str) -> tuple[Held, int, str]:
    """What would be erased: resources, the person's Patients, and the confirmation with which to ask for it."""
    access, patients = await _asked(record, caller, patient_id)
    found = await held(record.database, patients)
    await record.audit.record(Entry(access.at, tuple(patients), access.entry(reason="foreseen").what))
    pairs = [(ERASE, one.hex()) for one in patients]
    return found, len(patients), link(record.page_key, caller, [*pairs, ("until", str(access.at + VALID))], Cursor(b""))


async def erase(record: Record, caller: Caller, patient_id: str, confirmation: str, reason: str) -> None:
    """Mark the person: hidden from the next request on, and soon gone. 409 where who they are has changed."""
    access, patients = await _asked(record, caller, patient_id)
    entry = Entry(access.at, tuple(patients), access.entry(reason=reason).what, mark=ERASE)

    async def decide(snapshot: Snapshot) -> Outcome:
        person = next(iter(await snapshot.persons(patients)), singleton(patients[0]))
        if sorted(person["patients"]) != patients:
            raise FhirError(409, "conflict", "who this person is has just changed; ask again", "confirmation")
        await snapshot.put_persons((person | {"rules": [], "erased": access.at, "rev": 0},))
        return Outcome(None, entry)

    async with refusals_audited(record, access, [Operation("delete", "Patient", patient_id)]):
        require_reason(reason, "reason")
        if _confirmed(record, caller, confirmation) != patients:
            raise FhirError(409, "conflict", "this confirms the erasure of other Patients; ask again", "confirmation")
        await record.lanes.submit(Job(decide, claims=frozenset(patients)))
    await record.registry.drain()  # what is written about them from here on is refused, in every process


async def erase_for_ever(record: Record) -> None:
    """Look for marks and finish what they ask for; runs until cancelled."""
    while True:
        await asyncio.sleep(POLL)
        try:
            await record.exceptions.sync()
            if record.exceptions.erasing:
                with record.codec.keys.erasing() as alone:
                    await (_finish_all(record) if alone else asyncio.sleep(0))
        except Exception as error:
            log.error("an erasure goes on later: %s", type(error).__name__)


async def _finish_all(record: Record) -> None:
    await record.exceptions.sync()  # another process may have finished just now, and what came since is not to go
    for person, since in list(record.exceptions.erasing.items()):
        if record.clock() >= since + SETTLE:
            await _finish(record, list(record.exceptions.members[person]))


async def _finish(record: Record, patients: list[bytes]) -> None:
    await record.registry.drain()  # nothing that is sealed with these keys is under way any more
    await record.codec.keys.erase(patients)
    removed = await remove(record.database, patients)
    access = Access(Caller("exchange", "admin"), ERASE, "", record.clock())
    entry = Entry(access.at, tuple(patients), access.entry(reason="done", extra={"removed": removed}).what, mark=ERASE)

    async def decide(snapshot: Snapshot) -> Outcome:
        old = await snapshot.persons(patients)
        new = [singleton(patient) | {"rev": 0} for patient in patients]  # revised, for every process to notice
        await snapshot.put_persons((), gone=[one["_id"] for one in old])
        await snapshot.put_persons(new)
        return Outcome(None, entry)

    await record.lanes.submit(Job(decide, claims=frozenset(patients)))
    log.warning("an erasure is over: %d resources are gone", removed)


async def _asked(record: Record, caller: Caller, patient_id: str) -> tuple[Access, list[bytes]]:
    """The keys of all Patients of the person, sorted; 403 for who is no administrator, 404 where there is no such Patient."""
    access = Access(caller, ERASE, f"Patient/{patient_id}", record.clock())
    if caller.kind != "admin":
        problem = "only an administrator may erase a person"
        await refuse(record, access, "not an administrator", problem, await patient_there(record, patient_id))
    key = resource_key(record.codec, "Patient", patient_id)
    patients = await record.patients_of_person(key)
    await record.exceptions.sync()
    if await record.by_key(key) is None or not record.exceptions.erased.isdisjoint(patients):
        await record.audit.record(access.entry(outcome="absent"))
        raise FhirError(404, "not-found", "no such Patient")
    return access, sorted(patients)


def _confirmed(record: Record, caller: Caller, confirmation: str) -> list[bytes]:
    """The Patients whose erasure it confirms; 400 for any but one's own, and for one that is too old."""
    try:
        pairs, _ = follow(record.page_key, caller, confirmation)
    except FhirError:
        pairs = []
    (_, until) = pairs[-1] if pairs and pairs[-1][0] == "until" else ("", "0")
    if int(until) < record.clock():
        raise FhirError(400, "invalid", "no confirmation of yours, or too old: ask without one first", "confirmation")
    return [bytes.fromhex(text) for name, text in pairs if name == ERASE]
