"""A person's own life, newest first: what happened, of several types at once, whichever hospital wrote it, page by page."""

from collections.abc import Collection
from typing import Any

from consent.caller import Caller
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import View, admit, view
from fhir_server.record.ordering import after
from fhir_server.record.paging import Cursor
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, Document, first_opened

CHUNK = 200


async def life(
    record: Record,
    caller: Caller,
    types: Collection[str],
    size: int,
    cursor: Cursor | None = None,
    custodian: str | None = None,
) -> tuple[list[tuple[bytes, str]], Cursor | None]:
    """(body, custodian) of a page of the caller's own records by clinical date; and where to go on, if there is more."""
    access = Access(caller, "operation-life", f"Patient/{caller.patient}", record.clock())
    await admit(record, access, "Patient", "r")
    sight = await view(record, caller)
    found = await _page(sight, _wanted(sight, types, custodian), size + 1, cursor)
    bodies = first_opened(record.codec, found[:size])
    shown = found[: len(bodies)]
    await record.audit.record(access.entry(shown))
    page = [(plain, one["c"]) for plain, one in zip(bodies, shown, strict=True)]
    return page, after("s", shown, cursor) if len(found) > len(shown) else None


def _wanted(sight: View, types: Collection[str], custodian: str | None) -> dict[str, Any]:
    own = {"p": {"$in": sorted(sight.own)}, "t": {"$in": sorted(TYPE_NUMBER[one] for one in types)}, "b": {"$exists": True}}
    return own if custodian is None else own | {"c": custodian}


async def _page(sight: View, wanted: dict[str, Any], size: int, cursor: Cursor | None) -> list[Document]:
    """The next `size` visible records; ties at a page end are told apart by what was delivered."""
    value, tied = (cursor.value, list(cursor.tied)) if cursor else (None, [])
    found: list[Document] = []
    limit = size  # nearly always enough: there is little about oneself that one may not see
    while True:
        every = wanted if value is None else {**wanted, "s": {"$lte": value}, "_id": {"$nin": tied}}
        chunk = (
            await sight.record.database["resources"]
            .find(every, WITHOUT_TERMS, sort={"s": -1}, limit=limit, batch_size=limit, hint="person")
            .to_list()
        )
        found += [one for one in chunk if sight.sees(one)]
        if len(found) >= size or len(chunk) < limit:
            return found[:size]
        last = chunk[-1]["s"]
        tied = [one["_id"] for one in chunk if one["s"] == last] + (tied if last == value else [])
        value, limit = last, CHUNK
