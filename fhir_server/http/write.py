"""create, update, patch and delete (R4 http.html#create, #update, #patch, #delete), each conditional as well."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.http.binary import sent
from fhir_server.http.outcomes import FHIR_JSON, content_status, done, fhir_response
from fhir_server.http.read import version_headers
from fhir_server.http.requests import (
    if_none_exist,
    json_body,
    parsed,
    patch_body,
    query_pairs,
    resource_id,
    resource_type,
    returned,
)
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.record.conditional import criteria_of
from fhir_server.record.entries import if_match, propose_id
from fhir_server.record.operations import Method, Operation, Written
from fhir_server.record.patching import JSON_PATCH, fhirpath_patch, json_patch
from fhir_server.record.writing import transact


async def create(service: Service, caller: Caller, request: Request) -> Response:
    kind = resource_type(request)
    _no_query(request)
    resource = await _resource(service, request)
    operation = Operation("create", kind, service.record.new_id(), resource, base_url=service.base_url)
    if criteria := if_none_exist(request):
        operation.criteria = criteria_of(kind, criteria, service.base_url)
    return await _write(service, caller, request, operation)


async def update(service: Service, caller: Caller, request: Request) -> Response:
    operation = _named(service, request, "update")
    operation.resource = await _resource(service, request)
    if operation.id and operation.resource.get("id") != operation.id:
        expression = f"{operation.resource_type}.id"
        raise FhirError(400, "invalid", "the resource's id must be the id in the URL (http.html#update)", expression)
    operation.create_only = request.headers.get("if-none-match") == "*"
    return await _write(service, caller, request, operation)


async def patch(service: Service, caller: Caller, request: Request) -> Response:
    operation = _named(service, request, "patch")
    form, content = await patch_body(request, service.max_body)
    made: tuple[Any, ...] = (json_patch, content) if form == JSON_PATCH else (fhirpath_patch, await parsed(content))
    operation.patch, operation.patch_size = await aside(len(content), *made), len(content)
    return await _write(service, caller, request, operation)


async def delete(service: Service, caller: Caller, request: Request) -> Response:
    return await _write(service, caller, request, _named(service, request, "delete"))


def _named(service: Service, request: Request, method: Method) -> Operation:
    """An operation on what the URL names, `TYPE/ID` or `TYPE?criteria`."""
    kind, is_conditional = resource_type(request), "id" not in request.path_params
    operation = Operation(method, kind, "" if is_conditional else resource_id(request), base_url=service.base_url)
    operation.if_match = if_match(request.headers.get("if-match"))
    if is_conditional:
        operation.criteria = criteria_of(kind, query_pairs(request), service.base_url)
    else:
        _no_query(request)
    return operation


async def _write(service: Service, caller: Caller, request: Request, operation: Operation) -> Response:
    if operation.finds:
        propose_id(operation, service.record.new_id)
    (written,) = await transact(service.record, caller, [operation], operation.method)
    if operation.create_only and written.status != 201:
        raise FhirError(412, "duplicate", "there is a resource with this id already; read it, or leave out If-None-Match")
    headers = version_headers(written.version, written.updated) if written.version else {}
    if written.status != 204:
        headers["Location"] = location(service, written)
    wanted = returned(request, "representation")
    if wanted == "OperationOutcome":
        return fhir_response(orjson.dumps(done(written.status)), content_status(written.status), headers)
    if written.status == 204:
        return Response(None, 204, headers)
    if wanted == "minimal":
        return Response(None, written.status, headers, FHIR_JSON)
    return fhir_response(written.body or b"", written.status, headers)


def location(service: Service, written: Written) -> str:
    """Where this version can be read."""
    return f"{service.base_url}/{written.resource_type}/{written.id}/_history/{written.version}"


async def _resource(service: Service, request: Request) -> dict[str, Any]:
    kind = resource_type(request)
    if kind == "Binary" and (content := await sent(request, service.max_body)):
        return content
    resource = await parsed(await json_body(request, service.max_body))
    if resource.get("resourceType") != kind:
        raise FhirError(400, "invalid", f"the URL says {kind}; the body must be a {kind}", "resourceType")
    return resource


def _no_query(request: Request) -> None:
    if query_pairs(request):
        problem = "no parameters here; what is conditional has them in TYPE?criteria, a create in If-None-Exist"
        raise FhirError(400, "not-supported", problem)
