"""The booked time of practitioners, in cells of five minutes: each cell has one row, so no two appointments can have it.

A row: _id  keyed hash of practitioner and cell   a  key of the Appointment   e  key of the practitioner   at  its start, ms
       until  the end of a hold, ms (absent: booked)   gone  when the row is of no more use
Rows are written in the transaction that writes the Appointment (snapshot.py). A hold that is over counts as free: whoever comes
next takes the row.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fhir_server.store.database import Database
from fhir_server.store.documents import Codec, Document

CELL_MS = 5 * 60_000


@dataclass(frozen=True, slots=True)
class Booking:
    """The time that one Appointment takes of its practitioners; no rows: none any more. `is_new`: it had none before."""

    appointment: bytes
    rows: tuple[Document, ...] = ()
    is_new: bool = False


def rows(codec: Codec, appointment: bytes, practitioner: str, start: int, end: int, until: int | None) -> Iterable[Document]:
    """A row for each cell that [start, end) touches; `practitioner` is a FHIR id, times in ms."""
    key = codec.identity(f"Practitioner/{practitioner}")
    for cell in range(start // CELL_MS, -(-end // CELL_MS)):
        at = cell * CELL_MS
        row = {"_id": cell_key(codec, practitioner, cell), "a": appointment, "e": key, "at": at}
        row["gone"] = datetime.fromtimestamp(at / 1000, UTC)
        yield row | ({} if until is None else {"until": until})


def cell_key(codec: Codec, practitioner: str, cell: int) -> bytes:
    return codec.identity(f"cell/{practitioner}/{cell}")


def in_force(now: int) -> dict[str, Any]:
    """The rows that count at `now`: booked, or held still."""
    return {"$or": [{"until": {"$exists": False}}, {"until": {"$gt": now}}]}


async def taken(database: Database, cells: list[bytes], now: int) -> set[bytes]:
    """Those of the cells that somebody has at `now`."""
    found = database["bookings"].find({"_id": {"$in": cells}, **in_force(now)}, {"_id": 1})
    return {row["_id"] async for row in found}


async def busy(database: Database, now: int) -> dict[bytes, dict[int, bytes]]:
    """Practitioner key -> start of each cell (ms) that is taken from `now` on -> key of its Appointment."""
    found: dict[bytes, dict[int, bytes]] = defaultdict(dict)
    async for row in database["bookings"].find({"at": {"$gt": now - CELL_MS}, **in_force(now)}, {"e": 1, "at": 1, "a": 1}):
        found[row["e"]][row["at"]] = row["a"]
    return found
