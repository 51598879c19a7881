"""The candidates of a search: what the index finds, past the gate, confirmed on the body; in the order of a stamp.

The gate decides on each candidate before it is counted, sorted or paged, so a forbidden record leaves no trace in the answer.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import NamedTuple

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, read_stored
from fhir_server.record.chaining import AT_ONCE, FEW, Finder, followed
from fhir_server.record.conditions import terms_of
from fhir_server.record.context import Record
from fhir_server.record.criteria import Criteria
from fhir_server.record.gate import View
from fhir_server.record.ordering import Dated, in_order, is_of
from fhir_server.record.paging import Cursor
from fhir_server.record.rates import enough, learn
from fhir_server.search.chains import Link
from fhir_server.search.match import matches
from fhir_server.search.query import Query
from fhir_server.store.documents import WITHOUT_TERMS, Document, opened
from fhir_server.store.finding import GROUPS, Find, Group, OfOne

CHUNK = 1_000
SHARED = FEW + 2  # what a link looks up at once
LINKED = 32  # candidates that links are followed from where nothing is known of them: to look again costs as much as twenty
WRITTEN_EXACTLY = frozenset(("number", "quantity", "composite"))  # here the digits that were written say how exact a value is
SCAN = 50_000  # visible resources that are read and do not match, up to which a search without help of the index goes on


Order = tuple[str, int]
"""The stamp that gives the order, and its direction."""
UNORDERED: Order = ("s", -1)


class Ahead(NamedTuple):
    """The first look of a search, and what it is going to find where it is on its way already."""

    wanted: Criteria
    find: Find
    found: Awaitable[list[Document] | None] | None


class Search(NamedTuple):
    """One running search: the caller's view, and what to look for."""

    sight: View
    query: Query
    wanted: Criteria
    links: Mapping[int, tuple[Link, ...]] = {}  # to follow from candidates, by number of their type
    find: Finder | None = None
    dated: Dated | None = None
    ahead: Ahead | None = None

    @property
    def record(self) -> Record:
        return self.sight.record


async def candidates(
    running: Search,
    projection: dict[str, int],
    order: Order = UNORDERED,
    cursor: Cursor | None = None,
    first: int = CHUNK,
) -> AsyncIterator[Document]:
    """Visible, confirmed matches, fetched in chunks that each leave no cursor open on the server."""
    name, direction = order
    value, tied = (cursor.value, list(cursor.tied)) if cursor else (None, [])
    links = tuple(running.links.items())
    most = AT_ONCE if links else CHUNK
    size = min(max(first, enough(links, first, LINKED)), most) if links else first
    looked_at = found = read_in_vain = 0
    while True:
        chunk = await _fetch(running, projection, (name, direction), (value, tied), size + 1)
        is_last = len(chunk) <= size
        chunk = in_order(chunk, name, direction, is_last)
        seen = [one for one in chunk if running.sight.sees(one)]
        matching = _confirmed(running, seen)
        if links and matching:
            met = await _followed(running, matching)
            learn(links, len(matching), len(met))
            matching = met
        good = {one["_id"] for one in matching}
        for one in seen:  # one by one: where a chunk ends depends on what is hidden
            if one["_id"] in good:
                yield one
                continue
            read_in_vain += 1
            if read_in_vain > SCAN:
                raise FhirError(
                    403, "too-costly", f"more than {SCAN} resources to read one by one; name a patient, a code or a date"
                )
        looked_at, found = looked_at + len(chunk), found + len(matching)
        if is_last:
            return
        last = chunk[-1][name]
        tied = [one["_id"] for one in chunk if one[name] == last] + (tied if last == value else [])
        value, size = last, _next_size(size, most, first - found, looked_at, found)


def _next_size(size: int, most: int, missing: int, looked_at: int, found: int) -> int:
    """How many to look at next: twice as many as bring up what is missing, if it goes on as before."""
    return min(2 * missing * looked_at // found + 1 if found and missing > 0 else 4 * size, most)


async def distinct(running: Search, most: int) -> AsyncIterator[Document]:
    """Of the first `most` matches one for all of the same stamps, how many these are (`count`), and whom the visible ones are
    about (`p`, perhaps nobody); terms come along with those that are each about several Patients.

    For what the index alone decides. That the counts make up `most` says that there may be more.
    """
    record, sight = running.record, running.sight
    read = record.share if _is_shared(running.wanted, most) else record.separate
    for one in await read(GROUPS)(Group(running.wanted.filter, most)):
        rows = (one | {"p": [patient]} for patient in one["each"]) if "each" in one else (one,)
        seen = _confirmed(running, [row for row in rows if sight.sees(row)])
        yield one | {"p": [patient for row in seen for patient in row["p"]]}


async def _followed(running: Search, documents: list[Document]) -> list[Document]:
    """Those of the documents that meet the links of their type."""
    assert running.find
    good: set[bytes] = set()
    for number, links in running.links.items():
        some = [one for one in documents if one["t"] == number]
        good.update([one["_id"] for one in await followed(running.sight, links, some, running.find)])
    return [one for one in documents if one["t"] not in running.links or one["_id"] in good]


def look_ahead(record: Record, wanted: Criteria, projection: dict[str, int], order: Order, first: int = CHUNK) -> Ahead:
    """What `candidates` are going to look for first, with the same arguments; on its way where it shares a command."""
    find = _find(wanted, projection, order, (None, []), first + 1)
    return Ahead(wanted, find, record.find_shared(find) if _is_shared(wanted, find.limit) else None)


async def _fetch(
    running: Search, projection: dict[str, int], order: Order, after: tuple[int | None, list[bytes]], size: int
) -> list[Document]:
    record, wanted, ahead = running.record, running.wanted, running.ahead
    find = _find(wanted, projection, order, after, size)
    if ahead and ahead.found and ahead.find.is_like(find):
        found = await ahead.found
    else:
        found = await record.find_shared(find) if _is_shared(wanted, find.limit) else None
    return await record.find(find) if found is None else found


def _find(wanted: Criteria, projection: dict[str, int], order: Order, after: tuple[int | None, list[bytes]], size: int) -> Find:
    name, direction = order
    value, tied = after
    every = list(wanted.filter["$and"])
    if name == "w":  # the index of that order begins with the type
        every.insert(0, {"t": {"$in": sorted(wanted.types)}})
    if value is not None:
        every.append({name: {"$lte" if direction < 0 else "$gte": value}})
        every.append({"_id": {"$nin": tied}})
    of_one = _of_one(wanted) if value is None and order == UNORDERED and projection is WITHOUT_TERMS else None
    return Find({"$and": every}, projection, {name: direction}, size, wanted.hint(name), of_one)


def _of_one(wanted: Criteria) -> OfOne | None:
    """What is looked for where it is one look for terms that tell of whom it is, and that is one Patient; else None."""
    if wanted.scope != "terms" or not wanted.is_one_look or len(wanted.filter["$and"]) > 1:
        return None
    ((number, patients),) = wanted.about.items()
    if len(patients) > 1:
        return None
    (patient,) = patients
    return OfOne((patient, number), terms_of(wanted.filter["$and"][0]), (number, wanted.is_by_code))


def _is_shared(wanted: Criteria, limit: int) -> bool:
    """A life is small, and so is a page of what is found without a walk: nobody waits long for another's command."""
    return (wanted.is_near or (wanted.is_one_look and limit <= SHARED)) and not wanted.is_wide


def _confirmed(running: Search, seen: list[Document]) -> list[Document]:
    """Those of the types, persons and dates that are asked for, whose bodies confirm what the index does not tell."""
    types, about = running.wanted.types, running.wanted.about
    found = [one for one in seen if one["t"] in types]
    if about:
        found = [one for one in found if one["t"] not in about or not about[one["t"]].isdisjoint(one["p"])]
    if running.dated:
        found = [one for one in found if is_of(running.dated, one)]
    return [one for one in found if _meets(running, one)] if running.wanted.confirm else found


def _meets(running: Search, one: Document) -> bool:
    clauses = running.wanted.confirm.get(one["t"], ())
    if not clauses:
        return True
    is_exact = any(clause.parameter.type in WRITTEN_EXACTLY for clause in clauses)
    resource = (read if is_exact else read_stored)(opened(running.record.codec, one))
    return all(matches(clause, resource) for clause in clauses)
