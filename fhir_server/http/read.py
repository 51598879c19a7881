"""read, conditional read and vread (R4 http.html#read, #cread, #vread)."""

from collections.abc import Sequence
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.http.binary import content, is_content_asked
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import header, lenient, query_pairs, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.r4.summaries import Subset
from fhir_server.record import reading
from fhir_server.record.reading import Stored
from fhir_server.search.query import parse


async def read(service: Service, caller: Caller, request: Request) -> Response:
    kind, known = resource_type(request), resource_id(request)
    subset = _subset(kind, request)
    stored = await reading.read(service.record, caller, kind, known)
    return Response(None, 304, _headers(stored)) if _is_known(request, stored) else await _answer(request, stored, subset)


async def vread(service: Service, caller: Caller, request: Request) -> Response:
    text = request.path_params["version"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FhirError(404, "not-found", "versions are whole numbers")
    kind, known = resource_type(request), resource_id(request)
    subset = _subset(kind, request)
    return await _answer(request, await reading.vread(service.record, caller, kind, known, int(text)), subset)


def version_headers(version: int, updated: int) -> dict[str, str]:
    """ETag and Last-Modified of one version; `updated` in ms."""
    return {"ETag": f'W/"{version}"', "Last-Modified": _http_date(updated // 1000)}


@lru_cache(maxsize=16_384)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


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


def _subset(kind: str, request: Request) -> Subset | None:
    """What `_summary` and `_elements` leave of one resource (search.html#summary)."""
    if not request.scope["query_string"]:
        return None
    asked = query_pairs(request)
    shaping = [pair for pair in asked if pair[0] in ("_summary", "_elements")]
    if len(shaping) < len(asked) and not lenient(request):
        raise FhirError(
            400, "not-supported", "a read takes _summary, _elements, _format and _pretty; criteria are for searches"
        )
    return subset_of(kind, shaping)


def subset_of(kind: str, pairs: Sequence[tuple[str, str]]) -> Subset | None:
    """That of these parameters."""
    query = parse(kind, pairs)
    if query.summary_count:
        raise FhirError(400, "invalid", "_summary=count is for searches; a read takes true, text, data or false")
    return query.subset


async def _answer(request: Request, stored: Stored, subset: Subset | None) -> Response:
    assert stored.body is not None
    whole = stored.body
    if is_content_asked(request):
        return await content(whole, _headers(stored))
    return fhir_response(await aside(len(whole), subset.of, whole) if subset else whole, headers=_headers(stored))


def _headers(stored: Stored) -> dict[str, str]:
    return version_headers(stored.version, stored.updated)
