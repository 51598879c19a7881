"""Processes that run as long as we do: one that ends by itself, or is killed, is started again."""

import asyncio
import logging
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

log = logging.getLogger("hie.processes")
PAUSE = 1.0  # seconds before it is tried again


@asynccontextmanager
async def kept(
    name: str, start: Callable[[], Awaitable[Process]], stop: Callable[[Process], Awaitable[None]]
) -> AsyncIterator[None]:
    """Keep a process running while the context is open. An error of the first `start` is raised, later ones are logged."""
    process = await start()

    async def keep() -> None:
        nonlocal process
        while True:
            log.error("%s ended by itself (exit code %d): it is started again", name, await process.wait())
            await asyncio.sleep(PAUSE)
            try:
                process = await start()
            except (OSError, RuntimeError) as error:
                log.error("%s does not start: %s", name, error)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await stop(process)
