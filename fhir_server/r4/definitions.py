"""Small facts of the official R4 definitions, from a shipped table (written by schema_generator.py)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

TABLES = Path(__file__).parent / "tables"

_DEFINITIONS = json.loads((TABLES / "definitions.json").read_bytes())

RESOURCE_TYPES: tuple[str, ...] = tuple(_DEFINITIONS["resourceTypes"])
"""The concrete resource types, sorted."""
KNOWN_TYPES = frozenset(RESOURCE_TYPES)

COMPARTMENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        compartment: MappingProxyType({name: tuple(parameters) for name, parameters in members.items()})
        for compartment, members in _DEFINITIONS["compartments"].items()
    }
)
"""Type of a compartment -> resource type -> the search parameters that put a resource into it; `{def}`: being it does."""

LINK_ELEMENTS: frozenset[str] = frozenset(_DEFINITIONS["linkElements"])
"""Names of elements typed uri, url, oid or uuid, and `reference`: where a transaction's links stand (http.html 3.1.0.11.2)."""

CHOICES: Mapping[str, tuple[str, str, Sequence[str]]] = MappingProxyType(
    {name: tuple(choice) for name, choice in _DEFINITIONS["choices"].items()}
)
"""JSON property of a choice element -> (element, type, resource types where the property is no choice):
`valueQuantity` -> (`value`, `Quantity`, [`Device`, ...])."""
