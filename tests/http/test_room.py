"""Large bodies take turns (http/room.py): all of them at once took gigabytes, and none was answered in time."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from fhir_server.http.room import Room
from tests import serving

MB = 1024 * 1024


async def test_who_finds_no_room_waits_and_the_first_is_the_first() -> None:
    room, told = Room(10), []

    async def work(size: int) -> None:
        taken = await room.take(size)
        told.append(size)
        room.give(taken)

    held = await room.take(6)
    works = [asyncio.create_task(work(size)) for size in (99, 5, 4)]  # 4 would fit, and would keep who is large waiting
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == []
    room.give(held)
    await asyncio.gather(*works)
    assert told == [99, 5, 4]


@pytest.mark.parametrize("is_its_turn", [False, True])
async def test_who_is_ended_while_it_waits_leaves_its_room_to_others(is_its_turn: bool) -> None:
    room = Room(10)
    held = await room.take(10)
    ended, next_ = asyncio.create_task(room.take(7)), asyncio.create_task(room.take(10))
    await asyncio.sleep(0)
    if is_its_turn:
        room.give(held)
    ended.cancel()
    if not is_its_turn:
        room.give(held)
    assert await asyncio.wait_for(next_, 5) == 10
    with pytest.raises(asyncio.CancelledError):
        await ended


@pytest.mark.parametrize("is_packed", [False, True])
async def test_large_bodies_are_all_answered(tmp_path: Path, mongodb_uri: str, database: str, is_packed: bool) -> None:
    """Also those that are refused give their room back; entries of a Bundle are in its room"""
    wrong = json.dumps({"resourceType": "Basic", "note": "x" * (MB * 3 // 4)}).encode()
    entry = {
        "resource": {"resourceType": "Basic", "code": {"text": "x" * 100_000}},
        "request": {"method": "POST", "url": "Basic"},
    }
    batch = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": [entry] * 5}).encode()
    headers = {"Content-Type": "application/fhir+json"} | ({"Content-Encoding": "gzip"} if is_packed else {})
    async with serving.door(mongodb_uri, database, tmp_path, max_body=MB, answer_seconds=20) as door:
        client = door.system("a")
        sent = [("/Basic", wrong, 400), ("", batch, 200)] * 6
        packed = [gzip.compress(body) if is_packed else body for _, body, _ in sent]
        answers = await asyncio.gather(
            *(client.post(path, content=body, headers=headers) for (path, _, _), body in zip(sent, packed, strict=True))
        )
        assert [one.status_code for one in answers] == [status for _, _, status in sent]
