"""$meta-add and $meta-delete (R4 resource-operation-meta-add.html, -delete.html): profiles, tags and security labels.

A change is an ordinary update and makes a version (docs/decisions/0015-labels-are-versioned.md).
"""

from collections.abc import Callable, Mapping
from typing import Any

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.operations import Operation
from fhir_server.record.reading import visible
from fhir_server.record.writing import commit, refusals_audited
from fhir_server.store.documents import body

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


async def relabel(
    record: Record, caller: Caller, interaction: str, resource_type: str, resource_id: str, change: Change, given: Meta
) -> dict[str, Any]:
    """The new meta, in force for every request after this; 403 for whoever is not the custodian."""
    access = Access(caller, interaction, f"{resource_type}/{resource_id}", record.clock())
    for attempt in range(ATTEMPTS):
        try:
            return await _once(record, access, resource_type, resource_id, change, given)
        except FhirError as error:  # somebody else's version came between: sets can be changed again
            if error.status != 412 or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


async def _once(
    record: Record, access: Access, resource_type: str, resource_id: str, change: Change, given: Meta
) -> dict[str, Any]:
    sight, current = await visible(record, access, resource_type, resource_id)
    async with refusals_audited(record, access):
        if "b" not in current:
            raise FhirError(410, "deleted", f"{resource_type} with this id was deleted")
        if not sight.may_change(current):
            raise FhirError(403, "forbidden", "only the custodian of a record may change its labels")
        resource = read(body(record.codec, current))
        resource["meta"] = change(resource.get("meta", {}), given)
        operation = Operation("update", resource_type, resource_id, resource, if_match=current["v"])
        (written,) = await commit(record, access, access.caller, [operation])
    return dict(read(written.body or b"{}")["meta"])
