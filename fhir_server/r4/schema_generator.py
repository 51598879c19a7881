"""Compile the official R4 definitions into the tables this package ships.

    python -m fhir_server.r4.schema_generator hl7.fhir.r4.core-4.0.1.tgz

writes tables/schema.json.zst (one JSON Schema 2020-12 for all resources, for jsonschema-rs), tables/elements.json.zst,
tables/codes.json.zst, tables/profiles.zst, tables/invariants.json and tables/definitions.json.
A failing part of the schema says what it means in `$comment` (a key of validation.PROBLEMS) and of which element in `title`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import zstandard

from fhir_server.r4.codes_generator import compile_codes
from fhir_server.r4.definitions_generator import compile_definitions
from fhir_server.r4.elements_generator import compile_elements
from fhir_server.r4.invariants_generator import compile_invariants
from fhir_server.r4.package import Package, load, resource_types, structures
from fhir_server.r4.profiles_generator import compile_profiles
from fhir_server.r4.schema_bindings import Codes, NotEnumerable, expander
from fhir_server.r4.schema_primitives import ABSOLUTE, FORMS, NAME, PRIMITIVES
from fhir_server.r4.summary_generator import compile_summaries

TABLES = Path(__file__).parent / "tables"

Schema = dict[str, Any]

_BASE = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM_TYPE = "http://hl7.org/fhirpath/System."
_MAXIMUM = f"{_BASE}elementdefinition-maxValueSet"
_ONLY_ID = {"if": {"maxProperties": 1}, "then": {"not": {"required": ["id"]}}}


def compile_schema(package: Package) -> Schema:
    """One schema whose root takes any resource."""
    return Compiler(package).schema()


class Compiler:
    """Collects `$defs` while definitions are translated; types with bindings or targets are made as they are met."""

    def __init__(self, package: Package) -> None:
        self.structures = structures(package)
        self.expand = expander(package)
        self.types = resource_types(self.structures)
        self.defs: dict[str, Schema] = {}

    def schema(self) -> Schema:
        self.defs |= {name: {**schema} for name, schema in PRIMITIVES.items()}
        for structure in self.structures:
            self._structure(structure)
        self.defs["Resource"] = _dispatch(self.types)
        # What stands beside a primitive value may be only its id.
        element = {name: value for name, value in self.defs["Element"].items() if name != "allOf"}
        self.defs |= {"Element": element, "Element-or-null": {**element, "type": ["object", "null"]}}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "#/$defs/Resource",
            "$defs": dict(sorted(self.defs.items())),
        }

    def _structure(self, structure: dict[str, Any]) -> None:
        elements = structure["snapshot"]["element"]
        parents = {element["path"].rpartition(".")[0] for element in elements} - {""}
        for path in sorted(parents):
            children = [element for element in elements if element["path"].rpartition(".")[0] == path]
            self.defs[path] = self._object(path, children, structure["kind"] == "resource" and "." not in path, parents)

    def _object(self, path: str, children: list[dict[str, Any]], is_resource: bool, parents: set[str]) -> Schema:
        properties: Schema = {"resourceType": {"const": path}} if is_resource else {}
        required, rules = (["resourceType"] if is_resource else []), []
        for element in children:
            names = self._properties(element, parents)
            properties |= {name: schema for choice in names.values() for name, schema in choice.items()}
            mandatory, rule = _presence(element, [list(choice) for choice in names.values()])
            required += mandatory
            rules += rule
        if not is_resource:
            rules.append({"$comment": "empty", **_ONLY_ID})
        if path == "Extension":
            rules = _extension_rules(rules)
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return schema | ({} if is_resource else {"minProperties": 1}) | _if_any("required", required) | _if_any("allOf", rules)

    def _properties(self, element: dict[str, Any], parents: set[str]) -> dict[str, Schema]:
        """Type -> the JSON properties that carry it: one for a complex type, two (`x`, `_x`) for a primitive one."""
        name = element["path"].rpartition(".")[2]
        if element["max"] == "0":
            return {}
        if "contentReference" in element:
            return {"": {name: _repeat(element, _ref(element["contentReference"].lstrip("#")))}}
        if element["path"] in parents:
            return {"": {name: _repeat(element, _ref(element["path"]))}}
        return {kind["code"]: self._typed(element, name, kind) for kind in element["type"]}

    def _typed(self, element: dict[str, Any], name: str, kind: dict[str, Any]) -> Schema:
        code = _type_code(element, kind)
        name = name.replace("[x]", code[0].upper() + code[1:])
        if code not in PRIMITIVES:
            return {name: _repeat(element, self._complex(element, code, kind))}
        schema = self._primitive(element, code)
        if element["max"] != "1":
            schema = self._nullable(schema)
        siblings = {"$ref": "#/$defs/Element-or-null" if element["max"] != "1" else "#/$defs/Element"}
        # Extension.url and ids are attributes of the element: they take no extensions of their own.
        is_attribute = kind["code"].startswith(_SYSTEM_TYPE)
        return {name: _repeat(element, schema)} | ({} if is_attribute else {f"_{name}": _repeat(element, siblings)})

    def _primitive(self, element: dict[str, Any], code: str) -> Schema:
        if element["path"] == "Bundle.entry.fullUrl":  # what only a Bundle goes by: many clients write urn:uuid:patient-1
            return self._kept("name", NAME)
        if element["definition"].startswith("An absolute URI"):
            return self._kept(f"absolute-{code}", PRIMITIVES[code] | {"allOf": [ABSOLUTE]})
        form = _form(element)
        if form and code == "code":
            return self._kept(f"vs-{form}", FORMS[form])
        codes = self._codes(element)
        if codes is None or code != "code":
            return _ref(code)
        return self._kept(_value_set_name(element), {"$comment": "binding", "enum": sorted({code for _, code in codes})})

    def _kept(self, name: str, schema: Schema) -> Schema:
        self.defs[name] = schema
        return _ref(name)

    def _nullable(self, reference: Schema) -> Schema:
        name = reference["$ref"].removeprefix("#/$defs/")
        schema = self.defs[name]
        self.defs[f"{name}-or-null"] = (
            {**schema, "enum": [*schema["enum"], None]} if "enum" in schema else {**schema, "type": [schema["type"], "null"]}
        )
        return _ref(f"{name}-or-null")

    def _complex(self, element: dict[str, Any], code: str, kind: dict[str, Any]) -> Schema:
        if code == "Reference":
            return self._reference(kind)
        codes = self._codes(element) if code == "CodeableConcept" else None
        return self._concept(_value_set_name(element), codes) if codes else _ref(code)

    def _concept(self, value_set: str, codes: Codes) -> Schema:
        """One coding of the concept is of the value set; R4 binds no Coding by itself as required."""
        name = f"CodeableConcept-{value_set}"
        coding = {"coding": {"contains": {"anyOf": _codings(codes)}}}
        self.defs[name] = {
            "allOf": [_ref("CodeableConcept"), {"$comment": "binding", "required": ["coding"], "properties": coding}]
        }
        return _ref(name)

    def _reference(self, kind: dict[str, Any]) -> Schema:
        targets = sorted(profile.removeprefix(_BASE) for profile in kind.get("targetProfile", ()))
        if not targets or "Resource" in targets:
            return _ref("Reference")
        name = "Reference-" + "-".join(targets)
        self.defs[name] = {"allOf": [_ref("Reference"), {"properties": self._targets(targets)}]}
        return _ref(name)

    def _targets(self, targets: list[str]) -> Schema:
        other_types = {"not": {"pattern": f"(?:^|/)(?:{'|'.join(self.types)})/{_ID}(?:/_history/{_ID})?$"}}
        allowed = {"pattern": f"^#|(?:^|/)(?:{'|'.join(targets)})/{_ID}(?:/_history/{_ID})?$"}
        return {
            "reference": {"$comment": "target", "anyOf": [allowed, other_types]},
            "type": {"$comment": "target", "anyOf": [{"enum": targets}, {"not": {"enum": self.types}}]},
        }

    def _codes(self, element: dict[str, Any]) -> Codes | None:
        binding = element.get("binding", {})
        if binding.get("strength") != "required" or "valueSet" not in binding:
            return None
        try:
            return self.expand(binding["valueSet"])
        except NotEnumerable:
            return None


_ID = r"[A-Za-z0-9\-.]{1,64}"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _if_any(keyword: str, values: list[Any]) -> Schema:
    return {keyword: values} if values else {}


def _form(element: dict[str, Any]) -> str | None:
    """The value set, told by the form of its codes, that an element may not go beyond."""
    binding = element.get("binding", {})
    bound = [binding.get("valueSet", "")] if binding.get("strength") == "required" else []
    bound += [one["valueCanonical"] for one in binding.get("extension", ()) if one["url"] == _MAXIMUM]
    return next((name for name in FORMS for one in bound if one.split("|")[0].endswith(f"/{name}")), None)


def _value_set_name(element: dict[str, Any]) -> str:
    # "|" is illegal in a $ref.
    return "vs-" + element["binding"]["valueSet"].split("|")[0].rpartition("/")[2]


def _type_code(element: dict[str, Any], kind: dict[str, Any]) -> str:
    if not kind["code"].startswith(_SYSTEM_TYPE):
        return kind["code"]
    # R4 types Resource.id as a string; datatypes.html#id says what an id is.
    is_resource_id = element.get("base", {}).get("path") == "Resource.id"
    return "id" if is_resource_id else "uri" if element["path"] == "Extension.url" else "string"


def _repeat(element: dict[str, Any], schema: Schema) -> Schema:
    if element["max"] == "1":
        return schema
    limit = {} if element["max"] == "*" else {"maxItems": int(element["max"])}
    return {"type": "array", "items": schema, "minItems": max(1, element["min"]), **limit}


def _presence(element: dict[str, Any], choices: list[list[str]]) -> tuple[list[str], list[Schema]]:
    """Names required outright, and rules for what `required` alone cannot say: `x` or `_x`, and one choice only."""
    name = element["path"].rpartition(".")[2]
    if not choices or (len(choices) == 1 and element["min"] == 0):
        return [], []
    if choices == [[name]]:
        return [name], []
    options = [_any_present(names) for names in choices]
    if len(choices) == 1:
        return [], [{"$comment": "required", "title": name, **options[0]}]
    absent = [] if element["min"] else [{"not": {"anyOf": [{"required": [n]} for names in choices for n in names]}}]
    return [], [{"$comment": "choice", "title": name, "oneOf": absent + options}]


def _any_present(names: list[str]) -> Schema:
    return {"required": names} if len(names) == 1 else {"anyOf": [{"required": [name]} for name in names]}


def _extension_rules(rules: list[Schema]) -> list[Schema]:
    """ext-1: a value or extensions, not both. Most have a url and one thing more, which settles fifty choices at once."""
    value = next(rule for rule in rules if rule.get("$comment") == "choice")
    absent, *present = value["oneOf"]
    nested = {**absent, "required": ["extension"]}
    alone = {"not": {"required": ["extension"]}, "oneOf": present}
    usual = {"maxProperties": 2, "minProperties": 2, "not": {"required": ["id"]}}
    return [{"$comment": "extension", "title": "value[x]", "anyOf": [usual, nested, alone]}]


def _codings(codes: Codes) -> list[Schema]:
    systems: dict[str, list[str]] = {}
    for system, code in sorted(codes):
        systems.setdefault(system, []).append(code)
    return [
        {"properties": {"system": {"const": system}, "code": {"enum": values}}, "required": ["system", "code"]}
        for system, values in systems.items()
    ]


def _dispatch(types: list[str]) -> Schema:
    """A binary decision on resourceType: a flat one costs double."""
    if len(types) == 1:
        known = {"properties": {"resourceType": {"const": types[0]}}, "required": ["resourceType"]}
        return {"if": known, "then": _ref(types[0]), "else": {"$comment": "type", "not": {}}}
    half = len(types) // 2
    lower = {"properties": {"resourceType": {"enum": types[:half]}}}
    return {"if": lower, "then": _dispatch(types[:half]), "else": _dispatch(types[half:])}


def main(package_path: str) -> None:
    package = load(Path(package_path))
    TABLES.mkdir(exist_ok=True)
    _compress("schema.json.zst", compile_schema(package))
    _compress("elements.json.zst", compile_elements(package))
    _compress("codes.json.zst", compile_codes(package))
    (TABLES / "profiles.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(compile_profiles(package)))
    (TABLES / "summaries.json").write_text(json.dumps(compile_summaries(package), separators=(",", ":")) + "\n")
    for name, table in (("definitions.json", compile_definitions(package)), ("invariants.json", compile_invariants(package))):
        (TABLES / name).write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _compress(name: str, table: dict[str, Any]) -> None:
    data = json.dumps(table, separators=(",", ":")).encode()
    (TABLES / name).write_bytes(zstandard.ZstdCompressor(level=19).compress(data))


if __name__ == "__main__":
    main(sys.argv[1])
