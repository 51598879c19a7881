"""Writes: create, update, patch, delete and transaction (http.html), all through commit lanes.

Everything about one request commits together or not at all: resources, history, person links, rules of consents, audit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import bookings
from fhir_server.record.checking import YIELD_EVERY, check, require_distinct
from fhir_server.record.conditional import claim_of, existing
from fhir_server.record.context import Record
from fhir_server.record.definitions import DEFINING
from fhir_server.record.gate import View, being_erased, blind_view, view
from fhir_server.record.identity import identify, identity_claims, identity_terms
from fhir_server.record.operations import Operation, Written
from fhir_server.record.parameters import definitions
from fhir_server.record.patching import Overtaken, foresee, patched
from fhir_server.record.profiling import check_profiles
from fhir_server.record.referring import link_up
from fhir_server.record.rules import keep_rules, rule_claims
from fhir_server.record.targets import confirm_targets, foresee_targets
from fhir_server.search.query import canonical
from fhir_server.store.documents import Document, body, document, past, patients_of, resource_key, tombstone
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.snapshot import Snapshot

FORESIGHTS = 8
ID_UNMATCHED = "a resource of yours has this id, and the criteria do not match it"
ID_IN_USE = "this id is in use by another custodian; prefix your ids with your organization's"


@dataclass(slots=True)
class _Changes:
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


async def transact(
    record: Record, caller: Caller, operations: Sequence[Operation], interaction: str = "transaction"
) -> list[Written]:
    """Write all or nothing; results in the order of the operations. Errors: 400, 403, 404, 409, 412 as the spec names them."""
    access = Access(caller, interaction, _asked(operations), record.clock())
    async with refusals_audited(record, access):
        return await commit(record, access, caller, operations)


async def commit(record: Record, access: Access, writer: Caller, operations: Sequence[Operation]) -> list[Written]:
    """`transact` under the name of `writer`, for the caller in `access`, whom the audit names. Refusals are not audited."""
    await check(writer, operations)
    await check_profiles(record, writer, operations)
    sight = await (view if any(_looks(writer, one) for one in operations) else blind_view)(record, writer)
    for _ in range(FORESIGHTS):
        await foresee_targets(sight, operations)
        await foresee(sight, operations)
        with suppress(Overtaken):
            result: list[Written] = await record.lanes.submit(_job(record, access, sight, operations))
            return result
    raise Overtaken


def _looks(writer: Caller, operation: Operation) -> bool:
    """Whether what comes of it depends on what consents let the writer see.

    Of a create, where something has criteria. A hospital's system creates and updates what it keeps itself, and matches that
    and the directory, which need no consent; what others keep it meets with If-Match, a patch or a deletion only.
    """
    if writer.kind == "system" and operation.method in ("create", "update"):
        return operation.if_match is not None
    return operation.method != "create" or operation.criteria is not None or b"?" in operation.original


@asynccontextmanager
async def refusals_audited(record: Record, access: Access) -> AsyncIterator[None]:
    """Whatever refuses this access inside leaves its audit entry."""
    try:
        yield
    except FhirError as refusal:
        await record.audit.record(access.entry(outcome="refused", reason=f"{refusal.status} {refusal.issues[0].code}"))
        raise


def _job(record: Record, access: Access, sight: View, operations: Sequence[Operation]) -> Job:
    changed = [one for one in operations if one.method != "create" and not one.create_only]
    keys = set(_keys(record, changed))
    claims = {claim_of(record, sight.custodian, one.criteria) for one in operations if one.criteria}
    people, ruled = _people(record, operations), _ruled(record, operations)
    attempts = iter(range(1_000_000))

    async def decide(snapshot: Snapshot) -> Outcome:
        if next(attempts):  # an earlier attempt rewrote references for a state that did not last, or did commit unnoticed
            for operation in operations:
                original = operation.original
                operation.resource = await aside(len(original), read, original) if original else None
            await snapshot.load(_keys(record, operations))
        await confirm_targets(sight, operations, snapshot)
        for operation in operations:
            if operation.method == "patch":
                await patched(sight, operation, snapshot)
        if not (_people(record, operations) <= people and _ruled(record, operations) <= ruled):
            raise Overtaken
        return await _decide(record, access, sight, operations, snapshot)

    reads = set(_keys(record, (one for one in operations if one.create_only)))
    return Job(
        decide,
        keys=frozenset(keys),
        claims=frozenset(people | ruled),
        shared=frozenset(claims),
        reads=frozenset(reads),
        people=frozenset(_keys(record, (one for one in changed if one.resource_type == "Patient"))),
        terms=identity_terms(record, changed),
        weight=sum(1 + len(one.others) for one in operations),
        meets=min(people, default=None),
    )


def _keys(record: Record, operations: Iterable[Operation]) -> Iterator[bytes]:
    return (resource_key(record.codec, one.resource_type, known) for one in operations for known in one.ids)


def _people(record: Record, operations: Sequence[Operation]) -> set[bytes]:
    return {claim for one in operations for claim in identity_claims(record, one)}


def _ruled(record: Record, operations: Sequence[Operation]) -> set[bytes]:
    return {claim for one in operations for claim in rule_claims(record.codec, one)}


async def _decide(record: Record, access: Access, sight: View, operations: Sequence[Operation], snapshot: Snapshot) -> Outcome:
    found = [
        await existing(sight, one.criteria, snapshot) if one.criteria and one.method == "create" else None for one in operations
    ]
    matched = ((one.resource_type, match[1]) for one, match in zip(operations, found, strict=True) if match)
    require_distinct([*set(matched), *((one.resource_type, known) for one in operations for known in one.ids)])
    await link_up(sight, operations, found, snapshot)
    changes = _Changes()
    for number, operation in enumerate(operations):
        if (match := found[number]) is not None:
            _unchanged(record, operation, *match, changes)
        else:
            await APPLY[operation.method](sight, operation, access.at, snapshot, changes)
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
    written = [(made, changes.resources.get(made["_id"])) for made in changes.touched]
    taken = await bookings(record, written, snapshot, access.at)
    defined = await definitions(record, written, snapshot)
    await _follow(sight, changes, access.at, snapshot)
    for booking in taken:
        await snapshot.put_booking(booking)
    for key, definition in defined:
        await snapshot.put_parameter(record.codec, key, definition)
    audit = access.entry([*changes.touched, *changes.shown], extra={"written": _counted(changes.results)})
    return Outcome(changes.results, audit, changes.created, changes.replaced, changes.past)


async def _follow(sight: View, changes: _Changes, now: int, snapshot: Snapshot) -> None:
    """What the versions mean for persons and their rules.

    Only once nothing can be refused any more: the neighbours of a refused request commit, and with them what it wrote here.
    """
    for made in changes.touched:
        snapshot.remember(made, changes.resources.get(made["_id"]))
    if any(made["t"] in DEFINING for made in changes.touched):
        await snapshot.redefine()
    for made in changes.touched:
        resource = changes.resources.get(made["_id"])
        if resource is not None:
            await identify(sight.record, resource, made, changes.touched, snapshot, now)
        await keep_rules(sight, resource, made, snapshot)


async def _create(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: _Changes) -> None:
    _refuse_erased(sight.record, operation, None)
    ours = snapshot.loaded(resource_key(sight.record.codec, operation.resource_type, operation.id))
    if ours is None:
        await _put(sight, operation, None, 1, now, snapshot, changes)
    else:  # its id is random, so that only an attempt of ours can have made it, whose commit was never confirmed
        _unchanged(sight.record, operation, ours, operation.id, changes, 201)


async def _update(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: _Changes) -> None:
    current = await snapshot.resource(resource_key(sight.record.codec, operation.resource_type, operation.id))
    _refuse_erased(sight.record, operation, current)
    mine = current is None or (sight.may_change(current) and sight.sees(current))
    if operation.if_match is not None:
        _require_version(current if mine or (current and sight.sees(current)) else None, operation.if_match)
    if current is None:
        await _put(sight, operation, None, 1, now, snapshot, changes)
    elif not mine:
        raise FhirError(403, "forbidden", ID_IN_USE)
    elif (operation.create_only and "b" in current) or _same(sight.record, operation, current):
        _unchanged(sight.record, operation, current, operation.id, changes)
    elif operation.unmatched and "b" in current:
        raise FhirError(409, "duplicate", ID_UNMATCHED, f"{operation.resource_type}.id")
    else:
        await _put(sight, operation, current, current["v"] + 1, now, snapshot, changes)


async def _delete(sight: View, operation: Operation, now: int, snapshot: Snapshot, changes: _Changes) -> None:
    """One result, of the first, for all that the criteria of a conditional delete match."""
    versions = [await _bury(sight, operation, known, now, snapshot, changes) for known in operation.ids]
    version = versions[0] if len(versions) == 1 else 0
    changes.results.append(Written(204, operation.resource_type, operation.id, version, now))


async def _bury(sight: View, operation: Operation, known: str, now: int, snapshot: Snapshot, changes: _Changes) -> int:
    """The version that says that it is gone; 0 where there was nothing."""
    current = await snapshot.resource(resource_key(sight.record.codec, operation.resource_type, known))
    seen = current is not None and sight.sees(current)
    if operation.if_match is not None:
        _require_version(current if seen else None, operation.if_match)
    if current is None or not seen or "b" not in current:
        return 0
    if not sight.may_change(current):
        raise FhirError(403, "forbidden", "only the custodian of a record may delete it")
    grave = tombstone(current, current["v"] + 1, now)
    changes.replaced.append(grave)
    changes.past.append(past(sight.record.codec, current))
    return int(grave["v"])


APPLY = {"create": _create, "update": _update, "patch": _update, "delete": _delete}


async def _put(
    sight: View, operation: Operation, current: Document | None, version: int, now: int, snapshot: Snapshot, changes: _Changes
) -> None:
    """Write one version: the only place where a resource becomes a document."""
    assert operation.resource is not None
    resource = stamped(operation.resource, operation.id, version, now)
    raw = write(resource)
    custodian = current["c"] if current else sight.custodian
    made = await document(sight.record.codec, resource, raw, version, now, custodian)
    require_writable(sight, made)
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
    if current["v"] != wanted:
        raise FhirError(412, "conflict", "the resource has changed; read it again and repeat with its ETag in If-Match")


def _same(record: Record, operation: Operation, current: Document) -> bool:
    """An update that changes nothing makes no version (http.html#update), so a repeated message leaves no trace."""
    if "b" not in current or operation.resource is None:
        return False
    version, moment = current["v"], current["u"]
    return write(stamped(operation.resource, operation.id, version, moment)) == body(record.codec, current)


def _unchanged(
    record: Record, operation: Operation, current: Document, known: str, changes: _Changes, status: int = 200
) -> None:
    """The answer is what stands, which the audit then names: it may be disclosed."""
    changes.shown.append(current)
    stands = body(record.codec, current)
    changes.results.append(Written(status, operation.resource_type, known, current["v"], current["u"], stands))


def _asked(operations: Sequence[Operation]) -> str:
    if len(operations) > 1:
        return f"{len(operations)} entries"
    (one,) = operations
    return canonical(one.criteria) if one.finds and one.criteria else f"{one.resource_type}/{one.id}"


def _counted(results: Sequence[Written]) -> dict[str, int]:
    types = [result.resource_type for result in results]
    return {name: types.count(name) for name in sorted(set(types))}
