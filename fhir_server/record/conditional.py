"""Criteria in writes (R4 http.html#ccreate, #cond-update): they match one's own records and the directory.

Claims make them race-free: two writes with the same criteria by one custodian lock one row, so the second sees the first.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record.context import Record
from fhir_server.record.criteria import criteria, only_itself, pairs_of
from fhir_server.record.gate import View
from fhir_server.record.parameters import require_in_force
from fhir_server.search.clauses import Clause
from fhir_server.search.match import matches
from fhir_server.search.query import Query, canonical, parse
from fhir_server.store.documents import TYPE_NUMBER, Document, body
from fhir_server.store.snapshot import Snapshot

CANDIDATES = 1000
_RESULT_PARAMETERS = (
    "takes criteria on the resource itself only, such as identifier=SYSTEM|VALUE; leave out chains and what shapes a result"
)


def criteria_of(resource_type: str, criteria: str | Sequence[tuple[str, str]], base_url: str) -> Query:
    """The criteria of a conditional write, as pairs or text (after `TYPE?` or not); 400 for what is none, 412 for none."""
    pairs = pairs_of(_query(resource_type, criteria)) if isinstance(criteria, str) else criteria
    query = parse(resource_type, pairs, base_url=base_url)
    if query != Query(resource_type, query.clauses):
        raise FhirError(400, "not-supported", f"a conditional interaction {_RESULT_PARAMETERS}")
    if not query.clauses:
        raise FhirError(412, "multiple-matches", "without criteria any resource matches; say which: TYPE/ID, or TYPE?criteria")
    return query


def _query(resource_type: str, criteria: str) -> str:
    """What follows `?`, or `TYPE?` of this type; a `?` further on is of a value."""
    before, _, query = criteria.partition("?")
    return query if before.rpartition("/")[2] in ("", resource_type) and "=" not in before else criteria


def claim_of(record: Record, custodian: str, query: Query) -> bytes:
    """The row that a conditional write locks: custodian, type, normalised criteria."""
    return record.codec.identity(f"claim/{custodian}/{query.resource_type}?{canonical(query)}")


async def existing(sight: View, query: Query, snapshot: Snapshot) -> tuple[Document, str] | None:
    """The one record that the criteria of a conditional create match, with its id; 412 if there are several."""
    found = await matching(sight, query, snapshot)
    if len(found) > 1:
        raise FhirError(412, "multiple-matches", "several records match If-None-Exist; make the criteria more precise")
    return found[0] if found else None


async def matching(sight: View, query: Query, snapshot: Snapshot, limit: int = 2) -> list[tuple[Document, str]]:
    """At most `limit` matches among what the caller keeps and the directory; only these count towards the bound.

    What earlier jobs of the batch wrote counts as they left it.
    """
    await require_in_force(sight.record, query, snapshot)
    wanted = await criteria(sight.record.codec, query, only_itself)
    mine = {"$or": [{"p": []}, {"c": {"$in": sorted(sight.custodians)}}]}
    found = [
        (stored, resource["id"])
        for stored, resource in snapshot.written(TYPE_NUMBER[query.resource_type])
        if (not stored["p"] or sight.may_change(stored)) and sight.sees(stored) and meets(query.clauses, resource)
    ]
    seen = 0
    async for stored in snapshot.find({"$and": [*wanted.filter["$and"], mine]}):
        if len(found) >= limit:
            break
        if snapshot.is_written(stored["_id"]) or not sight.sees(stored):
            continue
        seen += 1
        if seen > CANDIDATES:
            raise FhirError(412, "too-costly", "the criteria match too much; use an identifier")
        resource = read(body(sight.record.codec, stored))
        if all(meets(clauses, resource) for clauses in wanted.confirm.values()):
            found.append((stored, resource["id"]))
    return found[:limit]


def meets(clauses: Iterable[Clause], resource: dict[str, Any]) -> bool:
    return all(matches(clause, resource) for clause in clauses)
