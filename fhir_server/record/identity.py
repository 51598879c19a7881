"""Linking at write: a Patient joins its person in the transaction that writes it, so that it is never seen apart from it.

Two hospitals that write the same person at the same moment lock the same claim rows, so that one sees the other.
How Patients are compared is given by fhir_server/persons.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fhir_server.r4.json import read, write
from fhir_server.record.context import Match, Record
from fhir_server.record.gate import being_erased
from fhir_server.record.operations import Operation
from fhir_server.store.documents import REGION, Document, body, hashed_term
from fhir_server.store.persons import is_needed, linked, singleton
from fhir_server.store.sealing import seal
from fhir_server.store.snapshot import Snapshot


def identity_claims(record: Record, operation: Operation) -> set[bytes]:
    """The rows that writing this Patient locks: one for each identifier that tells who somebody is."""
    if operation.resource_type != "Patient" or operation.resource is None:
        return set()
    return {record.codec.identity(f"person/{known}") for known in record.identity.identifiers(operation.resource)}


def identity_terms(record: Record, operations: Iterable[Operation]) -> frozenset[int]:
    """The terms by which the Patients that these operations write are compared with others."""
    patients = [one.resource for one in operations if one.resource_type == "Patient" and one.resource]
    return frozenset(term for one in patients for term in identifier_terms(record, record.identity.identifiers(one)))


def identifier_terms(record: Record, identifiers: Iterable[str]) -> list[int]:
    """The terms under which Patients with these `system|value` are found."""
    return [hashed_term(record.codec, f"Patient.identifier={known}") for known in identifiers]


async def identify(
    record: Record, resource: dict[str, Any], made: Document, beside: list[Document], snapshot: Snapshot, now: int
) -> None:
    """Link a Patient that is being written to its person, or ask a human where the evidence disagrees.

    `beside`: all that the same request writes, which the store does not show yet.
    """
    if resource["resourceType"] != "Patient":
        return
    own = next(iter(await snapshot.persons((made["_id"],))), singleton(made["_id"]))
    if "erased" in own:
        raise being_erased()
    if own["owners"].get(made["_id"].hex()) != made["c"]:
        own = own | {"owners": own["owners"] | {made["_id"].hex(): made["c"]}}
        if is_needed(own):
            await snapshot.put_persons((own,))
    candidates = await _candidates(record, resource, made, beside, snapshot)
    found = record.identity.match(resource, [(key, read(body(record.codec, stored))) for key, stored in candidates.items()])
    await _settle(record, made, own, candidates, found, snapshot, now)


async def _candidates(
    record: Record, resource: dict[str, Any], made: Document, beside: list[Document], snapshot: Snapshot
) -> dict[bytes, Document]:
    identifiers = record.identity.identifiers(resource)
    if not identifiers:
        return {}
    terms = identifier_terms(record, identifiers)
    patients = {one["_id"]: one for one in beside if one["t"] == made["t"]}
    stored = {key: one for key, one in (await snapshot.marked(made["t"], terms)).items() if key not in patients}
    stored |= {key: one for key, one in patients.items() if not set(terms).isdisjoint(one["x"])}
    persons = await snapshot.persons(stored) if stored else []
    gone = {patient for person in persons if "erased" in person for patient in person["patients"]}
    return {key: one for key, one in stored.items() if key != made["_id"] and key not in gone}


async def _settle(
    record: Record, made: Document, own: Document, candidates: dict[bytes, Document], found: Match, snapshot: Snapshot, now: int
) -> None:
    persons = {person["_id"]: person for person in await snapshot.persons(found.same)}
    related = {patient for person in persons.values() for patient in person["patients"]} | set(found.same) | set(found.review)
    apart = await snapshot.kept_apart(made["_id"], related) if related else set()
    if apart:  # a human has decided: neither linked again, nor asked again
        persons = {key: person for key, person in persons.items() if apart.isdisjoint(person["patients"])}
        found = replace(found, same=_without(apart, found.same), review=_without(apart, found.review))
    known = {patient for person in persons.values() for patient in person["patients"]}
    for patient in found.same:
        if patient not in known:
            persons[patient] = singleton(patient) | {"owners": {patient.hex(): candidates[patient]["c"]}}
    others = [person for person in persons.values() if person["_id"] != own["_id"]]
    if len(others) > 1 or (others and len(own["patients"]) > 1):
        await review(record, made["_id"], found.same, "the evidence would join two persons", snapshot, now)
    elif others:
        await snapshot.put_persons((linked(others[0], own),), gone=(own["_id"],) if is_needed(own) else ())
    if found.review:
        await review(record, made["_id"], found.review, found.reason, snapshot, now)
    elif len(own["patients"]) > 1 and not found.same:
        rest = tuple(patient for patient in own["patients"] if patient != made["_id"])
        await review(record, made["_id"], rest, "a linked Patient no longer shares an identifier", snapshot, now)


def _without(apart: set[bytes], patients: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(patient for patient in patients if patient not in apart)


async def review(record: Record, patient: bytes, others: tuple[bytes, ...], reason: str, snapshot: Snapshot, now: int) -> None:
    """Put a question to a human: who it is about is sealed, what is asked is not."""
    patients = sorted((patient, *others))
    key = record.codec.identity("review/" + "/".join(one.hex() for one in patients))
    stored = [await snapshot.resource(one) for one in patients]  # not `find`: one of them is only being written
    ids = sorted(f"Patient/{read(body(record.codec, one))['id']}" for one in stored if one and "b" in one)
    sealed = seal(record.codec.keys.key(REGION), write({"patients": ids}), key)
    review = {"_id": key, "patients": patients, "reason": reason, "state": "open", "at": now, "sealed": sealed}
    await snapshot.put_review(review)
