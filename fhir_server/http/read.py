"""read, conditional read and vread (R4 http.html#read, #cread, #vread)."""

from email.utils import formatdate, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import header, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.record import reading
from fhir_server.record.reading import Stored


async def read(service: Service, caller: Caller, request: Request) -> Response:
    stored = await reading.read(service.record, caller, resource_type(request), resource_id(request))
    return Response(None, 304, _headers(stored)) if _is_known(request, stored) else _answer(stored)


async def vread(service: Service, caller: Caller, request: Request) -> Response:
    text = request.path_params["version"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FhirError(404, "not-found", "versions are whole numbers")
    kind, known = resource_type(request), resource_id(request)
    return _answer(await reading.vread(service.record, caller, kind, known, int(text)))


def version_headers(version: int, updated: int) -> dict[str, str]:
    """ETag and Last-Modified of one version; `updated` in ms."""
    return {"ETag": f'W/"{version}"', "Last-Modified": formatdate(updated / 1000, usegmt=True)}


def _is_known(request: Request, stored: Stored) -> bool:
    """Whether the caller has this version already (http.html#cread); If-None-Match goes first (RFC 9110 13.2.2)."""
    if tags := header(request, b"if-none-match"):
        return any(tag.strip().removeprefix("W/") in ("*", f'"{stored.version}"') for tag in tags.split(","))
    since = header(request, b"if-modified-since")
    return bool(since) and _seconds(since) >= stored.updated // 1000


def _seconds(date: str) -> float:
    """An HTTP date in seconds; one that is none is passed over (RFC 9110 13.1.3)."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return -1.0


def _answer(stored: Stored) -> Response:
    assert stored.body is not None
    return fhir_response(stored.body, headers=_headers(stored))


def _headers(stored: Stored) -> dict[str, str]:
    return version_headers(stored.version, stored.updated)
