"""The FHIR API on one screen (R4 http.html#summary). Paths are relative to the base URL; the first that fits answers."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consent.caller import Caller
from fhir_server.http.batch import batch_or_transaction
from fhir_server.http.capabilities import capability_statement
from fhir_server.http.history import history
from fhir_server.http.operations import OPERATIONS, Operation
from fhir_server.http.outcomes import fhir_response, refusal
from fhir_server.http.read import read, vread
from fhir_server.http.search import search_get, search_post
from fhir_server.http.service import Handler, Service, endpoint
from fhir_server.http.write import create, delete, update
from fhir_server.r4.errors import FhirError

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/{type}/{id}", read),
    ("GET", "/{type}", search_get),
    ("POST", "/{type}", create),
    ("PUT", "/{type}/{id}", update),
    ("DELETE", "/{type}/{id}", delete),
    ("POST", "/{type}/_search", search_post),
    ("GET", "/{type}/{id}/_history", history),
    ("GET", "/{type}/{id}/_history/{version}", vread),
    ("POST", "/", batch_or_transaction),
    ("POST", "", batch_or_transaction),
)

LEVELS = {"instance": "/{type}/{{id}}/${name}", "type": "/{type}/${name}"}


def routes(service: Service, base_path: str, token_url: str, more: Sequence[Operation] = ()) -> list[Route]:
    """All routes of the API under `base_path`, `more` operations among them; what no route answers gets an OperationOutcome."""
    operations = (*OPERATIONS, *more)
    made = [Route(f"{base_path}/metadata", _metadata(service, token_url, operations), methods=["GET"])]
    made += [
        Route(base_path + _path(one), endpoint(service, one.handler), methods=[one.method]) for one in operations
    ]
    made += [Route(base_path + path, endpoint(service, handler), methods=[method]) for method, path, handler in ROUTES]
    anything = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]
    return [*made, Route(base_path + "/{rest:path}", endpoint(service, _nothing), methods=anything)]


def _path(operation: Operation) -> str:
    return LEVELS[operation.level].format(type=operation.resource_type, name=operation.name)


def _metadata(service: Service, token_url: str, operations: Sequence[Operation]) -> Callable[[Request], Awaitable[Response]]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    statement = orjson.dumps(capability_statement(service.base_url, token_url, started, operations))

    async def metadata(request: Request) -> Response:
        return fhir_response(statement)

    return metadata


async def _nothing(service: Service, caller: Caller, request: Request) -> Response:
    return refusal(FhirError(404, "not-supported", f"no interaction answers {request.method} here; see /metadata"))
