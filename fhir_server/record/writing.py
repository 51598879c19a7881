"""Writes: create, update, patch, delete and transaction (http.html), all through commit lanes.

Everything about one request commits together or not at all: resources, history, person links, rules of consents, audit.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from fhir_server.r4.references import rewrite
from fhir_server.r4.validation import validate
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import bookings
from fhir_server.record.conditional import claim_of, existing, resolve_references
from fhir_server.record.context import Record
from fhir_server.record.gate import View, require_scope, view
from fhir_server.record.identity import identify, identity_claims, identity_terms
from fhir_server.record.operations import Operation, Written
from fhir_server.record.patching import Overtaken, foresee, patched
from fhir_server.record.rules import keep_rules, rule_claims
from fhir_server.search.query import canonical
from fhir_server.store.documents import Document, body, document, past, resource_key, tombstone
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.snapshot import Snapshot

SCOPE = {"create": "c", "update": "u", "patch": "u", "delete": "d"}
YIELD_EVERY = 20
FORESIGHTS = 8
ONCE = "a transaction may name a resource only once, by id or by ifNoneExist (http.html#trules)"
ID_IN_USE = "this id is in use by another custodian; prefix your ids with your organization's"


@dataclass(slots=True)
class _Changes:
    """What a request will write, gathered operation by operation."""

    created: list[Document] = field(default_factory=list)
    replaced: list[Document] = field(default_factory=list)
    past: list[Document] = field(default_factory=list)
    results: list[Written] = field(default_factory=list)
    resources: dict[bytes, dict[str, Any]] = field(default_factory=dict)

    @property
    def touched(self) -> list[Document]:
        return [*self.created, *self.replaced]


async def transact(
    record: Record, caller: Caller, operations: Sequence[Operation], interaction: str = "transaction"
) -> list[Written]:
    """Write all or nothing; results in the order of the operations. Errors: 400, 403, 404, 409, 412 as the spec names them."""
    access = Access(caller, interaction, _asked(operations), record.clock())
    async with refusals_audited(record, access):
        return await commit(record, access, caller, operations)


async def commit(record: Record, access: Access, writer: Caller, operations: Sequence[Operation]) -> list[Written]:
    """`transact` under the name of `writer`, for the caller in `access`, whom the audit names. Refusals are not audited."""
    await _check(writer, operations)
    sight = await view(record, writer)
    for _ in range(FORESIGHTS):
        await foresee(sight, operations)
        with suppress(Overtaken):
            result: list[Written] = await record.lanes.submit(_job(record, access, sight, operations))
            return result
    raise Overtaken


@asynccontextmanager
async def refusals_audited(record: Record, access: Access) -> AsyncIterator[None]:
    """Whatever refuses this access inside leaves its audit entry."""
    try:
        yield
    except FhirError as refusal:
        await record.audit.record(access.entry(outcome="refused", reason=f"{refusal.status} {refusal.issues[0].code}"))
        raise


async def _check(caller: Caller, operations: Sequence[Operation]) -> None:
    """Scopes, validity and uniqueness: everything that can be said before the store is asked."""
    targets = [(one.resource_type, one.id) for one in operations]
    if len(set(targets)) < len(targets):
        raise FhirError(400, "invalid", ONCE)
    names = [one.full_url for one in operations if one.full_url]
    names += [canonical(one.if_none_exist) for one in operations if one.if_none_exist]
    if len(set(names)) < len(names):
        raise FhirError(400, "invalid", "entries of a transaction may share neither fullUrl nor ifNoneExist (http.html#trules)")
    for number, operation in enumerate(operations):
        require_scope(caller, operation.resource_type, SCOPE[operation.method])
        if operation.resource is not None:
            _validate(operation, operation.resource)
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)  # other requests get their turn while a large Bundle is checked


def _validate(operation: Operation, resource: dict[str, Any]) -> None:
    """An error in a Bundle names the entry: `Bundle.entry[3].resource.birthDate`."""
    try:
        validate(resource)
    except FhirError as error:
        raise error.at(operation.place, operation.resource_type) if operation.place else error from None


def _job(record: Record, access: Access, sight: View, operations: Sequence[Operation]) -> Job:
    changed = [one for one in operations if one.method != "create" and not one.create_only]
    keys = {resource_key(record.codec, one.resource_type, one.id) for one in changed}
    claims = {claim_of(record, sight.custodian, one.if_none_exist) for one in operations if one.if_none_exist}
    people, ruled = _people(record, operations), _ruled(record, operations)
    for operation in operations:
        operation.original = write(operation.resource) if operation.resource and operation.method != "patch" else b""
    attempts = iter(range(1_000_000))

    async def decide(snapshot: Snapshot) -> Outcome:
        if next(attempts):  # an earlier attempt rewrote references for a state that did not last, or did commit unnoticed
            for operation in operations:
                operation.resource = read(operation.original) if operation.original else None
            await snapshot.load(resource_key(record.codec, one.resource_type, one.id) for one in operations)
        for operation in operations:
            if operation.method == "patch":
                await patched(sight, operation, snapshot)
        if not (_people(record, operations) <= people and _ruled(record, operations) <= ruled):
            raise Overtaken
        return await _decide(record, access, sight, operations, snapshot)

    reads = {resource_key(record.codec, one.resource_type, one.id) for one in operations if one.create_only}
    return Job(
        decide,
        keys=frozenset(keys),
        claims=frozenset(claims | people | ruled),
        reads=frozenset(reads),
        people=frozenset(resource_key(record.codec, "Patient", one.id) for one in changed if one.resource_type == "Patient"),
        terms=identity_terms(record, changed),
        weight=len(operations),
        meets=min(people, default=None),
    )


def _people(record: Record, operations: Sequence[Operation]) -> set[bytes]:
    return {claim for one in operations for claim in identity_claims(record, one)}


def _ruled(record: Record, operations: Sequence[Operation]) -> set[bytes]:
    return {claim for one in operations for claim in rule_claims(record.codec, one)}


async def _decide(record: Record, access: Access, sight: View, operations: Sequence[Operation], snapshot: Snapshot) -> Outcome:
    found = [await existing(sight, one.if_none_exist, snapshot) if one.if_none_exist else None for one in operations]
    changed = {(one.resource_type, one.id) for one in operations if one.method != "create"}
    if any(match and (one.resource_type, match[1]) in changed for one, match in zip(operations, found, strict=True)):
        raise FhirError(400, "invalid", ONCE)
    await _link_up(sight, operations, found, snapshot)
    changes = _Changes()
    for number, operation in enumerate(operations):
        if (match := found[number]) is not None:
            stored, known = match
            raw = body(record.codec, stored)
            changes.results.append(Written(200, operation.resource_type, known, stored["v"], stored["u"], raw))
        else:
            await APPLY[operation.method](sight, operation, access.at, snapshot, changes)
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
    written = [(made, changes.resources.get(made["_id"])) for made in changes.touched]
    taken = await bookings(record, written, snapshot, access.at)
    await _follow(sight, changes, access.at, snapshot)
    for booking in taken:
        await snapshot.put_booking(booking)
    audit = access.entry(changes.touched, extra={"written": _counted(changes.results)})
    return Outcome(changes.results, audit, changes.created, changes.replaced, changes.past)


async def _follow(sight: View, changes: _Changes, now: int, snapshot: Snapshot) -> None:
    """What the versions mean for persons and their rules.

    Only once nothing can be refused any more: the neighbours of a refused request commit, and with them what it wrote here.
    """
    for made in changes.touched:
        snapshot.remember(made)
    for made in changes.touched:
        resource = changes.resources.get(made["_id"])
        if resource is not None:
            await identify(sight.record, resource, made, changes.touched, snapshot, now)
        await keep_rules(sight, resource, made, snapshot)


async def _link_up(sight: View, operations: Sequence[Operation], found: Sequence[Any], snapshot: Snapshot) -> None:
    """Replace full URLs and conditional references by literal ones, in every resource of the request."""
    targets = {}
    for operation, match in zip(operations, found, strict=True):
        if operation.full_url:
            known = match[1] if match else operation.id
            targets[operation.full_url] = f"{operation.resource_type}/{known}"
    resources = [one.resource for one in operations if one.resource is not None]
    targets |= await resolve_references(sight, resources, snapshot)
    if targets:
        for resource in resources:
            rewrite(resource, targets)


async def _create(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: _Changes) -> None:
    ours = snapshot.loaded(resource_key(sight.record.codec, operation.resource_type, operation.id))
    if ours is None:
        await _put(sight, operation, None, 1, now, snapshot, changes)
    else:  # its id is random, so that only an attempt of ours can have made it, whose commit was never confirmed
        _unchanged(sight.record, operation, ours, changes, 201)


async def _update(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: _Changes) -> None:
    current = await snapshot.resource(resource_key(sight.record.codec, operation.resource_type, operation.id))
    mine = current is None or (sight.may_change(current) and sight.sees(current))
    if operation.if_match is not None:
        _require_version(current if mine or (current and sight.sees(current)) else None, operation.if_match)
    if current is None:
        await _put(sight, operation, None, 1, now, snapshot, changes)
    elif not mine:
        raise FhirError(403, "forbidden", ID_IN_USE)
    elif (operation.create_only and "b" in current) or _same(sight.record, operation, current):
        _unchanged(sight.record, operation, current, changes)
    else:
        await _put(sight, operation, current, current["v"] + 1, now, snapshot, changes)


async def _delete(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: _Changes) -> None:
    current = await snapshot.resource(resource_key(sight.record.codec, operation.resource_type, operation.id))
    seen = current is not None and sight.sees(current)
    if operation.if_match is not None:
        _require_version(current if seen else None, operation.if_match)
    if current is None or not seen or "b" not in current:
        changes.results.append(Written(204, operation.resource_type, operation.id, 0, now))
        return
    if not sight.may_change(current):
        raise FhirError(403, "forbidden", "only the custodian of a record may delete it")
    grave = tombstone(current, current["v"] + 1, now)
    changes.replaced.append(grave)
    changes.past.append(past(sight.record.codec, current))
    changes.results.append(Written(204, operation.resource_type, operation.id, grave["v"], now))


APPLY = {"create": _create, "update": _update, "patch": _update, "delete": _delete}


async def _put(
    sight: View, operation: Operation, current: Document | None, version: int, now: int, snapshot: Snapshot, changes: _Changes
) -> None:
    """Write one version: the only place where a resource becomes a document."""
    assert operation.resource is not None
    resource = stamped(operation.resource, operation.id, version, now)
    raw = write(resource)
    custodian = current["c"] if current else sight.custodian
    made = document(sight.record.codec, resource, raw, version, now, custodian)
    require_writable(sight, made)
    changes.resources[made["_id"]] = resource
    if current is None:
        changes.created.append(made)
    else:
        changes.replaced.append(made)
        changes.past.append(past(sight.record.codec, current))
    status = 200 if current and "b" in current else 201
    changes.results.append(Written(status, operation.resource_type, operation.id, version, now, raw))


def stamped(resource: dict[str, Any], resource_id: str, version: int, now: int) -> dict[str, Any]:
    """The resource with the id and meta the server gives it; everything else as it was received."""
    moment = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": moment}
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
    if current["v"] != wanted:
        raise FhirError(412, "conflict", "the resource has changed; read it again and repeat with its ETag in If-Match")


def _same(record: Record, operation: Operation, current: Document) -> bool:
    """An update that changes nothing makes no version (http.html#update), so a repeated message leaves no trace."""
    if "b" not in current or operation.resource is None:
        return False
    version, moment = current["v"], current["u"]
    return write(stamped(operation.resource, operation.id, version, moment)) == body(record.codec, current)


def _unchanged(record: Record, operation: Operation, current: Document, changes: _Changes, status: int = 200) -> None:
    stands = body(record.codec, current)
    changes.results.append(Written(status, operation.resource_type, operation.id, current["v"], current["u"], stands))


def _asked(operations: Sequence[Operation]) -> str:
    return f"{operations[0].resource_type}/{operations[0].id}" if len(operations) == 1 else f"{len(operations)} entries"


def _counted(results: Sequence[Written]) -> dict[str, int]:
    types = [result.resource_type for result in results]
    return {name: types.count(name) for name in sorted(set(types))}
