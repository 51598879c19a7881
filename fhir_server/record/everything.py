"""Patient/$everything (R4 operation-patient-everything.html): a person's whole life, whichever hospital wrote it."""

from consent.caller import Caller
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.json import read_stored
from fhir_server.r4.references import literal, walk_references
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import View
from fhir_server.record.reading import visible
from fhir_server.record.searching import same_person
from fhir_server.store.directory import DIRECTORY_TYPES
from fhir_server.store.documents import WITHOUT_TERMS, Document, body, resource_key

AT_ONCE = 1_000


async def everything(record: Record, caller: Caller, patient_id: str) -> list[bytes]:
    """Bodies of all that may be seen about the person, and of the directory entries it refers to; 404 for a hidden Patient."""
    access = Access(caller, "operation-everything", f"Patient/{patient_id}/$everything", record.clock())
    sight, _ = await visible(record, access, "Patient", patient_id)
    patients = await same_person(sight, resource_key(record.codec, "Patient", patient_id))
    found: list[Document] = []
    async for one in record.database["resources"].find({"p": {"$in": list(patients)}}, WITHOUT_TERMS, hint="person"):
        if "b" in one and sight.sees(one):
            found.append(one)
    found.sort(key=lambda one: (RESOURCE_TYPES[one["t"]] != "Patient", -one["s"], one["_id"]))
    bodies = [body(record.codec, one) for one in found]
    directory = await _directory(sight, bodies)
    await record.audit.record(access.entry([*found, *directory]))
    return bodies + [body(record.codec, one) for one in directory]


async def _directory(sight: View, bodies: list[bytes]) -> list[Document]:
    """Practitioners, organizations, medications and the like that the record names: `read` knows them by reference only."""
    names = {target for one in bodies for target in _named(one) if target[0] in DIRECTORY_TYPES}
    keys = [resource_key(sight.record.codec, *target) for target in sorted(names)]
    found: list[Document] = []
    for start in range(0, len(keys), AT_ONCE):
        wanted = {"_id": {"$in": keys[start : start + AT_ONCE]}, "p": []}
        found += [
            one
            async for one in sight.record.database["resources"].find(wanted, WITHOUT_TERMS)
            if "b" in one and sight.sees(one)
        ]
    return sorted(found, key=lambda one: (one["t"], one["_id"]))


def _named(raw: bytes) -> set[tuple[str, str]]:
    texts = (reference.get("reference") for reference in walk_references(read_stored(raw)))
    return {target for text in texts if isinstance(text, str) and (target := literal(text))}
