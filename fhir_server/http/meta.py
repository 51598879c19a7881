"""$meta of a record, a type and the system, $meta-add and $meta-delete of a record (R4 resource-operation-meta.html)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import parameters, require_none
from fhir_server.http.requests import resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from fhir_server.r4.validation import validate
from fhir_server.record import reading
from fhir_server.record.entries import if_match
from fhir_server.record.labelling import Change, added, in_use, relabel, removed

MAX_META = 64 * 1024


async def meta(service: Service, caller: Caller, request: Request) -> Response:
    """The same meta as a read gives."""
    require_none(request)
    stored = await reading.read(service.record, caller, resource_type(request), resource_id(request))
    return _answer(read(stored.body or b"{}")["meta"])


async def meta_in_use(service: Service, caller: Caller, request: Request) -> Response:
    """The profiles, tags and security labels of all that the caller may see."""
    require_none(request)
    kind = resource_type(request) if "type" in request.path_params else None
    return _answer(await in_use(service.record, caller, kind))


async def meta_add(service: Service, caller: Caller, request: Request) -> Response:
    return await _change(service, caller, request, "operation-meta-add", added)


async def meta_delete(service: Service, caller: Caller, request: Request) -> Response:
    return await _change(service, caller, request, "operation-meta-delete", removed)


async def _change(service: Service, caller: Caller, request: Request, interaction: str, change: Change) -> Response:
    given = _given((await parameters(request, ("meta",), MAX_META)).get("meta", ()))
    kind, known = resource_type(request), resource_id(request)
    version = if_match(request.headers.get("if-match"))
    return _answer(await relabel(service.record, caller, interaction, kind, known, change, given, version))


def _given(values: Any) -> dict[str, Any]:
    if len(values) != 1 or not isinstance(values[0], dict):
        raise FhirError(400, "required", "send Parameters with one parameter 'meta' of valueMeta", "Parameters.parameter")
    validate({"resourceType": "Basic", "code": {"text": "meta"}, "meta": values[0]})
    return values[0]


def _answer(found: dict[str, Any]) -> Response:
    """An element that is empty is left out (json.html)."""
    given = {"parameter": [{"name": "return", "valueMeta": found}]} if found else {}
    return fhir_response(write({"resourceType": "Parameters", **given}))
