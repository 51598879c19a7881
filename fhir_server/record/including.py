"""_include and _revinclude (R4 search.html#include): resources beside the matches, gated like every other."""

from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read_stored
from fhir_server.r4.references import literal
from fhir_server.record.gate import View
from fhir_server.search.include import Include, pointing, reverse
from fhir_server.search.include import included as referred
from fhir_server.search.plan import lookup
from fhir_server.search.query import Query
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, Document, body, hashed_term, resource_key

BOUND = 1_000
ROUNDS = 16

Resource = dict[str, Any]


async def included(sight: View, query: Query, shown: list[Document], bodies: list[bytes]) -> list[Document]:
    """What the includes of a search add to one page: each resource once, none that the page holds already."""
    if not (query.includes or query.revincludes) or not shown:
        return []
    have = {one["_id"] for one in shown}
    added: list[Document] = []
    resources = [read_stored(one) for one in bodies]
    for turn in range(ROUNDS):
        new = [one for one in await _around(sight, query, resources, have, turn > 0) if one["_id"] not in have]
        if not new:
            return added
        unique = {one["_id"]: one for one in new}
        have.update(unique)
        added += unique.values()
        if len(added) > BOUND:
            raise _too_many()
        resources = [read_stored(body(sight.record.codec, one)) for one in unique.values()]
    raise FhirError(403, "too-costly", f"includes go on after {ROUNDS} rounds; leave out :iterate")


async def _around(sight: View, query: Query, resources: list[Resource], have: set[bytes], again: bool) -> list[Document]:
    """What these resources refer to, and what refers to them; `again`: by the includes that iterate only."""
    includes = [one for one in query.includes if one.iterate or not again]
    keys = dict.fromkeys(key for include in includes for key in _targets(sight, include, resources))
    wanted = [key for key in keys if key not in have]
    found = await _visible(sight, {"_id": {"$in": wanted}}) if wanted else []
    for include in query.revincludes:
        if include.iterate or not again:
            criteria = _pointing(sight, include, resources)
            found += await _visible(sight, criteria) if criteria["x"]["$in"] else []
    return found


def _targets(sight: View, include: Include, resources: list[Resource]) -> list[bytes]:
    """Keys of what the resources refer to through the parameter."""
    targets = (literal(text) for resource in resources for text in referred(include, resource))
    return [resource_key(sight.record.codec, *target) for target in targets if target]


def _pointing(sight: View, include: Include, resources: list[Resource]) -> dict[str, Any]:
    """Criteria of what refers to the resources through the parameter: equality of references is exact in the index."""
    named: dict[str, list[str]] = {}
    for one in resources:
        named.setdefault(one["resourceType"], []).append(f"{one['resourceType']}/{one['id']}")
    found = [
        (source, term)
        for kind, names in named.items()
        for source, parameter in pointing(include, kind)
        for term in lookup(reverse(parameter, names)).terms
    ]
    terms = [hashed_term(sight.record.codec, term) for term in dict.fromkeys(term for _, term in found)]
    return {"t": {"$in": sorted({TYPE_NUMBER[source] for source, _ in found})}, "x": {"$in": terms}}


async def _visible(sight: View, criteria: dict[str, Any]) -> list[Document]:
    found: list[Document] = []
    async for one in sight.record.database["resources"].find(criteria, WITHOUT_TERMS, sort={"s": -1, "_id": 1}):
        if "b" in one and sight.sees(one):
            found.append(one)
        if len(found) > BOUND:
            raise _too_many()
    return found


def _too_many() -> FhirError:
    return FhirError(403, "too-costly", f"more than {BOUND} resources to include; ask for smaller pages with _count")
