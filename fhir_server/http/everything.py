"""Patient/$everything and Encounter/$everything: streamed whole, or page by page where `_count` is given."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.bundles import bundle_parts
from fhir_server.http.parameters import Values, gathered, interval, number, ordered, parameters, texts
from fhir_server.http.requests import query_pairs, resource_id
from fhir_server.http.search import PAGE_PARAMETER, entry_of
from fhir_server.http.service import Service, streamed
from fhir_server.r4 import dates
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.record import everything
from fhir_server.record.context import Record
from fhir_server.record.everything import Everything, Wanted
from fhir_server.record.paging import Cursor, follow, link
from fhir_server.search.query import MAX_COUNT

OF_ENCOUNTER = ("_since", "_type", "_count")
OF_PATIENT = ("start", "end", *OF_ENCOUNTER)

Gather = Callable[[Record, Caller, str, str, Wanted, Cursor | None], Awaitable[Everything]]


async def of_patient(service: Service, caller: Caller, request: Request) -> Response:
    return await _everything(service, caller, request, "Patient", OF_PATIENT, everything.of_patient)


async def of_encounter(service: Service, caller: Caller, request: Request) -> Response:
    return await _everything(service, caller, request, "Encounter", OF_ENCOUNTER, everything.of_encounter)


async def _everything(
    service: Service, caller: Caller, request: Request, kind: str, known: Sequence[str], gather: Gather
) -> Response:
    place, now = f"{kind}/{resource_id(request)}/$everything", service.record.clock()
    values, cursor = await _asked(service, caller, request, known)
    pairs = [(name, str(one)) for name, several in values.items() for one in several]
    asked = f"{place}?{urlencode(pairs)}" if pairs else place
    found = await gather(service.record, caller, resource_id(request), asked, _wanted(values), cursor)
    links = [{"relation": "self", "url": f"{service.base_url}/{asked}"}]
    if found.next:
        token = link(service.record.page_key, caller, pairs, found.next)
        links.append({"relation": "next", "url": f"{service.base_url}/{place}?{PAGE_PARAMETER}={token}"})
    parts = bundle_parts("searchset", _entries(service, found), links, found.total)
    return streamed(request, parts, now)  # the next `_since` is this moment (patient-operation-everything.html)


async def _asked(service: Service, caller: Caller, request: Request, known: Sequence[str]) -> tuple[Values, Cursor | None]:
    pairs = query_pairs(request)
    if pairs and pairs[0][0] == PAGE_PARAMETER:
        pairs, cursor = follow(service.record.page_key, caller, pairs[0][1])
        return gathered(pairs, known), cursor
    return await parameters(request, known), None


def _wanted(values: Values) -> Wanted:
    if any(len(given) > 1 for name, given in values.items() if name != "_type"):
        raise FhirError(400, "invalid", "each parameter but _type is given once")
    types = frozenset(one.strip() for given in texts(values, "_type") for one in given.split(","))
    if not types.issubset(RESOURCE_TYPES):
        raise FhirError(400, "invalid", "_type names what is no resource type of R4", "_type")
    since, start, end = (interval(values, name) for name in ("_since", "start", "end"))
    ordered(start, end, "end")
    care = (start[0] if start else dates.EARLIEST, end[1] if end else dates.LATEST) if start or end else None
    count = number(values, "_count")
    return Wanted(types, since[0] if since else None, care, None if count is None else min(count, MAX_COUNT))


async def _entries(service: Service, found: Everything) -> AsyncIterator[bytes]:
    written = {mode: entry_of(service, mode) for mode in ("match", "include")}
    async for mode, body in found.bodies:
        yield written[mode](body)
