"""SearchParameter/$reindex: what is searchable, how far the indexing is; and indexing anew (docs/operations.md)."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import parameters, texts
from fhir_server.http.service import Service
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.record.parameters import index_again, status


async def reindex_status(service: Service, caller: Caller, request: Request) -> Response:
    return fhir_response(orjson.dumps(described(await status(service.record, caller))))


async def reindex(service: Service, caller: Caller, request: Request) -> Response:
    """202: it goes on in the background; the answer is that of the GET."""
    types = texts(await parameters(request, ("type",)), "type")
    if not set(types) <= set(RESOURCE_TYPES):
        raise FhirError(400, "invalid", "names what is no resource type", "Parameters.parameter.where(name = 'type')")
    await index_again(service.record, caller, types or RESOURCE_TYPES)
    return fhir_response(orjson.dumps(described(await status(service.record, caller))), 202)


def described(found: dict[str, Any]) -> dict[str, Any]:
    """`record.parameters.status` as Parameters."""
    state = "running" if "total" in found else "waiting" if _is_waiting(found) else "done"
    told: list[dict[str, Any]] = [{"name": "state", "valueCode": state}]
    if "total" in found:
        done, total = min(found["done"], found["total"]), found["total"]
        told += [{"name": "done", "valueInteger": done}, {"name": "total", "valueInteger": total}]
        told += [{"name": "percent", "valueDecimal": round(100 * done / (total or 1), 1)}]
    for definition, _, is_ready in found["definitions"]:
        parts: list[dict[str, Any]] = [{"name": "url", "valueUri": definition.url}]
        parts += [{"name": "code", "valueCode": definition.code}]
        parts += [{"name": "base", "valueCode": one} for one in definition.types]
        parts += [{"name": "searchable", "valueBoolean": is_ready}]
        told.append({"name": "parameter", "part": parts})
    return {"resourceType": "Parameters", "parameter": told}


def _is_waiting(found: dict[str, Any]) -> bool:
    return found["waiting"] or not all(is_ready for *_, is_ready in found["definitions"])
