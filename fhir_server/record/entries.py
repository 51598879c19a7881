"""Entries of a batch or transaction Bundle as operations (R4 http.html#transaction), whoever brings the Bundle."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import ID_PATTERN
from fhir_server.record.conditional import criteria_of
from fhir_server.record.operations import ANY, Method, Operation
from fhir_server.record.patching import entry_patch

METHODS: dict[str, Method] = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,18})"')


def operation(number: int, one: dict[str, Any], base_url: str, new_id: Callable[[], str]) -> Operation:
    """The operation of one entry; an error names the entry."""
    with placed(number):
        made = _operation(one, base_url, new_id)
        made.place = f"Bundle.entry[{number}].resource"
        return made


@contextmanager
def placed(number: int) -> Iterator[None]:
    """Errors inside name the entry with this number."""
    try:
        yield
    except FhirError as error:
        first = error.issues[0]
        where = f"Bundle.entry[{number}]" + (f".{first.expression}" if first.expression else "")
        raise FhirError(error.status, first.code, first.text, where) from error


def _operation(one: dict[str, Any], base_url: str, new_id: Callable[[], str]) -> Operation:
    asked = one["request"]
    method = METHODS.get(asked["method"])
    if method is None:
        raise FhirError(400, "not-supported", "methods are GET, HEAD, POST, PUT, PATCH and DELETE", "request.method")
    path, mark, query = asked["url"].removeprefix(base_url).partition("?")
    kind, _, known = path.strip("/").partition("/")
    if not kind:
        raise FhirError(400, "not-supported", "a Bundle is sent to the base URL by itself, not inside another", "request.url")
    if kind not in RESOURCE_TYPES:
        raise FhirError(400, "not-supported", "R4 4.0.1 defines no such resource type", "request.url")
    is_named = method != "create" and not mark
    if (mark and method == "create") or not (ID_PATTERN.fullmatch(known) if is_named else known == ""):
        problem = "must be TYPE for POST, TYPE/ID or TYPE?criteria for PUT, PATCH and DELETE; searches are sent as GET"
        raise FhirError(400, "invalid", problem, "request.url")
    made = Operation(method, kind, known, _resource(one, method, kind), one.get("fullUrl"))
    if is_named and method == "update" and (made.resource or {}).get("id") != known:
        raise FhirError(400, "invalid", "must be the id in request.url", "resource.id")
    made.base_url = base_url
    made.patch = entry_patch(one.get("resource")) if method == "patch" else None
    made.if_match = if_match(asked.get("ifMatch"))
    made.create_only = asked.get("ifNoneMatch") == "*"
    if method == "create":
        made.id = new_id()
        made.criteria = criteria_of(kind, asked["ifNoneExist"], base_url) if asked.get("ifNoneExist") else None
    elif mark:
        made.criteria = criteria_of(kind, query, base_url)
        propose_id(made, new_id)
    return made


def propose_id(operation: Operation, new_id: Callable[[], str]) -> None:
    """Say under which id a conditional update creates: its resource's own, if it has one."""
    if operation.method == "update":
        operation.new_id = str((operation.resource or {}).get("id") or new_id())


def _resource(one: dict[str, Any], method: Method, kind: str) -> dict[str, Any] | None:
    resource = one.get("resource")
    if method in ("patch", "delete"):
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        raise FhirError(400, "invalid", f"must be a {kind}, as request.url says", "resource")
    return resource


def if_match(value: str | None) -> int | None:
    """The version of an If-Match header or a Bundle entry's ifMatch."""
    if value is None:
        return None
    if value.strip() == "*":
        return ANY
    found = _ETAG.fullmatch(value.strip())
    if not found:
        raise FhirError(400, "invalid", 'If-Match must be an ETag such as W/"3", or *')
    return int(found[1])
