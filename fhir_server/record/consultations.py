"""What the telemedicine service keeps (experts, Slots, Appointments), and for whom a caller may arrange a consultation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from consent.caller import Caller
from fhir_server.r4.json import read, read_stored
from fhir_server.r4.references import ID_PATTERN
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import TELEMEDICINE
from fhir_server.record.context import Record
from fhir_server.record.criteria import criteria, only_itself
from fhir_server.record.gate import own_patients, view
from fhir_server.search.match import matches
from fhir_server.search.query import parse
from fhir_server.store import bookings
from fhir_server.store.documents import WITHOUT_TERMS, Document, body, resource_key, sort_stamp

SYSTEM = Caller(TELEMEDICINE, "system", organization=TELEMEDICINE, scopes=("system/*.cruds",))
"""The telemedicine service itself, under whose name Appointments are written."""

CHUNK = 1_000
T = TypeVar("T")
FIRST = bytes(16)  # the key that comes first among those of one moment


async def kept(record: Record, resource_type: str, resource_id: str) -> dict[str, Any] | None:
    """One of the service's own resources, whoever asks: the caller of this decides who may know of it."""
    if not ID_PATTERN.fullmatch(resource_id):
        return None
    stored = await record.by_key(resource_key(record.codec, resource_type, resource_id))
    return _resource(record, stored) if stored is not None and stored["c"] == TELEMEDICINE and "b" in stored else None


async def kept_where(
    record: Record,
    resource_type: str,
    pairs: Sequence[tuple[str, str]],
    limit: int,
    keep: Callable[[dict[str, Any]], T | None],
    between: tuple[int, int] | None = None,
) -> list[T]:
    """What `keep` makes of the service's own directory resources that match, by clinical date, in [low, high) ms.

    A round reads tens of thousands: were they kept whole, garbage collection would take longer than all the rest.
    """
    query = parse(resource_type, pairs)
    wanted = await criteria(record.codec, query, only_itself)
    dated = {"s": {"$gte": sort_stamp(between[0], FIRST), "$lt": sort_stamp(between[1], FIRST)}} if between else {}
    filter_ = {"$and": [*wanted.filter["$and"], {"c": TELEMEDICINE, "p": [], **dated}]}
    found = record.database["resources"].find(filter_, WITHOUT_TERMS, sort={"s": 1}, limit=limit, hint=wanted.hint("s"))
    confirm = [clause for clauses in wanted.confirm.values() for clause in clauses]
    kept_ones: list[T] = []
    while chunk := await found.to_list(CHUNK):
        for one in map(read_stored, (body(record.codec, stored) for stored in chunk)):
            made = keep(one) if all(matches(clause, one) for clause in confirm) else None
            kept_ones += [made] if made is not None else []
    return kept_ones


async def acts_for(record: Record, caller: Caller, patient_id: str) -> bool:
    """Whether a caller may arrange a consultation for a Patient: the person, the service itself, or the Patient's keeper.

    For somebody at the keeper's who may not see the Patient there is none.
    """
    key = resource_key(record.codec, "Patient", patient_id)
    if caller.kind == "patient":
        return key in await own_patients(record, caller)
    if caller == SYSTEM:
        return True
    stored = await record.by_key(key)
    if stored is None or "b" not in stored or caller.kind not in ("system", "practitioner"):
        return False
    return stored["c"] == caller.organization and (await view(record, caller)).sees(stored)


async def free(record: Record, times: Iterable[tuple[str, int, int]], now: int) -> list[bool]:
    """Whether each (practitioner id, start, end), ms, is free at `now`."""
    wanted = [_cells(record, *one) for one in times]
    taken = await bookings.taken(record.database, [cell for cells in wanted for cell in cells], now)
    return [taken.isdisjoint(cells) for cells in wanted]


async def busy(record: Record, now: int) -> dict[bytes, dict[int, bytes]]:
    """Practitioner key -> start of each taken cell from `now` on, ms -> key of its Appointment."""
    return await bookings.busy(record.database, now)


async def audited(record: Record, access: Access, resource_type: str, resource_id: str) -> None:
    """Record an access to one of the service's own resources, with the persons it is about."""
    stored = await record.by_key(resource_key(record.codec, resource_type, resource_id))
    await record.audit.record(access.entry((stored,) if stored else ()))


def practitioner_key(record: Record, practitioner: str) -> bytes:
    """The key of a practitioner in `busy`."""
    return record.codec.identity(f"Practitioner/{practitioner}")


def cells(start: int, end: int) -> range:
    """The starts of the cells that [start, end) touches, ms."""
    return range(start // bookings.CELL_MS * bookings.CELL_MS, end, bookings.CELL_MS)


def _cells(record: Record, practitioner: str, start: int, end: int) -> list[bytes]:
    return [bookings.cell_key(record.codec, practitioner, at // bookings.CELL_MS) for at in cells(start, end)]


def _resource(record: Record, stored: Document) -> dict[str, Any]:
    return read(body(record.codec, stored))
