"""$meta of many records, $meta-add, $meta-delete (R4 resource-operation-meta.html): profiles, tags and security labels.

A change is an ordinary update and makes a version (docs/decisions/0015-labels-are-versioned.md).
"""

from collections.abc import Callable, Mapping
from typing import Any

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, read_stored
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import View, admit, view
from fhir_server.record.operations import ANY, Operation
from fhir_server.record.reading import visible
from fhir_server.record.searching import BOUND
from fhir_server.record.writing import commit, refusals_audited
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, body

Meta = Mapping[str, Any]
Change = Callable[[Meta, Meta], dict[str, Any]]

ATTEMPTS = 5


def _identity(name: str, one: Any) -> Any:
    """Of a tag or label its system and code, of a profile its url."""
    return one if name == "profile" else (one.get("system"), one.get("code"))


LISTS = ("profile", "security", "tag")


def added(meta: Meta, given: Meta) -> dict[str, Any]:
    """The meta with what is given and not there yet."""
    made = dict(meta)
    for name in LISTS:
        known = {_identity(name, one): one for one in meta.get(name, ())}
        for one in given.get(name, ()):
            known.setdefault(_identity(name, one), one)
        made |= {name: list(known.values())} if known else {}
    return made


def removed(meta: Meta, given: Meta) -> dict[str, Any]:
    """The meta without what is given; what is not there is no error."""
    made = {name: value for name, value in meta.items() if name not in LISTS}
    for name in LISTS:
        gone = {_identity(name, one) for one in given.get(name, ())}
        kept = [one for one in meta.get(name, ()) if _identity(name, one) not in gone]
        made |= {name: kept} if kept else {}
    return made


async def in_use(record: Record, caller: Caller, resource_type: str | None) -> dict[str, Any]:
    """All that is in the meta of what the caller may see, of a type (None: of all); 403 `too-costly` where that is too many."""
    access = Access(caller, "operation-meta", f"{resource_type or ''}/$meta", record.clock())
    if resource_type:
        await admit(record, access, resource_type, "r")
    async with refusals_audited(record, access):
        sight = await view(record, caller)
        numbers = [TYPE_NUMBER[resource_type]] if resource_type else sorted(TYPE_NUMBER.values())
        found = await _in_use(sight, {"t": {"$in": numbers}, "b": {"$exists": True}})
    await record.audit.record(access.entry())
    return {name: [values[key] for key in sorted(values)] for name, values in found.items() if values}


async def _in_use(sight: View, criteria: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {name: {} for name in LISTS}
    seen = 0
    async for one in sight.record.database["resources"].find(criteria, WITHOUT_TERMS):
        if not sight.sees(one):
            continue
        seen += 1
        if seen > BOUND:
            raise FhirError(
                403, "too-costly", f"more than {BOUND} resources to look at; ask for $meta of one type, or of one record"
            )
        meta = read_stored(body(sight.record.codec, one))["meta"]
        for name, values in found.items():
            values |= {str(_identity(name, value)): _bare(name, value) for value in meta.get(name, ())}
    return found


def _bare(name: str, one: Any) -> Any:
    """Without what differs from record to record, such as a display."""
    return one if name == "profile" else {part: one[part] for part in ("system", "code") if part in one}


async def relabel(
    record: Record,
    caller: Caller,
    interaction: str,
    resource_type: str,
    resource_id: str,
    change: Change,
    given: Meta,
    version: int | None,
) -> dict[str, Any]:
    """The new meta, in force for every request after this; 403 for others than the custodian, 412 where not of `version`."""
    access = Access(caller, interaction, f"{resource_type}/{resource_id}", record.clock())
    exact = None if version == ANY else version  # that there is one is asked for anyway
    for attempt in range(ATTEMPTS):
        try:
            return await _once(record, access, resource_type, resource_id, change, given, exact)
        except FhirError as error:  # somebody else's version came between: sets can be changed again
            if error.status != 412 or exact is not None or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


async def _once(
    record: Record, access: Access, resource_type: str, resource_id: str, change: Change, given: Meta, exact: int | None
) -> dict[str, Any]:
    sight, current = await visible(record, access, resource_type, resource_id)
    async with refusals_audited(record, access, [Operation("update", resource_type, resource_id)]):
        if "b" not in current:
            raise FhirError(410, "deleted", f"{resource_type} with this id was deleted")
        if not sight.may_change(current):
            raise FhirError(403, "forbidden", "only the custodian of a record may change its labels")
        resource = read(body(record.codec, current))
        resource["meta"] = change(resource.get("meta", {}), given)
        wanted = current["v"] if exact is None else exact
        operation = Operation("update", resource_type, resource_id, resource, if_match=wanted)
        (written,) = await commit(record, access, access.caller, [operation])
    return dict(read(written.body or b"{}")["meta"])
