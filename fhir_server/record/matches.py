"""All that a search finds, as the caller may see it, for operations that need the whole."""

from collections.abc import Sequence
from dataclasses import replace

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.record.context import Record
from fhir_server.record.searching import BOUND, search
from fhir_server.search.query import MAX_COUNT, Query, parse
from fhir_server.store.documents import PAGE_BYTES

MOST_BYTES = 4 * PAGE_BYTES


async def matches(
    record: Record, caller: Caller, kind: str, pairs: Sequence[tuple[str, str]], asked: str, base_url: str
) -> list[bytes]:
    """Bodies, newest first; 400 for parameters that shape a result, 403 `too-costly` above the bound of a search."""
    plain = parse(kind, pairs, base_url=base_url)
    if replace(plain, clauses=()) != Query(kind):
        raise FhirError(400, "not-supported", "only criteria are taken here: no _sort, _count, _include and the like")
    query = replace(plain, count=MAX_COUNT, total="none")
    page = await search(record, caller, query, asked)
    found = list(page.matches)
    while page.next:
        if len(found) >= BOUND or sum(map(len, found)) > MOST_BYTES:
            raise FhirError(
                403, "too-costly", f"more than {BOUND} of type {kind}, or very large ones; narrow them, by date for one"
            )
        page = await search(record, caller, query, asked, page.next)
        found += page.matches
    return found
