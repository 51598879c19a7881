"""Load clients that leave the processor to the server: HTTP/1.1 keep-alive and MLLP, straight on asyncio protocols."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeVar, cast

from adapters.mllp import END, START, frame

HEAD_END, LENGTH = b"\r\n\r\n", b"content-length:"


class Answer(NamedTuple):
    """Status and body of an HTTP response."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """A connection whose answers come in the order of what was sent; `_split` tells answers apart."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: deque[asyncio.Future[Any]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def ask(self, request: bytes) -> "asyncio.Future[Any]":
        """Send; the future is the answer. Several may be under way."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(request)
        return answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and (answer := self._split()) is not None:
            self._waiting.popleft().set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        for answer in self._waiting:
            answer.set_exception(ConnectionError("the server closed the connection"))

    def close(self) -> None:
        self._transport.close()

    def _split(self) -> Any:
        """Take one whole answer off the buffer; None while it is not all there."""
        raise NotImplementedError


class Http(Connection):
    """HTTP/1.1; the server tells the length of every body."""

    _end = 0  # of the answer that is arriving, once its head is there

    def _split(self) -> Answer | None:
        buffer = self._buffer
        if not self._end:
            head = buffer.find(HEAD_END)
            if head < 0:
                return None
            length = buffer.index(LENGTH, 0, head) + len(LENGTH)
            self._head, self._end = head, head + len(HEAD_END) + int(buffer[length : buffer.index(b"\r", length)])
        if len(buffer) < self._end:
            return None
        answer = Answer(int(buffer[9:12]), bytes(buffer[self._head + len(HEAD_END) : self._end]))
        del buffer[: self._end]
        self._end = 0
        return answer


class Chunked(Connection):
    """HTTP/1.1 as any server may answer (RFC 9112 section 6): a length, chunks, or no body."""

    _status = 0  # of the answer that is arriving, once its head is there
    _missing: int | None = None  # of its body, in bytes; None: it comes in chunks

    def _split(self) -> Answer | None:
        if not self._status and not self._begun():
            return None
        if self._missing is None and not self._joined():
            return None
        if self._missing is None or len(self._buffer) < self._missing:
            return None
        answer = Answer(self._status, bytes(self._body + self._buffer[: self._missing]))
        del self._buffer[: self._missing]
        self._status = 0
        return answer

    def _begun(self) -> bool:
        """Whether the head is there, which is taken off."""
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        head, self._body = bytes(self._buffer[:end]).lower() + b"\r", bytearray()
        self._status = int(head[9:12])
        length = head.partition(LENGTH)[2].partition(b"\r")[0]
        self._missing = None if b"transfer-encoding: chunked" in head else int(length or 0)
        del self._buffer[: end + len(HEAD_END)]
        return True

    def _joined(self) -> bool:
        """Whether the last chunk is there; whole chunks are taken off."""
        while (line := self._buffer.find(b"\r\n")) > 0:
            size = int(self._buffer[:line].partition(b";")[0], 16)
            end = line + 2 + size + 2
            if len(self._buffer) < end:
                return False
            self._body += self._buffer[line + 2 : end - 2]
            del self._buffer[:end]
            if not size:
                self._missing = 0
                return True
        return False


class Mllp(Connection):
    """MLLP; an answer is an acknowledgement."""

    def send(self, message: bytes) -> "asyncio.Future[bytes]":
        return self.ask(frame(message))

    def _split(self) -> bytes | None:
        end = self._buffer.find(END)
        if end < 0:
            return None
        reply = bytes(self._buffer[len(START) : end])
        del self._buffer[: end + len(END)]
        return reply


C = TypeVar("C", bound=Connection)


@asynccontextmanager
async def connected(kind: type[C], host: str, port: int, count: int) -> AsyncIterator[list[C]]:
    """Open connections, closed at the end."""
    async with AsyncExitStack() as stack:
        made = [(await asyncio.get_running_loop().create_connection(kind, host, port))[1] for _ in range(count)]
        for one in made:
            stack.callback(one.close)
        yield made


async def required(connection: Connection, sent: bytes, status: int) -> bytes:
    """The body of the answer to a request, which must have this status."""
    answer = await connection.ask(sent)
    if answer.status != status:
        raise RuntimeError(f"a request was answered with {answer.status}, not {status}")
    return bytes(answer.body)


def request(token: str, method: str, target: str, body: bytes = b"") -> bytes:
    """The bytes of one request; `target` is the path with its query."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body
