"""A request that takes too long is ended, at its time, and no other."""

import asyncio
import selectors
from collections.abc import Awaitable, Coroutine
from typing import Any

import pytest

from fhir_server.http.deadline import Deadline

SECONDS = 60


class Leaping(asyncio.SelectorEventLoop):
    """Its clock goes on by what it would have slept: nobody waits, and a pause of the machine is no time that has passed."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__(_Sleepless(self))

    def time(self) -> float:
        return self.now


class _Sleepless(selectors.DefaultSelector):
    def __init__(self, loop: Leaping) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += timeout or 0
        return super().select(0)


def leaping(story: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Leaping) as runner:
        runner.run(story)


async def within(deadline: Deadline, waited_for: Awaitable[object]) -> tuple[str, float]:
    """How it came out, and when."""
    how = "done"
    try:
        with deadline:
            await waited_for
    except TimeoutError:
        how = "ended"
    return how, asyncio.get_running_loop().time()


def test_who_is_inside_for_too_long_is_ended_and_nobody_else() -> None:
    async def story() -> None:
        deadline, for_ever = Deadline(SECONDS), asyncio.Event()
        slow = [within(deadline, for_ever.wait()) for _ in range(3)]
        quick = [within(deadline, asyncio.sleep(0)) for _ in range(3)]
        assert await asyncio.gather(*slow, *quick) == [("ended", SECONDS)] * 3 + [("done", 0)] * 3

    leaping(story())


def test_who_comes_later_has_as_long() -> None:
    async def story() -> None:
        deadline, for_ever = Deadline(SECONDS), asyncio.Event()
        assert await within(deadline, for_ever.wait()) == ("ended", SECONDS)
        first = asyncio.create_task(within(deadline, for_ever.wait()))
        await asyncio.sleep(SECONDS / 2)
        second = await within(deadline, for_ever.wait())
        assert [await first, second] == [("ended", 2 * SECONDS), ("ended", 2.5 * SECONDS)]

    leaping(story())


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
