"""search-type by GET and by POST (R4 search.html, http.html#search), with opaque page links."""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import form_pairs, lenient, query_pairs, resource_type
from fhir_server.http.service import Service
from fhir_server.record.paging import follow, link
from fhir_server.record.searching import BOUND, Page, search
from fhir_server.search.query import parse

PAGE_PARAMETER = "_page"
MAX_FORM = 64 * 1024
_NAME = re.compile(rb'\{"resourceType":"([A-Za-z]+)","id":"([A-Za-z0-9.-]+)"')  # how the store writes every body


async def search_get(service: Service, caller: Caller, request: Request) -> Response:
    pairs = query_pairs(request)
    return fhir_response(await searchset(service, caller, resource_type(request), pairs, lenient(request)))


async def search_post(service: Service, caller: Caller, request: Request) -> Response:
    pairs = await form_pairs(request, MAX_FORM)
    return fhir_response(await searchset(service, caller, resource_type(request), pairs, lenient(request)))


async def searchset(
    service: Service, caller: Caller, kind: str, pairs: Sequence[tuple[str, str]], is_lenient: bool = False
) -> bytes:
    """The searchset Bundle that these parameters ask for, or the page that a link among them leads to."""
    wanted, cursor = list(pairs), None
    if wanted and wanted[0][0] == PAGE_PARAMETER:
        wanted, cursor = follow(service.record.page_key, caller, wanted[0][1])
    query = parse(kind, wanted, lenient=is_lenient, base_url=service.base_url)
    applied = [(name, value) for name, value in wanted if name not in query.ignored]
    page = await search(service.record, caller, query, f"{kind}?{urlencode(applied)}", cursor)
    links = [{"relation": "self", "url": f"{service.base_url}/{kind}?{urlencode(pairs if cursor else applied)}"}]
    if page.next:
        token = link(service.record.page_key, caller, applied, page.next)
        links.append({"relation": "next", "url": f"{service.base_url}/{kind}?{PAGE_PARAMETER}={token}"})
    return bundle("searchset", _entries(service, page, query.ignored), links, page.total)


def _entries(service: Service, page: Page, ignored: Sequence[str]) -> Iterator[bytes]:
    yield from entries(service, page.matches, "match")
    yield from entries(service, page.included, "include")
    if page.too_costly:
        yield _note("too-costly", f"more than {BOUND} match: no exact total; narrow the search")
    if ignored:
        yield _note("not-supported", f"parameters that were ignored: {', '.join(sorted(set(ignored)))}")


def entries(service: Service, bodies: Sequence[bytes], mode: str) -> Iterator[bytes]:
    """Bundle entries of resources as they are stored."""
    for body in bodies:
        name = _NAME.match(body)
        assert name is not None
        yield entry(body, fullUrl=f"{service.base_url}/{name[1].decode()}/{name[2].decode()}", search={"mode": mode})


def _note(code: str, text: str) -> bytes:
    issue = {"severity": "warning", "code": code, "diagnostics": text}
    return entry(orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]}), search={"mode": "outcome"})
