"""Link and unlink Patients by hand, and the list of doubts: one document changes, and undoing restores what was before."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import custodian_of, refuse
from fhir_server.record.identity import review
from fhir_server.record.naming import touched
from fhir_server.record.operations import Operation
from fhir_server.record.writing import refusals_audited
from fhir_server.store.chain import Entry
from fhir_server.store.documents import REGION, Document, resource_key
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.persons import is_needed, linked, singleton, unlinked
from fhir_server.store.sealing import unseal
from fhir_server.store.snapshot import Snapshot

LIMIT = 500
Change = Callable[[Snapshot, list[Document]], Awaitable[None]]


async def link(record: Record, caller: Caller, patient_id: str, other_id: str) -> None:
    """Make two Patients one person, from the next request on. 404 for an unknown Patient, 409 for one in a person already."""
    await _change(record, caller, "link", (patient_id, other_id), _link)


async def unlink(record: Record, caller: Caller, patient_id: str) -> None:
    """Take a Patient out of its person: both are what they were before the link, with their own consents."""
    await _change(record, caller, "unlink", (patient_id,), _unlink)


async def ask(record: Record, caller: Caller, patient_id: str, other_id: str, reason: str) -> None:
    """Ask an administrator whether two Patients of the caller's are one person, unless that is known."""
    access = Access(caller, "person-review", f"Patient/{patient_id} Patient/{other_id}", record.clock())
    keys = [resource_key(record.codec, "Patient", one) for one in (patient_id, other_id)]

    async def decide(snapshot: Snapshot) -> Outcome:
        stored = [one for key in keys if (one := await snapshot.resource(key)) and one["c"] == custodian_of(record, caller)]
        people = await snapshot.persons(keys)
        is_known = any({*keys} <= {*person["patients"]} or "erased" in person for person in people)
        if len(stored) == len(keys) and not is_known and not await snapshot.kept_apart(keys[0], keys[1:]):
            await review(record, keys[0], tuple(keys[1:]), reason, snapshot, access.at)
        return Outcome(None, Entry(access.at, tuple(one["_id"] for one in stored), access.entry().what))

    await record.lanes.submit(Job(decide, keys=frozenset(keys)))


async def reviews(record: Record, caller: Caller) -> list[dict[str, Any]]:
    """The open doubts, newest first: the Patients and the reason."""
    access = Access(caller, "person-reviews", "$reviews", record.clock())
    await _require_admin(record, access)
    found = []
    async for one in record.database["reviews"].find({"state": "open"}, sort={"at": -1}, limit=LIMIT):
        sealed = read(unseal(record.codec.keys.key(REGION), one["sealed"], one["_id"]))
        found.append({"id": one["_id"].hex(), "at": one["at"], "reason": one["reason"], "patients": sealed["patients"]})
    await record.audit.record(access.entry())
    return found


async def _change(record: Record, caller: Caller, name: str, ids: tuple[str, ...], apply: Change) -> None:
    access = Access(caller, name, " ".join(f"Patient/{one}" for one in ids), record.clock())
    about = [Operation("update", "Patient", one) for one in ids]
    await _require_admin(record, access, about)
    keys = [resource_key(record.codec, "Patient", one) for one in ids]

    async def decide(snapshot: Snapshot) -> Outcome:
        stored = [await snapshot.resource(key) for key in keys]
        if not all(stored):
            raise FhirError(404, "not-found", "no such Patient")
        await apply(snapshot, [one for one in stored if one])
        await snapshot.close_reviews(keys)
        return Outcome(None, Entry(access.at, tuple(keys), access.entry().what))

    async with refusals_audited(record, access, about):
        await record.lanes.submit(Job(decide, keys=frozenset(keys)))


async def _link(snapshot: Snapshot, stored: list[Document]) -> None:
    person, other = [await _person(snapshot, one) for one in stored]
    if person["_id"] == other["_id"]:
        return
    if len(other["patients"]) > 1:
        raise FhirError(409, "conflict", "the second Patient belongs to a person already: unlink it first")
    await snapshot.put_persons((linked(person, other),), gone=(other["_id"],))
    await snapshot.bring_together(stored[1]["_id"], person["patients"])


async def _unlink(snapshot: Snapshot, stored: list[Document]) -> None:
    person = await _person(snapshot, stored[0])
    if len(person["patients"]) == 1:
        return
    patient = stored[0]["_id"]
    await snapshot.keep_apart(patient, [one for one in person["patients"] if one != patient])
    # An account that shows it since it was held to be that person's is not known to be this one's: they bind again.
    bound = await snapshot.bindings((patient,))
    await snapshot.drop_bindings([one for one in bound if one["patients"][0] == patient and len(one["patients"]) > 1])
    halves = unlinked(person, patient)
    await snapshot.put_persons(
        [one for one in halves if is_needed(one)], gone=[one["_id"] for one in halves if not is_needed(one)]
    )


async def _person(snapshot: Snapshot, stored: Document) -> Document:
    found = await snapshot.persons((stored["_id"],))
    person = found[0] if found else singleton(stored["_id"])
    if "erased" in person:
        raise FhirError(404, "not-found", "no such Patient")
    return person | {"owners": person["owners"] | {stored["_id"].hex(): stored["c"]}}


async def _require_admin(record: Record, access: Access, about: Sequence[Operation] = ()) -> None:
    if access.caller.kind != "admin":
        problem = "only an administrator may decide who is who"
        await refuse(record, access, "not an administrator", problem, await touched(record, about))
