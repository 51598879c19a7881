"""How much of what is sent is worked on at once: a body takes some 20 to 100 times its size in memory while it is read."""

import asyncio
from collections import deque


class Room:
    """For so many bytes. Who finds no room waits, the first first; who has to wait too long is ended by its deadline."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int) -> int:
        """How much is to be given back: of what is larger than all the room, all of it."""
        size = min(wanted, self._size)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            self.give(0 if turn.cancelled() else size)  # its turn may have come just then
            raise
        return size

    def give(self, size: int) -> None:
        self._free += size
        self._next()

    def _next(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)
