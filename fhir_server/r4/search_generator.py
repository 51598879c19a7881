"""Compiles the official SearchParameters into tables/search.json: `python -m fhir_server.r4.search_generator PACKAGE.tgz`.

Every expression is walked through the StructureDefinitions, so that the table says of each path which datatype it yields,
choice elements are named with their type, and an expression that leads nowhere is found now and not at a search.
"""

import argparse
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fhir_server.r4.fhirpath.syntax import Node, alternatives, parse, write
from fhir_server.r4.search_types import USABLE

TABLE = Path(__file__).parent / "tables" / "search.json"

# Official parameters that are not offered, each with its reason.
_ERRATA = {
    "example": "an example of a SearchParameter, not one",
    "example-reference": "an example that repeats Condition-subject",
    "example-extension": "an example: base Patient, expression on DocumentReference",
    "codesystem-extensions-CodeSystem-author": "has neither base nor expression",
    "codesystem-extensions-CodeSystem-effective": "has neither base nor expression",
    "codesystem-extensions-CodeSystem-end": "has neither base nor expression",
    "codesystem-extensions-CodeSystem-keyword": "has neither base nor expression",
    "codesystem-extensions-CodeSystem-workflow": "has neither base nor expression",
    "valueset-extensions-ValueSet-author": "has neither base nor expression",
    "valueset-extensions-ValueSet-effective": "has neither base nor expression",
    "valueset-extensions-ValueSet-end": "has neither base nor expression",
    "valueset-extensions-ValueSet-keyword": "has neither base nor expression",
    "valueset-extensions-ValueSet-workflow": "has neither base nor expression",
    "patient-extensions-Patient-age": "has no expression",
    "patient-extensions-Patient-birthOrderBoolean": "has no expression",
    "Resource-query": "named queries, has no expression",
    "filter": "a query language, has no expression",
    "device-extensions-Device-din": "searches an extension that R4 does not define",
    "observation-genetic-Observation-amino-acid-change": "searches an extension that R4 does not define",
    "observation-genetic-Observation-dna-variant": "searches an extension that R4 does not define",
    "observation-genetic-Observation-gene-amino-acid-change": "searches an extension that R4 does not define",
    "observation-genetic-Observation-gene-dnavariant": "searches an extension that R4 does not define",
    "individual-phonetic": "needs phonetic matching",
    "Organization-phonetic": "needs phonetic matching",
}

# Official expressions that say something else than they mean: `extension(url)` yields the Extension, its value is what is
# searched; and mothersMaidenName names a URL that R4 does not define.
_REWRITTEN = {
    "diagnosticreport-genetic-DiagnosticReport-assessed-condition": "DiagnosticReport.extension("
    "'http://hl7.org/fhir/StructureDefinition/DiagnosticReport-geneticsAssessedCondition').value.ofType(Reference)",
    "observation-genetic-Observation-gene-identifier": "Observation.extension("
    "'http://hl7.org/fhir/StructureDefinition/observation-geneticsGene').value.ofType(CodeableConcept)",
    "patient-extensions-Patient-mothersMaidenName": "Patient.extension("
    "'http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName').value.ofType(string)",
}

# Parameters that are no path: what they look into has names of its own.
_PLACES = {
    "DomainResource-text": [["text.div", "xhtml"]],
    "Resource-content": [["$this", "Content"]],
    "Location-near": [["position", "Location.position"]],
}

# Components whose expressions stand in the wrong order.
_COMPONENTS = {"DocumentReference-relationship": ["target", "code"]}

_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"

Json = dict[str, Any]


class Definitions(NamedTuple):
    """The package, as far as the table needs it: elements by path, value sets by URL, parameters, concrete resource types."""

    elements: dict[str, Json]
    value_sets: dict[str, Json]
    parameters: list[Json]
    resource_types: list[str]


class Typed(NamedTuple):
    """A path with the place in the definitions it leads to: a datatype's name, or the path of a backbone element."""

    node: Node
    place: str
    element: Json


def load(package: Path) -> Definitions:
    """Read the definitions out of the npm package `hl7.fhir.r4.core`."""
    resources = list(_resources(package))
    structures = [r for r in resources if r["resourceType"] == "StructureDefinition" and r.get("derivation") != "constraint"]
    return Definitions(
        {element["path"]: element for s in structures if "snapshot" in s for element in s["snapshot"]["element"]},
        {r["url"]: r for r in resources if r["resourceType"] == "ValueSet"},
        [r for r in resources if r["resourceType"] == "SearchParameter"],
        sorted(s["type"] for s in structures if s["kind"] == "resource" and not s["abstract"]),
    )


def table(definitions: Definitions) -> dict[str, dict[str, Json]]:
    """Type -> parameter name -> {id, type, targets, paths: [[expression, datatype, implied system]]}; no paths: not offered."""
    entries: dict[str, dict[str, Json]] = {name: {} for name in ["Resource", *definitions.resource_types]}
    for parameter in sorted(definitions.parameters, key=lambda p: p["id"]):
        for base in parameter.get("base", ()):
            base = "Resource" if base == "DomainResource" else base
            # An example repeats the code of a real parameter; it must not replace it.
            if parameter["id"] not in _ERRATA or parameter["code"] not in entries[base]:
                entries[base][parameter["code"]] = {"id": parameter["id"], **_entry(parameter, base, definitions)}
    return {base: dict(sorted(entries[base].items())) for base in entries}


def _resources(package: Path) -> Iterator[Json]:
    wanted = ("StructureDefinition-", "SearchParameter-", "ValueSet-")
    with tarfile.open(package) as archive:
        for member in archive:
            content = archive.extractfile(member) if Path(member.name).name.startswith(wanted) else None
            if content:
                yield json.load(content)


def _entry(parameter: Json, base: str, definitions: Definitions) -> Json:
    if parameter["id"] in _PLACES:
        return {"type": parameter["type"], "paths": _PLACES[parameter["id"]]}
    if parameter["type"] == "composite":
        return _composite(parameter, base, definitions)
    if parameter["type"] not in USABLE or parameter["id"] in _ERRATA:
        return {"type": parameter["type"]}
    expression = _REWRITTEN.get(parameter["id"], parameter.get("expression"))
    if not expression:
        raise SystemExit(f"{parameter['id']}: no expression, and not a known erratum")
    paths = [
        _path(typed, definitions)
        for node in alternatives(parse(expression, base))
        if _head(node) not in definitions.resource_types
        for typed in _walk(node, base, definitions.elements)
        if typed.place in USABLE[parameter["type"]]
    ]
    if not paths:
        raise SystemExit(f"{parameter['id']}: nothing to search on {base}, and not a known erratum")
    return {"type": parameter["type"], **_targets(parameter, definitions), "paths": paths}


def _composite(parameter: Json, base: str, definitions: Definitions) -> Json:
    """Components by type, and for each kind of repetition the paths of each component: [path, from the resource, datatype]."""
    named = {one["url"]: one for one in definitions.parameters}
    components = [named[one["definition"]] for one in parameter["component"]]
    expressions = _COMPONENTS.get(parameter["id"], [one["expression"] for one in parameter["component"]])
    repetitions = [
        [
            write(repetition.node),
            [_part(text, c, base, repetition, definitions) for text, c in zip(expressions, components, strict=True)],
        ]
        for node in alternatives(parse(parameter["expression"], base))
        if _head(node) not in definitions.resource_types
        for repetition in _walk(node, base, definitions.elements)
    ]
    described = [{"name": c["code"], "type": c["type"], **_targets(c, definitions)} for c in components]
    return {"type": "composite", "components": described, "repetitions": repetitions}


def _part(expression: str, component: Json, base: str, repetition: Typed, definitions: Definitions) -> list[list[Any]]:
    """The paths of a component; the official expressions write `DateTime` for dateTime."""
    of_resource = expression.startswith("%resource.")
    text = expression.removeprefix("%resource.").replace("as(DateTime)", "as(dateTime)")
    place = base if of_resource else repetition.place
    found = [
        [path, of_resource, *rest]
        for node in alternatives(parse(text, place))
        for typed in _walk(node, place, definitions.elements)
        if typed.place in USABLE[component["type"]]
        for path, *rest in [_path(typed, definitions)]
    ]
    if not found:
        raise SystemExit(f"{component['id']}: nothing to search as a component on {base}")
    return found


def _targets(parameter: Json, definitions: Definitions) -> Json:
    if parameter["type"] != "reference":
        return {}
    targets = parameter.get("target", definitions.resource_types)
    # "Any" is spelled out as every type but Parameters, which has no identity.
    everything = set(definitions.resource_types) - {"Parameters"}
    return {"targets": ["Resource"] if set(targets) >= everything else sorted(targets)}


def _path(typed: Typed, definitions: Definitions) -> list[str]:
    system = _implied_system(typed.element, definitions.value_sets) if typed.place == "code" else None
    return [write(typed.node), typed.place, *([system] if system else [])]


def _implied_system(element: Json, value_sets: Mapping[str, Json]) -> str | None:
    """The one code system behind a required binding: the namespace of an element of type code (search.html#token)."""
    url = element.get("binding", {}).get("valueSet", "").partition("|")[0]
    includes = value_sets.get(url, {}).get("compose", {}).get("include", ())
    systems = {include.get("system") for include in includes}
    return systems.pop() if len(systems) == 1 and element["binding"]["strength"] == "required" else None


def _head(node: Node) -> str | None:
    """The first name of a path: a parameter of several resource types has one alternative for each."""
    while node[0] in ("child", "as", "index", "call"):
        if node[0] == "child" and node[1] == ("this",):
            return str(node[2])
        node = node[1]
    return _head(node[2]) if node[0] == "op" else None


def _walk(node: Node, base: str, elements: Mapping[str, Json]) -> list[Typed]:
    match node:
        case ("this",):
            return [Typed(node, base, {})]
        case ("child", below, name):
            return [found for typed in _walk(below, base, elements) for found in _children(typed, name, elements)]
        case ("as", below, name):
            return [typed for typed in _walk(below, base, elements) if typed.place == name]
        case ("index", below, position):
            return [Typed(("index", t.node, position), t.place, t.element) for t in _walk(below, base, elements)]
        case ("union", a, b):
            return _walk(a, base, elements) + _walk(b, base, elements)
        case ("op", symbol, a, b):
            return [Typed(("op", symbol, _joined(a, base, elements), _joined(b, base, elements)), "boolean", {})]
        case ("call", below, "exists", ()):
            return [Typed(("call", _joined(below, base, elements), "exists", ()), "boolean", {})]
        case ("call", below, name, arguments):
            return [
                Typed(("call", t.node, name, arguments), "Extension" if name == "extension" else t.place, t.element)
                for t in _walk(below, base, elements)
            ]
    return [Typed(node, "", {})]


def _joined(node: Node, base: str, elements: Mapping[str, Json]) -> Node:
    """The node with its choice elements named by type: `deceased` becomes `deceasedBoolean | deceasedDateTime`."""
    first, *others = (typed.node for typed in _walk(node, base, elements))
    for other in others:
        first = ("union", first, other)
    return first


def _children(typed: Typed, name: str, elements: Mapping[str, Json]) -> Iterator[Typed]:
    path = f"{typed.place}.{name}"
    node: Node = ("child", typed.node, name)
    if path in elements:
        yield Typed(node, _place(elements[path]), elements[path])
    elif f"{path}[x]" in elements:
        element = elements[f"{path}[x]"]
        yield from (Typed(("as", node, code), code, element) for code in sorted({t["code"] for t in element["type"]}))
    else:
        raise SystemExit(f"{path} is not an element of R4")


def _place(element: Json) -> str:
    if "contentReference" in element:
        return str(element["contentReference"]).removeprefix("#")
    if element["path"] == "Resource.id":
        return "id"  # 4.0.1 says string, which a token would compare without case
    definition = element["type"][0]
    fhir_type = next((e["valueUrl"] for e in definition.get("extension", ()) if e["url"] == _FHIR_TYPE), definition["code"])
    return str(element["path"] if fhir_type in ("BackboneElement", "Element") else fhir_type)


def main() -> None:
    """Write the table and say which official parameters are not in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path, help="hl7.fhir.r4.core-4.0.1.tgz")
    definitions = load(parser.parse_args().package)
    TABLE.write_text(json.dumps(table(definitions), separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.writelines(f"not offered: {name}: {_ERRATA[name]}\n" for name in sorted(_ERRATA))


if __name__ == "__main__":
    main()
