"""Custom search parameters (R4 searchparameter.html): a SearchParameter takes effect in the transaction that writes it.

It counts if an administrator wrote it; any other is stored, shown, and without effect. It is searchable once all resources are
indexed (store/reindexing.py); until then a search by it is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import ADMINISTRATION, refuse
from fhir_server.search.building import Definition
from fhir_server.search.custom import changed_below, clash, effective
from fhir_server.search.include import followed_back
from fhir_server.search.parameters import KNOWN, Parameter
from fhir_server.search.query import Query
from fhir_server.search.rewriting import criteria_of
from fhir_server.store.documents import TYPE_NUMBER, Document
from fhir_server.store.reindexing import ask_again
from fhir_server.store.snapshot import Snapshot

MAX_DEFINITIONS = 100  # each costs every write of its types
SEARCH_PARAMETER = TYPE_NUMBER["SearchParameter"]
CHANGED = "the search parameters have just changed: ask again"

Change = tuple[bytes, Definition | None]
State = Literal["done", "waiting", "running"]


@dataclass(frozen=True, slots=True)
class Indexing:
    """`done` of `total` resources; each definition in force, and whether it is searchable."""

    state: State
    done: int
    total: int
    definitions: tuple[tuple[Definition, bool], ...]


async def definitions(
    record: Record, written: Sequence[tuple[Document, dict[str, Any] | None]], snapshot: Snapshot
) -> list[Change]:
    """What becomes of the custom parameters by what is written (resource None: deleted); 409, 422 where it cannot be."""
    parameters = ((made, resource) for made, resource in written if made["t"] == SEARCH_PARAMETER)
    ours = [(made["_id"], resource) for made, resource in parameters if made["c"] == ADMINISTRATION]
    if not ours:
        return []
    stand = {row["_id"]: record.registry.definition(row) for row in await snapshot.parameter_rows()}
    wanted: dict[bytes, Definition | None] = {key: None for key, _ in ours}
    in_force = {key: one for key, one in stand.items() if key not in wanted}
    for key, resource in sorted(ours, key=_is_composite):  # what composites are made of comes before them
        if resource and (one := effective(resource, in_force.values())):
            _require_room(one, in_force)
            wanted[key] = in_force[key] = one
    if (code := changed_below(in_force.values())) is not None:
        problem = f"the active composite {code} is made of it: store that one anew in the same transaction, or retire it first"
        raise FhirError(409, "conflict", problem, "SearchParameter")
    return [(key, one) for key, one in wanted.items() if one != stand.get(key)]


def _is_composite(written: tuple[bytes, dict[str, Any] | None]) -> bool:
    return written[1] is not None and written[1]["type"] == "composite"


async def require_in_force(record: Record, query: Query, snapshot: Snapshot | None = None) -> None:
    """503 where a custom parameter that the query uses is not what it was when the query was read.

    Of a search it is asked when the documents are read: what it has missed was then written later. Of criteria of a write it is
    asked in the transaction.
    """
    if not KNOWN.get().offered:
        return
    origins = {one.origin for one in _used(query) if one.origin}
    if origins and not await (snapshot or Snapshot(record.database)).are_searchable(origins):
        await record.registry.sync()
        raise FhirError(503, "transient", CHANGED)


async def indexing(record: Record) -> Indexing:
    """How far it is: nothing of a person, but how many resources there are."""
    await record.registry.sync()
    task, rows = record.registry.task, sorted(record.registry.rows.values(), key=lambda row: row["g"])
    is_waiting = task.get("again") or not all(row["ready"] for row in rows)
    state: State = "running" if "left" in task else "waiting" if is_waiting else "done"
    definitions = tuple((record.registry.definition(row), bool(row["ready"])) for row in rows)
    return Indexing(state, min(task.get("done", 0), task.get("total", 0)), task.get("total", 0), definitions)


async def status(record: Record, caller: Caller) -> Indexing:
    """The same for an administrator, who is named in the audit."""
    access = Access(caller, "operation-reindex", "SearchParameter/$reindex", record.clock())
    await _require_admin(record, access)
    await record.audit.record(access.entry())
    return await indexing(record)


async def index_again(record: Record, caller: Caller, types: Sequence[str]) -> None:
    """Have the resources of these types indexed anew."""
    access = Access(caller, "operation-reindex", " ".join(types), record.clock())
    await _require_admin(record, access)
    await ask_again(record.registry, list(types))
    await record.audit.record(access.entry())


def _require_room(wanted: Definition, in_force: dict[bytes, Definition]) -> None:
    if (kind := clash(wanted, in_force.values())) is not None:
        problem = f"another active SearchParameter gives this code on {kind}: retire that one first, or choose another code"
        raise FhirError(409, "duplicate", problem, "SearchParameter.code")
    if len(in_force) >= MAX_DEFINITIONS:
        problem = f"more than {MAX_DEFINITIONS} active SearchParameters: retire one first"
        raise FhirError(422, "too-costly", problem, "SearchParameter.status")


def _used(query: Query) -> Iterator[Parameter]:
    """The parameters whose entries in the index decide what the query finds."""
    for one in (query, *query.branches):
        yield from (criterion.parameter for criterion in criteria_of(*one.clauses, *one.links))
        yield from chain.from_iterable(followed_back(include) for include in one.revincludes)


async def _require_admin(record: Record, access: Access) -> None:
    if access.caller.kind != "admin":
        await refuse(record, access, "not an administrator", "only an administrator may see to the index")
