"""What a search looks for: criteria for the index, and links that are looked up from their far ends, or left to be followed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

from consent.scopes import allows
from fhir_server.record.candidates import Search, candidates, distinct
from fhir_server.record.chaining import AT_ONCE, As, Finder, crowd, from_afar, into_contained, is_hidden, with_contained
from fhir_server.record.counting import count
from fhir_server.record.criteria import Bound, Criteria, Referring, criteria, either, patients_named
from fhir_server.record.gate import View
from fhir_server.record.persons import same_person
from fhir_server.search.chains import Chain, Link, Listed, Reverse
from fhir_server.search.clauses import Clause
from fhir_server.search.plan import lookup
from fhir_server.search.query import Query
from fhir_server.store.documents import STAMPS, TYPE_NUMBER, WITHOUT_RANGES, WITHOUT_TERMS, Document

SLIM = {"bodies": WITHOUT_TERMS, "stamps": STAMPS, "terms": STAMPS | {"x": 1}}
WITH_BODIES = dict.fromkeys(("bodies", "stamps", "keys"), WITHOUT_TERMS) | dict.fromkeys(("terms", "persons"), WITHOUT_RANGES)
MANY = 2_000  # entries of the index up to which they are counted


async def prepared(
    sight: View, query: Query, through: list[Document], bound: Bound | None = None, also: Sequence[Referring] = ()
) -> Search:
    """What to look for: each link is looked up from its far end, or left to be followed from the candidates."""
    if query.branches:
        return await _together(sight, query, through)

    async def plain(clauses: tuple[Clause, ...], bound: Bound | None, also: Sequence[Referring]) -> Criteria:
        wanted = replace(query, clauses=clauses, links=()) if query.links else query
        return await criteria(sight.record.codec, wanted, partial(same_person, sight), bound, by_pairs=True, also=also)

    wanted = await plain(query.clauses, bound, also)
    if not query.links:
        return Search(sight, query, wanted)
    find = finder(sight, through)
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


async def _together(sight: View, query: Query, through: list[Document]) -> Search:
    """What to look for in several types, or in several ways, at once."""
    ready = [await prepared(sight, one, through) for one in query.branches]
    apart = any(one.wanted.scope == "population" for one in ready)
    about = () if apart else await _compartment(sight, query)
    left: dict[int, tuple[Link, ...]] = {}
    for number, some in (pair for one in ready for pair in one.links.items()):
        left[number] = tuple(dict.fromkeys((*left.get(number, ()), *some)))
    return Search(sight, query, either([one.wanted for one in ready], about), left, finder(sight, through))


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
    running = await prepared(sight, Query(link.source, clauses=(link.criterion,)), [])
    if running.wanted.confirm:
        return False
    most = crowd(together=running.wanted.counted is not None)
    found = await count(running, [], most)
    return found is None or found > most


async def _compartment(sight: View, query: Query) -> Sequence[bytes]:
    """The Patients that all branches are about: those of the person whose compartment is searched."""
    named = [set(patients_named(sight.record.codec, one)) for one in query.branches if one.ids() is None]
    common = set.intersection(*named) if named else set()
    return [member for patient in sorted(common) for member in await same_person(sight, patient)]


def finder(sight: View, through: list[Document]) -> Finder:
    """How links look for what is at their ends: as any search does; `through` is told of it."""

    async def find(
        query: Query, bound: Bound | None, first: int, also: Sequence[Referring], wanted: As
    ) -> AsyncIterator[Document]:
        running = await prepared(sight, query, [], bound, also)
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
    running = await prepared(sight, Query(resource_type, clauses=(clause,)), [])
    async for _ in candidates(running, STAMPS, first=1):
        return True
    return False
