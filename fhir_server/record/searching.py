"""search-type (R4 search.html): what matches and may be seen, in order, page by page; every page is gated anew."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read_stored
from fhir_server.record.accesses import Access
from fhir_server.record.candidates import UNORDERED, Ahead, Search, candidates, look_ahead
from fhir_server.record.concepts import with_meanings
from fhir_server.record.context import Record
from fhir_server.record.counting import count
from fhir_server.record.criteria import criteria, only_itself, patients_named
from fhir_server.record.gate import admit, view
from fhir_server.record.hierarchies import with_hierarchies
from fhir_server.record.including import included, whole
from fhir_server.record.naming import asked_about
from fhir_server.record.ordering import Dated, Keys, after, direction, index_order, keys_of, parts_of, sort_by_keys
from fhir_server.record.paging import Cursor
from fhir_server.record.parameters import require_in_force
from fhir_server.record.preparing import finder, prepared
from fhir_server.search.query import Query
from fhir_server.search.rewriting import as_of, is_unsettled
from fhir_server.store.documents import WITHOUT_TERMS, Document, first_opened, opened

PAGE = 50
BOUND = 5_000  # visible matches up to which totals and sorts on other than dates are exact
LIFE = 20_000  # the same for sorts within a person, whom a sort is to show whole


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
            query = await with_hierarchies(sight, query, finder(sight, through)) if unsettled else query
            running = await prepared(sight, query, through)
        page, disclosed = await _page(running, cursor, through)
    except FhirError as refusal:
        await record.audit.record(access.refused(refusal))
        raise
    page.next = page.next and replace(page.next, now=now)
    await require_in_force(record, query)
    # A chain that ends in the directory tells something of those it went through, who are nowhere in the answer.
    told = through if any(not one["p"] for one in disclosed) else []
    about = () if disclosed else await asked_about(sight, query, through, finder(sight, []))
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


async def _page(running: Search, cursor: Cursor | None, through: list[Document]) -> tuple[Page, list[Document]]:
    """A page, and what it discloses; `through` is told of what is only counted."""
    query = running.query
    page = Page()
    if query.summary_count or query.count == 0:
        page.total = await count(running, through, BOUND)
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
    return await count(running, [], BOUND) if running.query.total else None


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
