"""Whom an access is about though no record of theirs is in the answer: refused writes, totals, searches that find nothing.

DESIGN 4: the audit names every person disclosed. That somebody has no such record, or that one may not be changed, tells of
them as well. Only what is certain is named: Patients that there are.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from fhir_server.aside import aside
from fhir_server.r4.references import literal
from fhir_server.record.chaining import Finder, far
from fhir_server.record.context import Record
from fhir_server.record.criteria import patients_named
from fhir_server.record.gate import View
from fhir_server.record.operations import Operation
from fhir_server.search.chains import Chain
from fhir_server.search.clauses import Clause
from fhir_server.search.plan import lookup
from fhir_server.search.query import Query
from fhir_server.search.values import Reference
from fhir_server.store.documents import TYPE_NUMBER, UNRESOLVED, Document, patients_of, resource_key

MANY = 10
"""Persons: a number that is of more of them tells of none, as statistics on health publish no smaller ones."""


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


async def asked_about(sight: View, query: Query, through: Iterable[Document], find: Finder) -> tuple[bytes, ...]:
    """Whom what a search names is about, as far as the caller may see that: also how many it finds, or none, tells of them.

    So do those that it went through or counted, and those at the far ends of its chains, where they are few.
    """
    named = [pair for one in query.branches or (query,) for pair in _named(sight.record, one)]
    found = await _found(sight.record, dict.fromkeys(key for key, _ in named))
    seen = (found[key] for key, as_type in named if key in found and sight.sees(found[key] | as_type))
    people = [patient for one in seen for patient in one["p"]]
    ends = [one async for one in _at_far_ends(sight, query, find)]
    return tuple(dict.fromkeys((*people, *_singled_out(through), *_singled_out(ends))))


def _named(record: Record, query: Query) -> Iterator[tuple[bytes, dict[str, int]]]:
    """Keys of what a search names by id, and as what the scopes are asked for it: who may search the records of a Patient need
    not be allowed to read it."""
    for key in patients_named(record.codec, query):
        yield key, {"t": TYPE_NUMBER[query.resource_type]}
    for known in query.ids() or ():
        yield resource_key(record.codec, query.resource_type, known), {}
    values = (value for clause in query.clauses for value in clause.values if isinstance(value, Reference))
    for target in filter(None, (literal(text) for value in values for text in value.accepted)):
        if target[0] != "Patient":
            yield resource_key(record.codec, *target), {}


async def _at_far_ends(sight: View, query: Query, find: Finder) -> AsyncIterator[Document]:
    """The first of those that the index finds there."""
    links = (link for one in query.branches or (query,) for link in one.links if isinstance(link, Chain))
    for target, criterion in dict.fromkeys(way for link in links for way in link.ways):
        if isinstance(criterion, Clause) and lookup(criterion).exact:
            number = 0
            async for one in far(sight, target, criterion, None, MANY + 1, find, wanted="stamps"):
                yield one
                number += 1
                if number > MANY:
                    break


def _singled_out(documents: Iterable[Document]) -> frozenset[bytes]:
    """Whom these are about, where they are few."""
    people = frozenset(patient for one in documents for patient in one["p"])
    return people - {UNRESOLVED} if len(people) <= MANY else frozenset()


def _named_in(record: Record, operation: Operation) -> list[bytes]:
    """The Patients in a content that was found valid; in one that was not, anything may stand."""
    if operation.resource is None or not operation.original:
        return []
    return patients_of(record.codec, operation.resource | {"id": operation.id})


async def _found(record: Record, keys: Iterable[bytes]) -> dict[bytes, Document]:
    asked = {key: record.by_key(key) for key in keys}  # one look with all that is being read
    return {key: document for key, found in asked.items() if (document := await found) is not None}
