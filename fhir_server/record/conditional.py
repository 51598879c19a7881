"""Conditional create and conditional references (R4 http.html#ccreate, #trules): they match one's own and the directory.

Claims make them race-free: two creates with the same criteria by one custodian lock one row, so the second sees the first.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.r4.references import walk_references
from fhir_server.record.context import Record
from fhir_server.record.criteria import criteria, pairs_of
from fhir_server.record.gate import View
from fhir_server.search.match import matches
from fhir_server.search.query import Query, canonical, parse
from fhir_server.store.documents import Document, body
from fhir_server.store.snapshot import Snapshot

CANDIDATES = 1000


def claim_of(record: Record, custodian: str, query: Query) -> bytes:
    """The row that a conditional create locks: custodian, type, normalised criteria."""
    return record.codec.identity(f"claim/{custodian}/{query.resource_type}?{canonical(query)}")


async def existing(sight: View, query: Query, snapshot: Snapshot) -> tuple[Document, str] | None:
    """The one record that the criteria of a conditional create match, with its id; 412 if there are several."""
    found = await _matching(sight, query, snapshot)
    if len(found) > 1:
        raise FhirError(412, "multiple-matches", "several records match If-None-Exist; make the criteria more precise")
    return found[0] if found else None


async def resolve_references(sight: View, resources: Iterable[dict[str, Any]], snapshot: Snapshot) -> dict[str, str]:
    """`Type?criteria` -> `Type/id` for each conditional reference; 412 for one that does not match exactly one record."""
    resolved: dict[str, str] = {}
    for resource in resources:
        for reference in walk_references(resource):
            text = reference.get("reference")
            if isinstance(text, str) and "?" in text and text not in resolved and text.partition("?")[0] in RESOURCE_TYPES:
                resolved[text] = await _resolve(sight, text, snapshot)
    return resolved


async def _resolve(sight: View, text: str, snapshot: Snapshot) -> str:
    kind, _, criteria_text = text.partition("?")
    found = await _matching(sight, parse(kind, pairs_of(criteria_text)), snapshot)
    if len(found) != 1:
        problem = "no record" if not found else "several records"
        raise FhirError(
            412, "not-found" if not found else "multiple-matches", f"{problem} of {kind} match a conditional reference"
        )
    return f"{kind}/{found[0][1]}"


async def _matching(sight: View, query: Query, snapshot: Snapshot) -> list[tuple[Document, str]]:
    """At most two matches among what the caller keeps and the directory; only these count towards the bound."""
    wanted = await criteria(sight.record.codec, query, _only_itself)
    mine = {"$or": [{"p": []}, {"c": {"$in": sorted(sight.custodians)}}]}
    found: list[tuple[Document, str]] = []
    seen = 0
    async for stored in snapshot.find({"$and": [*wanted.filter["$and"], mine]}):
        if not sight.sees(stored):
            continue
        seen += 1
        if seen > CANDIDATES:
            raise FhirError(412, "too-costly", "the criteria match too much; use an identifier")
        resource = read(body(sight.record.codec, stored))
        if all(matches(clause, resource) for clauses in wanted.confirm.values() for clause in clauses):
            found.append((stored, resource["id"]))
        if len(found) == 2:
            break
    return found


async def _only_itself(patient: bytes) -> Sequence[bytes]:
    return (patient,)
