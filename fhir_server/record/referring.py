"""References that a transaction resolves (R4 http.html#trules): full URLs of its entries, and criteria."""

from collections import ChainMap
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from fhir_server.aside import aside
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import rewrite, split, walk_references
from fhir_server.record.checking import TO_FIND
from fhir_server.record.conditional import criteria_of, matching, meets
from fhir_server.record.gate import View, require_scope
from fhir_server.record.operations import Operation, named
from fhir_server.store.documents import resource_key
from fhir_server.store.snapshot import Snapshot

# `Type/id` of what a transaction writes, and the resource; None where it is deleted.
Beside = tuple[str, dict[str, Any] | None]


async def link_up(sight: View, operations: Sequence[Operation], found: Sequence[Any], snapshot: Snapshot) -> None:
    """Replace full URLs and conditional references by literal ones, in every resource of the request.

    Not inside a Bundle: its references are to its own entries first (bundle.html#references), and it may be signed.
    """
    targets = {}
    for operation, match in zip(operations, found, strict=True):
        if operation.full_url and (known := match[1] if match else operation.id):
            targets[operation.full_url] = f"{operation.resource_type}/{known}"
    written = [(one, one.resource) for one in operations if one.resource is not None and one.resource_type != "Bundle"]
    searching = [(one, resource) for one, resource in written if b"?" in one.original or not one.original]
    relative = _relative(targets)
    if searching:
        beside = [one async for one in _beside(sight, operations, found, snapshot)]
        targets |= await _resolved(sight, searching, snapshot, beside)
    if targets:
        names = frozenset(one.full_url for one, resource in written if one.full_url and one.full_url == resource.get("url"))
        for one, resource in written:
            near = relative.get(split(one.full_url or "")[0], {})
            await aside(len(one.original), rewrite, resource, ChainMap(near, targets) if near else targets, names)


def _relative(targets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What `Type/id` means in an entry, by the base of its full url: an entry under the same one (bundle.html#references)."""
    found: dict[str, dict[str, str]] = {}
    for full_url, target in targets.items():
        base, name = split(full_url)
        if name != target:
            found.setdefault(base, {})[name] = target
    found.pop("", None)
    return found


async def _beside(
    sight: View, operations: Sequence[Operation], found: Sequence[Any], snapshot: Snapshot
) -> AsyncIterator[Beside]:
    for operation, match in zip(operations, found, strict=True):
        for known in () if match or await _stays(sight, operation, snapshot) else operation.ids:
            yield f"{operation.resource_type}/{known}", operation.resource and {**operation.resource, "id": known}


async def _stays(sight: View, operation: Operation, snapshot: Snapshot) -> bool:
    """Whether what is sent is not written, since something is there already (`ifNoneMatch: *`)."""
    key = resource_key(sight.record.codec, operation.resource_type, operation.id)
    current = await snapshot.resource(key) if operation.create_only else None
    return current is not None and "b" in current


async def _resolved(
    sight: View, written: Iterable[tuple[Operation, dict[str, Any]]], snapshot: Snapshot, beside: Sequence[Beside]
) -> dict[str, str]:
    """`Type?criteria` -> `Type/id` for each conditional reference; 412 for one that does not match exactly one record.

    `beside`: what the same transaction writes, which references see as well (http.html#trules).
    """
    resolved: dict[str, str] = {}
    for operation, resource in written:
        for reference in walk_references(resource):
            text = reference.get("reference")
            if isinstance(text, str) and "?" in text and text not in resolved and text.partition("?")[0] in RESOURCE_TYPES:
                with named(operation):
                    resolved[text] = await _resolve(sight, text, snapshot, beside)
    return resolved


async def _resolve(sight: View, text: str, snapshot: Snapshot, beside: Sequence[Beside]) -> str:
    kind = text.partition("?")[0]
    for interaction in TO_FIND:
        require_scope(sight.caller, kind, interaction)
    query = criteria_of(kind, text, "")
    written = {known: resource for known, resource in beside if known.startswith(f"{kind}/")}
    found = [f"{kind}/{known}" for _, known in await matching(sight, query, snapshot, 2 + len(written))]
    found = [known for known in found if known not in written]
    found += [known for known, resource in written.items() if resource and meets(query.clauses, resource)]
    if len(found) != 1:
        problem = "no record" if not found else "several records"
        raise FhirError(
            412, "not-found" if not found else "multiple-matches", f"{problem} of {kind} match a conditional reference"
        )
    return found[0]
