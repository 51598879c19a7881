"""Instance-level reads: read, vread (http.html#read, #vread). A forbidden record is a 404."""

from dataclasses import dataclass

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import View, admit, view
from fhir_server.store.documents import Document, body, history_id, resource_key


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource: JSON bytes (None when this version is a deletion), version, last updated in ms, custodian.

    `made`: an update made it where nothing stood.
    """

    body: bytes | None
    version: int
    updated: int
    custodian: str
    made: bool = False


async def read(record: Record, caller: Caller, resource_type: str, resource_id: str) -> Stored:
    """The current version; 404 absent or forbidden, 410 deleted (to who could see the last version)."""
    asked = f"{resource_type}/{resource_id}"
    access = Access(caller, "read", asked, record.clock())
    sight, current = await visible(record, access, resource_type, resource_id)
    await record.audit.record(access.entry((current,), reason=sight.decision(current).reason))
    if "b" not in current:
        raise FhirError(410, "deleted", f"{resource_type} with this id was deleted")
    return stored(record, current)


async def vread(record: Record, caller: Caller, resource_type: str, resource_id: str, version: int) -> Stored:
    """One version; who may not see the current version, or this one, gets 404."""
    access = Access(caller, "vread", f"{resource_type}/{resource_id}/_history/{version}", record.clock())
    sight, current = await visible(record, access, resource_type, resource_id)
    wanted = await version_of(record, current, version)
    if wanted is None or not sight.sees(wanted):
        await record.audit.record(access.entry((current,), outcome="absent"))
        raise _absent(resource_type)
    await record.audit.record(access.entry((wanted,), reason=sight.decision(wanted).reason))
    if "b" not in wanted:
        raise FhirError(410, "deleted", "this version is a deletion")
    return stored(record, wanted)


async def version_of(record: Record, current: Document, version: int) -> Document | None:
    """One version of a resource, whether it may be seen or not."""
    if current["v"] == version:
        return current
    found: Document | None = await record.database["history"].find_one(
        {"_id": history_id(record.codec, current["_id"], version)}
    )
    return found


async def visible(record: Record, access: Access, resource_type: str, resource_id: str) -> tuple[View, Document]:
    """The caller's view and the current document, or an audited 404 that is the same for absent and forbidden."""
    await admit(record, access, resource_type, "r")
    looked_up = record.by_key(resource_key(record.codec, resource_type, resource_id))  # along with what the view asks
    sight = await view(record, access.caller)
    current = await looked_up
    if current is not None and sight.sees(current):
        return sight, current
    if current is None:
        await record.audit.record(access.entry(outcome="absent"))
    else:
        await record.audit.record(access.entry((current,), outcome="deny", reason=sight.decision(current).reason))
    raise _absent(resource_type)


def _absent(resource_type: str) -> FhirError:
    return FhirError(404, "not-found", f"no {resource_type} with this id that you may see")


def stored(record: Record, document: Document) -> Stored:
    """The version that a document of `resources` or of `history` is."""
    return with_body(document, body(record.codec, document) if "b" in document else b"")


def with_body(document: Document, plain: bytes) -> Stored:
    """The same, unsealed already; b"" is that of what is deleted."""
    return Stored(plain or None, document["v"], document["u"], document["c"], "m" in document)
