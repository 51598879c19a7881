"""_include and _revinclude (R4 search.html#include): resources beside the matches, gated like every other."""

from collections.abc import Iterable
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.r4.references import literal
from fhir_server.record.gate import View
from fhir_server.search.include import included as referred
from fhir_server.search.include import reverse
from fhir_server.search.plan import lookup
from fhir_server.search.query import Include, Query
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, Document, hashed_term, resource_key

BOUND = 1_000


async def included(sight: View, query: Query, shown: list[Document], bodies: list[bytes]) -> list[Document]:
    """What the includes of a search add to one page: each resource once, none that the page holds already."""
    if not (query.includes or query.revincludes) or not shown:
        return []
    resources = [read(one) for one in bodies]
    have = {one["_id"] for one in shown}
    keys = dict.fromkeys(key for include in query.includes for key in _targets(sight, query, include, resources))
    found = await _visible(sight, {"_id": {"$in": [key for key in keys if key not in have]}})
    for include in query.revincludes:
        found += await _visible(sight, _pointing(sight, include, resources))
    unique = {one["_id"]: one for one in found if one["_id"] not in have}
    return list(unique.values())


def _targets(sight: View, query: Query, include: Include, resources: Iterable[dict[str, Any]]) -> Iterable[bytes]:
    """Keys of what the matches refer to through the parameter."""
    if include.source != query.resource_type:
        return
    for resource in resources:
        for text in referred(include, resource):
            target = literal(text)
            if target:
                yield resource_key(sight.record.codec, *target)


def _pointing(sight: View, include: Include, resources: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Criteria of what refers to the matches through the parameter: equality of references is exact in the index."""
    names = [f"{one['resourceType']}/{one['id']}" for one in resources if include.target in (None, one["resourceType"])]
    terms = [hashed_term(sight.record.codec, term) for term in lookup(reverse(include, names)).terms] if names else []
    return {"t": TYPE_NUMBER[include.source], "x": {"$in": terms}}


async def _visible(sight: View, criteria: dict[str, Any]) -> list[Document]:
    found: list[Document] = []
    async for one in sight.record.database["resources"].find(criteria, WITHOUT_TERMS, sort={"s": -1, "_id": 1}):
        if "b" in one and sight.sees(one):
            found.append(one)
        if len(found) > BOUND:
            raise FhirError(403, "too-costly", f"more than {BOUND} resources to include; ask for smaller pages with _count")
    return found
