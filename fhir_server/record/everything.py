"""Patient/$everything and Encounter/$everything (R4 patient-operation-everything.html, encounter-operation-everything.html).

First it is decided on stamps what may be seen, and the audit says so; only then are bodies unsealed, one by one as they are
sent. So the first bytes leave early, and of a life of any size no more is held than which versions are still to be sent.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from consent.caller import Caller
from fhir_server.r4.dates import Interval
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.references import literal
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import View
from fhir_server.record.paging import Cursor
from fhir_server.record.persons import same_person
from fhir_server.record.reading import visible
from fhir_server.search.compartments import inside, members
from fhir_server.search.index import care_dates
from fhir_server.search.plan import lookup
from fhir_server.store.documents import (
    TYPE_NUMBER,
    UNRESOLVED,
    WITHOUT_TERMS,
    Codec,
    Document,
    body,
    hashed_term,
    history_id,
    resource_key,
)

FIRST = -(1 << 63)  # the place of Patients: before every date of care
BATCH = 1_000  # documents in one answer of the database
HELD = 1 * 1024 * 1024  # sealed bytes kept from the first look; what is beyond is fetched again when its turn comes
CHUNK = 200
ROUNDS = 4  # how far the directory is followed: from a record to a PractitionerRole, its Organization, what that is part of
OVERLAP = 60_000  # ms: a version bears the time of its writing, and is seen a little later, when that is committed
_REFERENCE = re.compile(rb'"reference":"([A-Z][A-Za-z]+/[^"\\]{1,200})"')  # how the store writes every body


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of it: types (none: all), versions from `since` (ms) on, care within an interval (ms), so many at a time."""

    types: frozenset[str] = frozenset()
    since: int | None = None
    care: Interval | None = None
    count: int | None = None

    def has(self, type_number: int) -> bool:
        return not self.types or RESOURCE_TYPES[type_number] in self.types


@dataclass(frozen=True, slots=True)
class Everything:
    """How many there are in all; their bodies as ("match", body), then of what they refer to as ("include", body); where to
    go on. The audit is written: what the iterator gives may be sent."""

    total: int
    bodies: AsyncIterator[tuple[str, bytes]]
    next: Cursor | None


class Version(NamedTuple):
    """A version to be sent. In this order: Patients, then by date of care, the newest first."""

    place: int
    key: bytes
    number: int
    type: int
    people: tuple[bytes, ...]
    document: Document | None  # None: to be fetched again


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose everything: criteria that find it, and their index. `within`: types of which these find all there is, so that no
    reference leads to more. `mentions`: what a body must hold. `of_person`: what is referred to may be about them, too."""

    criteria: dict[str, Any]
    hint: str | None = None
    within: frozenset[str] = frozenset()
    mentions: re.Pattern[bytes] | None = None
    of_person: bool = False


async def of_patient(
    record: Record, caller: Caller, known: str, asked: str, wanted: Wanted, after: Cursor | None
) -> Everything:
    """A person's whole life, whichever hospital wrote it; 404 for a hidden Patient."""
    access = Access(caller, "operation-everything", asked, record.clock())
    sight, current = await visible(record, access, "Patient", known)
    criteria = {"p": {"$in": list(await same_person(sight, current["_id"]))}}
    return await _everything(sight, access, current, _Scope(criteria, "person", frozenset(members("Patient"))), wanted, after)


async def of_encounter(
    record: Record, caller: Caller, known: str, asked: str, wanted: Wanted, after: Cursor | None
) -> Everything:
    """An Encounter, what refers to it in any way, and what these refer to; 404 for a hidden one.

    Some do so where no search parameter looks (Immunization.encounter, the extension encounter-associatedEncounter): they are
    looked for in the bodies of the life.
    """
    access = Access(caller, "operation-everything", asked, record.clock())
    sight, current = await visible(record, access, "Encounter", known)
    clauses = (clause for kind in members("Encounter") for clause in inside("Encounter", known, kind))
    terms = {hashed_term(record.codec, term) for clause in clauses for term in lookup(clause).terms}
    ways = [{"_id": current["_id"]}, {"x": {"$in": sorted(terms)}}, {"p": {"$in": sorted({*current["p"]} - {UNRESOLVED})}}]
    itself = rb'\A\{"resourceType":"Encounter","id":"%s"|"reference":"Encounter/%s["/]' % ((re.escape(known).encode(),) * 2)
    scope = _Scope({"$or": ways}, mentions=re.compile(itself), of_person=True)
    return await _everything(sight, access, current, scope, wanted, after)


async def _everything(
    sight: View, access: Access, start: Document, scope: _Scope, wanted: Wanted, after: Cursor | None
) -> Everything:
    """`start` is whose everything: that there is nothing, or how many there are, tells of them as well."""
    follows = not wanted.types or not wanted.types <= scope.within
    planned = await _planned(sight, scope, wanted, follows)
    total = sum(wanted.has(one.type) for one in planned)
    shown, cursor = _page(planned, wanted.count, after)
    told = [{"p": one.people} for one in shown]
    await sight.record.audit.record(access.entry(told, about=start["p"], reason=sight.decision(start).reason))
    about = {UNRESOLVED, *(person for one in shown for person in one.people if scope.of_person)}
    seen = {one.key for one in planned} if follows else set()
    return Everything(total, _bodies(sight, shown, wanted, seen, about if follows else None), cursor)


async def _planned(sight: View, scope: _Scope, wanted: Wanted, follows: bool) -> list[Version]:
    """Which versions there are at one moment that may be seen, in order; those of other types, too, where they lead to more."""
    criteria = {**scope.criteria, "b": {"$exists": True}}
    if wanted.types and not follows:
        criteria["t"] = {"$in": sorted(TYPE_NUMBER[one] for one in wanted.types)}
    if wanted.since is not None:
        criteria["u"] = {"$gte": wanted.since - OVERLAP}
    resources = sight.record.database.at_one_moment("resources")
    found: list[Version] = []
    people: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}
    held, codec = 0, sight.record.codec
    is_care = _care(codec, wanted.care)
    async for one in resources.find(criteria, {"x": 0} if wanted.care else WITHOUT_TERMS, hint=scope.hint, batch_size=BATCH):
        if sight.sees(one) and is_care(one) and (not scope.mentions or scope.mentions.search(body(codec, one))):
            held += len(one["b"])
            place = FIRST if RESOURCE_TYPES[one["t"]] == "Patient" else -one["s"]
            about = people.setdefault(tuple(one["p"]), tuple(one["p"]))
            found.append(Version(place, one["_id"], one["v"], one["t"], about, one if held <= HELD else None))
    return sorted(found)


def _care(codec: Codec, care: Interval | None) -> Callable[[Document], bool]:
    """Whether a document is of care in the interval: what bears no date of care is of any time."""
    if care is None:
        return lambda one: True
    low, high = care
    keys: dict[int, list[int]] = {}

    def is_care(one: Document) -> bool:
        kind = one["t"]
        if kind not in keys:
            keys[kind] = [codec.term(name) for name in care_dates(RESOURCE_TYPES[kind])]
        dates = ([entry for entry in one.get("r", ()) if entry["k"] == key] for key in keys[kind])
        first = next(filter(None, dates), None)
        return first is None or any(entry["a"] <= high and entry["z"] >= low for entry in first)

    return is_care


def _page(planned: list[Version], count: int | None, after: Cursor | None) -> tuple[list[Version], Cursor | None]:
    """The next `count` of them, and where to go on."""
    rest = [one for one in planned if (one.place, one.key) > (after.value, after.last)] if after else planned
    if not count or len(rest) <= count:
        return [] if count == 0 else rest, None
    last = rest[count - 1]
    return rest[:count], Cursor(last.key, value=last.place)


async def _bodies(
    sight: View, shown: Sequence[Version], wanted: Wanted, seen: set[bytes], about: set[bytes] | None
) -> AsyncIterator[tuple[str, bytes]]:
    """What is shown, then what it refers to and is about nobody or these; None: nothing of the kind is wanted."""
    named: set[bytes] = set()
    for start in range(0, len(shown), CHUNK):
        for one in await _documents(sight.record, shown[start : start + CHUNK]):
            plain = body(sight.record.codec, one)
            if about is not None:
                named.update(_REFERENCE.findall(plain))
            if wanted.has(one["t"]):
                yield "match", plain
    for _ in range(ROUNDS if about is not None else 0):
        targets = (literal(name.decode()) for name in named)
        keys = {resource_key(sight.record.codec, *target) for target in targets if target} - seen
        seen |= keys
        named = set()
        async for one in _referred(sight, sorted(keys), about or set()):
            plain = body(sight.record.codec, one)
            named.update(_REFERENCE.findall(plain))
            if wanted.has(one["t"]):
                yield "include", plain
        about = set()  # from there on it is the directory only


async def _documents(record: Record, versions: Sequence[Version]) -> list[Document]:
    """Those versions, whatever has been written since; KeyError where one was erased."""
    found = {one.key: one.document for one in versions if one.document is not None}
    missing = {one.key: one.number for one in versions if one.document is None}
    if missing:
        async for stored in record.database["resources"].find({"_id": {"$in": list(missing)}}, WITHOUT_TERMS):
            if stored["v"] == missing[stored["_id"]]:
                found[stored["_id"]] = stored
    past = [history_id(record.codec, key, number) for key, number in missing.items() if key not in found]
    if past:
        found |= {one["o"]: one async for one in record.database["history"].find({"_id": {"$in": past}})}
    return [found[one.key] for one in versions]


async def _referred(sight: View, keys: Sequence[bytes], about: set[bytes]) -> AsyncIterator[Document]:
    for start in range(0, len(keys), CHUNK):
        wanted = {"_id": {"$in": keys[start : start + CHUNK]}, "b": {"$exists": True}}
        found = await sight.record.database["resources"].find(wanted, WITHOUT_TERMS, sort={"_id": 1}).to_list()
        for one in found:
            if about.issuperset(one["p"]) and sight.sees(one):
                yield one
