"""SearchParameter/$reindex: what is searchable, how far the indexing is; and indexing anew (docs/operations.md)."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import parameters, require_none, texts
from fhir_server.http.service import Service
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.record.parameters import Indexing, index_again, status
from fhir_server.search.building import Definition


async def reindex_status(service: Service, caller: Caller, request: Request) -> Response:
    require_none(request)
    return fhir_response(orjson.dumps(described(await status(service.record, caller))))


async def reindex(service: Service, caller: Caller, request: Request) -> Response:
    """202: it goes on in the background; the answer is that of the GET."""
    types = texts(await parameters(request, ("type",)), "type")
    if not set(types) <= set(RESOURCE_TYPES):
        raise FhirError(400, "invalid", "names what is no resource type", "Parameters.parameter.where(name = 'type')")
    await index_again(service.record, caller, types or RESOURCE_TYPES)
    return fhir_response(orjson.dumps(described(await status(service.record, caller))), 202)


def described(found: Indexing) -> dict[str, Any]:
    """As Parameters."""
    told: list[dict[str, Any]] = [{"name": "state", "valueCode": found.state}]
    if found.state == "running":
        told += [{"name": "done", "valueInteger": found.done}, {"name": "total", "valueInteger": found.total}]
        told += [{"name": "percent", "valueDecimal": round(100 * found.done / (found.total or 1), 1)}]
    return {"resourceType": "Parameters", "parameter": [*told, *(_definition(*one) for one in found.definitions)]}


def _definition(definition: Definition, is_searchable: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "url", "valueUri": definition.url}, {"name": "code", "valueCode": definition.code}]
    parts += [{"name": "base", "valueCode": one} for one in definition.types]
    return {"name": "parameter", "part": [*parts, {"name": "searchable", "valueBoolean": is_searchable}]}
