"""Entries of a batch or transaction Bundle as operations (R4 http.html#transaction), whoever brings the Bundle."""

import re
from collections.abc import Callable
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import ID_PATTERN
from fhir_server.record.criteria import pairs_of
from fhir_server.record.operations import Method, Operation
from fhir_server.record.patching import entry_patch
from fhir_server.search.query import parse

METHODS: dict[str, Method] = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')


def operation(number: int, one: dict[str, Any], base_url: str, new_id: Callable[[], str]) -> Operation:
    """The operation of one entry; an error names the entry."""
    try:
        made = _operation(one, base_url, new_id)
        made.place = f"Bundle.entry[{number}].resource"
        return made
    except FhirError as error:
        first = error.issues[0]
        where = f"Bundle.entry[{number}]" + (f".{first.expression}" if first.expression else "")
        raise FhirError(error.status, first.code, first.text, where) from error


def _operation(one: dict[str, Any], base_url: str, new_id: Callable[[], str]) -> Operation:
    asked = one["request"]
    method = METHODS.get(asked["method"])
    if method is None:
        raise FhirError(400, "not-supported", "methods are GET, POST, PUT, PATCH and DELETE", "request.method")
    kind, _, known = asked["url"].removeprefix(base_url).strip("/").partition("/")
    if "?" in asked["url"]:
        raise FhirError(400, "not-supported", "conditional update and delete are not supported; use ifNoneExist", "request.url")
    if kind not in RESOURCE_TYPES:
        raise FhirError(400, "not-supported", "R4 4.0.1 defines no such resource type", "request.url")
    if method == "create":
        known = new_id() if not known else ""
    if not ID_PATTERN.fullmatch(known):
        raise FhirError(400, "invalid", "must be TYPE for POST, TYPE/ID for PUT, PATCH and DELETE", "request.url")
    made = Operation(method, kind, known, _resource(one, method, kind, known), one.get("fullUrl"))
    made.patch = entry_patch(one.get("resource")) if method == "patch" else None
    made.if_match = if_match(asked.get("ifMatch"))
    made.create_only = asked.get("ifNoneMatch") == "*"
    if criteria := asked.get("ifNoneExist"):
        made.if_none_exist = parse(kind, pairs_of(criteria), base_url=base_url)
    return made


def _resource(one: dict[str, Any], method: Method, kind: str, known: str) -> dict[str, Any] | None:
    resource = one.get("resource")
    if method in ("patch", "delete"):
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        raise FhirError(400, "invalid", f"must be a {kind}, as request.url says", "resource")
    if method == "update" and resource.get("id") != known:
        raise FhirError(400, "invalid", "must be the id in request.url", "resource.id")
    return resource


def if_match(value: str | None) -> int | None:
    """The version of an If-Match header or a Bundle entry's ifMatch."""
    if value is None:
        return None
    found = _ETAG.fullmatch(value.strip())
    if not found:
        raise FhirError(400, "invalid", 'If-Match must be an ETag such as W/"3"')
    return int(found[1])
