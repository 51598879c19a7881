"""Concurrent requests of one kind answered by one round trip (a `find` of 32 keys costs little more than one of one key)."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def batched(
    load: Callable[[list[K]], Awaitable[Mapping[K, V]]], patience: float | None = None, under_way: int = 1
) -> Callable[[K], Awaitable[V | None]]:
    """`load(keys)` answers many; the result answers one. A key is always loaded after it was asked for, never from before.

    Loads come one after the other; where one takes longer than `patience` (seconds), up to `under_way` at once.
    """
    waiting: dict[K, list[asyncio.Future[V | None]]] = {}
    loading: set[asyncio.Task[None]] = set()
    running: asyncio.Task[None] | None = None

    async def run() -> None:
        nonlocal running
        while waiting:
            await asyncio.sleep(0)  # who is about to ask, asks along: a third more in each batch under load
            batch = dict(waiting)
            waiting.clear()
            loading.add(asyncio.create_task(_answer(load, batch)))
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(loading, timeout=patience if len(loading) < under_way else None, return_when=first)
            loading.difference_update(done)
        running = None  # at once, and not when the task is seen to be done: who asks in between would wait for ever

    def one(key: K) -> Awaitable[V | None]:
        nonlocal running
        # One for each who asks: who gives up cancels nobody else's.
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        waiting.setdefault(key, []).append(future)
        if running is None:
            running = asyncio.create_task(run())
        return future

    return one


async def _answer(
    load: Callable[[list[K]], Awaitable[Mapping[K, V]]], batch: Mapping[K, "list[asyncio.Future[V | None]]"]
) -> None:
    try:
        found = await load(list(batch))
    except Exception as error:
        for asking in batch.values():
            settle(asking, error)
        return
    for key, asking in batch.items():
        settle(asking, found.get(key))


def settle(asking: Iterable["asyncio.Future[V]"], answer: V | Exception) -> None:
    """Tell all who wait, but for those who have gone, what came of it."""
    for future in asking:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
            future.exception()  # every asker gets it; an asker that has gone must not leave a warning
        else:
            future.set_result(answer)
