"""What a caller asks to be written: one Operation per create, update, patch or delete; a transaction is a list of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.search.query import Query

Method = Literal["create", "update", "patch", "delete"]
Patch = Callable[[dict[str, Any]], Any]
"""A change of a resource, as a function that consumes its argument; FhirError 422 where it does not fit."""


@dataclass(slots=True)
class Operation:
    """`resource` is None for a delete, and of a patch what `patch` makes of the current version. `if_none_exist` makes a
    create conditional; `create_only` is `If-None-Match: *`.

    `place` is where the resource stands in a Bundle, for errors to name it.
    """

    method: Method
    resource_type: str
    id: str
    resource: dict[str, Any] | None = None
    full_url: str | None = None
    if_match: int | None = None
    create_only: bool = False
    if_none_exist: Query | None = None
    original: bytes = b""
    place: str = ""
    patch: Patch | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an operation: HTTP status, and the version that now stands (`body` is None after a delete)."""

    status: int
    resource_type: str
    id: str
    version: int
    updated: int
    body: bytes | None = None
