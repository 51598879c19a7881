"""_include and _revinclude (R4 search.html#include): resources beside the matches, gated like every other."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read_stored
from fhir_server.r4.references import literal
from fhir_server.record.chaining import resource_of
from fhir_server.record.context import Record
from fhir_server.record.gate import View
from fhir_server.search.canonical_references import called, canonicals, names
from fhir_server.search.clauses import Clause
from fhir_server.search.include import Include, by_url, pointing, reverse
from fhir_server.search.include import included as referred
from fhir_server.search.parameters import KNOWN, Known, is_canonical
from fhir_server.search.plan import lookup
from fhir_server.search.query import Query
from fhir_server.store.documents import (
    TYPE_NUMBER,
    WITHOUT_RANGES,
    WITHOUT_TERMS,
    Document,
    first_opened,
    patient_term,
    resource_key,
)
from fhir_server.store.finding import BY_KEYS, Find

BOUND = 1_000
FEW = 5  # people whose lives are walked for all that refers to them
ROUNDS = 16

Resource = dict[str, Any]


async def included(sight: View, query: Query, shown: list[Document], bodies: list[bytes]) -> list[Document]:
    """What the includes of a search add to one page: each resource once, none that the page holds already."""
    includes, revincludes = query.includes, query.revincludes
    if not (includes or revincludes):
        return []
    have, added, latest = {one["_id"] for one in shown}, list[Document](), bodies
    for _ in range(ROUNDS):
        if not (includes or revincludes) or not latest:
            return added
        found = await _around(sight, includes, revincludes, [read_stored(one) for one in latest], have)
        unique = {one["_id"]: one for one in found if one["_id"] not in have}
        have.update(unique)
        added += unique.values()
        if len(added) > BOUND:
            raise _too_many()
        includes, revincludes = _iterated(includes), _iterated(revincludes)
        latest = whole(sight, list(unique.values()))
    raise FhirError(403, "too-costly", f"includes go on after {ROUNDS} rounds; leave out :iterate")


def whole(sight: View, found: list[Document]) -> list[bytes]:
    """The bodies of all of these: what is to be included has no pages."""
    bodies = first_opened(sight.record.codec, found)
    if len(bodies) < len(found):
        raise _too_many()
    return bodies


def _iterated(includes: tuple[Include, ...]) -> tuple[Include, ...]:
    return tuple(one for one in includes if one.iterate)


async def _around(
    sight: View, includes: Sequence[Include], revincludes: Sequence[Include], resources: list[Resource], have: set[bytes]
) -> list[Document]:
    """What these resources refer to, and what refers to them."""
    keys = dict.fromkeys(key for include in includes for key in _targets(sight, include, resources))
    wanted = [key for key in keys if key not in have]
    found = await _named(sight, wanted) if wanted else []
    found += await _called(sight, includes, resources)
    for include in revincludes:
        found += await _referring(sight, include, resources)
        found += await _calling(sight, include, resources)
    return found


async def _called(sight: View, includes: Sequence[Include], resources: list[Resource]) -> list[Document]:
    """What these resources refer to by canonical url."""
    told: dict[str, set[str]] = {}
    for kind in {one["resourceType"] for one in resources}:
        for parameter, targets in (way for include in includes for way in by_url(include, kind)):
            said = {name for one in resources if one["resourceType"] == kind for name in canonicals(parameter, one)}
            for target in targets if said else ():
                told.setdefault(target, set()).update(said)
    if not told:
        return []
    found = await _visible(sight, _having(sight, [(kind, called(kind, said)) for kind, said in told.items()]))
    return [one for one in found if not told[RESOURCE_TYPES[one["t"]]].isdisjoint(names(resource_of(sight, one)))]


async def _calling(sight: View, include: Include, resources: list[Resource]) -> list[Document]:
    """What refers to these resources by canonical url, to their version or to any."""
    told: dict[str, set[str]] = {}
    for one in resources:
        if "url" in one:
            told.setdefault(one["resourceType"], set()).update(names(one))
    ways = [(*way, said) for kind, said in told.items() if said for way in pointing(include, kind) if is_canonical(way[1])]
    if not ways:
        return []
    found = await _visible(sight, _having(sight, [(source, reverse(one, sorted(said))) for source, one, said in ways]))

    def refers(resource: Resource) -> bool:
        own = ((one, said) for source, one, said in ways if source == resource["resourceType"])
        return any(not said.isdisjoint(canonicals(one, resource)) for one, said in own)

    return [one for one in found if refers(resource_of(sight, one))]


def _having(sight: View, clauses: Iterable[tuple[str, Clause]]) -> dict[str, Any]:
    """Criteria of resources of these types that have a term of their clause."""
    told = list(clauses)
    terms = {sight.record.codec.term(term) for _, clause in told for term in lookup(clause).terms}
    return {"t": {"$in": sorted({TYPE_NUMBER[kind] for kind, _ in told})}, "x": {"$in": sorted(terms)}}


async def _referring(sight: View, include: Include, resources: list[Resource]) -> list[Document]:
    """What refers to the resources through the parameter; all that refers to somebody is the most of their life."""
    people = [resource_key(sight.record.codec, "Patient", one["id"]) for one in resources if one["resourceType"] == "Patient"]
    if include.parameter is None and len(resources) == len(people) <= FEW:
        return await _visible(sight, {"p": {"$in": people}}, _naming(sight, include, people))
    criteria = _pointing(sight, include, resources)
    return await _visible(sight, criteria) if criteria["x"]["$in"] else []


def _naming(sight: View, include: Include, people: Sequence[bytes]) -> Callable[[Document], bool]:
    """Whether a document refers to these Patients by a search parameter: the paths of its own type tell, not those of all."""
    ways = _ways(include, KNOWN.get())
    codec, terms = sight.record.codec, dict[int, frozenset[int]]()

    def names(one: Document) -> bool:
        number = one["t"]
        if number not in terms:
            terms[number] = frozenset(patient_term(codec, path, patient) for path in ways.get(number, ()) for patient in people)
        return not terms[number].isdisjoint(one.pop("x"))

    return names


@lru_cache(maxsize=256)
def _ways(include: Include, known: Known) -> Mapping[int, Sequence[str]]:
    """By type of resource the paths by which it refers to Patients, among the parameters known now."""
    ways: dict[int, list[str]] = {}
    for source, parameter in pointing(include, "Patient"):
        ways.setdefault(TYPE_NUMBER[source], []).extend(path.key for path in parameter.paths if path.key)
    return ways


def _targets(sight: View, include: Include, resources: list[Resource]) -> list[bytes]:
    """Keys of what the resources refer to through the parameter."""
    targets = (literal(text) for resource in resources for text in referred(include, resource))
    return [resource_key(sight.record.codec, *target) for target in targets if target]


def _pointing(sight: View, include: Include, resources: list[Resource]) -> dict[str, Any]:
    """Criteria of what refers to the resources through the parameter: equality of references is exact in the index."""
    codec, types, terms = sight.record.codec, set[int](), list[int]()
    for one in resources:
        kind, known = one["resourceType"], one["id"]
        ways = {path.key: source for source, parameter in pointing(include, kind) for path in parameter.paths if path.key}
        types.update(TYPE_NUMBER[source] for source in ways.values())
        if kind == "Patient":
            key = resource_key(codec, kind, known)
            terms += [patient_term(codec, path, key) for path in ways]
        else:
            terms += [codec.term(f"{path}>{kind}/{known}") for path in ways]
    return {"t": {"$in": sorted(types)}, "x": {"$in": terms}}


async def _named(sight: View, wanted: list[bytes]) -> list[Document]:
    """Those of these keys, newest first."""
    found: list[Document] = []
    for start in range(0, len(wanted), BOUND):
        some = await sight.record.share(BY_KEYS)(tuple(wanted[start : start + BOUND]))
        found += [one for one in some if "b" in one and sight.sees(one)]
        if len(found) > BOUND:
            raise _too_many()
    return _newest_first(found)


async def _visible(sight: View, criteria: dict[str, Any], holds: Callable[[Document], bool] | None = None) -> list[Document]:
    """Newest first. What `holds`, asked of documents with their terms, is looked for by walking lives."""
    projection, hint = (WITHOUT_RANGES, "person") if holds else (WITHOUT_TERMS, None)
    found: list[Document] = []
    async for one in _all(sight.record, Find(criteria, projection, {}, BOUND + 1, hint), is_near="x" not in criteria):
        if "b" in one and sight.sees(one) and (holds is None or holds(one)):
            found.append(one)
        if len(found) > BOUND:
            raise _too_many()
    return _newest_first(found)


def _newest_first(found: list[Document]) -> list[Document]:
    return sorted(found, key=lambda one: (-one["s"], one["_id"]))


async def _all(record: Record, find: Find, is_near: bool) -> AsyncIterator[Document]:
    """All that meets the criteria of a find, also beyond its limit. A life is looked up with others'."""
    some = await record.find_shared(find) if is_near else None
    if some is not None and len(some) < find.limit:
        for one in some:
            yield one
        return
    asked = record.database["resources"].find(find.criteria, find.projection, hint=find.hint)
    async for one in asked.batch_size(find.limit):
        yield one


def _too_many() -> FhirError:
    return FhirError(
        403, "too-costly", f"more than {BOUND} resources to include, or very large ones; ask for smaller pages with _count"
    )
