"""Work on large resources is done in threads, so that the event loop is held for some tens of milliseconds at most."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LARGE = 64 * 1024  # bytes of JSON: of small values, what is below takes up to some 50 ms; ordinary resources have 2 KB

P = ParamSpec("P")
T = TypeVar("T")


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, from a thread where it is about many bytes."""
    return await asyncio.to_thread(work, *args, **kwargs) if size > LARGE else work(*args, **kwargs)
