"""Ranges of the clinical date as a part of the index's order (decision 6)."""

from collections.abc import Mapping, Sequence
from math import inf

from fhir_server.record.conditions import Condition
from fhir_server.record.pairing import Piece, loose_terms
from fhir_server.search.clauses import Clause
from fhir_server.search.compare import Test, tests
from fhir_server.search.index import SPAN, leads
from fhir_server.search.query import Query
from fhir_server.search.values import Ordered
from fhir_server.store.documents import EARLIEST, HORIZON, Codec, earliest_stamp


def in_time(
    codec: Codec, query: Query, told: Mapping[Piece, Condition], pieces: Sequence[Piece], every: list[Condition]
) -> list[Condition]:
    """The conditions, and where in the order of the clinical date all ranges of it hold, so that nothing else is walked.

    The loose are looked for apart. `told`: the conditions of pieces for which no pair stands in.
    """
    low, high = -inf, inf
    for clause in query.clauses:
        least, most = _when(query.resource_type, clause)
        low, high = max(low, least), min(high, most)
    within = {"$gte": earliest_stamp(int(low))} if low > -inf else {}
    within |= {"$lt": earliest_stamp(max(int(high), EARLIEST + 1) + 1)} if high < HORIZON - 1 else {}
    loosely, among = loose_terms(codec, query.resource_type, pieces) if within else ([], None)
    if not loosely:
        return every
    look = told.get(among) if among else {"x": codec.term(query.resource_type)}
    if look is None or [part for part in every if "x" in part] != [look]:
        return [*every, {"$or": [{"s": within}, {"x": {"$in": loosely}}]}]
    rest = [part for part in every if part != look]  # one walk for those whose date is told, and one look for the others
    return [*rest, {"$or": [look | {"s": within}, {"x": {"$in": loosely}}]}]


def _when(resource_type: str, clause: Clause) -> tuple[float, float]:
    """When the matches of a range began, at the earliest and at the latest, unless they are loose."""
    if clause.parameter.type != "date" or clause.modifier is not None or not leads(resource_type, clause.parameter):
        return -inf, inf
    starts = [_starts(all_of) for value in clause.values if isinstance(value, Ordered) for all_of in tests(value)]
    return min((low for low, _ in starts), default=-inf), max((high for _, high in starts), default=inf)


def _starts(all_of: Sequence[Test]) -> tuple[float, float]:
    """When what passes the tests began, at the earliest and at the latest, unless it is loose."""
    earliest = [bound - (SPAN if side == "high" else 0) for side, how, bound in all_of if how in ("gt", "gte")]
    latest = [bound for _, how, bound in all_of if how in ("lt", "lte")]
    return max(earliest, default=-inf), min(latest, default=inf)
