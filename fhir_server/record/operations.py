"""What a caller asks to be written: one Operation per create, update, patch or delete; a transaction is a list of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.r4.errors import FhirError
from fhir_server.search.query import Query

ANY = -1
"""`If-Match: *`: whatever version there is, if there is one (RFC 9110 13.1.1)."""
Method = Literal["create", "update", "patch", "delete"]
Patch = Callable[[dict[str, Any]], Any]
"""A change of a resource, as a function that consumes its argument; FhirError 422 where it does not fit."""


class DoneBefore(FhirError):
    """What is to be written once stands already: nothing of the request is written."""

    def __init__(self, place: str) -> None:
        super().__init__(412, "duplicate", "this was written before, with all that came with it", place)


@dataclass(slots=True)
class Operation:
    """`resource` is None for a delete, and of a patch what `patch` makes of the current version. `create_only` is
    `If-None-Match: *`; `once` refuses the whole request where there is one already (DoneBefore).

    `criteria` makes it conditional. Of a create they are its If-None-Exist. What another is about, they say: `id` and `others`
    (of a delete) hold what they match (targets.py); an update makes `new_id` where `unmatched`.
    `otherwise`: what a patch makes where nothing stands; it is refused there without.
    `patch_size`: of how many bytes the patch was at most.
    Absolute references to what is under `base_url` are to what is here.
    `place` is where the resource stands in a Bundle, for errors to name it.
    """

    method: Method
    resource_type: str
    id: str
    resource: dict[str, Any] | None = None
    full_url: str | None = None
    if_match: int | None = None
    create_only: bool = False
    once: bool = False
    criteria: Query | None = None
    original: bytes = b""
    place: str = ""
    patch: Patch | None = None
    otherwise: dict[str, Any] | None = None
    patch_size: int = 0
    others: tuple[str, ...] = ()
    new_id: str = ""
    unmatched: bool = False
    base_url: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """All that it is about; nothing where that is not known yet, or where there is nothing."""
        return (self.id, *self.others) if self.id else ()

    @property
    def finds(self) -> bool:
        """Whether its criteria say what it changes: a conditional update, patch or delete."""
        return self.criteria is not None and self.method != "create"


@contextmanager
def named(operation: Operation) -> Iterator[None]:
    """What refuses an entry of a Bundle inside says which one it is. Errors known by their class stay what they are."""
    try:
        yield
    except FhirError as error:
        is_named = (error.issues[0].expression or "").startswith(operation.place)
        if is_named or type(error) is not FhirError:
            raise
        raise error.at(operation.place, operation.resource_type) from None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an operation: HTTP status, and the version that now stands (`body` is None after a delete)."""

    status: int
    resource_type: str
    id: str
    version: int
    updated: int
    body: bytes | None = None
