"""Binding: whose record an account of a patient's app may show. Identity matching, a declared exception (DESIGN 4).

An account is bound to one person, its own, and a person to one account. Whatever speaks against a binding, the answer is the
same; the audit says why, and names the persons whose number was given, who thus see that somebody tried.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from consent.caller import Caller
from consent.scopes import DEFAULTS
from fhir_server.r4.errors import FhirError
from fhir_server.r4.identifier_systems import found_by
from fhir_server.r4.json import read
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import refuse
from fhir_server.record.identity import identifier_terms
from fhir_server.record.naming import patient_there
from fhir_server.store import bindings
from fhir_server.store.attempts import attempt
from fhir_server.store.chain import Entry
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, Document, body, resource_key
from fhir_server.store.keystore import KeyErased
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.snapshot import Snapshot

HOUR_MS, DAY_MS = 3_600_000, 24 * 3_600_000
PER_ACCOUNT, PER_IDENTIFIER = 5, 10
"""Attempts of one account in an hour; with one identity number in a day, whoever tries."""

CANDIDATES = 50
PATIENT = TYPE_NUMBER["Patient"]

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """What somebody holds: a number of a system or, with `hospital` (id of its Organization), one of that hospital's own."""

    value: str
    system: str = ""
    hospital: str = ""


class Throttled(FhirError):
    """Too many attempts; `retry_after` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(429, "throttled", "too many attempts; try again later")
        self.retry_after = retry_after


class _Mismatch(FhirError):
    """Why there is no binding, and whose number was given: for the audit only."""

    def __init__(self, reason: str, touched: Iterable[bytes]) -> None:
        super().__init__(404, "not-found", "no person matches what was given; compare it with the card, or ask at the hospital")
        self.reason = reason
        self.touched = tuple(touched)


def account_key(record: Record, provider: str, known: str) -> bytes:
    """An account as it is stored: a keyed hash of the provider's name for the app and its name for the person."""
    return record.codec.identity(f"account/{provider}/{known}")


async def bound_caller(record: Record, account: bytes) -> Caller | None:
    """The caller that an account acts as: the patient it is bound to; None where it is bound to nobody."""
    stored = await record.database["bindings"].find_one({"_id": account})
    patient = bindings.bound_patient(record.codec, stored) if stored else None
    return _caller(account, patient) if patient else None


async def bind(record: Record, account: bytes, claimed: Resource, card: Card) -> None:
    """Bind an account to the one person who is as `claimed` (a Patient: identifiers, name, birth date) and has the card.

    404 with one text for all that speaks against it, 409 for an account that is bound already, `Throttled` for too many.
    """
    access = Access(_caller(account), "bind", f"Patient/$bind?{_asked(claimed, card)}", record.clock())
    try:
        if await bound_caller(record, account):
            raise _bound_already()
        await _throttle(record, access, account, claimed)
        patient, patients = await _matched(record, claimed, card)
        await record.lanes.submit(_binding(record, access, account, patient, patients))
    except _Mismatch as mismatch:
        what = access.entry(outcome="deny", reason=mismatch.reason).what
        await record.audit.record(Entry(access.at, mismatch.touched, what))
        raise
    except FhirError as refusal:
        await record.audit.record(access.refused(refusal))
        raise


async def unbind(record: Record, account: bytes) -> None:
    """The account shows nobody's record any more, from the next request on."""
    access = Access(_caller(account), "unbind", "Patient/$unbind", record.clock())
    await record.lanes.submit(_release(access, (account,)))


async def release(record: Record, caller: Caller, patient_id: str) -> None:
    """Undo the binding of a person who proved at a desk who they are, whoever made it; for administrators."""
    access = Access(caller, "unbind", f"Patient/{patient_id}/$unbind", record.clock())
    if caller.kind != "admin":
        problem = "only an administrator may undo a person's binding"
        await refuse(record, access, "not an administrator", problem, await patient_there(record, patient_id))
    patients = await record.patients_of_person(resource_key(record.codec, "Patient", patient_id))
    await record.lanes.submit(_release(access, patients))


async def _throttle(record: Record, access: Access, account: bytes, claimed: Resource) -> None:
    """Count the attempt before anything is looked at; an account that has tried too often spends nobody else's attempts."""
    counted = [(f"account/{account.hex()}", PER_ACCOUNT, HOUR_MS)]
    counted += [(f"identifier/{one['system']}|{one['value']}", PER_IDENTIFIER, DAY_MS) for one in claimed["identifier"]]
    for what, most, window in counted:
        if await attempt(record.database, record.codec, what, window, access.at) > most:
            raise Throttled(-(-(window - access.at % window) // 1000))


async def _matched(record: Record, claimed: Resource, card: Card) -> tuple[str, list[bytes]]:
    """The id of the Patient who holds the card, and the keys of all Patients of that person."""
    terms = identifier_terms(record, record.identity.identifiers(claimed))
    wanted = {"x": {"$in": terms}, "t": PATIENT, "b": {"$exists": True}}
    found = await record.database["resources"].find(wanted, WITHOUT_TERMS, limit=CANDIDATES).to_list() if terms else []
    candidates = [(one["_id"], resource) for one, resource in _opened(record, found)]
    touched = [key for key, _ in candidates]
    same = record.identity.match(claimed, candidates).same if len(found) < CANDIDATES else ()
    persons = {tuple(sorted(await record.patients_of_person(one))) for one in same}
    if len(persons) != 1:
        raise _Mismatch("no one person is as claimed", touched)
    patients = list(persons.pop())
    known = list(_opened(record, [one for key in patients if (one := await record.by_key(key)) and "b" in one]))
    holders = [str(resource["id"]) for one, resource in known if _holds(one, resource, card)]
    if not holders or any(_has_died(resource) for _, resource in known):
        raise _Mismatch("the person has died" if holders else "the person has no such card", touched)
    return min(holders), patients


def _opened(record: Record, stored: Iterable[Document]) -> Iterator[tuple[Document, Resource]]:
    """Each with its contents; what was erased is passed over."""
    for one in stored:
        with suppress(KeyErased):
            yield one, read(body(record.codec, one))


def _holds(stored: Document, resource: Resource, card: Card) -> bool:
    if card.hospital and stored["c"] != card.hospital:
        return False
    named = (one for one in resource.get("identifier", ()) if one.get("use") != "old")
    numbers = (found_by(one.get("system", ""), one.get("value", "")) for one in named)
    return any(value == card.value and (card.hospital or system == card.system) for system, value in numbers)


def _has_died(resource: Resource) -> bool:
    return "deceasedDateTime" in resource or bool(resource.get("deceasedBoolean"))


def _binding(record: Record, access: Access, account: bytes, patient: str, patients: list[bytes]) -> Job:
    async def decide(snapshot: Snapshot) -> Outcome:
        if not record.exceptions.erased.isdisjoint(patients):
            raise _Mismatch("the person is being erased", patients)
        erased = []
        for one in await snapshot.bindings((account, *patients)):
            if bindings.bound_patient(record.codec, one) is None:
                erased.append(one)
            elif one["_id"] == account:
                raise _bound_already()
            elif one["patients"][0] in patients:
                raise _Mismatch("another account is bound to it", patients)
        await snapshot.drop_bindings(erased)
        await snapshot.part_bindings(patients)  # from persons whom these were taken for, and were unlinked from
        await snapshot.put_binding(bindings.binding(record.codec, account, patient, patients))
        return Outcome(None, Entry(access.at, tuple(patients), access.entry().what))

    return Job(decide, claims=frozenset((account, *patients)))


def _release(access: Access, bound: Sequence[bytes]) -> Job:
    """Undo what binds these: an account, or Patients."""

    async def decide(snapshot: Snapshot) -> Outcome:
        found = await snapshot.bindings(bound)
        await snapshot.drop_bindings(found)
        named = dict.fromkeys(patient for one in found for patient in one["patients"])
        return Outcome(None, Entry(access.at, tuple(named), access.entry().what))

    return Job(decide, claims=frozenset(bound))


def _bound_already() -> FhirError:
    return FhirError(409, "conflict", "this account is bound already; unbind it first")


def _caller(account: bytes, patient: str | None = None) -> Caller:
    known = f"portal/{account.hex()}"
    return Caller(known, "patient", patient=patient, purpose="PATRQT", scopes=DEFAULTS["patient"])


def _asked(claimed: Resource, card: Card) -> str:
    """Sealed with the audit; left out where a person is shown their log."""
    return "&".join(f"identifier={one['system']}|{one['value']}" for one in claimed["identifier"]) + f"&card={card.value}"
