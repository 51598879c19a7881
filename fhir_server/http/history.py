"""history of an instance, a type and the system (R4 http.html#history): every version the caller may see, newest first."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.audit_events import instant
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import query_pairs, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4 import dates
from fhir_server.r4.errors import FhirError
from fhir_server.record import reading
from fhir_server.record.histories import histories
from fhir_server.record.paging import follow, link
from fhir_server.record.reading import Stored

PAGE_PARAMETER = "_page"
PAGE, MAX_COUNT = 50, 1000


async def history(service: Service, caller: Caller, request: Request) -> Response:
    if query_pairs(request):
        raise FhirError(400, "not-supported", "history takes no parameters here; all versions come in one Bundle")
    kind, known = resource_type(request), resource_id(request)
    versions = await reading.history(service.record, caller, kind, known)
    links = [{"relation": "self", "url": f"{service.base_url}/{kind}/{known}/_history"}]
    entries = (_entry(service, kind, known, stored, stored is versions[-1]) for stored in versions)
    return fhir_response(bundle("history", entries, links, len(versions)))


async def history_type(service: Service, caller: Caller, request: Request) -> Response:
    return await _histories(service, caller, request, resource_type(request))


async def history_system(service: Service, caller: Caller, request: Request) -> Response:
    return await _histories(service, caller, request, None)


async def _histories(service: Service, caller: Caller, request: Request, kind: str | None) -> Response:
    pairs, cursor = query_pairs(request), None
    asked = pairs
    if pairs and pairs[0][0] == PAGE_PARAMETER:
        pairs, cursor = follow(service.record.page_key, caller, pairs[0][1])
    since, count = _wanted(pairs)
    versions, after = await histories(service.record, caller, kind, since, count, cursor)
    url = f"{service.base_url}/{kind}/_history" if kind else f"{service.base_url}/_history"
    entries = (_entry(service, one.resource_type, one.id, one.stored, one.stored.version == 1) for one in versions)
    links = [{"relation": "self", "url": f"{url}?{urlencode(asked)}" if asked else url}]
    if after:
        token = link(service.record.page_key, caller, pairs, after)
        links.append({"relation": "next", "url": f"{url}?{PAGE_PARAMETER}={token}"})
    return fhir_response(bundle("history", entries, links))


def _wanted(pairs: Sequence[tuple[str, str]]) -> tuple[int | None, int]:
    """`_since` in ms, and `_count`; 400 for what is not supported here."""
    given = dict(pairs)
    if len(given) != len(pairs) or not given.keys() <= {"_since", "_count"}:
        raise FhirError(400, "not-supported", "a history of many resources takes _since and _count, each once")
    count = given.get("_count", str(PAGE))
    if not (count.isascii() and count.isdigit() and int(count[:9]) > 0):
        raise FhirError(400, "invalid", "_count is not a whole number from 1")
    try:
        since = dates.interval(given["_since"])[0] if "_since" in given else None
    except ValueError:
        raise FhirError(400, "invalid", "_since is not an instant such as 2026-01-14T10:00:00Z") from None
    return since, min(int(count[:9]), MAX_COUNT)


def _entry(service: Service, kind: str, known: str, stored: Stored, first: bool) -> bytes:
    method = "DELETE" if stored.body is None else "PUT" if stored.version > 1 or not first else "POST"
    status = {"DELETE": "204", "PUT": "200", "POST": "201"}[method]
    return entry(
        stored.body,
        fullUrl=f"{service.base_url}/{kind}/{known}",
        request={"method": method, "url": f"{kind}/{known}" if method != "POST" else kind},
        response={"status": status, "etag": f'W/"{stored.version}"', "lastModified": instant(stored.updated)},
    )
