"""Compiles what elements.py tells of R4's types from the official package; schema_generator.py writes it."""

from typing import Any

from fhir_server.r4.package import Package

_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_KINDS = frozenset(("resource", "complex-type", "primitive-type"))

Json = dict[str, Any]


def compile_elements(package: Package) -> Json:
    """The content of tables/elements.json.zst; see elements.py for what each member means."""
    structures = [
        resource
        for resource in package.values()
        if resource["resourceType"] == "StructureDefinition"
        and resource["kind"] in _KINDS
        and resource.get("derivation") != "constraint"
    ]
    return {
        "bases": {s["type"]: s.get("baseDefinition", "").rpartition("/")[2] for s in structures},
        "elements": {
            place: fields
            for structure in structures
            if structure["kind"] != "primitive-type"
            for place, fields in _fields(structure["snapshot"]["element"]).items()
        },
    }


def _fields(elements: list[Json]) -> dict[str, dict[str, str]]:
    """Place -> JSON property -> type, with `*` behind the type of one that is an array."""
    found: dict[str, dict[str, str]] = {}
    for element in elements[1:]:
        place, _, name = element["path"].rpartition(".")
        star = "" if element["base"]["max"] in ("0", "1") else "*"
        for code in _types(element):
            property_name = name.replace("[x]", code[:1].upper() + code[1:])
            found.setdefault(place, {})[property_name] = code + star
    return found


def _types(element: Json) -> list[str]:
    if "contentReference" in element:
        return [str(element["contentReference"]).removeprefix("#")]
    if element["path"] == "Resource.id" or element["base"]["path"] == "Resource.id":
        return ["id"]  # 4.0.1 says string
    codes = [
        next((e["valueUrl"] for e in kind.get("extension", ()) if e["url"] == _FHIR_TYPE), kind["code"])
        for kind in element["type"]
    ]
    return [element["path"] if code in ("BackboneElement", "Element") else code for code in codes]
