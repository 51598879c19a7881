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
