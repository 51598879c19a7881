"""Whom an access is about though no record of theirs is in the answer: refused writes, totals, searches that find nothing.

DESIGN 4: the audit names every person disclosed. That somebody has no such record, or that one may not be changed, tells of
them as well. Only what is certain is named: Patients that there are.
"""

from collections.abc import Iterable, Sequence

from fhir_server.aside import aside
from fhir_server.record.context import Record
from fhir_server.record.criteria import patients_named
from fhir_server.record.gate import View
from fhir_server.record.operations import Operation
from fhir_server.search.query import Query
from fhir_server.store.documents import TYPE_NUMBER, Document, patients_of, resource_key


async def patient_there(record: Record, patient_id: str) -> tuple[bytes, ...]:
    """The key of the Patient with this id, if there is one."""
    return tuple(await _found(record, (resource_key(record.codec, "Patient", patient_id),)))


async def touched(record: Record, operations: Sequence[Operation]) -> tuple[bytes, ...]:
    """Whom refused operations are about: of what stands under their ids all Patients, else those that their content names."""
    targets = [{resource_key(record.codec, one.resource_type, known) for known in one.ids} for one in operations]
    contents = [await aside(len(one.original), _named_in, record, one) for one in operations]
    found = await _found(record, {key for keys in (*targets, *contents) for key in keys})
    named: list[bytes] = []
    for keys, patients in zip(targets, contents, strict=True):
        standing = [patient for key in keys if key in found for patient in found[key]["p"]]
        named += standing or [patient for patient in patients if patient in found]
    return tuple(dict.fromkeys(named))


async def asked_about(sight: View, query: Query) -> tuple[bytes, ...]:
    """The Patients that a search names and whom the caller may see: also how many records it finds, or none, tells of them."""
    named = dict.fromkeys((*patients_named(sight.record.codec, query), *_ids(sight.record, query)))
    if not named:
        return ()
    found = await _found(sight.record, named)
    number = TYPE_NUMBER[(query.branches or (query,))[0].resource_type]
    return tuple(key for key in named if key in found and sight.sees(found[key] | {"t": number}))


def _ids(record: Record, query: Query) -> list[bytes]:
    known = (query.ids() if query.resource_type == "Patient" else None) or ()
    return [resource_key(record.codec, "Patient", one) for one in known]


def _named_in(record: Record, operation: Operation) -> list[bytes]:
    """The Patients in a content that was found valid; in one that was not, anything may stand."""
    if operation.resource is None or not operation.original:
        return []
    return patients_of(record.codec, operation.resource | {"id": operation.id})


async def _found(record: Record, keys: Iterable[bytes]) -> dict[bytes, Document]:
    asked = {key: record.by_key(key) for key in keys}  # one look with all that is being read
    return {key: document for key, found in asked.items() if (document := await found) is not None}
