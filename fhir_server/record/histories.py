"""history of an instance, a type and the system (R4 http.html#history): versions, newest first, page by page.

Who may not see the current version of a resource sees none, and each version is decided on by its own stamps.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from consent.caller import Caller
from fhir_server.r4.dates import Interval
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import stored_name
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import View, admit, view
from fhir_server.record.paging import Cursor
from fhir_server.record.reading import Stored, visible, with_body
from fhir_server.record.writing import refusals_audited
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, Document, body, first_opened, history_id, sort_stamp

NEWEST = (1 << 63) - 1
CHUNK = 200
SCAN = 50_000  # versions of what is visible, up to which a page is looked for


@dataclass(frozen=True, slots=True)
class Wanted:
    """`count` versions: made from `since` (ms) on, and current at some time of `at`."""

    count: int
    since: int | None = None
    at: Interval | None = None

    def has(self, made: int, replaced: int | None) -> bool:
        """Whether a version counts that was made and replaced (None: is current) at these moments."""
        is_late = self.since is None or made >= self.since
        return is_late and (self.at is None or (made <= self.at[1] and (replaced is None or replaced > self.at[0])))


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a resource."""

    resource_type: str
    id: str
    stored: Stored


async def history(
    record: Record, caller: Caller, resource_type: str, resource_id: str, wanted: Wanted, cursor: Cursor | None
) -> tuple[list[Version], Cursor | None]:
    """The next of a resource's versions that the caller may see, and where to go on; 404 where the current one is hidden."""
    access = Access(caller, "history-instance", f"{resource_type}/{resource_id}/_history", record.clock())
    sight, current = await visible(record, access, resource_type, resource_id)
    found: list[Document] = []
    async for one, replaced in _versions_of(record, current, cursor):
        if sight.sees(one) and wanted.has(one["u"], replaced):
            found.append(one)
        if len(found) > wanted.count:
            break
    bodies = first_opened(record.codec, found[: wanted.count])
    shown = found[: len(bodies)]
    await record.audit.record(access.entry(shown or (current,), reason=sight.decision(current).reason))
    versions = [Version(resource_type, resource_id, with_body(*one)) for one in zip(shown, bodies, strict=True)]
    return versions, Cursor(current["_id"], value=shown[-1]["v"]) if len(found) > len(shown) else None


async def _versions_of(record: Record, current: Document, cursor: Cursor | None) -> AsyncIterator[tuple[Document, int | None]]:
    """(version, when it was replaced) from where the cursor is on."""
    replaced: int | None = None
    done = cursor.value if cursor and cursor.value is not None else current["v"] + 1
    if current["v"] < done:
        yield current, None
    if current["v"] <= done:
        replaced = current["u"]
    earlier = {"o": current["_id"], "v": {"$lt": current["v"], "$lte": done}}
    async for one in record.database["history"].find(earlier, sort={"v": -1}, batch_size=CHUNK):
        if one["v"] < done:
            yield one, replaced
        replaced = one["u"]


async def histories(
    record: Record, caller: Caller, resource_type: str | None, wanted: Wanted, cursor: Cursor | None
) -> tuple[list[Version], Cursor | None]:
    """The next versions of a type (None: of all) that the caller may see, and where to go on."""
    access = Access(
        caller, "history-type" if resource_type else "history-system", f"{resource_type or ''}/_history", record.clock()
    )
    if resource_type:
        await admit(record, access, resource_type, "r")
    sight = await view(record, caller)
    types = [TYPE_NUMBER[resource_type]] if resource_type else sorted(TYPE_NUMBER.values())
    found: list[tuple[Document, Document]] = []
    async with refusals_audited(record, access):
        async for pair in _visible(sight, types, wanted, cursor):
            found.append(pair)
            if len(found) > wanted.count:
                break
    bodies = first_opened(record.codec, [one for one, _ in found[: wanted.count]])
    pairs = zip(bodies, found[: len(bodies)], strict=True)
    versions = await asyncio.gather(*(_version(record, plain, *pair) for plain, pair in pairs))
    shown = [one for one, _ in found[: len(bodies)]]
    await record.audit.record(access.entry(shown, reason=sight.reason(person for one in shown for person in one["p"])))
    return versions, _cursor(record, shown, cursor) if len(found) > len(shown) else None


def _cursor(record: Record, shown: list[Document], before: Cursor | None) -> Cursor:
    last = shown[-1]
    tied = tuple(_identity(record, one) for one in shown if one["w"] == last["w"])
    if before and before.value == last["w"]:
        tied += before.tied
    return Cursor(_identity(record, last), value=last["w"], tied=tied)


async def _visible(
    sight: View, types: list[int], wanted: Wanted, cursor: Cursor | None
) -> AsyncIterator[tuple[Document, Document]]:
    """(version, current version) of what is wanted and may be seen, in order of time and then of identity."""
    low = 0 if wanted.since is None else sort_stamp(wanted.since, bytes(16))
    newest = NEWEST if wanted.at is None else sort_stamp(wanted.at[1], b"\xff" * 16)
    high, done = (cursor.value or 0, frozenset(cursor.tied)) if cursor else (newest, frozenset[bytes]())
    passed = 0
    while True:
        versions, boundary = await _slice(sight.record, types, low, high)
        fresh = [one for one in versions if _identity(sight.record, one) not in done]
        currents = await asyncio.gather(*(_current(sight.record, one) for one in fresh))
        pairs = [(one, now) for one, now in zip(fresh, currents, strict=True) if now is not None and sight.sees(now)]
        replaced = await _replaced(sight.record, pairs) if wanted.at else {}
        for one, current in pairs:
            if sight.sees(one) and wanted.has(one["u"], replaced.get(one["_id"])):
                yield one, current
                continue
            passed += 1
            if passed > SCAN:
                raise FhirError(403, "too-costly", "too many versions to pass over; ask for a type, or from a later _since on")
        if boundary is None:
            return
        high, done = boundary - 1, frozenset()


async def _replaced(record: Record, pairs: Sequence[tuple[Document, Document]]) -> dict[bytes, int]:
    """When each version that is not the current one was replaced, by its key: when the next was made."""
    past = [(one, current) for one, current in pairs if "o" in one]
    made = {history_id(record.codec, now["_id"], now["v"]): now["u"] for _, now in past}
    following = {one["_id"]: history_id(record.codec, one["o"], one["v"] + 1) for one, _ in past}
    unknown = [key for key in following.values() if key not in made]
    if unknown:
        found = record.database["history"].find({"_id": {"$in": unknown}}, {"u": 1})
        made |= {one["_id"]: one["u"] async for one in found}
    return {key: made[after] for key, after in following.items()}


async def _slice(record: Record, types: list[int], low: int, high: int) -> tuple[list[Document], int | None]:
    """All versions from a boundary up to `high`, the newest first; no boundary: all there are.

    Current versions are read first: one that is replaced in between is found in both places, and is one.
    """
    found: dict[bytes, Document] = {}
    boundary: int | None = None
    for name in ("resources", "history"):
        some = await _find(record, name, types, low, high, CHUNK)
        if len(some) == CHUNK:
            last = some[-1]["w"]
            some += await _find(record, name, types, last, last, 0)  # all that are of the same moment
            boundary = last if boundary is None else max(boundary, last)
        found |= {_identity(record, one): one for one in some}
    kept = (pair for pair in found.items() if boundary is None or pair[1]["w"] >= boundary)
    return [one for _, one in sorted(kept, key=lambda pair: (-pair[1]["w"], pair[0]))], boundary


async def _find(record: Record, name: str, types: Sequence[int], low: int, high: int, limit: int) -> list[Document]:
    criteria = {"t": {"$in": list(types)}, "w": {"$gte": low, "$lte": high}}
    found: Iterable[Document] = (
        await record.database[name].find(criteria, WITHOUT_TERMS, sort={"w": -1}, limit=limit, hint="updated").to_list()
    )
    return list(found)


def _identity(record: Record, one: Document) -> bytes:
    """The same for a version while it is the current one and after."""
    key: bytes = one["_id"]
    return key if "o" in one else history_id(record.codec, key, one["v"])


async def _current(record: Record, one: Document) -> Document | None:
    return await record.by_key(one["o"]) if "o" in one else one


async def _version(record: Record, plain: bytes, one: Document, current: Document) -> Version:
    """With its id, which stands only in bodies: of a deleted resource in that of its last version."""
    told: Document | None = current
    if not plain and "b" not in current:
        last = history_id(record.codec, current["_id"], current["v"] - 1)
        told = await record.database["history"].find_one({"_id": last})
    assert told is not None
    known = stored_name(plain or body(record.codec, told)).decode()
    return Version(RESOURCE_TYPES[one["t"]], known.partition("/")[2], with_body(one, plain))
