"""Writes: create, update, patch, delete and transaction (http.html), all through commit lanes.

Everything about one request commits together or not at all: resources, history, person links, rules of consents, audit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record.accesses import Access
from fhir_server.record.applying import APPLY, Changes, unchanged
from fhir_server.record.bookings import bookings
from fhir_server.record.checking import YIELD_EVERY, check, require_distinct
from fhir_server.record.conditional import claim_of, existing
from fhir_server.record.context import Record
from fhir_server.record.definitions import DEFINING
from fhir_server.record.gate import View, blind_view, view
from fhir_server.record.identity import identify, identity_claims, identity_terms
from fhir_server.record.naming import touched
from fhir_server.record.operations import Operation, Written, named
from fhir_server.record.parameters import definitions
from fhir_server.record.patching import Overtaken, foresee, patched
from fhir_server.record.profiling import check_profiles
from fhir_server.record.referring import link_up
from fhir_server.record.rules import keep_rules, rule_claims
from fhir_server.record.targets import confirm_targets, foresee_targets
from fhir_server.search.query import canonical
from fhir_server.store.documents import Document, resource_key
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.snapshot import Snapshot

FORESIGHTS = 8


async def transact(
    record: Record, caller: Caller, operations: Sequence[Operation], interaction: str = "transaction"
) -> list[Written]:
    """Write all or nothing; results in the order of the operations. Errors: 400, 403, 404, 409, 412 as the spec names them."""
    access = Access(caller, interaction, _asked(operations), record.clock())
    async with refusals_audited(record, access, operations):
        return await commit(record, access, caller, operations)


async def commit(record: Record, access: Access, writer: Caller, operations: Sequence[Operation]) -> list[Written]:
    """`transact` under the name of `writer`, for the caller in `access`, whom the audit names. Refusals are not audited."""
    await check(writer, operations)
    await check_profiles(record, writer, operations)
    sight = await (view if any(_looks(writer, one) for one in operations) else blind_view)(record, writer)
    for attempt in range(FORESIGHTS):
        await foresee_targets(sight, operations)
        await foresee(sight, operations, is_first=not attempt)
        with suppress(Overtaken):
            result: list[Written] = await record.lanes.submit(_job(record, access, sight, operations))
            return result
    raise Overtaken


def _looks(writer: Caller, operation: Operation) -> bool:
    """Whether what comes of it depends on what consents let the writer see.

    Of a create, where something has criteria. A hospital's system creates and updates what it keeps itself, and matches that
    and the directory, which need no consent; what others keep it meets with If-Match, a patch or a deletion only.
    """
    if writer.kind == "system" and (operation.method in ("create", "update") or operation.otherwise):
        return operation.if_match is not None
    return operation.method != "create" or operation.criteria is not None or b"?" in operation.original


@asynccontextmanager
async def refusals_audited(record: Record, access: Access, operations: Sequence[Operation] = ()) -> AsyncIterator[None]:
    """Whatever refuses this access inside leaves its audit entry, naming whom the operations are about.

    Not where they are wrong in themselves (400): nothing was asked of the store then, and so nobody disclosed."""
    try:
        yield
    except FhirError as refusal:
        about = () if refusal.status == 400 else await touched(record, operations)
        await record.audit.record(access.refused(refusal, about))
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
    found = [await _existing(sight, one, snapshot) for one in operations]
    matched = ((one.resource_type, match[1]) for one, match in zip(operations, found, strict=True) if match)
    require_distinct([*set(matched), *((one.resource_type, known) for one in operations for known in one.ids)])
    await link_up(sight, operations, found, snapshot)
    changes = Changes()
    for number, operation in enumerate(operations):
        if (match := found[number]) is not None:
            unchanged(record, operation, *match, changes)
        else:
            with named(operation):
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


async def _existing(sight: View, operation: Operation, snapshot: Snapshot) -> tuple[Document, str] | None:
    """What a conditional create finds in its place."""
    if operation.criteria is None or operation.method != "create":
        return None
    with named(operation):
        return await existing(sight, operation.criteria, snapshot)


async def _follow(sight: View, changes: Changes, now: int, snapshot: Snapshot) -> None:
    """What the versions mean for persons and their rules.

    Only once nothing can be refused any more: the neighbours of a refused request commit, and with them what it wrote here.
    """
    versions = changes.touched
    for made in versions:
        snapshot.remember(made, changes.resources.get(made["_id"]))
    if any(made["t"] in DEFINING for made in versions):
        await snapshot.redefine()
    for made in versions:
        resource = changes.resources.get(made["_id"])
        if resource is not None:
            await identify(sight.record, resource, made, versions, snapshot, now)
        await keep_rules(sight, resource, made, snapshot)


def _asked(operations: Sequence[Operation]) -> str:
    if len(operations) > 1:
        return f"{len(operations)} entries"
    (one,) = operations
    return canonical(one.criteria) if one.finds and one.criteria else f"{one.resource_type}/{one.id}"


def _counted(results: Sequence[Written]) -> dict[str, int]:
    types = [result.resource_type for result in results]
    return {name: types.count(name) for name in sorted(set(types))}
