"""create, update, patch and delete (R4 http.html#create, #update, #patch, #delete)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import FHIR_JSON, fhir_response
from fhir_server.http.read import version_headers
from fhir_server.http.requests import json_body, patch_body, query_pairs, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record.criteria import pairs_of
from fhir_server.record.entries import if_match
from fhir_server.record.operations import Operation, Written
from fhir_server.record.patching import JSON_PATCH, fhirpath_patch, json_patch
from fhir_server.record.writing import transact
from fhir_server.search.query import parse


async def create(service: Service, caller: Caller, request: Request) -> Response:
    kind = resource_type(request)
    _no_query(request)
    resource = _of_type(read(await json_body(request, service.max_body)), kind)
    operation = Operation("create", kind, service.record.new_id(), resource)
    if criteria := request.headers.get("if-none-exist"):
        operation.if_none_exist = parse(kind, pairs_of(criteria.partition("?")[2] or criteria), base_url=service.base_url)
    return await _write(service, caller, request, operation)


async def update(service: Service, caller: Caller, request: Request) -> Response:
    kind, known = resource_type(request), resource_id(request)
    _no_query(request)
    resource = _of_type(read(await json_body(request, service.max_body)), kind)
    if resource.get("id") != known:
        raise FhirError(400, "invalid", "the resource's id must be the id in the URL (http.html#update)", f"{kind}.id")
    operation = Operation("update", kind, known, resource, if_match=if_match(request.headers.get("if-match")))
    operation.create_only = request.headers.get("if-none-match") == "*"
    return await _write(service, caller, request, operation)


async def patch(service: Service, caller: Caller, request: Request) -> Response:
    kind, known = resource_type(request), resource_id(request)
    _no_query(request)
    form, content = await patch_body(request, service.max_body)
    operation = Operation("patch", kind, known, if_match=if_match(request.headers.get("if-match")))
    operation.patch = json_patch(content) if form == JSON_PATCH else fhirpath_patch(read(content))
    return await _write(service, caller, request, operation)


async def delete(service: Service, caller: Caller, request: Request) -> Response:
    _no_query(request)
    operation = Operation("delete", resource_type(request), resource_id(request))
    operation.if_match = if_match(request.headers.get("if-match"))
    return await _write(service, caller, request, operation)


async def _write(service: Service, caller: Caller, request: Request, operation: Operation) -> Response:
    (written,) = await transact(service.record, caller, [operation], operation.method)
    headers = version_headers(written.version, written.updated) if written.version else {}
    if written.status == 204:
        return Response(None, 204, headers)
    headers["Location"] = location(service, written)
    if "return=minimal" in request.headers.get("prefer", ""):
        return Response(None, written.status, headers, FHIR_JSON)
    return fhir_response(written.body or b"", written.status, headers)


def location(service: Service, written: Written) -> str:
    """Where this version can be read."""
    return f"{service.base_url}/{written.resource_type}/{written.id}/_history/{written.version}"


def _of_type(resource: dict[str, Any], kind: str) -> dict[str, Any]:
    if resource.get("resourceType") != kind:
        raise FhirError(400, "invalid", f"the URL says {kind}; the body must be a {kind}", "resourceType")
    return resource


def _no_query(request: Request) -> None:
    if query_pairs(request):
        raise FhirError(
            400, "not-supported", "parameters are not supported on this interaction; conditional create: If-None-Exist"
        )
