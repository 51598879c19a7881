"""The FHIR API on one screen (R4 http.html#summary). Paths are relative to the base URL; the first that fits answers.

Served as an ASGI application of its own: a dictionary look-up in place of a walk over routes and a stack of middleware, which
took more time than reading a resource.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from consent.caller import Caller
from fhir_server.http.batch import batch_or_transaction
from fhir_server.http.capabilities import capability_statement
from fhir_server.http.history import history, history_system, history_type
from fhir_server.http.operations import EVERY_TYPE, OPERATIONS, Operation
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.read import read, vread
from fhir_server.http.search import search_compartment, search_get, search_post, search_system_get, search_system_post
from fhir_server.http.service import Handler, Service, endpoint
from fhir_server.http.write import create, delete, patch, update
from fhir_server.r4.errors import FhirError
from fhir_server.search.parameters import KNOWN, Known

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/_history", history_system),
    ("GET", "/{type}/_history", history_type),
    ("GET", "/{type}/{id}", read),
    ("GET", "/{type}", search_get),
    ("GET", "/", search_system_get),
    ("GET", "", search_system_get),
    ("POST", "/_search", search_system_post),
    ("POST", "/{type}", create),
    ("PUT", "/{type}/{id}", update),
    ("PATCH", "/{type}/{id}", patch),
    ("DELETE", "/{type}/{id}", delete),
    ("PUT", "/{type}", update),
    ("PATCH", "/{type}", patch),
    ("DELETE", "/{type}", delete),
    ("POST", "/{type}/_search", search_post),
    ("GET", "/{type}/{id}/_history", history),
    ("GET", "/{type}/{id}/_history/{version}", vread),
    ("GET", "/{type}/{id}/{inner}", search_compartment),
    ("POST", "/", batch_or_transaction),
    ("POST", "", batch_or_transaction),
)

LEVELS = {"instance": "/{type}/{{id}}/${name}", "type": "/{type}/${name}"}

Endpoint = Callable[[Request], Awaitable[Response]]
Pattern = tuple[list[str], Endpoint]


def api(service: Service, base_path: str, token_url: str, more: Sequence[Operation] = ()) -> ASGIApp:
    """The API under `base_path`, `more` operations among it; what no route answers gets an OperationOutcome, too."""
    table: dict[tuple[str, int], list[Pattern]] = {}
    for method, path, answer in _routes(service, token_url, (*OPERATIONS, *more)):
        parts = path.split("/")
        table.setdefault((method, len(parts)), []).append((parts, answer))
    nothing = endpoint(service, _nothing)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].removeprefix(base_path).split("/")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        answer, scope["path_params"] = _find(table.get((method, len(parts)), ()), parts) or (nothing, {})
        response = await answer(Request(scope, receive))
        await response(scope, receive, send)

    return application


def _find(patterns: list[Pattern] | tuple[()], parts: list[str]) -> tuple[Endpoint, dict[str, str]] | None:
    for pattern, answer in patterns:
        if all(given == wanted or (given and wanted[:1] == "{") for given, wanted in zip(parts, pattern, strict=True)):
            return answer, {wanted[1:-1]: given for given, wanted in zip(parts, pattern, strict=True) if wanted[:1] == "{"}
    return None


def _routes(service: Service, token_url: str, operations: Sequence[Operation]) -> list[tuple[str, str, Endpoint]]:
    """(method, path, endpoint); names before patterns."""
    made = [("GET", "/metadata", _metadata(service, token_url, operations))]
    made += [(one.method, _path(one), endpoint(service, one.handler)) for one in operations]
    return made + [(method, path, endpoint(service, handler)) for method, path, handler in ROUTES]


def _path(operation: Operation) -> str:
    kind = "{type}" if operation.resource_type == EVERY_TYPE else operation.resource_type
    return LEVELS[operation.level].format(type=kind, name=operation.name)


def _metadata(service: Service, token_url: str, operations: Sequence[Operation]) -> Endpoint:
    started = datetime.now(UTC).isoformat(timespec="seconds")

    @lru_cache(maxsize=1)
    def statement(known: Known) -> bytes:
        return orjson.dumps(capability_statement(service.base_url, token_url, started, operations))

    async def metadata(request: Request) -> Response:
        known = service.record.registry.known
        KNOWN.set(known)
        return fhir_response(statement(known))

    return metadata


async def _nothing(service: Service, caller: Caller, request: Request) -> Response:
    raise FhirError(404, "not-supported", f"no interaction answers {request.method} here; see /metadata")
