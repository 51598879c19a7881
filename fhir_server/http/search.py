"""search-type, search-system and in compartments, by GET and by POST (R4 search.html, http.html#search), with page links."""

import functools
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from consent.scopes import allows
from fhir_server.aside import aside
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response, outcome_of
from fhir_server.http.requests import form_pairs, lenient, query_pairs, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError, Issue
from fhir_server.r4.json import stored_name
from fhir_server.record.paging import follow, link
from fhir_server.record.searching import BOUND, Page, search
from fhir_server.search.clauses import Unknown, shown
from fhir_server.search.compartments import inside, members
from fhir_server.search.parameters import KNOWN
from fhir_server.search.query import Query, parse, parse_all

PAGE_PARAMETER = "_page"


async def search_type(service: Service, caller: Caller, request: Request) -> Response:
    return await _searched(service, caller, request, resource_type(request))


async def search_system(service: Service, caller: Caller, request: Request) -> Response:
    return await _searched(service, caller, request, "")


async def search_compartment(service: Service, caller: Caller, request: Request) -> Response:
    return await _searched(service, caller, request, _compartment(request))


async def _searched(service: Service, caller: Caller, request: Request, place: str) -> Response:
    pairs = await form_pairs(request) if request.method == "POST" else query_pairs(request)
    return fhir_response(await searchset(service, caller, place, pairs, lenient(request)))


def _compartment(request: Request) -> str:
    """The place that the path names; 404 where there is no such compartment, or nothing of that type in it."""
    compartment, inner = resource_type(request), request.path_params["inner"]
    known = members(compartment)
    if not known or inner not in ("*", *known):
        raise FhirError(404, "not-supported", f"no interaction answers {request.method} here; see /metadata")
    return f"{compartment}/{resource_id(request)}/{inner}"


def _parsed(caller: Caller, place: str, pairs: Sequence[tuple[str, str]], is_lenient: bool, base_url: str) -> Query:
    """The Query of a search at a place: `Observation`, `Patient/1/Observation`, `Patient/1/*`, or the system itself ("")."""
    types = [one for name, text in pairs if name == "_type" for one in text.split(",")]
    pairs = [pair for pair in pairs if pair[0] != "_type"]
    compartment, _, rest = place.partition("/")
    known, _, inner = rest.partition("/")
    if place and not rest:
        if types and set(types) != {place}:
            raise FhirError(400, "invalid", "_type is for searches of several types: GET [base]?_type=...")
        return parse(place, pairs, lenient=is_lenient, base_url=base_url)
    wanted = [inner] if inner and inner != "*" else types
    if types and not set(types) <= set(wanted):
        raise FhirError(400, "invalid", f"_type names other types than the {inner} of the path: leave one out")
    if not rest and not wanted and not pairs:
        raise FhirError(
            400, "required", "a search of the whole system says what for, or names types: _type=Observation,Condition"
        )
    possible = members(compartment) if rest else RESOURCE_TYPES
    if not set(possible).issuperset(wanted):
        raise FhirError(400, "invalid", "_type names what is no resource type, or is in no such compartment")
    allowed = [one for one in possible if allows(caller.scopes, one, "s")]
    within = functools.partial(inside, compartment, known) if rest else None
    return parse_all(
        list(dict.fromkeys(wanted)) or allowed or possible, pairs, lenient=is_lenient, base_url=base_url, within=within
    )


async def searchset(service: Service, caller: Caller, place: str, pairs: Sequence[tuple[str, str]], is_lenient: bool) -> bytes:
    """The searchset Bundle that these parameters ask for at a place, or the page that a link among them leads to."""
    wanted, cursor = list(pairs), None
    if wanted and wanted[0][0] == PAGE_PARAMETER:
        wanted, cursor = follow(service.record.page_key, caller, wanted[0][1])
    try:
        query = _parsed(caller, place, wanted, is_lenient, service.base_url)
    except Unknown:  # another process may know it since a moment ago
        await service.record.registry.sync()
        KNOWN.set(service.record.registry.known)
        query = _parsed(caller, place, wanted, is_lenient, service.base_url)
    url = f"{service.base_url}/{place}" if place else service.base_url
    applied = [(name, value) for name, value in wanted if name not in query.ignored]
    asked = urlencode(applied)
    page = await search(service.record, caller, query, f"{place}?{asked}", cursor)
    links = [{"relation": "self", "url": f"{url}?{urlencode(pairs) if cursor else asked}"}]
    if page.next:
        token = link(service.record.page_key, caller, applied, page.next)
        links.append({"relation": "next", "url": f"{url}?{PAGE_PARAMETER}={token}"})
    size = sum(map(len, page.matches)) if query.subset else 0
    return await aside(size, bundle, "searchset", _entries(service, page, query), links, page.total)


def _entries(service: Service, page: Page, query: Query) -> Iterator[bytes]:
    subset, ignored = query.subset, query.ignored
    whole = subset is None or subset.elements  # `_elements` names those of the matches
    yield from entries(service, [subset.of(one) for one in page.matches] if subset else page.matches, "match")
    yield from entries(service, page.included if whole or not subset else [subset.of(one) for one in page.included], "include")
    if page.too_costly:
        yield _note("too-costly", f"more than {BOUND} match: no exact total; narrow the search")
    if ignored:
        yield _note("not-supported", f"parameters that were ignored: {', '.join(sorted(set(map(shown, ignored))))}")


def entries(service: Service, bodies: Sequence[bytes], mode: str) -> Iterator[bytes]:
    """Bundle entries of resources as they are stored."""
    return map(entry_of(service, mode), bodies)


def entry_of(service: Service, mode: str) -> Callable[[bytes], bytes]:
    """Writes the entry of a resource by hand: a quarter of the time of `entry`, and each resource of each answer takes one."""
    before, between = b'{"fullUrl":"%s/' % service.base_url.encode(), b'","search":{"mode":"%s"},"resource":' % mode.encode()
    return lambda body: b"%s%s%s%s}" % (before, stored_name(body), between, body)


def _note(code: str, text: str) -> bytes:
    return entry(orjson.dumps(outcome_of([Issue(code, text, severity="warning")])), search={"mode": "outcome"})
