"""What the portal works with: passed in once by the composition root (exchange/portal.py)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from consent.caller import Caller
from fhir_server.record.context import Record

Resource = dict[str, Any]


class SessionStore(Protocol):
    """Where sessions are kept (fhir_server/store/sessions.py)."""

    async def begin(self, name: str, account: bytes, access: str, refresh: str, access_until: int, until: int) -> None: ...

    async def holder(self, name: str, access: str, now: int) -> bytes | None: ...

    async def rotate(
        self, name: str, refresh: str, new_access: str, new_refresh: str, access_until: int, now: int
    ) -> bytes | None: ...

    async def end(self, name: str, access: str) -> bool: ...


class Expert(Protocol):
    """An expert as telemedicine knows one."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def organization(self) -> str: ...
    @property
    def specialties(self) -> frozenset[str]: ...
    @property
    def languages(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Consultations:
    """The operations of telemedicine. Appointments are FHIR's, as resources from `propose` and as JSON from the others."""

    propose: Callable[[Caller, Mapping[str, Sequence[str]]], Awaitable[tuple[int, list[Resource]]]]
    experts: Callable[[], Awaitable[Mapping[str, Expert]]]
    book: Callable[[Caller, str, str, str], Awaitable[bytes]]
    confirm: Callable[[Caller, str], Awaitable[bytes]]
    cancel: Callable[[Caller, str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Portal:
    """`identify` turns a login code into the account key (None: no provider is set up); `place` says where an error arose,
    `is_unavailable` whether it passes by itself; after `answer_seconds` a request gets a 503."""

    record: Record
    sessions: SessionStore
    consultations: Consultations
    identify: Callable[[str], Awaitable[bytes]] | None
    place: Callable[[BaseException], str]
    is_unavailable: Callable[[Exception], bool]
    answer_seconds: int
