"""A request that takes too long is ended, at its time, and no other."""

import asyncio
from collections.abc import Awaitable

import pytest

from fhir_server.http.deadline import Deadline

SECONDS = 0.05


async def within(deadline: Deadline, waited_for: Awaitable[object]) -> str:
    try:
        with deadline:
            await waited_for
    except TimeoutError:
        return "ended"
    return "done"


async def test_who_is_inside_for_too_long_is_ended_and_nobody_else() -> None:
    deadline, for_ever = Deadline(SECONDS), asyncio.Event()
    began = asyncio.get_running_loop().time()
    slow = [asyncio.create_task(within(deadline, for_ever.wait())) for _ in range(3)]
    quick = [asyncio.create_task(within(deadline, asyncio.sleep(0))) for _ in range(3)]
    assert await asyncio.gather(*slow, *quick) == ["ended"] * 3 + ["done"] * 3
    assert asyncio.get_running_loop().time() - began >= SECONDS * 0.9


async def test_who_comes_later_has_as_long() -> None:
    deadline, for_ever = Deadline(SECONDS), asyncio.Event()
    loop = asyncio.get_running_loop()
    assert await within(deadline, for_ever.wait()) == "ended"
    first = asyncio.create_task(within(deadline, for_ever.wait()))
    await asyncio.sleep(SECONDS / 2)
    began = loop.time()
    second = asyncio.create_task(within(deadline, for_ever.wait()))
    assert await first == "ended"
    assert not second.done()
    assert await second == "ended"
    assert loop.time() - began >= SECONDS * 0.9


async def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    """A shutdown while a request is under way is no time-out."""
    deadline, inside = Deadline(60), asyncio.Event()

    async def wait() -> None:
        with deadline:
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_inside_stays_that_error() -> None:
    with pytest.raises(LookupError), Deadline(60):
        raise LookupError
