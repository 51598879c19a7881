"""The types of R4 and the elements of each, from a shipped table (written by schema_generator.py).

A type is named as FHIR names it, the type of a backbone element by its path: `HumanName`, `code`, `Patient.contact`.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import zstandard

from fhir_server.r4.definitions import CHOICES, KNOWN_TYPES, TABLES


class Field(NamedTuple):
    """An element as a JSON property: its type, and whether it is an array. `type` is "" where R4 knows no such element."""

    type: str
    repeats: bool


UNKNOWN = Field("", False)
EXTENSIONS = frozenset(("extension", "modifierExtension"))


@cache
def bases() -> Mapping[str, str]:
    """Type -> the type it specialises; "" for Element and Resource."""
    return dict(_table()["bases"])


@cache
def fields(place: str) -> Mapping[str, Field]:
    """JSON property -> Field of a type; a primitive has what Element has, beside it in `_name`."""
    elements = _table()["elements"]
    found = elements.get(place) or elements["Element"]
    return {name: Field(kind.rstrip("*"), kind[-1] == "*") for name, kind in found.items()}


@cache
def choices(place: str) -> Mapping[str, tuple[str, ...]]:
    """Choice element -> its JSON properties: `value` -> (`valueQuantity`, ...)."""
    found: dict[str, tuple[str, ...]] = {}
    for name in fields(place):
        element, _, elsewhere = CHOICES.get(name, ("", "", ()))
        if element and place.partition(".")[0] not in elsewhere:
            found[element] = (*found.get(element, ()), name)
    return found


def is_kind_of(name: str, wanted: str) -> bool:
    """Whether a type is another or specialises it: `code` is a kind of `string`."""
    while name and name != wanted:
        name = base(name)
    return bool(name)


def base(name: str) -> str:
    """The type that a type specialises; a backbone element's is BackboneElement."""
    return "BackboneElement" if "." in name else bases().get(name, "")


def is_type(name: str) -> bool:
    return name in bases()


def is_resource(name: str) -> bool:
    return name in KNOWN_TYPES


@cache
def _table() -> Any:
    return json.loads(zstandard.decompress((TABLES / "elements.json.zst").read_bytes()))
