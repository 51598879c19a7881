"""search-type (R4 search.html): what matches and may be seen, in order, page by page; every page is gated anew."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

from consent.caller import Caller
from consent.scopes import allows
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read_stored
from fhir_server.record.accesses import Access
from fhir_server.record.candidates import UNORDERED, Ahead, Search, candidates, distinct, look_ahead
from fhir_server.record.chaining import AT_ONCE, As, Finder, crowd, from_afar, into_contained, is_hidden, with_contained
from fhir_server.record.concepts import with_meanings
from fhir_server.record.context import Record
from fhir_server.record.counting import counted
from fhir_server.record.criteria import Bound, Criteria, Referring, criteria, either, only_itself, patients_named
from fhir_server.record.gate import View, admit, view
from fhir_server.record.hierarchies import with_hierarchies
from fhir_server.record.including import included, whole
from fhir_server.record.naming import asked_about
from fhir_server.record.ordering import Dated, Keys, after, direction, index_order, keys_of, parts_of, sort_by_keys
from fhir_server.record.paging import Cursor
from fhir_server.record.parameters import require_in_force
from fhir_server.record.persons import same_person
from fhir_server.search.chains import Chain, Link, Listed, Reverse
from fhir_server.search.clauses import Clause
from fhir_server.search.plan import lookup
from fhir_server.search.query import Query
from fhir_server.search.rewriting import as_of, is_unsettled
from fhir_server.store.documents import STAMPS, TYPE_NUMBER, WITHOUT_RANGES, WITHOUT_TERMS, Document, first_opened, opened

PAGE = 50
BOUND = 5_000  # visible matches up to which totals and sorts on other than dates are exact
LIFE = 20_000  # the same for sorts within a person, whom a sort is to show whole
SLIM = {"bodies": WITHOUT_TERMS, "stamps": STAMPS, "terms": STAMPS | {"x": 1}}
WITH_BODIES = dict.fromkeys(("bodies", "stamps", "keys"), WITHOUT_TERMS) | dict.fromkeys(("terms", "persons"), WITHOUT_RANGES)
MANY = 2_000  # entries of the index up to which they are counted


@dataclass(slots=True)
class Page:
    """One page: JSON bytes of matches and includes, the exact total (None: not asked for, or `too_costly`), where to go on."""

    matches: list[bytes] = field(default_factory=list)
    included: list[bytes] = field(default_factory=list)
    total: int | None = None
    next: Cursor | None = None
    too_costly: bool = False


async def search(record: Record, caller: Caller, query: Query, asked: str, cursor: Cursor | None = None) -> Page:
    """A page of the search; `asked` is the query as it came, for the audit. 403 `too-costly` for what cannot be exact."""
    access = Access(caller, "search-type", asked, record.clock())
    for kind in dict.fromkeys(one.resource_type for one in query.branches or (query,)):
        await admit(record, access, kind, "s")
    now = cursor.now if cursor else access.at  # one and the same for all pages
    unsettled = is_unsettled(query)
    if unsettled:
        query = await with_meanings(record, caller, as_of(query, now))
    ahead = None if cursor or unsettled else await _ahead(record, query)
    sight = await view(record, caller, patients_named(record.codec, query))
    through: list[Document] = []
    try:
        if ahead and all(len(members) == 1 for members in sight.people.values()):
            running = Search(sight, query, ahead.wanted, ahead=ahead)
        else:
            query = await with_hierarchies(sight, query, _finder(sight, through)) if unsettled else query
            running = await _prepared(sight, query, through)
        page, disclosed = await _page(running, cursor, through)
    except FhirError as refusal:
        await record.audit.record(access.refused(refusal))
        raise
    page.next = page.next and replace(page.next, now=now)
    await require_in_force(record, query)
    # A chain that ends in the directory tells something of those it went through, who are nowhere in the answer.
    told = through if any(not one["p"] for one in disclosed) else []
    about = () if disclosed else await asked_about(sight, query, through, _finder(sight, []))
    persons = chain((person for one in (*disclosed, *told) for person in one["p"]), about)
    await record.audit.record(access.entry([*disclosed, *told], about=about, reason=sight.reason(persons)))
    return page


async def _ahead(record: Record, query: Query) -> Ahead | None:
    """The first look, on its way together with the question who the persons named are: nearly everybody is one Patient.

    None for what follows links, or asks of several types. Where the guess is wrong, nothing of it is used.
    """
    if query.links or query.branches or query.summary_count or query.count == 0:
        return None
    wanted = await criteria(record.codec, query, only_itself, by_pairs=True)
    name = index_order(query)
    if name is None:
        return look_ahead(record, wanted, WITHOUT_TERMS, UNORDERED)
    projection = _projection(parts_of(record.codec, query))
    return look_ahead(record, wanted, projection, (name, direction(query)), (query.count or PAGE) + 1)


async def _prepared(
    sight: View, query: Query, through: list[Document], bound: Bound | None = None, also: Sequence[Referring] = ()
) -> Search:
    """What to look for: each link is looked up from its far end, or left to be followed from the candidates."""

    async def plain(clauses: tuple[Clause, ...], bound: Bound | None, also: Sequence[Referring]) -> Criteria:
        wanted = replace(query, clauses=clauses, links=()) if query.links else query
        return await criteria(sight.record.codec, wanted, partial(same_person, sight), bound, by_pairs=True, also=also)

    if query.branches:
        ready = [await _prepared(sight, one, through) for one in query.branches]
        apart = any(one.wanted.scope == "population" for one in ready)
        about = () if apart else await _compartment(sight, query)
        left: dict[int, tuple[Link, ...]] = {}
        for number, some in (pair for one in ready for pair in one.links.items()):
            left[number] = tuple(dict.fromkeys((*left.get(number, ()), *some)))
        return Search(sight, query, either([one.wanted for one in ready], about), left, _finder(sight, through))
    wanted = await plain(query.clauses, bound, also)
    if not query.links:
        return Search(sight, query, wanted)
    find = _finder(sight, through)
    clauses, keys = query.clauses, list[frozenset[bytes]]()
    links: list[Link] = []
    entries = MANY
    for link in query.links:
        near = not isinstance(link, Listed) and (wanted.is_near or await _is_crowded(sight, link))
        if not near and not isinstance(link, Listed):
            entries = await _entries(sight, wanted)
            near = entries <= AT_ONCE
        afar, is_inside = (None, False) if near else await asyncio.gather(
            from_afar(sight, link, query.resource_type, find), _leads_inside(sight, link, query.resource_type)
        )  # fmt: skip
        if afar is None or is_inside:
            links.append(link)
        if afar is None:
            continue
        if is_inside and isinstance(link, Chain):
            afar = with_contained(link, afar)
        if afar.clause:
            clauses = (*clauses, afar.clause)
        elif afar.referring:
            also = (*also, afar.referring)
        elif afar.keys is not None:
            keys.append(afar.keys)
    if keys:
        common = frozenset.intersection(*keys)
        condition = {"_id": {"$in": sorted(common)}}
        bound = Bound({"$and": [condition, bound.condition]} if bound else condition, entries < len(common))
    left = {TYPE_NUMBER[query.resource_type]: tuple(links)} if links else {}
    return Search(sight, query, await plain(clauses, bound, also), left, find)


async def _entries(sight: View, wanted: Criteria) -> int:
    """How many entries of the index there are for what a name or number finds, up to MANY: links are best followed from few.

    Hidden records count, too, since it decides only on the way to the answer. What totals are kept of is common.
    """
    is_rare = wanted.aided and wanted.counted is None
    terms = [part for part in wanted.filter["$and"] if part.keys() == {"x"}] if is_rare else []
    return min([await sight.record.database.count("resources", part, MANY) for part in terms], default=MANY)


async def _is_crowded(sight: View, link: Link) -> bool:
    """Whether `from_afar` is going to give up, which a count tells: a thousand bodies at the far end would be read in vain."""
    if not isinstance(link, Reverse) or not isinstance(link.criterion, Clause):
        return False
    if not allows(sight.caller.scopes, link.source, "s"):
        return False
    running = await _prepared(sight, Query(link.source, clauses=(link.criterion,)), [])
    if running.wanted.confirm:
        return False
    most = crowd(together=running.wanted.counted is not None)
    count = await _count(running, [], most)
    return count is None or count > most


async def _compartment(sight: View, query: Query) -> Sequence[bytes]:
    """The Patients that all branches are about: those of the person whose compartment is searched."""
    named = [set(patients_named(sight.record.codec, one)) for one in query.branches if one.ids() is None]
    common = set.intersection(*named) if named else set()
    return [member for patient in sorted(common) for member in await same_person(sight, patient)]


def _finder(sight: View, through: list[Document]) -> Finder:
    """How links look for what is at their ends: as any search does; `through` is told of it."""

    async def find(
        query: Query, bound: Bound | None, first: int, also: Sequence[Referring], wanted: As
    ) -> AsyncIterator[Document]:
        running = await _prepared(sight, query, [], bound, also)
        looks = running.wanted.confirm or running.links
        if wanted in ("persons", "keys") and not looks:
            found = distinct(running, first)
        else:
            found = candidates(running, (WITH_BODIES if looks else SLIM)[wanted], first=first)
        async for one in found:
            if not is_hidden(one):
                through.append({"p": one["p"]})
            yield one

    return find


async def _leads_inside(sight: View, link: Link, resource_type: str) -> bool:
    """Whether anything that may be seen refers by a chain's parameter to something contained, which no far end tells."""
    if not isinstance(link, Chain) or not sight.record.codec.is_indexed:
        return False
    clause = into_contained(link.parameter)
    if not lookup(clause).exact:
        return False  # then it is not looked up from its far end either
    running = await _prepared(sight, Query(resource_type, clauses=(clause,)), [])
    async for _ in candidates(running, STAMPS, first=1):
        return True
    return False


async def _page(running: Search, cursor: Cursor | None, through: list[Document]) -> tuple[Page, list[Document]]:
    """A page, and what it discloses; `through` is told of what is only counted."""
    query = running.query
    page = Page()
    if query.summary_count or query.count == 0:
        page.total = await _count(running, through)
        if page.total is None:
            raise FhirError(403, "too-costly", f"more than {BOUND} match; narrow the search to have them counted")
        return page, []
    size = query.count or PAGE
    field_name = index_order(query)
    found = await (_by_index(running, field_name, size, cursor) if field_name else _by_keys(running, size, cursor))
    page.matches = first_opened(running.record.codec, found[:size])
    shown = found[: len(page.matches)]
    if len(found) > len(shown):
        page.next = after(field_name, shown, cursor) if field_name else Cursor(shown[-1]["_id"], keys=_keys(running, shown[-1]))
    page.total = await _total(running, page, cursor)
    page.too_costly = page.total is None and query.total == "accurate"
    extra = await included(running.sight, query, shown, page.matches)
    page.included = whole(running.sight, extra)
    return page, [*shown, *extra]


async def _total(running: Search, page: Page, cursor: Cursor | None) -> int | None:
    if running.query.total == "none":
        return None
    if page.next is None and cursor is None:
        return len(page.matches)
    return await _count(running, []) if running.query.total else None


async def _count(running: Search, through: list[Document], most: int = BOUND) -> int | None:
    """How many visible matches there are, exactly; None beyond the bound. `through` is told of what is counted one by one."""
    if running.wanted.counted is not None and not running.links:
        kept = await counted(running.sight, running.wanted.counted, TYPE_NUMBER[running.query.resource_type])
        if kept is not None:
            return kept
    projection = WITHOUT_TERMS if running.wanted.confirm or running.links else STAMPS
    count = 0
    async for one in candidates(running, projection):
        count += 1
        if count > most:
            return None
        through.append({"p": one["p"]})
    return count


async def _by_index(running: Search, field_name: str, size: int, cursor: Cursor | None) -> list[Document]:
    """The next `size` + 1 visible matches in the order of a stamp; ties at a page end are told apart by what was delivered."""
    found: list[Document] = []
    order, parts = (field_name, direction(running.query)), parts_of(running.record.codec, running.query)
    projection = _projection(parts)
    start = cursor.part if cursor else 0
    for number, part in list(enumerate(parts))[start:]:
        begin = cursor if number == start else None
        within = running._replace(dated=part) if part else running
        async for one in candidates(within, projection, order, begin, size + 1 - len(found)):
            one["part"] = number
            found.append(one)
            if len(found) > size:
                return found
    return found


def _projection(parts: Sequence[Dated | None]) -> dict[str, int]:
    """What is fetched of matches that come in parts: which part they are of is told by their ranges."""
    return {"x": 0} if parts[0] else WITHOUT_TERMS


async def _by_keys(running: Search, size: int, cursor: Cursor | None) -> list[Document]:
    """All visible matches, up to a bound, sorted on values in their bodies; those after the cursor's, wherever that is now."""
    keyed: list[tuple[Keys, Document]] = [(cursor.keys, {"_id": cursor.last})] if cursor else []
    bound = LIFE if running.wanted.scope in ("person", "terms") else BOUND
    seen = 0
    async for one in candidates(running, WITHOUT_TERMS):
        seen += 1
        if seen > bound:
            raise FhirError(403, "too-costly", f"more than {bound} match; narrow the search, or sort by date or _lastUpdated")
        if not (cursor and one["_id"] == cursor.last):
            keyed.append((_keys(running, one), one))
        one.pop("plain", None)  # of a page it is unsealed again, of the others it would fill the memory
    sort_by_keys(running.query, keyed)
    start = next((n + 1 for n, (_, one) in enumerate(keyed) if cursor and one["_id"] == cursor.last), 0)
    return [one for _, one in keyed[start : start + size + 1]]


def _keys(running: Search, one: Document) -> Keys:
    return keys_of(running.query, one, read_stored(opened(running.record.codec, one)))
