"""HTTP on a socket of ours: uvicorn without its own signals, ended by whoever started it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG = 2048
WEBSOCKET_MESSAGE = 256 * 1024  # bytes; those who read messages have limits of their own
GRACE = 10  # seconds for requests that are under way when we stop
MAX_HEAD = 64 * 1024  # bytes of a request line and headers; trailers, too
# From when a connection is opened, or a head begun, until the head is whole; then as long for a body that nobody waits for.
HEAD_SECONDS = 30
MOST_AHEAD = 100  # requests of one connection that wait for the answers to earlier ones
STALLED_SECONDS = 60  # for who is answered to take some 50 KB, where so much waits: what the answer is made from is held
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def bound(host: str, port: int, shared: bool = False) -> socket.socket:
    """A listening socket; port 0 picks a free one. `shared` with our other workers: never by default, or two exchanges could
    answer on one port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Where the protocol is not named, asyncio leaves Nagle on: 40 ms a request.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    try:
        listening.bind((host, port))
    except OSError as error:
        raise SystemExit(f"hie: cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error
    listening.listen(BACKLOG)
    return listening


class Protocol(HttpToolsProtocol):
    """uvicorn's parser keeps whatever comes before a body: a stranger's header of a gigabyte, for one, and waits for it as
    long as it takes; it waits for a body that nobody reads, and for an answer to be read; after each answer it reads on,
    however many requests wait: one of 40 bytes takes 5 KB then. Here each of these is cut off.

    It writes the head of an answer and its body one by one, each in a packet of its own: here they go together.
    """

    _kept = 0  # bytes since the parser last had something whole to hand on
    _is_head = _is_begun = False  # whether one has begun; whether a request has, and is not whole
    _waiting: asyncio.TimerHandle | None = None  # for it to be whole
    _stalled: asyncio.TimerHandle | None = None  # until what is written is read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Joined(transport, self.loop)))
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self._stall_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._kept += len(data)
        super().data_received(data)
        if self._kept > MAX_HEAD and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()
        elif len(self.pipeline) > MOST_AHEAD:
            self.transport.close()  # RFC 9112 9.3.2: who does so knows that it may have to ask again
        elif self._is_begun and self._waiting is None:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        """After what is whole and being answered, its answer comes, and no other: a write that took place looked refused."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            super().send_400_response(msg)
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def handle_websocket_upgrade(self) -> None:
        """What websockets does not read (a request with a body, 129 headers) it neither answers nor ends: the connection stayed
        open for ever, and who stopped us met an AssertionError."""
        super().handle_websocket_upgrade()
        handed_over: Any = self.transport.get_protocol()
        if handed_over.conn.handshake_exc and not self.transport.is_closing():
            self.send_400_response("Invalid WebSocket handshake received.")

    def on_message_begin(self) -> None:
        self._is_head = self._is_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._kept, self._is_head = 0, False
        self._wait_no_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_begun = False
        self._wait_no_more()
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._stall_no_more()
        super().resume_writing()

    def _stall_no_more(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait()  # what was asked is still being answered: who answers waits for a body no longer than it may
            return
        if self._is_head:
            self.transport.write(TOO_LATE)
        self.transport.close()


class _Joined:
    """A transport that sends what is written to it in one turn of the event loop together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()


@asynccontextmanager
async def http(served: ASGIApp, listening: socket.socket, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve while the context is open; sets `stop` if the server ends by itself."""
    config = uvicorn.Config(
        served,
        loop="none",
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=WEBSOCKET_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    serving.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        server.should_exit = True
        await serving
