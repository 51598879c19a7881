"""Compiles the small facts of definitions.py from the official package; schema_generator.py writes them."""

from collections.abc import Iterator
from typing import Any

from fhir_server.r4.package import Package, resource_types, structures

_COMPARTMENTS = "http://hl7.org/fhir/CompartmentDefinition"
_LINK_TYPES = frozenset(("uri", "url", "oid", "uuid"))


def _elements(definitions: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """(element name, type code) of every element, choices by their base name."""
    for structure in definitions:
        for element in structure["snapshot"]["element"]:
            for kind in element.get("type", ()):
                yield element["path"].rpartition(".")[2], kind["code"]


def _json_name(name: str, code: str) -> str:
    return name.replace("[x]", code[0].upper() + code[1:])


def compile_definitions(package: Package) -> dict[str, Any]:
    """The content of tables/definitions.json; see definitions.py for what each member means."""
    definitions = structures(package)
    elements = set(_elements(definitions))
    links = {_json_name(name, code) for name, code in elements if code in _LINK_TYPES} | {"reference"}
    return {
        "resourceTypes": resource_types(definitions),
        "compartments": {
            package[f"{_COMPARTMENTS}/{one}"]["code"]: {
                entry["code"]: entry["param"] for entry in package[f"{_COMPARTMENTS}/{one}"]["resource"] if "param" in entry
            }
            for one in ("device", "encounter", "patient", "practitioner", "relatedPerson")
        },
        "linkElements": sorted(links - {"fullUrl"}),
        "choices": {
            _json_name(name, code): [name.removesuffix("[x]"), code, _types_with(definitions, _json_name(name, code))]
            for name, code in sorted(elements)
            if name.endswith("[x]")
        },
    }


def _types_with(definitions: list[dict[str, Any]], name: str) -> list[str]:
    """Types where a choice's JSON property is the name of an element of its own, such as Device.property.valueQuantity."""
    return sorted(d["type"] for d in definitions if any(e["path"].endswith(f".{name}") for e in d["snapshot"]["element"]))
