"""Call signalling over a WebSocket: offers, answers and candidates from one party of the Appointment to the other, unread.

Each message asks anew whether the call still may be: nothing passes after a close or a cancellation. `joined` and `left` tell
who is there; who is told `joined` makes the offer, and never are both told.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from telemedicine.calls import OTHER, party, room
from telemedicine.service import Telemedicine

LARGEST = 64 * 1024
TYPES = frozenset(("offer", "answer", "candidate", "bye"))
BURST, PER_SECOND = 100, 20
CHECK_SECONDS = 5.0
REFUSED, FAILED = 1008, 1011


class Relay(Protocol):
    """What carries messages between processes (fhir_server/store/signals.py)."""

    async def post(self, room: bytes, to: str, message: bytes) -> None: ...

    def listening(
        self, room: bytes, party: str, other: str, greeting: bytes
    ) -> AbstractAsyncContextManager[asyncio.Queue[bytes]]: ...


class _Ended(Exception):
    """Why a connection ends: a WebSocket close code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


async def signal(
    service: Telemedicine,
    relay: Relay,
    caller: Caller,
    own: str,
    appointment_id: str,
    socket: WebSocket,
    subprotocol: str | None = None,
) -> None:
    """Accept, then relay until one side goes, the appointment is not booked any more, or a limit is passed. `own` is the
    caller's party."""
    here, other = room(service, appointment_id), OTHER[own]

    async def check() -> None:
        if await party(service, caller, appointment_id) != own:
            raise _Ended(REFUSED, "the appointment is not booked any more")

    async def forward(message: bytes) -> None:
        await check()
        await relay.post(here, other, message)

    async with relay.listening(here, own, other, b'{"type":"joined"}') as incoming:
        await socket.accept(subprotocol)
        both = [asyncio.create_task(_receive(socket, forward)), asyncio.create_task(_send(socket, incoming, check))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await _end(both, socket)
        await relay.post(here, other, b'{"type":"left"}')


async def _receive(socket: WebSocket, forward: Callable[[bytes], Awaitable[None]]) -> None:
    """Bounded in size and rate: BURST messages at once, PER_SECOND in the long run."""
    left, before = float(BURST), _seconds()
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        now = _seconds()
        left, before = min(left + (now - before) * PER_SECOND, BURST) - 1, now
        if left < 0:
            raise _Ended(REFUSED, "too many messages")
        await forward(_checked(message.get("text")))


async def _send(socket: WebSocket, incoming: asyncio.Queue[bytes], check: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            message = await asyncio.wait_for(incoming.get(), CHECK_SECONDS)
        except TimeoutError:
            await check()
            continue
        await check()
        await socket.send_text(message.decode())


def _checked(text: str | None) -> bytes:
    """A message as it goes on: a JSON object of a type that calls have."""
    if text is None or len(text) > LARGEST:
        raise _Ended(REFUSED, "messages are JSON texts of at most 64 KB")
    raw = text.encode()
    try:
        known = read(raw).get("type") in TYPES
    except (FhirError, TypeError):
        known = False
    if not known:
        raise _Ended(REFUSED, f"messages are JSON objects with a type: {', '.join(sorted(TYPES))}")
    return raw


async def _end(both: list["asyncio.Task[None]"], socket: WebSocket) -> None:
    """Close as the first to end says; what is unexpected goes on to the server."""
    for one in both:
        one.cancel()
    for outcome in await asyncio.gather(*both, return_exceptions=True):
        if isinstance(outcome, _Ended):
            await socket.close(outcome.code, str(outcome))
        elif isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            await socket.close(FAILED)
            raise outcome


def _seconds() -> float:
    return asyncio.get_running_loop().time()
