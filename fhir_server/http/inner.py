"""Entries of a Bundle that are requests of their own: reads, searches, histories, operations (R4 http.html#transaction).

They go to the handlers of the one route table, gated and audited as if each had been sent by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from consent.caller import Caller
from fhir_server.http.bundles import entry
from fhir_server.http.negotiation import require_json
from fhir_server.http.outcomes import outcome
from fhir_server.http.service import Handler, Service
from fhir_server.r4.dates import interval
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import write

MAX_URL = 64 * 1024  # characters, as HTTP has it
PRECONDITIONS = {"if-none-match": "ifNoneMatch", "if-match": "ifMatch"}
READS_AT_ONCE = 8  # of one Bundle: 64 searches of a large life took 2 GB, and let nobody else be answered for 18 s
MAX_ANSWER = 64 * 1024 * 1024  # bytes of all that is read for one Bundle


@dataclass(frozen=True, slots=True)
class Found:
    """What answers a request. `is_safe`: it changes nothing, and so may be asked by GET."""

    handler: Handler
    is_safe: bool


Find = Callable[[Request], Found]
"""The handler of a request's method and path; 404 where there is none."""


@dataclass(slots=True)
class Bundled:
    """What the entries of one Bundle share; `size`: its bytes; `room`: how many bytes may still be read for it."""

    service: Service
    caller: Caller
    find: Find
    prefer: str
    size: int
    room: int = field(default_factory=lambda: MAX_ANSWER)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READS_AT_ONCE))


def is_request(one: dict[str, Any]) -> bool:
    """Whether an entry is a request of its own: GET and HEAD, and POST of an operation. Others write one resource."""
    method, path = one["request"]["method"], one["request"]["url"].partition("?")[0]
    return method in ("GET", "HEAD") or (method == "POST" and path.rpartition("/")[2].startswith("$"))


def request_of(bundled: Bundled, one: dict[str, Any]) -> Request:
    """The request that an entry stands for, relative to the base URL or absolute."""
    asked = one["request"]
    if len(asked["url"]) > MAX_URL:
        raise FhirError(400, "too-long", f"has more than {MAX_URL} characters", "request.url")
    path, _, query = asked["url"].removeprefix(bundled.service.base_url).partition("?")
    if "://" in path:
        raise FhirError(400, "invalid", "must be relative to the base URL of this server", "request.url")
    content = write(one["resource"]) if isinstance(one.get("resource"), dict) else b""

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    scope = {
        "type": "http",
        "method": asked["method"],
        "path": f"/{unquote(path).lstrip('/')}",
        "query_string": _encoded(query),
        "headers": _headers(bundled, asked),
    }
    return Request(scope, receive)


async def answered(bundled: Bundled, request: Request) -> bytes:
    """The entry of the answer; an error is its outcome."""
    try:
        require_json(request)
        async with bundled.turns:
            response = await bundled.find(request).handler(bundled.service, bundled.caller, request)
            content = await _content(bundled, response)
    except FhirError as error:
        return refused(error)
    told = {"status": str(response.status_code)}
    if etag := response.headers.get("etag"):
        told["etag"] = etag
    return entry(content if content and request.method != "HEAD" else None, response=told)


def refused(error: FhirError) -> bytes:
    """The entry of the answer to one that failed."""
    return entry(response={"status": str(error.status), "outcome": outcome(error)})


async def _content(bundled: Bundled, response: Response) -> bytes:
    """The body, whole also where it comes in parts; 403 where the answers become too large together."""
    parts: list[bytes] = []
    async for part in _parts(response):
        parts.append(part)
        bundled.room -= len(part)
        if bundled.room < 0:
            bundled.room += sum(map(len, parts))
            problem = f"the answers are larger than {MAX_ANSWER} bytes together; send this one in another Bundle or by itself"
            raise FhirError(403, "too-costly", problem)
    return b"".join(parts)


async def _parts(response: Response) -> AsyncIterator[bytes]:
    if hasattr(response, "body_iterator"):
        async for part in response.body_iterator:
            yield part
    else:
        yield bytes(response.body)


def _encoded(query: str) -> bytes:
    """The query of a URL; characters that were not percent-encoded are."""
    return "".join(one if one.isascii() else quote(one) for one in query).encode()


def _headers(bundled: Bundled, asked: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Those of the entry (http.html#cread), and what is preferred of the whole Bundle."""
    headers = dict.fromkeys(("accept", "content-type"), "application/fhir+json") | {"prefer": bundled.prefer}
    headers |= {name: asked[member] for name, member in PRECONDITIONS.items() if member in asked}
    with suppress(ValueError, OverflowError):  # a date that is none is passed over (RFC 9110 13.1.3)
        if "ifModifiedSince" in asked:
            headers["if-modified-since"] = formatdate(interval(asked["ifModifiedSince"])[0] / 1000, usegmt=True)
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
