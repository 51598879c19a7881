"""The gate: whether this caller may see this document, decided on its stamps before anything is counted, sorted or sent.

A forbidden record reads as absent. A record about several persons needs the permission of each (DESIGN 4).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from consent.caller import Caller
from consent.decision import BREAK_GLASS, Decision, decider
from consent.rules import Rule
from consent.scopes import allows
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.store.documents import UNRESOLVED, Document, label_names
from fhir_server.store.persons import EXCHANGE, SELF

ADMINISTRATION = "region"  # the custodian of what administrators write
ALLOWED = Decision(True, "own record")
CUSTODIAN = Decision(True, "custodian's own copy")
DIRECTORY = Decision(True, "directory")
ERASED = Decision(False, "being erased")
NOT_PERMITTED = Decision(False, "not about a person this caller may see")


@dataclass(slots=True)
class View:
    """One caller's sight of the store, for one request: all consents committed before it was opened are in force."""

    record: Record
    caller: Caller
    now: int
    own: frozenset[bytes]
    custodian: str
    people: Mapping[bytes, Sequence[bytes]]
    _decide: Callable[[tuple[Rule, ...], frozenset[str]], Decision]
    _known: dict[tuple[Any, ...], Decision] = field(default_factory=dict)
    _ordinary: dict[tuple[Any, ...], bool] = field(default_factory=dict)

    def sees(self, document: Document) -> bool:
        """What is about one person without rules is decided on once for all of the same stamps."""
        patients = document["p"]
        if len(patients) != 1 or patients[0] in self.record.exceptions.owner or patients[0] == UNRESOLVED or self.own:
            return self.decision(document).permit
        stamps = (document["t"], document["c"], *document.get("l", ()))
        known = self._ordinary.get(stamps)
        if known is None:
            known = self._ordinary[stamps] = self.decision(document).permit
        return known

    def decision(self, document: Document) -> Decision:
        """Why this document may be seen or not."""
        if not allows(self.caller.scopes, RESOURCE_TYPES[document["t"]], "r"):
            return Decision(False, "scope")
        patients = document["p"]
        if not patients:
            return DIRECTORY
        if patients[0] in self.record.exceptions.erased:
            return ERASED
        if self.caller.kind == "patient":
            return ALLOWED if self.own.issuperset(patients) else NOT_PERMITTED
        if self.caller.kind == "admin":
            return NOT_PERMITTED
        if document["c"] == self.custodian and (self.caller.kind == "system" or patients == [UNRESOLVED]):
            return CUSTODIAN
        return self._of_persons(patients, document.get("l"))

    def _of_persons(self, patients: list[bytes], labels: list[int] | None) -> Decision:
        decision = NOT_PERMITTED
        for patient in patients:
            decision = NOT_PERMITTED if patient == UNRESOLVED else self._of_person(self.record.exceptions.of(patient), labels)
            if not decision.permit:
                break
        return decision

    def _of_person(self, rules: tuple[Rule, ...], labels: list[int] | None) -> Decision:
        key = (rules, *(labels or ()))
        decision = self._known.get(key)
        if decision is None:
            decision = self._known[key] = self._decide(rules, label_names(self.record.codec, labels or ()))
        return decision

    def reason(self, persons: Iterable[bytes]) -> str:
        """For the audit of what is about these persons: that glass was broken, of each of them; else nothing is told of any."""
        ruled = self.record.exceptions.rules
        reason = ""
        for one in persons:  # the first of nearly all accesses has no rules
            reason = self._of_person(ruled[one], None).reason if one in ruled else ""
            if reason != BREAK_GLASS:
                return ""
        return reason

    def may_change(self, document: Document) -> bool:
        """Only the custodian changes a record."""
        return document["c"] in self.custodians

    @property
    def custodians(self) -> frozenset[str]:
        """Whom this caller writes as; a patient's own writings may be changed under any of their Patients."""
        return frozenset((self.custodian, *(f"patient/{patient.hex()}" for patient in self.own)))


async def view(record: Record, caller: Caller, named: Sequence[bytes] = ()) -> View:
    """Open the caller's view, with the persons of the Patients that are `named`. Whatever goes wrong here, nothing is shown."""
    themselves = _themselves(record, caller)
    people = await record.exceptions.meet((*themselves, *named))
    own = frozenset(member for patient in themselves for member in people[patient])
    now = record.clock()
    return View(record, caller, now, own, custodian_of(record, caller), people, decider(caller, now, record.policy))


async def blind_view(record: Record, caller: Caller) -> View:
    """A view for who looks at nothing: it asks nobody's consents, and so permits nothing that a consent decides."""
    own = await own_patients(record, caller)
    return View(record, caller, record.clock(), own, custodian_of(record, caller), {}, lambda rules, labels: NOT_PERMITTED)


async def own_patients(record: Record, caller: Caller) -> frozenset[bytes]:
    """All Patients of the person that a patient's token is for."""
    people = [await record.patients_of_person(patient) for patient in _themselves(record, caller)]
    return frozenset(member for members in people for member in members)


def _themselves(record: Record, caller: Caller) -> tuple[bytes, ...]:
    return (record.codec.identity(f"Patient/{caller.patient}"),) if caller.kind == "patient" and caller.patient else ()


def custodian_of(record: Record, caller: Caller) -> str:
    """Under whose name this caller writes: its organization; a patient's own key (not the id, which is theirs); the region."""
    if caller.kind == "patient":
        return f"patient/{record.codec.identity(f'Patient/{caller.patient}').hex()}"
    if caller.kind == "admin":
        return ADMINISTRATION
    if caller.organization in (ADMINISTRATION, SELF, EXCHANGE) or "/" in (caller.organization or ""):
        raise FhirError(403, "forbidden", "an organization with this id would write as somebody else: register another id")
    return caller.organization or f"client/{caller.id}"


def being_erased() -> FhirError:
    return FhirError(409, "conflict", "the person that this is about is being erased; nothing is written meanwhile")


async def admit(record: Record, access: Access, resource_type: str, interaction: str) -> None:
    """`require_scope` of a read or search: a refusal leaves its audit entry, too."""
    try:
        require_scope(access.caller, resource_type, interaction)
    except FhirError:
        await record.audit.record(access.entry(outcome="refused", reason="scope"))
        raise


async def refuse(record: Record, access: Access, reason: str, problem: str, about: Iterable[bytes] = ()) -> NoReturn:
    """403 with this problem, once the audit has the reason and whom it is `about`."""
    await record.audit.record(access.entry(about=about, outcome="refused", reason=reason))
    raise FhirError(403, "forbidden", problem)


def require_scope(caller: Caller, resource_type: str, interaction: str) -> None:
    """Raises 403 where the token's scopes leave this interaction out: no matter what the store holds."""
    if not allows(caller.scopes, resource_type, interaction):
        raise FhirError(403, "forbidden", f"the token's scopes do not allow '{interaction}' on {resource_type}")
