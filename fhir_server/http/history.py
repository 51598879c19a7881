"""history of an instance, a type and the system (R4 http.html#history): every version the caller may see, newest first."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.audit_events import instant
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import interval, number
from fhir_server.http.requests import query_pairs, resource_id, resource_type
from fhir_server.http.search import PAGE_PARAMETER
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.record import histories
from fhir_server.record.histories import Version, Wanted
from fhir_server.record.paging import follow, link

PAGE, MAX_COUNT = 50, 1000


async def history(service: Service, caller: Caller, request: Request) -> Response:
    return await _history(service, caller, request, resource_type(request), resource_id(request))


async def history_type(service: Service, caller: Caller, request: Request) -> Response:
    return await _history(service, caller, request, resource_type(request), None)


async def history_system(service: Service, caller: Caller, request: Request) -> Response:
    return await _history(service, caller, request, None, None)


async def _history(service: Service, caller: Caller, request: Request, kind: str | None, known: str | None) -> Response:
    pairs, cursor = query_pairs(request), None
    asked = pairs
    if pairs and pairs[0][0] == PAGE_PARAMETER:
        pairs, cursor = follow(service.record.page_key, caller, pairs[0][1])
    wanted = _wanted(pairs)
    if kind and known:
        versions, after = await histories.history(service.record, caller, kind, known, wanted, cursor)
    else:
        versions, after = await histories.histories(service.record, caller, kind, wanted, cursor)
    url = "/".join(part for part in (service.base_url, kind, known, "_history") if part)
    links = [{"relation": "self", "url": f"{url}?{urlencode(asked)}" if asked else url}]
    if after:
        token = link(service.record.page_key, caller, pairs, after)
        links.append({"relation": "next", "url": f"{url}?{PAGE_PARAMETER}={token}"})
    total = None if after or cursor else len(versions)
    return fhir_response(bundle("history", (_entry(service, one) for one in versions), links, total))


def _wanted(pairs: Sequence[tuple[str, str]]) -> Wanted:
    """400 for what R4's histories do not take: they have one order, newest first."""
    if len(dict(pairs)) != len(pairs) or not dict(pairs).keys() <= {"_since", "_at", "_count"}:
        raise FhirError(400, "not-supported", "a history takes _since, _at and _count, each once; it is sorted newest first")
    values = {name: [value] for name, value in pairs}
    count, since, at = number(values, "_count", least=1), interval(values, "_since"), interval(values, "_at")
    return Wanted(min(count or PAGE, MAX_COUNT), since and since[0], at)


def _entry(service: Service, version: Version) -> bytes:
    name, stored = f"{version.resource_type}/{version.id}", version.stored
    method = "DELETE" if stored.body is None else "PUT" if stored.version > 1 else "POST"
    status = {"DELETE": "204", "PUT": "200", "POST": "201"}[method]
    return entry(
        stored.body,
        fullUrl=f"{service.base_url}/{name}",
        request={"method": method, "url": name if method != "POST" else version.resource_type},
        response={"status": status, "etag": f'W/"{stored.version}"', "lastModified": instant(stored.updated)},
    )
