"""Messages between the two ends of a call, whichever process each of them is connected to.

A message is a sealed row that lives for a minute; a change stream brings it to every process that has somebody listening.
Nothing is kept for who is not there: a call begins when both are. Who comes in greets the other by a row, too, and hears what
comes after that row: so of two who come at one moment exactly one hears the other's greeting.
"""

import asyncio
import logging
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import PyMongoError

from fhir_server.store.database import Database
from fhir_server.store.documents import REGION, Codec
from fhir_server.store.sealing import seal, unseal

WAITING = 256
DEVICES = 8  # connections of one party to one call, in one process: each may have WAITING messages waiting
PATIENCE = 20.0  # seconds for the stream to come up
AGAIN_SECONDS = 1.0
log = logging.getLogger("hie.signals")


class Crowded(Exception):
    """One party has as many connections to a call as it may."""


@dataclass(slots=True)
class Signals:
    """The relay of one process; it follows the stream only while somebody listens."""

    database: Database
    codec: Codec
    _queues: dict[tuple[bytes, str], set[asyncio.Queue[bytes]]] = field(default_factory=lambda: defaultdict(set))
    _present: Counter[tuple[bytes, str]] = field(default_factory=Counter)
    _entering: dict[bytes, Callable[[], None]] = field(default_factory=dict)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _following: asyncio.Task[None] | None = None

    async def post(self, room: bytes, to: str, message: bytes) -> None:
        """Send to whoever listens as `to` in this room."""
        await self._insert(room, to, message)

    @asynccontextmanager
    async def listening(self, room: bytes, party: str, other: str, greeting: bytes) -> AsyncIterator[asyncio.Queue[bytes]]:
        """What is sent to this party from the moment on at which the other, if there, is sent the greeting."""
        if self._present[room, party] >= DEVICES:
            raise Crowded
        self._present[room, party] += 1
        queue: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        entered, name = asyncio.Event(), os.urandom(16)

        def enter() -> None:
            self._queues[room, party].add(queue)
            entered.set()

        self._entering[name] = enter
        if self._following is None:
            self._following = asyncio.create_task(self._follow())
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ready.wait()
                await self._insert(room, other, greeting, enters=name)
                await entered.wait()
            yield queue
        finally:
            self._entering.pop(name, None)
            self._leave(room, party, queue)

    async def _insert(self, room: bytes, to: str, message: bytes, **more: bytes) -> None:
        sealed = seal(self.codec.keys.key(REGION), message, room + to.encode())
        await self.database["signals"].insert_one({"room": room, "to": to, "b": sealed, "at": datetime.now(UTC), **more})

    def _leave(self, room: bytes, party: str, queue: asyncio.Queue[bytes]) -> None:
        self._present -= Counter(((room, party),))  # what comes to none goes
        self._queues[room, party].discard(queue)
        if not self._queues[room, party]:
            del self._queues[room, party]
        if not self._queues and not self._entering and self._following is not None:
            self._following.cancel()
            self._following = None
            self._ready.clear()

    async def _follow(self) -> None:
        while True:
            try:
                await self._stream()
            except PyMongoError as error:
                log.warning("the signal stream ended: %s", type(error).__name__)
                self._ready.clear()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _stream(self) -> None:
        async with await self.database["signals"].watch([{"$match": {"operationType": "insert"}}]) as stream:
            self._ready.set()
            async for change in stream:
                self._deliver(change["fullDocument"])

    def _deliver(self, row: dict[str, Any]) -> None:
        queues = self._queues.get((row["room"], row["to"]), ())
        for queue in queues:
            if not queue.full():  # who does not read does not hold up the others
                queue.put_nowait(unseal(self.codec.keys.key(REGION), row["b"], row["room"] + row["to"].encode()))
        if enter := self._entering.pop(row.get("enters", b""), None):
            enter()
