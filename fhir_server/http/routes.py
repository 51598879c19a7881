"""The FHIR API on one screen (R4 http.html#summary). Paths are relative to the base URL; the first that fits answers.

Served as an ASGI application of its own: a dictionary look-up in place of a walk over routes and a stack of middleware, which
took more time than reading a resource.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from consent.caller import Caller
from fhir_server.http.batch import batch_or_transaction
from fhir_server.http.capabilities import capability_statement
from fhir_server.http.history import history, history_system, history_type
from fhir_server.http.inner import Find, Found
from fhir_server.http.negotiation import require_json
from fhir_server.http.openapi import openapi
from fhir_server.http.operations import EVERY_TYPE, OPERATIONS, Operation
from fhir_server.http.outcomes import NotAllowed, fhir_response, refusal
from fhir_server.http.read import read, vread
from fhir_server.http.search import search_compartment, search_system, search_type
from fhir_server.http.service import Handler, Service, endpoint
from fhir_server.http.write import create, delete, patch, update
from fhir_server.r4.definitions import KNOWN_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.search.parameters import KNOWN, Known

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/_history", history_system),
    ("GET", "/{type}/_history", history_type),
    ("GET", "/{type}/{id}", read),
    ("GET", "/{type}", search_type),
    ("GET", "/", search_system),
    ("GET", "", search_system),
    ("POST", "/_search", search_system),
    ("POST", "/{type}", create),
    ("PUT", "/{type}/{id}", update),
    ("PATCH", "/{type}/{id}", patch),
    ("DELETE", "/{type}/{id}", delete),
    ("PUT", "/{type}", update),
    ("PATCH", "/{type}", patch),
    ("DELETE", "/{type}", delete),
    ("POST", "/{type}/_search", search_type),
    ("GET", "/{type}/{id}/_history", history),
    ("GET", "/{type}/{id}/_history/{version}", vread),
    ("GET", "/{type}/{id}/{inner}", search_compartment),
    ("POST", "/{type}/{id}/{inner}/_search", search_compartment),
)
SEARCHES_BY_GET: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/_search", search_system),
    ("GET", "/{type}/_search", search_type),
    ("GET", "/{type}/{id}/{inner}/_search", search_compartment),
)
"""What R4 has for POST only, and HAPI's client (GET_WITH_SEARCH) and fhir-kit-client send by GET: no id begins with `_`."""

BASE = ("/", "")
"""Where Bundles are sent: the base URL, in both spellings."""
LEVELS = {"instance": "/{type}/{{id}}/${name}", "type": "/{type}/${name}", "system": "/${name}"}

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers, and how it is reached from outside: with a token, except for the metadata."""

    pattern: re.Pattern[str]
    found: Found
    answer: Endpoint


Table = dict[tuple[str, int, str], list[Route]]


def api(service: Service, base_path: str, token_url: str, more: Sequence[Operation] = ()) -> ASGIApp:
    """The API under `base_path`, `more` operations among it; what no route answers gets an OperationOutcome, too."""
    table: Table = {}
    unanswered = _unanswered(table, base_path)
    nothing = Route(re.compile(""), Found(unanswered, True), endpoint(service, unanswered))

    def find(request: Request) -> Found:
        return _route(table, nothing, request.scope, "").found

    metadata = _metadata(service, token_url, (*OPERATIONS, *more))
    _add(table, "GET", "/metadata", Found(lambda service, caller, request: metadata(request), True), metadata)
    for method, path, found in _routes((*OPERATIONS, *more), find):
        _add(table, method, path, found, endpoint(service, found.handler))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        route = _route(table, nothing, scope, base_path)
        response = await route.answer(Request(scope, receive))
        await response(scope, receive, send)

    return application


def described(base_url: str, more: Sequence[Operation] = ()) -> dict[str, Any]:
    """The OpenAPI document of these routes."""
    operations = ((one.method, _path(one), one.takes) for one in (*OPERATIONS, *more))
    others = [*((method, path) for method, path, _ in ROUTES), *(("POST", path) for path in BASE)]
    return openapi(base_url, [("GET", "/metadata", ()), *operations, *((method, path, ()) for method, path in others)])


def _route(table: Table, nothing: Route, scope: Scope, base_path: str) -> Route:
    """The first that fits, with what the path names put into `path_params`."""
    path = scope["path"].removeprefix(base_path)
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    for route in table.get((method, path.count("/"), _own_name(path)), ()):
        if fits := route.pattern.fullmatch(path):
            scope["path_params"] = fits.groupdict()
            return route
    scope["path_params"] = {}
    return nothing


def _add(table: Table, method: str, path: str, found: Found, answer: Endpoint) -> None:
    pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))
    table.setdefault((method, path.count("/"), _own_name(path)), []).append(Route(pattern, found, answer))


def _own_name(path: str) -> str:
    """`$name` or `_name` at the end of a path, by which most are told apart."""
    last = path.rpartition("/")[2]
    return last if last[:1] in ("$", "_") else ""


def _routes(operations: Sequence[Operation], find: Find) -> list[tuple[str, str, Found]]:
    """Names before patterns. An operation that changes something is not offered by GET (operations.html#request)."""
    safe = {_path(one) for one in operations if one.method == "GET"}
    bundles = Found(batch_or_transaction(find), False)
    made: list[tuple[str, str, Found]] = [
        (one.method, _path(one), Found(one.handler, _path(one) in safe)) for one in operations
    ]
    made += [(method, path, Found(handler, method == "GET")) for method, path, handler in (*ROUTES, *SEARCHES_BY_GET)]
    return [*made, *(("POST", path, bundles) for path in BASE)]


def _path(operation: Operation) -> str:
    kind = "{type}" if operation.resource_type == EVERY_TYPE else operation.resource_type
    return LEVELS[operation.level].format(type=kind, name=operation.name)


def _metadata(service: Service, token_url: str, operations: Sequence[Operation]) -> Endpoint:
    started = datetime.now(UTC).isoformat(timespec="seconds")

    @lru_cache(maxsize=1)
    def statement(known: Known) -> bytes:
        return orjson.dumps(capability_statement(service.base_url, token_url, started, operations))

    async def metadata(request: Request) -> Response:
        try:
            require_json(request)
        except FhirError as error:
            return refusal(error)
        known = service.record.registry.known
        KNOWN.set(known)
        return fhir_response(statement(known))

    return metadata


def _unanswered(table: Table, base_path: str) -> Handler:
    async def refuse(service: Service, caller: Caller, request: Request) -> Response:
        if methods := _methods(table, request.scope["path"].removeprefix(base_path)):
            raise NotAllowed(request.method, methods)
        raise FhirError(404, "not-supported", f"no interaction answers {request.method} here; see /metadata")

    return refuse


def _methods(table: Table, path: str) -> list[str]:
    """By which methods something answers here."""
    asked = (path.count("/"), _own_name(path))
    found = {method for (method, *rest), routes in table.items() if (*rest,) == asked and any(map(_fits(path), routes))}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _fits(path: str) -> Callable[[Route], bool]:
    """Whether a route is for such a path, as far as the path alone tells: not where it names what R4 does not define."""

    def fits(route: Route) -> bool:
        named = route.pattern.fullmatch(path)
        return named is not None and {named.groupdict().get(one, "Basic") for one in ("type", "inner")} <= KNOWN_TYPES

    return fits
