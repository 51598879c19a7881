"""What the record works with: passed in once by the composition root (exchange/app.py)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from consent.decision import Policy
from fhir_server.record.definitions import Definitions
from fhir_server.store.audit import AuditLog
from fhir_server.store.database import Database
from fhir_server.store.documents import Codec, Document
from fhir_server.store.finding import Find
from fhir_server.store.lanes import Lanes
from fhir_server.store.parameters import Registry
from fhir_server.store.persons import Exceptions
from fhir_server.store.sharing import Kind, Lookup


@dataclass(frozen=True, slots=True)
class Match:
    """What matching says of a new Patient: the candidates that are the same person, and those that need a human's eye."""

    same: tuple[bytes, ...] = ()
    review: tuple[bytes, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """How Patients become persons (fhir_server/persons fills it in). Candidates come as (Patient key, resource)."""

    identifiers: Callable[[dict[str, Any]], list[str]]
    match: Callable[[dict[str, Any], list[tuple[bytes, dict[str, Any]]]], Match]


@dataclass(frozen=True, slots=True)
class Record:
    """Handles of the one door. Functions of fhir_server.record take it as their first argument."""

    database: Database
    codec: Codec
    lanes: Lanes
    audit: AuditLog
    exceptions: Exceptions
    definitions: Definitions
    by_key: Callable[[bytes], Awaitable[Document | None]]
    find: Callable[[Find], Awaitable[list[Document]]]
    find_shared: Callable[[Find], Awaitable[list[Document] | None]]  # None: ask for it by `find`
    share: Callable[[Kind], Lookup]
    separate: Callable[[Kind], Lookup]
    patients_of_person: Callable[[bytes], Awaitable[list[bytes]]]
    registry: Registry
    identity: Identity
    policy: Policy
    clock: Callable[[], int]
    new_id: Callable[[], str]
    page_key: bytes
    break_glass_ms: int
