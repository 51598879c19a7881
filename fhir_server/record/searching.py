"""search-type (R4 search.html): what matches and may be seen, in order, page by page; every page is gated anew.

The gate decides on each candidate before it is counted, sorted or paged, so a forbidden record leaves no trace in the answer.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, read_stored
from fhir_server.record.accesses import Access
from fhir_server.record.chaining import AT_ONCE, Finder, followed, from_afar
from fhir_server.record.context import Record
from fhir_server.record.criteria import Bound, Criteria, criteria, either, patients_named
from fhir_server.record.gate import View, admit, view
from fhir_server.record.including import included
from fhir_server.record.paging import Cursor
from fhir_server.record.parameters import require_in_force
from fhir_server.search.chains import Link, Listed
from fhir_server.search.clauses import Clause
from fhir_server.search.index import clinical_date
from fhir_server.search.match import matches, sort_key
from fhir_server.search.query import Query
from fhir_server.store.documents import STAMPS, WITHOUT_TERMS, Document, body
from fhir_server.store.finding import Find

PAGE = 50
BOUND = 5_000  # visible matches up to which totals and sorts on other than dates are exact
CHUNK = 1_000
WRITTEN_EXACTLY = frozenset(("number", "quantity", "composite"))  # here the digits that were written say how exact a value is
SCAN = 50_000  # visible resources that are read and do not match, up to which a search without help of the index goes on


@dataclass(slots=True)
class Page:
    """One page: JSON bytes of matches and includes, the exact total (None: not asked for, or `too_costly`), where to go on."""

    matches: list[bytes] = field(default_factory=list)
    included: list[bytes] = field(default_factory=list)
    total: int | None = None
    next: Cursor | None = None
    too_costly: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """One running search: the caller's view, and what to look for."""

    sight: View
    query: Query
    wanted: Criteria
    links: tuple[Link, ...] = ()  # to be followed from each candidate
    find: Finder | None = None

    @property
    def record(self) -> Record:
        return self.sight.record


async def search(record: Record, caller: Caller, query: Query, asked: str, cursor: Cursor | None = None) -> Page:
    """A page of the search; `asked` is the query as it came, for the audit. 400 `too-costly` for what cannot be exact."""
    access = Access(caller, "search-type", asked, record.clock())
    for kind in dict.fromkeys(one.resource_type for one in query.branches or (query,)):
        await admit(record, access, kind, "s")
    sight = await view(record, caller, patients_named(record.codec, query))
    through: list[Document] = []
    running = await _prepared(sight, query, through)
    page, disclosed = await _page(running, cursor)
    await require_in_force(record, query)
    # A chain that ends in the directory tells something of those it went through, who are nowhere in the answer.
    told = through if any(not one["p"] for one in disclosed) else []
    await record.audit.record(access.entry([*disclosed, *told]))
    return page


async def _prepared(sight: View, query: Query, through: list[Document], bound: Bound | None = None) -> Search:
    """What to look for: each link is looked up from its far end, or left to be followed from the candidates."""

    async def plain(clauses: tuple[Clause, ...], bound: Bound | None) -> Criteria:
        return await criteria(
            sight.record.codec, replace(query, clauses=clauses, links=()), lambda patient: same_person(sight, patient), bound
        )

    if query.branches:
        found = [(await _prepared(sight, one, through)).wanted for one in query.branches]
        apart = any(one.scope == "population" for one in found)
        return Search(sight, query, either(found, () if apart else await _compartment(sight, query)))
    wanted = await plain(query.clauses, bound)
    if not query.links:
        return Search(sight, query, wanted)
    find = _finder(sight, through)
    clauses, keys, links = query.clauses, [], []
    for link in query.links:
        small = not isinstance(link, Listed) and await _is_small(sight, wanted)
        afar = None if small else await from_afar(sight, link, query.resource_type, find)
        if afar is None:
            links.append(link)
        elif afar.clause:
            clauses = (*clauses, afar.clause)
        elif afar.keys is not None:
            keys.append(afar.keys)
    if keys:
        condition = {"_id": {"$in": sorted(frozenset.intersection(*keys))}}
        bound = Bound({"$and": [condition, bound.condition]} if bound else condition, "ids")
    return Search(sight, query, await plain(clauses, bound), tuple(links), find)


async def _is_small(sight: View, wanted: Criteria) -> bool:
    """Whether so little is to be looked at that links are best followed from there: a life, or what a name or number finds.

    Hidden records count, too, since it decides only on the way to the answer.
    """
    if wanted.scope in ("person", "ids"):
        return True
    if not wanted.aided:
        return False
    asked = Find(wanted.filter, {"_id": 1}, {"s": -1}, AT_ONCE + 1, wanted.hint("s"))
    return len(await sight.record.find(asked)) <= AT_ONCE


async def _compartment(sight: View, query: Query) -> Sequence[bytes]:
    """The Patients that all branches are about: those of the person whose compartment is searched."""
    named = [set(patients_named(sight.record.codec, one)) for one in query.branches if one.ids() is None]
    common = set.intersection(*named) if named else set()
    return [member for patient in sorted(common) for member in await same_person(sight, patient)]


def _finder(sight: View, through: list[Document]) -> Finder:
    """How links look for what is at their ends: as any search does; `through` is told of it."""

    async def find(query: Query, bound: Bound | None, first: int) -> AsyncIterator[Document]:
        running = await _prepared(sight, query, [], bound)
        async for one in _candidates(running, WITHOUT_TERMS, first=first):
            through.append({"p": one["p"]})
            yield one

    return find


async def same_person(sight: View, patient: bytes) -> Sequence[bytes]:
    """All Patients of a person, for who may see the Patient that was named; else only that one: a link is a fact, too."""
    known = sight.people.get(patient) or await sight.record.patients_of_person(patient)
    if len(known) == 1 or patient in sight.own:
        return known
    stored = await sight.record.by_key(patient)
    return known if stored is not None and sight.sees(stored) else (patient,)


async def _page(running: Search, cursor: Cursor | None) -> tuple[Page, list[Document]]:
    query = running.query
    page = Page()
    if query.summary_count or query.count == 0:
        page.total = await _count(running)
        if page.total is None:
            raise FhirError(403, "too-costly", f"more than {BOUND} match; narrow the search to have them counted")
        return page, []
    size = query.count or PAGE
    field_name = _index_order(query)
    found = await (_by_index(running, field_name, size, cursor) if field_name else _by_keys(running, size, cursor))
    shown = found[:size]
    page.matches = [_body(running, one) for one in shown]
    if len(found) > size:
        page.next = _cursor(running, field_name, shown, cursor)
    page.total = await _total(running, page, cursor)
    page.too_costly = page.total is None and query.total == "accurate"
    extra = await included(running.sight, query, shown, page.matches)
    page.included = [body(running.record.codec, one) for one in extra]
    return page, [*shown, *extra]


async def _total(running: Search, page: Page, cursor: Cursor | None) -> int | None:
    if running.query.total == "none":
        return None
    if page.next is None and cursor is None:
        return len(page.matches)
    return await _count(running) if running.query.total else None


async def _count(running: Search) -> int | None:
    """How many visible matches there are, exactly; None beyond the bound. Hidden ones are passed over, not counted."""
    projection = WITHOUT_TERMS if running.wanted.confirm or running.links else STAMPS
    count = 0
    async for _ in _candidates(running, projection):
        count += 1
        if count > BOUND:
            return None
    return count


def _index_order(query: Query) -> str | None:
    """The stamp whose index gives the order asked for: `s` clinical date, `w` last updated; None: sort the matches here."""
    if not query.sort:
        return "s"
    if len(query.sort) > 1:
        return None
    parameter = query.sort[0][0]
    if parameter.name == "_lastUpdated":
        return "w"
    return "s" if clinical_date(query.resource_type, parameter) else None


async def _by_index(running: Search, field_name: str, size: int, cursor: Cursor | None) -> list[Document]:
    """The next `size` + 1 visible matches in the order of a stamp; ties at a page end are told apart by what was delivered."""
    found: list[Document] = []
    async for one in _candidates(running, WITHOUT_TERMS, (field_name, _direction(running.query)), cursor, size + 1):
        found.append(one)
        if len(found) > size:
            break
    return found


async def _by_keys(running: Search, size: int, cursor: Cursor | None) -> list[Document]:
    """All visible matches, up to the bound, sorted on values in their bodies; from the cursor on."""
    keyed: list[tuple[tuple[Any, ...], Document]] = []
    async for one in _candidates(running, WITHOUT_TERMS):
        if len(keyed) == BOUND:
            raise FhirError(403, "too-costly", f"more than {BOUND} match; narrow the search, or sort by date or _lastUpdated")
        keyed.append((_sort_keys(running, one), one))
    keyed.sort(key=lambda pair: pair[1]["_id"])
    for position, (_, descending) in reversed(list(enumerate(running.query.sort))):
        keyed.sort(key=lambda pair, at=position: pair[0][at], reverse=descending)  # type: ignore[misc]
    start = next(
        (n + 1 for n, (_, one) in enumerate(keyed) if cursor and one["_id"] == cursor.last), cursor.offset if cursor else 0
    )
    return [one for _, one in keyed[start : start + size + 1]]


def _sort_keys(running: Search, one: Document) -> tuple[Any, ...]:
    resource = read_stored(_body(running, one))
    return tuple(sort_key(parameter, resource, descending) for parameter, descending in running.query.sort)


def _direction(query: Query) -> int:
    return -1 if not query.sort or query.sort[0][1] else 1


def _cursor(running: Search, field_name: str | None, shown: list[Document], before: Cursor | None) -> Cursor:
    last = shown[-1]
    if field_name is None:
        return Cursor(last["_id"], offset=(before.offset if before else 0) + len(shown))
    tied = [one["_id"] for one in shown if one[field_name] == last[field_name]]
    if before and before.value == last[field_name]:
        tied += before.tied
    return Cursor(last["_id"], value=last[field_name], tied=tuple(tied))


async def _candidates(
    running: Search,
    projection: dict[str, int],
    order: tuple[str, int] | None = None,
    cursor: Cursor | None = None,
    first: int = CHUNK,
) -> AsyncIterator[Document]:
    """Visible, confirmed matches, fetched in chunks that each leave no cursor open on the server."""
    name, direction = order or ("s", -1)
    value, tied = (cursor.value, list(cursor.tied)) if cursor else (None, [])
    size, most, read_in_vain = first, AT_ONCE if running.links else CHUNK, 0
    while True:
        chunk = await _fetch(running, projection, (name, direction), (value, tied), size + 1)
        is_last = len(chunk) <= size
        chunk = _in_order(chunk, name, direction, is_last)
        seen = [one for one in chunk if running.sight.sees(one)]
        matching = [one for one in seen if _confirmed(running, one)]
        if running.links and running.find:
            matching = await followed(running.sight, running.links, matching, running.find)
        for one in matching:
            yield one
        read_in_vain += len(seen) - len(matching)
        if read_in_vain > SCAN:
            raise FhirError(
                403, "too-costly", f"more than {SCAN} resources to read one by one; name a patient, a code or a date"
            )
        if is_last:
            return
        last = chunk[-1][name]
        tied = [one["_id"] for one in chunk if one[name] == last] + (tied if last == value else [])
        value, size = last, min(size * 4, most)


def _in_order(chunk: list[Document], name: str, direction: int, is_last: bool) -> list[Document]:
    """Ties by key: the order of an index depends on which one the server takes, and that on records that may be hidden.

    The last of a chunk may be one of several that tie, of which the others are still to come: they are left to the next.
    """
    whole = chunk if is_last else [one for one in chunk if one[name] != chunk[-1][name]] or chunk
    return sorted(whole, key=lambda one: (direction * one[name], one["_id"]))


async def _fetch(
    running: Search, projection: dict[str, int], order: tuple[str, int], after: tuple[int | None, list[bytes]], size: int
) -> list[Document]:
    name, direction = order
    value, tied = after
    every = list(running.wanted.filter["$and"])
    if value is not None:
        every.append({name: {"$lte" if direction < 0 else "$gte": value}})
        every.append({"_id": {"$nin": tied}})
    wanted = Find({"$and": every}, projection, {name: direction}, size, running.wanted.hint(name))
    shared = running.wanted.scope in ("person", "ids")  # a life is small: nobody waits long for another's command
    return (await running.record.find_shared(wanted) or []) if shared else await running.record.find(wanted)


def _confirmed(running: Search, one: Document) -> bool:
    clauses = running.wanted.confirm.get(one["t"])
    if not clauses:
        return True
    is_exact = any(clause.parameter.type in WRITTEN_EXACTLY for clause in clauses)
    resource = (read if is_exact else read_stored)(_body(running, one))
    return all(matches(clause, resource) for clause in clauses)


def _body(running: Search, one: Document) -> bytes:
    """The body, unsealed once."""
    if "plain" not in one:
        one["plain"] = body(running.record.codec, one)
    plain: bytes = one["plain"]
    return plain
