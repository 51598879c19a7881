"""What an operation makes of what stands: a new version, a grave, or nothing (R4 http.html#create, #update, #delete)."""

from dataclasses import dataclass, field
from typing import Any

from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from fhir_server.r4.summaries import is_subset
from fhir_server.record.context import Record
from fhir_server.record.gate import View, being_erased
from fhir_server.record.operations import ANY, DoneBefore, Operation, Written
from fhir_server.store.documents import Document, body, document, past, patients_of, resource_key, tombstone
from fhir_server.store.snapshot import Snapshot

ID_UNMATCHED = "a resource of yours has this id, and the criteria do not match it"
ID_IN_USE = "this id is in use by another custodian; prefix your ids with your organization's"

SUBSET = "tagged SUBSETTED, and would replace the whole; read that without _summary and _elements, and change it"


@dataclass(slots=True)
class Changes:
    """What a request will write, gathered operation by operation."""

    created: list[Document] = field(default_factory=list)
    replaced: list[Document] = field(default_factory=list)
    past: list[Document] = field(default_factory=list)
    results: list[Written] = field(default_factory=list)
    shown: list[Document] = field(default_factory=list)
    resources: dict[bytes, dict[str, Any]] = field(default_factory=dict)

    @property
    def touched(self) -> list[Document]:
        return [*self.created, *self.replaced]


async def _create(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: Changes) -> None:
    _refuse_erased(sight.record, operation, None)
    ours = snapshot.loaded(resource_key(sight.record.codec, operation.resource_type, operation.id))
    if ours is None:
        await _put(sight, operation, None, 1, now, changes)
    else:  # its id is random, so that only an attempt of ours can have made it, whose commit was never confirmed
        unchanged(sight.record, operation, ours, operation.id, changes, 201)


async def _update(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: Changes) -> None:
    current = await snapshot.resource(resource_key(sight.record.codec, operation.resource_type, operation.id))
    _refuse_erased(sight.record, operation, current)
    mine = current is None or (sight.may_change(current) and sight.sees(current))
    if operation.if_match is not None:
        _require_version(current if mine or (current and sight.sees(current)) else None, operation.if_match)
    if current is None:
        await _put(sight, operation, None, 1, now, changes)
    elif not mine:
        raise FhirError(403, "forbidden", ID_IN_USE)
    elif operation.once and "b" in current:
        raise DoneBefore(operation.place)
    elif (operation.create_only and "b" in current) or _same(sight.record, operation, current):
        unchanged(sight.record, operation, current, operation.id, changes)
    elif operation.unmatched and "b" in current:
        raise FhirError(409, "duplicate", ID_UNMATCHED, f"{operation.resource_type}.id")
    else:
        _require_whole(sight.record, operation, current)
        await _put(sight, operation, current, current["v"] + 1, now, changes)


async def _delete(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: Changes) -> None:
    """One result, of the first, for all that the criteria of a conditional delete match."""
    graves = [await _bury(sight, operation, known, now, snapshot, changes) for known in operation.ids]
    version, moment = graves[0] if len(graves) == 1 else (0, now)
    changes.results.append(Written(204, operation.resource_type, operation.id, version, moment))


async def _bury(
    sight: View, operation: Operation, known: str, now: int, snapshot: Snapshot, changes: Changes
) -> tuple[int, int]:
    """The version that says that it is gone, and its moment; 0 where there was nothing."""
    current = await snapshot.resource(resource_key(sight.record.codec, operation.resource_type, known))
    seen = current is not None and sight.sees(current)
    if operation.if_match is not None:
        _require_version(current if seen else None, operation.if_match)
    if current is None or not seen or "b" not in current:
        return 0, now
    if not sight.may_change(current):
        raise FhirError(403, "forbidden", "only the custodian of a record may delete it")
    grave = tombstone(current, current["v"] + 1, _after(current, now))
    changes.replaced.append(grave)
    changes.past.append(past(sight.record.codec, current))
    return grave["v"], grave["u"]


def _after(current: Document, now: int) -> int:
    """The moment of its next version: clocks are set back, and differ between processes, and whoever asks for what changed
    `_since` the last version that they have, or was current `_at` a moment, would not be told of it."""
    return now if now >= current["u"] else int(current["u"]) + 1


APPLY = {"create": _create, "update": _update, "patch": _update, "delete": _delete}


async def _put(sight: View, operation: Operation, current: Document | None, version: int, now: int, changes: Changes) -> None:
    """Write one version: the only place where a resource becomes a document."""
    assert operation.resource is not None
    now = _after(current, now) if current else now
    resource = stamped(operation.resource, operation.id, version, now)
    raw = write(resource)
    custodian = current["c"] if current else sight.custodian
    made = await document(sight.record.codec, resource, raw, version, now, custodian)
    require_writable(sight, made)
    if operation.method != "create" and not (current and "b" in current):
        made["m"] = True
    changes.resources[made["_id"]] = resource
    if current is None:
        changes.created.append(made)
    else:
        changes.replaced.append(made)
        changes.past.append(past(sight.record.codec, current))
    status = 200 if current and "b" in current else 201
    changes.results.append(Written(status, operation.resource_type, operation.id, version, now, raw))


def _refuse_erased(record: Record, operation: Operation, current: Document | None) -> None:
    """What is written about a person while they are erased would go with the rest, though it was acknowledged."""
    erased = record.exceptions.erased
    if erased and operation.resource is not None:
        about = patients_of(record.codec, operation.resource | {"id": operation.id})
        if not erased.isdisjoint([*about[:1], *(current["p"] if current else ())]):
            raise being_erased()


def stamped(resource: dict[str, Any], resource_id: str, version: int, now: int) -> dict[str, Any]:
    """The resource with the id and meta the server gives it; everything else as it was received."""
    meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": instant(now)}
    rest = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")}
    return {"resourceType": resource["resourceType"], "id": resource_id, "meta": meta, **rest}


def require_writable(sight: View, made: Document) -> None:
    if sight.caller.kind == "patient" and not (made["p"] and sight.own.issuperset(made["p"])):
        raise FhirError(403, "forbidden", "a patient may write only what is about themselves")
    if sight.caller.kind == "admin" and made["p"]:
        raise FhirError(403, "forbidden", "an administrator may write only directory data")


def _require_version(current: Document | None, wanted: int) -> None:
    if current is None:
        raise FhirError(404, "not-found", "nothing with this id that you may see; If-Match needs a current version")
    if wanted == ANY and "b" not in current:
        raise FhirError(412, "deleted", "the resource was deleted; leave out If-Match to make it again")
    if wanted not in (ANY, current["v"]):
        raise FhirError(412, "conflict", "the resource has changed; read it again and repeat with its ETag in If-Match")


def _require_whole(record: Record, operation: Operation, current: Document) -> None:
    """search.html#summary: an incomplete resource is not to overwrite a complete one by accident."""
    if operation.resource is None or "b" not in current or not is_subset(operation.resource):
        return
    if not is_subset(read(body(record.codec, current))):
        raise FhirError(422, "business-rule", SUBSET, f"{operation.place or operation.resource_type}.meta.tag")


def _same(record: Record, operation: Operation, current: Document) -> bool:
    """An update that changes nothing makes no version (http.html#update), so a repeated message leaves no trace."""
    if "b" not in current or operation.resource is None:
        return False
    version, moment = current["v"], current["u"]
    return write(stamped(operation.resource, operation.id, version, moment)) == body(record.codec, current)


def unchanged(record: Record, operation: Operation, current: Document, known: str, changes: Changes, status: int = 200) -> None:
    """The answer is what stands, which the audit then names: it may be disclosed."""
    changes.shown.append(current)
    stands = body(record.codec, current)
    changes.results.append(Written(status, operation.resource_type, known, current["v"], current["u"], stands))
