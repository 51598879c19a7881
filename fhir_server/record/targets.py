"""Conditional update, patch and delete (R4 http.html#cond-update, #patch, #delete): criteria say which record is meant.

As a patch is applied, they are looked up twice: before the job, to learn which records it will lock, and inside the
transaction, where it counts. Where the two differ, the job starts anew.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from fhir_server.r4.errors import FhirError
from fhir_server.record.conditional import matching
from fhir_server.record.gate import View
from fhir_server.record.operations import Operation, named
from fhir_server.record.patching import Overtaken
from fhir_server.store.snapshot import Snapshot

MAX_DELETED = 100
"""How many records one conditional delete may delete."""


async def foresee_targets(sight: View, operations: Iterable[Operation]) -> None:
    """Give each what it is about as things stand; nothing where that is an error, which is told later."""
    now = Snapshot(sight.record.database)
    for operation in operations:
        if operation.finds:
            operation.id, operation.others = "", ()
            with suppress(FhirError):
                operation.id, *others = await _targets(sight, operation, now) or ("",)
                operation.others = tuple(others)


async def confirm_targets(sight: View, operations: Iterable[Operation], snapshot: Snapshot) -> None:
    """What it is about, in the transaction: 404, 412 where that is an error; Overtaken where it is not as foreseen."""
    for operation in operations:
        with named(operation):
            if operation.finds and await _targets(sight, operation, snapshot) != operation.ids:
                raise Overtaken


async def _targets(sight: View, operation: Operation, snapshot: Snapshot) -> tuple[str, ...]:
    assert operation.criteria
    limit = MAX_DELETED if operation.method == "delete" else 1
    found = [known for _, known in await matching(sight, operation.criteria, snapshot, limit + 1)]
    operation.unmatched = not found
    if len(found) > limit:
        raise FhirError(412, "multiple-matches", f"more than {limit} match the criteria; make them more precise")
    if operation.method == "update":
        return (_updated(operation, found),)
    if operation.method == "patch" and not found:
        raise FhirError(404, "not-found", "nothing that you may see and patch matches the criteria")
    return tuple(sorted(found))


def _updated(operation: Operation, found: Sequence[str]) -> str:
    given = (operation.resource or {}).get("id")
    if found and given not in (None, found[0]):
        raise FhirError(400, "invalid", "the criteria match a resource with another id", f"{operation.resource_type}.id")
    return found[0] if found else operation.new_id
