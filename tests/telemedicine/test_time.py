"""Issue 3.1: overlapping appointments of one expert are impossible in the database; 10,000 random ones leave no overlap."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from fhir_server.r4.errors import FhirError
from fhir_server.store import bookings
from fhir_server.store.bookings import CELL_MS, Booking
from fhir_server.store.chain import Entry
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.snapshot import Snapshot
from tests.serving import Door

NOW = 1_800_000_000_000
EXPERTS = 5
DAY_CELLS = 96
CHUNK = 250

Time = tuple[str, int, int]


@dataclass(slots=True)
class Diary:
    """What the callers were told: the time of each appointment that stands."""

    door: Door
    standing: dict[bytes, Time] = field(default_factory=dict)

    async def put(self, appointment: bytes, time: Time | None, until: int | None = None) -> None:
        """Give an appointment this time, or none; refused where it is taken."""
        record = self.door.exchange.record
        rows = tuple(bookings.rows(record.codec, appointment, *time, until)) if time else ()
        wanted = Booking(appointment, rows)

        async def decide(snapshot: Snapshot) -> Outcome:
            if await snapshot.is_taken(wanted, NOW):
                raise FhirError(409, "conflict", "taken")
            await snapshot.put_booking(wanted)
            return Outcome(None, Entry(NOW, (), {}))

        try:
            await record.lanes.submit(Job(decide, keys=frozenset((appointment,))))
        except FhirError:
            return
        if time:
            self.standing[appointment] = time
        else:
            self.standing.pop(appointment, None)

    async def check(self) -> None:
        """Each appointment that stands has all of its cells, and no cell is anybody else's: so no two overlap."""
        rows = await self.door.exchange.database["bookings"].find().to_list()
        found: dict[bytes, set[bytes]] = {}
        for row in rows:
            found.setdefault(row["a"], set()).add(row["_id"])
        codec = self.door.exchange.record.codec
        expected = {
            known: {row["_id"] for row in bookings.rows(codec, known, *time, None)} for known, time in self.standing.items()
        }
        assert found == expected
        assert _overlaps(self.standing) == []


def _overlaps(standing: dict[bytes, Time]) -> list[tuple[Time, Time]]:
    times = sorted(standing.values())
    return [(one, other) for one, other in pairwise(times) if one[0] == other[0] and other[1] < one[2]]


def _random(chance: random.Random, known: list[bytes]) -> Iterator[tuple[bytes, Time | None]]:
    """Half bookings, a quarter moves, a quarter cancellations; times of 5 to 60 minutes that overlap as they like."""
    for number in range(10_000):
        start = NOW + chance.randrange(DAY_CELLS) * CELL_MS + chance.randrange(CELL_MS)
        time = (f"e{chance.randrange(EXPERTS)}", start, start + chance.randrange(1, 13) * CELL_MS)
        if number % 4 < 2 or not known:
            known.append(number.to_bytes(16, "big"))
            yield known[-1], time
        else:
            yield chance.choice(known), time if number % 4 == 2 else None


async def test_ten_thousand_random_bookings_moves_and_cancellations_leave_no_overlap(door: Door) -> None:
    diary, chance = Diary(door), random.Random(3)
    wanted = list(_random(chance, []))
    for begin in range(0, len(wanted), CHUNK):
        await asyncio.gather(*(diary.put(*one) for one in wanted[begin : begin + CHUNK]))
    assert len(diary.standing) > 20
    await diary.check()


async def test_a_hold_that_is_over_is_taken_over_once(door: Door) -> None:
    """By the clock in the query: of many who come after it, one gets the time."""
    diary, time = Diary(door), ("e", NOW + CELL_MS, NOW + 7 * CELL_MS)
    await diary.put(b"a" * 16, time, until=NOW)
    await asyncio.gather(*(diary.put(number.to_bytes(16, "big"), time) for number in range(200)))
    assert len(diary.standing.keys() - {b"a" * 16}) == 1
    (owner,) = {row["a"] async for row in door.exchange.database["bookings"].find()}
    assert owner in diary.standing


async def test_a_hold_in_force_keeps_its_time(door: Door) -> None:
    diary, time = Diary(door), ("e", NOW + CELL_MS, NOW + 7 * CELL_MS)
    await diary.put(b"a" * 16, time, until=NOW + 1)
    await diary.put(b"b" * 16, time)
    assert diary.standing == {b"a" * 16: time}
