"""Persons in the database: which Patients are one person, and the rules (consents, grants) of those who have any.

A person document exists for persons of two or more Patients and for those with rules:
    _id  the key of its first Patient     patients  keys, each in one document only (unique index)
    owners  {Patient key, hex: custodian} rules  [{source, patient, by, sealed}]   rev  order of change, where there are rules
    erased  since when the person is being erased, ms (record/erasing.py)
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consent.rules import Rule, from_plain
from fhir_server.r4.json import read, write
from fhir_server.store.documents import REGION, Codec, Document
from fhir_server.store.sealing import seal, unseal
from fhir_server.store.sharing import Branch, Kind, Lookup

SELF, EXCHANGE = "self", "exchange"


def rule_entry(codec: Codec, source: bytes, patient: bytes, by: str, rules: Sequence[Sequence[Any]]) -> Document:
    """Rules as a person document keeps them. `by`: who recorded them (SELF, EXCHANGE, or a custodian)."""
    sealed = seal(codec.keys.key(REGION), write({"rules": list(rules)}), source + patient)
    return {"source": source, "patient": patient, "by": by, "sealed": sealed}


def in_force(codec: Codec, person: Document) -> tuple[Rule, ...]:
    """The rules of a person that count: recorded by the person, by the exchange, or by the keeper of that Patient."""
    owners = person.get("owners", {})
    found: list[Rule] = []
    for entry in person.get("rules", ()):
        if entry["by"] in (SELF, EXCHANGE, owners.get(entry["patient"].hex())):
            plain = read(unseal(codec.keys.key(REGION), entry["sealed"], entry["source"] + entry["patient"]))
            found.extend(from_plain(rule) for rule in plain["rules"])
    return tuple(found)


@dataclass(slots=True, eq=False)
class Exceptions:
    """The persons with rules, in memory. `sync` brings it up to all that was committed before it was called.

    `erasing`: person -> since when, ms; `erased`: all their Patients, of whom nothing may be seen or written meanwhile.
    """

    share: Callable[[Kind], Lookup]
    codec: Codec
    revision: int = 0
    rules: dict[bytes, tuple[Rule, ...]] = field(default_factory=dict)
    members: dict[bytes, list[bytes]] = field(default_factory=dict)
    owner: dict[bytes, bytes] = field(default_factory=dict)
    erasing: dict[bytes, int] = field(default_factory=dict)
    erased: set[bytes] = field(default_factory=set)
    _load: Any = None

    def __post_init__(self) -> None:
        self._load = self.share(self)

    async def sync(self) -> None:
        await self._load(frozenset())

    async def patients_of(self, patient: bytes) -> list[bytes]:
        """The keys of all Patients of this Patient's person: just itself when it is linked to none."""
        return (await self.meet((patient,)))[patient]

    async def meet(self, patients: Iterable[bytes]) -> dict[bytes, list[bytes]]:
        """`patients_of` each of these, and `sync`, in one look."""
        asked = frozenset(patients)
        found = await self._load(asked)
        return {patient: found.get(patient) or [patient] for patient in asked}

    def of(self, patient: bytes) -> tuple[Rule, ...]:
        """The rules of the person this Patient belongs to; none for nearly everybody."""
        return self.rules.get(patient, ())

    def branches(self, asked: Sequence[frozenset[bytes]]) -> list[Branch]:
        """What changed, and the persons that are asked for, of one moment: no revision may be passed over."""
        patients = frozenset().union(*asked)
        wanted: list[dict[str, Any]] = [{"rev": {"$gt": self.revision}}]
        if patients:
            wanted.append({"patients": {"$in": sorted(patients)}})
        return [Branch("persons", [{"$match": {"$or": wanted}}])]

    def answers(
        self, asked: Sequence[frozenset[bytes]], found: Sequence[list[Document]]
    ) -> dict[frozenset[bytes], dict[bytes, list[bytes]]]:
        changed = (person for person in found[0] if person.get("rev", 0) > self.revision)
        for person in sorted(changed, key=lambda person: person["rev"]):
            self._apply(person)
        known = {patient: person["patients"] for person in found[0] for patient in person["patients"]}
        return dict.fromkeys(asked, known)

    def _apply(self, person: Document) -> None:
        key, rules = person["_id"], in_force(self.codec, person)
        left = (patient for patient in self.members.pop(key, ()) if self.owner.get(patient) == key)
        for patient in (*left, *person["patients"]):  # these may have come from a person that is no more
            self.owner.pop(patient, None)
            self.rules.pop(patient, None)
            self.erased.discard(patient)
        self.erasing.pop(key, None)
        self.codec.keys.forget(person["patients"])  # they may be destroyed by now, and others made
        if "erased" in person:
            self.erasing[key] = person["erased"]
            self.erased.update(person["patients"])
        if rules or key in self.erasing:
            self.members[key] = person["patients"]
            self.owner.update(dict.fromkeys(person["patients"], key))
            self.rules.update(dict.fromkeys(person["patients"], rules) if rules else {})
        self.revision = person["rev"]


def singleton(patient: bytes) -> Document:
    """A person of one Patient, before anything is known about them."""
    return {"_id": patient, "patients": [patient], "owners": {}, "rules": []}


def with_rules(person: Document, source: bytes, entries: Iterable[Document]) -> Document:
    """The person with the rules of one source replaced."""
    kept = [entry for entry in person["rules"] if entry["source"] != source]
    return person | {"rules": [*kept, *entries], "rev": person.get("rev", 0)}


def linked(person: Document, other: Document) -> Document:
    """`person` with the Patients and the rules of `other`."""
    made = {
        "_id": person["_id"],
        "patients": [*person["patients"], *other["patients"]],
        "owners": person["owners"] | other["owners"],
        "rules": [*person["rules"], *other["rules"]],
    }
    return made | ({"rev": 0} if "rev" in person or "rev" in other else {})


def unlinked(person: Document, patient: bytes) -> list[Document]:
    """The person without that Patient, and that Patient as a person of its own: exactly what they were before the link.

    The half that keeps the document comes first: no Patient may be in two documents, not even between two writes.
    """
    halves = (_part(person, [one for one in person["patients"] if one != patient]), _part(person, [patient]))
    return sorted(halves, key=lambda half: half["_id"] != person["_id"])


def is_needed(person: Document) -> bool:
    """Whether anything would be lost without this document (revised ones must stay for readers to notice the change)."""
    return len(person["patients"]) > 1 or "rev" in person


def _part(person: Document, patients: list[bytes]) -> Document:
    made = {
        "_id": patients[0],
        "patients": patients,
        "owners": {one.hex(): person["owners"][one.hex()] for one in patients if one.hex() in person["owners"]},
        "rules": [entry for entry in person["rules"] if entry["patient"] in patients],
    }
    return made | ({"rev": 0} if "rev" in person else {})
