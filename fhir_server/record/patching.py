"""patch (R4 http.html#patch): a change of the version that stands when it commits, then an update like any other.

A patch names what it changes, not what comes of it. So it is applied twice: before the job, to learn which rows the result will
lock, and inside the transaction, where it counts. Where the two differ in those rows, the job starts anew.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from typing import Any

from fhir_server.aside import aside
from fhir_server.r4 import patch_fhirpath, patch_json, patch_parameters
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, read_list, write
from fhir_server.r4.references import relate
from fhir_server.r4.validation import validate
from fhir_server.record.gate import View
from fhir_server.record.operations import ANY, Operation, Patch
from fhir_server.record.profiling import follow
from fhir_server.store.documents import Document, body, history_id, resource_key
from fhir_server.store.snapshot import Snapshot

JSON_PATCH = "application/json-patch+json"
MAX_SIZE = 32 * 1024 * 1024  # bytes of what a patch makes larger: sent whole, none of it would be read
ABSENT = "nothing with this id that you may see and patch"
# Who a resource is and which version it is are the server's to say.
_FIXED: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (
    ("resourceType", lambda resource: resource.get("resourceType")),
    ("id", lambda resource: resource.get("id")),
    ("meta.versionId", lambda resource: _meta(resource).get("versionId")),
    ("meta.lastUpdated", lambda resource: _meta(resource).get("lastUpdated")),
)


class Overtaken(FhirError):
    """Somebody changed the resource in between, so that the patch's result locks other rows."""

    def __init__(self) -> None:
        super().__init__(409, "conflict", "the resource is being changed by others; repeat the patch")


def json_patch(data: bytes) -> Patch:
    """A JSON Patch document as a function of a resource; FhirError 400 if it is none."""
    changes = patch_json.changes(read_list(data))

    def patch(resource: dict[str, Any]) -> Any:
        kind = resource["resourceType"]
        try:
            return patch_json.apply(changes, resource)
        except FhirError as error:
            raise error.at(kind, "Resource") from None

    return patch


def fhirpath_patch(parameters: Any) -> Patch:
    """A FHIRPath Patch as a function of a resource; FhirError 400 if it is none."""
    if isinstance(parameters, dict):
        validate(parameters)
    changes = patch_parameters.changes(parameters)
    return lambda resource: patch_fhirpath.apply(changes, resource)


def entry_patch(resource: Any) -> Patch:
    """The patch that an entry of a Bundle carries: Parameters, or a Binary with a JSON Patch (http.html#patch)."""
    if not isinstance(resource, Mapping) or resource.get("resourceType") != "Binary":
        return fhirpath_patch(resource)
    if str(resource.get("contentType", "")).partition(";")[0].strip().lower() != JSON_PATCH:
        raise FhirError(400, "not-supported", f"a patch in a Binary is of type {JSON_PATCH}", "resource.contentType")
    try:
        data = b64decode(resource.get("data") or b"", validate=True)
    except (TypeError, ValueError):
        raise FhirError(400, "structure", "not base64", "resource.data") from None
    return json_patch(data)


async def foresee(sight: View, operations: Sequence[Operation], is_first: bool) -> None:
    """Give each patch the resource that it makes of what stands now; None where it makes none, which is told later.

    At first what a patch makes of nothing stands for it, which names the same rows nearly always: a look less.
    """
    patches = [one for one in operations if one.method == "patch" and not (is_first and one.otherwise)]
    record = sight.record
    stored = await asyncio.gather(*(record.by_key(resource_key(record.codec, one.resource_type, one.id)) for one in patches))
    for operation, current in zip(patches, stored, strict=True):
        operation.resource = None
        with suppress(FhirError):
            operation.resource = await _result(sight, operation, current)


async def patched(sight: View, operation: Operation, snapshot: Snapshot) -> None:
    """Give a patch the resource that it makes of the version in the transaction."""
    key = resource_key(sight.record.codec, operation.resource_type, operation.id)
    current = await snapshot.resource(key)
    if operation.create_only and current and "b" in current:
        return  # it stays as it is
    try:
        operation.resource = await _result(sight, operation, current, snapshot.before.get(key))
    except FhirError as error:
        of_patch = (error.issues[0].expression or "").startswith("Parameters")
        raise (
            error.at(operation.place, "Parameters" if of_patch else operation.resource_type) if operation.place else error
        ) from None


async def _result(
    sight: View, operation: Operation, current: Document | None, before: Document | None = None
) -> dict[str, Any]:
    if operation.otherwise is not None and not (current and "b" in current and sight.sees(current)):
        return await _made(sight, operation, current, before)
    raw = body(sight.record.codec, _patchable(sight, operation, current))
    size = len(raw) + operation.patch_size
    result = await aside(size, _changed, operation, raw)
    await _follow(sight, operation, result, size)
    return result


async def _made(sight: View, operation: Operation, grave: Document | None, before: Document | None) -> dict[str, Any]:
    """What a patch makes where nothing stands. Who would put it there says nothing of labels: what was deleted has those again
    that it had, or everybody saw what was protected, unless the patch takes them away."""
    made = deepcopy(operation.otherwise or {})
    labels = await _last_labels(sight, grave, before) if grave and sight.sees(grave) else None
    if grave is None or not labels:
        return made
    made["meta"] = {"versionId": str(grave["v"]), "lastUpdated": instant(grave["u"]), "security": labels}
    return await aside(operation.patch_size, _changed, operation, write(made))


async def _last_labels(sight: View, grave: Document, before: Document | None) -> Any:
    """`before`: what the transaction found, where it is the one that deletes."""
    record = sight.record
    if before is None or "b" not in before:
        before = await record.database["history"].find_one({"_id": history_id(record.codec, grave["_id"], grave["v"] - 1)})
    return _meta(read(body(record.codec, before))).get("security") if before and "b" in before else None


async def _follow(sight: View, operation: Operation, result: dict[str, Any], size: int) -> None:
    """Who would put the resource names no profiles: where what they change of it breaks one, it claims none any more."""
    try:
        await follow(sight.record, sight.caller, result, size)
    except FhirError:
        if operation.otherwise is None or _meta(result).pop("profile", None) is None:
            raise
        await follow(sight.record, sight.caller, result, size)


def _patchable(sight: View, operation: Operation, current: Document | None) -> Document:
    if current is None or "b" not in current or not sight.sees(current):
        raise FhirError(404, "not-found", ABSENT)
    if operation.if_match not in (None, ANY, current["v"]):
        raise FhirError(412, "conflict", "the resource has changed; read it again and repeat with its ETag in If-Match")
    if not sight.may_change(current):
        raise FhirError(403, "forbidden", "only the custodian of a record may change it")
    return current


def _changed(operation: Operation, raw: bytes) -> dict[str, Any]:
    """The patched resource, valid and still itself; FhirError 422 if it is not."""
    assert operation.patch
    resource = read(raw)
    fixed = {name: value(resource) for name, value in _FIXED}
    try:
        result = operation.patch(resource)
        if type(result) is not dict:
            raise FhirError(422, "processing", "the patch leaves no resource")
        changed = next((name for name, value in _FIXED if value(result) != fixed[name]), None)
        if changed:
            raise FhirError(422, "business-rule", "a patch may not change this", f"{operation.resource_type}.{changed}")
        if operation.base_url:
            relate(result, operation.base_url, frozenset())
        data = write(result)
        if len(data) > max(MAX_SIZE, len(raw)):
            raise FhirError(422, "too-long", f"the patch makes this larger than {MAX_SIZE} bytes")
        return result if data == raw else _valid(data)  # what stands is valid: most that a message repeats
    except (RecursionError, TypeError):
        raise FhirError(422, "too-long", "the patch makes this nested too deep") from None


def _valid(data: bytes) -> dict[str, Any]:
    """What a patch made, read as strictly as what is sent."""
    try:
        result = read(data)
        validate(result)
    except FhirError as error:
        first, *more = error.issues
        raise FhirError(422, first.code, f"the patch makes this invalid: {first.text}", first.expression, more) from None
    return result


def _meta(resource: dict[str, Any]) -> dict[str, Any]:
    found = resource.get("meta")
    return found if type(found) is dict else {}
