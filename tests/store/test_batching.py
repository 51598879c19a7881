"""Concurrent lookups share a round trip, and none is ever forgotten."""

import asyncio

from fhir_server.store.batching import batched


async def test_a_lookup_that_comes_as_a_batch_ends_is_answered() -> None:
    """It once waited for ever: the batch's task had ended, and still counted as running."""
    late: list[asyncio.Task[int | None]] = []

    async def load(keys: list[int]) -> dict[int, int]:
        if 1 in keys:  # the task made here takes its first step when this batch has just ended
            late.append(asyncio.ensure_future(one(2)))
        return {key: key * 2 for key in keys}

    one = batched(load)
    async with asyncio.timeout(5):
        assert await one(1) == 2
        assert await late[0] == 4


async def test_what_takes_long_holds_up_nobody_for_ever() -> None:
    """Others go after a while, no more than so many at once; none of them is lost."""
    stuck, loads = asyncio.Event(), list[list[int]]()

    async def load(keys: list[int]) -> dict[int, int]:
        loads.append(keys)
        if max(keys) > 1:
            await stuck.wait()
        return dict.fromkeys(keys, 1)

    async def begun(count: int) -> None:
        while len(loads) < count:
            await asyncio.sleep(0)

    one = batched(load, patience=0.001, under_way=2)
    async with asyncio.timeout(5):
        slow = one(2)
        await begun(1)
        assert await one(1) == 1  # it goes while the other waits
        more = [one(number) for number in (3, 4)]
        await begun(3)
        late = one(1)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert len(loads) == 3
        stuck.set()
        assert await asyncio.gather(slow, *more, late) == [1, 1, 1, 1]
    assert [sorted(keys) for keys in loads] == [[2], [1], [3, 4], [1]]


async def test_a_failure_reaches_everyone_who_asked_and_nobody_later() -> None:
    """One failing load must not poison the next."""
    fails = True

    async def load(keys: list[int]) -> dict[int, int]:
        if fails:
            raise ConnectionError
        return dict.fromkeys(keys, 1)

    one = batched(load)
    first = await asyncio.gather(one(1), one(2), one(1), return_exceptions=True)
    assert [type(answer) for answer in first] == [ConnectionError] * 3
    fails = False
    assert await one(1) == 1
