"""How long a request may take: one timer for all requests of a route. A timer for each took 3 % of the time of a search."""

import asyncio
from types import TracebackType
from typing import Any


class Deadline:
    """`with deadline:` ends a task that is inside for longer than `seconds` with TimeoutError, as `asyncio.timeout` does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[asyncio.Task[Any], float] = {}  # who is inside, the longest first; who was ended is not
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._since[_task()] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        task = _task()
        is_ended = self._since.pop(task, None) is None
        if is_ended and task.uncancel() == 0 and kind is asyncio.CancelledError:  # else somebody else cancelled it, too
            raise TimeoutError from error

    def _end(self) -> None:
        loop = asyncio.get_running_loop()
        while self._since:
            task, since = next(iter(self._since.items()))
            if since + self._seconds > loop.time():
                self._timer = loop.call_at(since + self._seconds, self._end)
                return
            del self._since[task]
            task.cancel()
        self._timer = None


def _task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task
    return task
