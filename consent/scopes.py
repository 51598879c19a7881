"""SMART App Launch 2 scopes: `system/Observation.rs`, `user/*.cruds`, `patient/Consent.cruds`. Version 1's read and write too.

Scopes with a query (`patient/Observation.rs?category=...`) are not supported and so never granted.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

LEVELS = {"system": "system", "admin": "system", "practitioner": "user", "patient": "patient"}
"""Kind of caller -> the level its scopes have."""

DEFAULTS = {
    "system": ("system/*.cruds",),
    "user": ("user/*.cruds",),
    "patient": ("patient/*.rs", "patient/Appointment.cu", "patient/Consent.cruds"),
}
"""Level -> what is granted to a client that names no scopes."""

_ALL = "cruds"
_VERSION_1 = {"read": "rs", "write": "cud", "*": _ALL}
_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|(?=.)c?r?u?d?s?)")


class Scope(NamedTuple):
    """One scope: level, resource type or `*`, interactions as letters of `cruds` in that order."""

    level: str
    type: str
    interactions: str

    def __str__(self) -> str:
        return f"{self.level}/{self.type}.{self.interactions}"


def parse(text: str) -> Scope:
    """A scope from its text; ValueError says what is not supported, without the text."""
    match = _SCOPE.fullmatch(text)
    if not match:
        raise ValueError("scopes must be like system/Observation.rs, user/*.cruds or patient/*.read, without a query")
    level, type_, interactions = match.groups()
    return Scope(level, type_, _VERSION_1.get(interactions, interactions))


def narrow(requested: Iterable[str], allowed: Iterable[str]) -> tuple[str, ...]:
    """What of the requested scopes is allowed, as SMART v2 texts; ValueError if a requested one is not a scope."""
    common = (_common(parse(wish), parse(may)) for wish, may in product(requested, list(allowed)))
    return tuple(dict.fromkeys(str(scope) for scope in common if scope))


@lru_cache(maxsize=16_384)
def allows(scopes: tuple[str, ...], resource_type: str, interaction: str) -> bool:
    """Whether the scopes of a token allow an interaction on a resource type.

    `interaction` is c, r, u, d or s: create, read, update, delete, search.
    """
    return any(scope.type in ("*", resource_type) and interaction in scope.interactions for scope in _granted(scopes))


def _granted(scopes: Iterable[str]) -> Iterator[Scope]:
    return (parse(text) for text in scopes if _SCOPE.fullmatch(text))


def _common(one: Scope, other: Scope) -> Scope | None:
    interactions = "".join(letter for letter in _ALL if letter in one.interactions and letter in other.interactions)
    if one.level != other.level or not interactions or ("*" not in (one.type, other.type) and one.type != other.type):
        return None
    return Scope(one.level, other.type if one.type == "*" else one.type, interactions)
