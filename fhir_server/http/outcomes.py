"""The one place where errors become OperationOutcomes (R4 operationoutcome.html)."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse

from fhir_server.r4.errors import FhirError, Issue

PART, WHOLE = 64 * 1024, 256 * 1024
RETRY_SECONDS = 5
HEADERS = {401: {"WWW-Authenticate": 'Bearer realm="fhir"'}, 503: {"Retry-After": str(RETRY_SECONDS)}}
DONE = {200: "stored, or there already", 201: "created", 204: "deleted, or not there"}
NO_STORE = {"Cache-Control": "no-store"}
FHIR_JSON = "application/fhir+json; charset=utf-8"


class NotAllowed(FhirError):
    """405, and by which methods something answers at this path (RFC 9110 15.5.6)."""

    def __init__(self, method: str, methods: Sequence[str]) -> None:
        super().__init__(405, "not-supported", f"{method} does nothing here; there are {', '.join(methods)}")
        self.headers = {"Allow": ", ".join(methods)}


def outcome(error: FhirError) -> dict[str, Any]:
    """The error as an OperationOutcome; texts name elements and say what to do, never a person's data."""
    return outcome_of(error.issues)


def outcome_of(issues: Iterable[Issue]) -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [_issue(one) for one in issues]}


def _issue(one: Issue) -> dict[str, Any]:
    made: dict[str, Any] = {"severity": one.severity, "code": one.code, "diagnostics": one.text}
    return made | ({"expression": [one.expression]} if one.expression else {})


def done(status: int) -> dict[str, Any]:
    """What a write says of itself where the caller prefers an OperationOutcome (http.html#ops)."""
    return outcome_of([Issue("informational", DONE[status], severity="information")])


def content_status(status: int) -> int:
    """The status with which something is said: 204 says nothing."""
    return 200 if status == 204 else status


def refusal(error: FhirError) -> Response:
    """The HTTP response for an error."""
    headers = error.headers if isinstance(error, NotAllowed) else HEADERS.get(error.status)
    return fhir_response(orjson.dumps(outcome(error)), error.status, headers)


def fhir_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """No cache on the way, nor a browser's, keeps a record (RFC 9111 5.2.2.5)."""
    return Response(body, status, NO_STORE if headers is None else NO_STORE | headers, FHIR_JSON)


def in_parts(answer: Response) -> Response:
    """A large answer goes out bit by bit, since it is compressed on its way."""
    if len(getattr(answer, "body", b"")) <= WHOLE:
        return answer
    return StreamingResponse(_parts(memoryview(answer.body)), answer.status_code, dict(answer.headers))


async def _parts(body: memoryview) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PART):
        yield bytes(body[start : start + PART])
        await asyncio.sleep(0)
