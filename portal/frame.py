"""What every request to the portal goes through: a trace id, a language, a bound on its body, an envelope whatever happens."""

import asyncio
import logging
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.envelope import refusal
from portal.errors import PortalError
from portal.languages import chosen
from portal.service import Portal

MAX_BODY, DIGITS = 16 * 1024, 9
BODY_SECONDS = 10.0
UNAVAILABLE, UNEXPECTED = PortalError(503, "unavailable", retry_after=5), PortalError(500, "internal")
log = logging.getLogger("hie.portal")


class Frame:
    """ASGI middleware. Puts `trace` and `texts` into the request's state."""

    def __init__(self, app: ASGIApp, portal: Portal) -> None:
        self._app = app
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace, headers = secrets.token_hex(16), Headers(scope=scope)
        texts = chosen(headers.get("accept-language", ""))
        scope.setdefault("state", {}).update(trace=trace, texts=texts)
        begun = False

        async def framed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(
                    {"X-Trace-Id": trace, "Content-Language": texts.tag, "Vary": "Accept-Language", "Cache-Control": "no-store"}
                )
            await send(message)

        try:
            body = await _body(headers, receive)
            async with asyncio.timeout(self._portal.answer_seconds):
                await self._app(scope, _replayed(body, receive), framed)
        except ClientDisconnect:
            raise
        except PortalError as error:
            await refusal(texts, trace, error)(scope, receive, framed)
        except Exception as error:
            is_passing = isinstance(error, TimeoutError) or self._portal.is_unavailable(error)
            log.error("%s %s, trace %s", "unavailable:" if is_passing else "unexpected", self._portal.place(error), trace)
            if not begun:
                await refusal(texts, trace, UNAVAILABLE if is_passing else UNEXPECTED)(scope, receive, framed)


async def _body(headers: Headers, receive: Receive) -> bytes:
    """The whole body; 413 as soon as it is known to be too large, 408 where it does not come."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > DIGITS or int(length) > MAX_BODY:
        raise PortalError(413, "too-large")
    parts, size, more = [], 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect  # half a body is none
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
                if size > MAX_BODY:
                    raise PortalError(413, "too-large")
    except TimeoutError:
        raise PortalError(408, "bad-request") from None
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then what else there is to be told: that the client has gone."""
    waiting = [body]

    async def replay() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return replay
