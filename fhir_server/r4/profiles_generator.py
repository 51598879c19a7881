"""Compiles the profiles and extension definitions of the official package; schema_generator.py writes them."""

import json
from typing import Any

from fhir_server.r4.package import Package

_KEPT = ("url", "version", "name", "type", "kind", "derivation", "baseDefinition", "context", "contextInvariant")
_SAID = ("id", "path", "sliceName", "slicing", "min", "max", "type", "binding", "constraint", "contentReference", "maxLength")
_VALUES = ("fixed", "pattern", "minValue", "maxValue")

# Said of the resource that has the extension, but written where it can never be true: by definition and key.
_REWRITTEN = {"substanceExposureRisk: inv-1": "%resource.code.empty()"}

Json = dict[str, Any]


def compile_profiles(package: Package) -> bytes:
    """A line of JSON for each StructureDefinition that constrains a type of R4: its differential."""
    every = (one for one in package.values() if one["resourceType"] == "StructureDefinition")
    constraints = [one for one in every if one.get("derivation") == "constraint" and "snapshot" in one]
    return "\n".join(
        json.dumps(_slim(one), separators=(",", ":")) for one in sorted(constraints, key=lambda one: one["url"])
    ).encode()


def _slim(structure: Json) -> Json:
    elements = [_element(one, structure["name"]) for one in structure["differential"]["element"]]
    return {name: structure[name] for name in _KEPT if name in structure} | {"differential": {"element": elements}}


def _element(element: Json, definition: str) -> Json:
    said = {name: value for name, value in element.items() if name in _SAID or name.startswith(_VALUES)}
    if element.get("isModifier"):
        said["isModifier"] = True
    if "constraint" in said:
        said["constraint"] = [_constraint(one, definition) for one in said["constraint"]]
    return said


def _constraint(constraint: Json, definition: str) -> Json:
    rewritten = _REWRITTEN.get(f"{definition}: {constraint['key']}")
    return constraint | {"expression": rewritten} if rewritten else constraint
