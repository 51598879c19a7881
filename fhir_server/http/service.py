"""What the routes work with, and what every request goes through before its handler: a caller, or no data."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import cached_property
from pathlib import Path

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response, StreamingResponse

from consent.caller import Caller
from fhir_server.http.deadline import Deadline
from fhir_server.http.negotiation import presented, require_json
from fhir_server.http.outcomes import FHIR_JSON, NO_STORE, in_parts, refusal
from fhir_server.http.requests import COMING, ROOM, TAKEN, header
from fhir_server.http.room import Room
from fhir_server.r4.errors import FhirError
from fhir_server.record.context import Record
from fhir_server.search.parameters import KNOWN

log = logging.getLogger("hie.http")
UNEXPECTED = FhirError(500, "exception", "something went wrong here; nothing was disclosed or changed by this answer")
UNAVAILABLE = FhirError(
    503,
    "transient",
    "the store does not answer for the moment: nothing was disclosed, but whether a write took place is not known; repeat the"
    " request, a create with If-None-Exist or as an update with an id of your own",
)
LATE = FhirError(408, "timeout", "the body did not come in time; nothing was changed. Send it again, or in parts")


@dataclass(frozen=True)
class Service:
    """Passed in by the composition root. `authenticate` turns a bearer token into a Caller or raises 401; `is_unavailable`
    tells an error that passes by itself, such as an election of the database, from one of ours. After `answer_seconds` a
    request gets a 503, whatever it waits for; a 408 where that is its own body."""

    record: Record
    authenticate: Callable[[str], Caller]
    base_url: str
    max_body: int
    is_unavailable: Callable[[Exception], bool]
    answer_seconds: int

    @cached_property
    def room(self) -> Room:
        """For as much at once as one body may have: a dozen Bundles of 10 MB at the same time took 5 GB, and none was done in
        time."""
        return Room(self.max_body)


Handler = Callable[[Service, Caller, Request], Awaitable[Response]]


def endpoint(service: Service, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """`handler` behind the token check, with errors as OperationOutcomes."""
    deadline = Deadline(service.answer_seconds)

    async def respond(request: Request) -> Response:
        KNOWN.set(service.record.registry.known)
        request.scope[ROOM] = service.room
        try:
            caller = service.authenticate(bearer(request))
            require_json(request)
            with deadline:
                return in_parts(await presented(request, await handler(service, caller, request)))
        except FhirError as error:
            return refusal(error)
        except ClientDisconnect:
            raise  # before its request was whole: nobody is there to be answered
        except Exception as error:
            if isinstance(error, TimeoutError) and request.scope.get(COMING):
                return refusal(LATE)
            is_passing = isinstance(error, TimeoutError) or service.is_unavailable(error)
            log.error("%s %s", "unavailable:" if is_passing else "unexpected", where(error))
            return refusal(UNAVAILABLE if is_passing else UNEXPECTED)
        finally:
            if TAKEN in request.scope:
                service.room.give(request.scope.pop(TAKEN))

    return respond


class CutOff(Exception):
    """Ends the connection: what was sent of an answer must not look like all of it."""


def streamed(request: Request, parts: AsyncIterator[bytes], now: int) -> Response:
    """An answer that goes out while it is made; everything that may refuse it must have been done before. `now` in ms."""
    headers = NO_STORE | {"Date": formatdate(now / 1000, usegmt=True)}
    return StreamingResponse(iter(()) if request.method == "HEAD" else _whole(parts), 200, headers, FHIR_JSON)


async def _whole(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for part in parts:
            yield part
            await asyncio.sleep(0)
    except Exception as error:
        log.error("cut off: %s", where(error))
        raise CutOff from None


def bearer(request: HTTPConnection) -> str:
    scheme, _, token = header(request, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise FhirError(401, "login", "send an access token: Authorization: Bearer TOKEN (from /oauth2/token)")
    return token.strip()


def where(error: BaseException) -> str:
    """Type and place of an error. Its message stays out of the logs: it may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return f"{type(error).__name__} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
