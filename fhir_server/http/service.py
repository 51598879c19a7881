"""What the routes work with, and what every request goes through before its handler: a caller, or no data."""

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.negotiation import presented, require_json
from fhir_server.http.outcomes import refusal
from fhir_server.http.requests import header
from fhir_server.r4.errors import FhirError
from fhir_server.record.context import Record

log = logging.getLogger("hie.http")


@dataclass(frozen=True, slots=True)
class Service:
    """Passed in by the composition root. `authenticate` turns a bearer token into a Caller or raises 401."""

    record: Record
    authenticate: Callable[[str], Caller]
    base_url: str
    max_body: int


Handler = Callable[[Service, Caller, Request], Awaitable[Response]]


def endpoint(service: Service, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """`handler` behind the token check, with errors as OperationOutcomes."""

    async def respond(request: Request) -> Response:
        try:
            caller = service.authenticate(bearer(request))
            require_json(request)
            return presented(request, await handler(service, caller, request))
        except FhirError as error:
            return refusal(error)
        except Exception as error:
            log.error("unexpected %s", where(error))
            return refusal(
                FhirError(500, "exception", "something went wrong here; nothing was disclosed or changed by this answer")
            )

    return respond


def bearer(request: HTTPConnection) -> str:
    scheme, _, token = header(request, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise FhirError(401, "login", "send an access token: Authorization: Bearer TOKEN (from /oauth2/token)")
    return token.strip()


def where(error: BaseException) -> str:
    """Type and place of an error. Its message stays out of the logs: it may quote a record."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return f"{type(error).__name__} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
