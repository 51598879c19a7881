"""MLLP (HL7 v2 transport, release 1): 0x0B message 0x1C 0x0D over TCP, acknowledged in the order of arrival."""

import asyncio
import contextlib
import itertools
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.hl7v2.ack import Ack, Header, acknowledge, peek
from adapters.hl7v2.errors import INTERNAL, UNKNOWN_KEY, Hl7Error
from adapters.hospitals import Hospital, sender, speakers
from fhir_server.r4.dates import BEIJING

START, END = b"\x0b", b"\x1c\r"
Take = Callable[[Hospital, bytes], Awaitable[Ack]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """`frame` in bytes; `idle` in seconds without a whole frame; `window`: messages of one connection in work at once;
    `unfinished`: of frames that are still coming from one address, how many times `frame` they may have together; `large`: how
    many that are LARGE are in work at once, of all connections."""

    frame: int = 16 * 1024 * 1024
    unfinished: int = 8
    idle: float = 300.0
    window: int = 16
    large: int = 4


DEFAULT = Limits()
LARGE = 1024 * 1024  # bytes of a message; in work it takes several times that
BUFFER = 64 * 1024  # bytes up to which the reader of a connection holds what comes, uncounted


class Broken(Exception):
    """What came is not a frame: the connection cannot be trusted any more."""


async def serve(
    host: str,
    port: int,
    take: Take,
    hospitals: Mapping[str, Hospital],
    limits: Limits = DEFAULT,
    tls: ssl.SSLContext | None = None,
    listening: socket.socket | None = None,
) -> asyncio.Server:
    """Listen at host and port, or on a socket that is `listening` already; `take` gets each message with its hospital.

    A peer that may speak for no hospital is closed.
    """

    unfinished: Counter[str] = Counter()
    turns = asyncio.Semaphore(limits.large)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        allowed = speakers(hospitals.values(), peer, _names(writer))
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError, Broken):
            if allowed:
                begin = _in_turn(lambda raw: _answer(raw, allowed, take), turns)
                await _converse(reader, writer, begin, limits, Coming(unfinished, peer, limits))
        writer.close()

    place: dict[str, Any] = {"sock": listening} if listening else {"host": host, "port": port}
    return await asyncio.start_server(connected, **place, ssl=tls, limit=min(BUFFER, len(START) + limits.frame))


async def send(
    host: str, port: int, messages: bytes | Iterable[bytes], tls: ssl.SSLContext | None = None, window: int = 64
) -> list[bytes]:
    """Send messages over one connection, up to `window` ahead of their replies; returns the replies in order."""
    batch = [messages] if isinstance(messages, bytes) else list(messages)
    reader, writer = await asyncio.open_connection(host, port, ssl=tls, limit=len(START) + DEFAULT.frame)
    replies: list[bytes] = []
    try:
        for sent, message in enumerate(batch):
            writer.write(frame(message))
            await writer.drain()
            if sent - len(replies) >= window:
                replies.append(await _receive(reader))
        while len(replies) < len(batch):
            replies.append(await _receive(reader))
    finally:
        writer.close()
    return replies


def frame(message: bytes) -> bytes:
    """The block that carries a message."""
    return START + message + END


class Coming:
    """How much of a frame has come: many connections with half a frame each filled the memory."""

    def __init__(self, unfinished: Counter[str], peer: str, limits: Limits) -> None:
        self._unfinished, self._peer, self._limits = unfinished, peer, limits
        self._size = 0

    def has(self, size: int) -> None:
        """So many bytes, START among them; Broken where it is too much, 0 when the frame is whole."""
        self._unfinished[self._peer] += size - self._size
        self._size = size
        together = self._unfinished[self._peer]
        if not together:
            del self._unfinished[self._peer]
        if size > len(START) + self._limits.frame or together > self._limits.unfinished * self._limits.frame:
            raise Broken


async def _receive(reader: asyncio.StreamReader, coming: Coming | None = None) -> bytes:
    """The next message. Broken for anything that is not a frame; IncompleteReadError at the end."""
    block = bytearray()
    while not block.endswith(END):
        try:
            block += await reader.readuntil(END)
        except asyncio.LimitOverrunError as part:
            block += await reader.readexactly(part.consumed)
        if coming:
            coming.has(len(block) - len(END) * block.endswith(END))
    if not block.startswith(START) or block.find(START, 1) >= 0:
        raise Broken
    return bytes(block[1 : -len(END)])


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    begin: Callable[[bytes], Awaitable[asyncio.Future[bytes]]],
    limits: Limits,
    coming: Coming,
) -> None:
    """Read frames, work on a window of them at once, and write the replies in the order of the frames."""
    replies: asyncio.Queue[asyncio.Future[bytes] | None] = asyncio.Queue(limits.window)
    replying = asyncio.create_task(_reply(writer, replies))
    try:
        while not writer.is_closing():
            raw = await asyncio.wait_for(_receive(reader, coming), limits.idle)
            coming.has(0)
            await replies.put(await begin(raw))
    finally:
        coming.has(0)
        await _drained(replies, replying)


def _in_turn(
    answer: Callable[[bytes], Awaitable[bytes]], turns: asyncio.Semaphore
) -> Callable[[bytes], Awaitable[asyncio.Future[bytes]]]:
    """Begins to answer a message. Large ones wait for their turn, and with them what their connection sends next: six that sent
    as many scans ahead as they may took 3 GB."""

    async def begin(raw: bytes) -> asyncio.Future[bytes]:
        if len(raw) <= LARGE:
            return asyncio.ensure_future(answer(raw))
        await turns.acquire()
        answered = asyncio.ensure_future(answer(raw))
        answered.add_done_callback(lambda _: turns.release())
        return answered

    return begin


async def _reply(writer: asyncio.StreamWriter, replies: asyncio.Queue[asyncio.Future[bytes] | None]) -> None:
    """Goes on when the peer is gone: what it sent is still worked on, and the queue must not fill up."""
    while (reply := await replies.get()) is not None:
        block = frame(await reply)
        if writer.is_closing():  # uvloop calls a write then a RuntimeError
            continue
        with contextlib.suppress(ConnectionError):
            writer.write(block)
            await writer.drain()


async def _drained(replies: asyncio.Queue[asyncio.Future[bytes] | None], replying: asyncio.Task[None]) -> None:
    """Answer what was taken before the end of input, unless the answering itself was cancelled."""
    ending = asyncio.ensure_future(replies.put(None))
    await asyncio.wait((ending, replying), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    await replying


_serial = itertools.count(1)
_RUN = secrets.token_hex(4)


async def _answer(raw: bytes, allowed: list[Hospital], take: Take) -> bytes:
    head = _head(raw, allowed)
    ack = await _outcome(raw, head, allowed, take)
    return acknowledge(head or Header(), ack, datetime.now(BEIJING), f"{_RUN}{next(_serial)}")


def _head(raw: bytes, allowed: list[Hospital]) -> Header | None:
    try:
        return peek(raw, allowed[0].charset)
    except Hl7Error:
        return None


async def _outcome(raw: bytes, head: Header | None, allowed: list[Hospital], take: Take) -> Ack:
    hospital = _speaker(head, allowed)
    if hospital is None:
        return Ack("AR", "MSH-3 and MSH-4 name no hospital that this connection may speak for", UNKNOWN_KEY, "MSH-4")
    try:
        return await take(hospital, raw)
    except Exception as error:
        log.error("a message could not be stored: %s", type(error).__name__)
        return Ack("AR", "the message could not be stored; send it again", INTERNAL)


def _speaker(head: Header | None, allowed: list[Hospital]) -> Hospital | None:
    """The hospital that MSH-3 and MSH-4 name among those the peer may speak for. A header that cannot be read is the only
    hospital's, if there is but one: the message goes to the inbox, where somebody can look at it."""
    if head is None:
        return allowed[0] if len(allowed) == 1 else None
    return sender(allowed, head.application, head.facility)


def _names(writer: asyncio.StreamWriter) -> set[str]:
    """The common name and the DNS names in the client's certificate, which TLS has verified."""
    certificate: dict[str, Any] = writer.get_extra_info("peercert") or {}
    subject = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    return subject | {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
