"""Compiles what `_summary` and `_elements` leave of a resource (search.html#summary); schema_generator.py writes it."""

from collections.abc import Iterator
from typing import Any

from fhir_server.r4.package import Package, structures

Json = dict[str, Any]
ATTACHMENT = "Attachment"


def compile_summaries(package: Package) -> Json:
    """The content of tables/summaries.json: `elements` and `mandatory` by type, `summary` by place (type or backbone path).

    A place gives the JSON properties that stay, each with the place that its own children are in ("": they stay whole).
    What is mandatory or modifies the meaning always stays. Data types stay whole but for the data of attachments: they are no
    part of a summary, and as large as documents are.
    """
    known = {str(s["type"]): s for s in structures(package)}
    resources = [s for _, s in sorted(known.items()) if s["kind"] == "resource" and not s["abstract"]]
    places = {place: fields for s in resources for place, fields in _places(s)}
    return {
        "elements": {s["type"]: [_name(e) for e in _top(s)] for s in resources},
        "mandatory": {s["type"]: [_name(e) for e in _top(s) if _needed(e)] for s in resources},
        "summary": places | {ATTACHMENT: {name: "" for e in _top(known[ATTACHMENT]) if (name := _name(e)) != "data"}},
    }


def _top(structure: Json) -> Iterator[Json]:
    return (element for element in structure["snapshot"]["element"] if element["path"].count(".") == 1)


def _name(element: Json) -> str:
    return str(element["path"].rpartition(".")[2]).removesuffix("[x]")


def _needed(element: Json) -> bool:
    return bool(element["min"] or element.get("isModifier"))


def _places(structure: Json) -> Iterator[tuple[str, Json]]:
    elements = structure["snapshot"]["element"]
    parents = {element["path"].rpartition(".")[0] for element in elements} - {""}
    for place in sorted(parents):
        within = [element for element in elements if element["path"].rpartition(".")[0] == place]
        yield place, {_name(one): _below(one, parents) for one in within if one.get("isSummary") or _needed(one)}


def _below(element: Json, parents: set[str]) -> str:
    if [one["code"] for one in element.get("type", ())] == [ATTACHMENT]:
        return ATTACHMENT
    referred = str(element.get("contentReference", "")).removeprefix("#")
    return referred or (str(element["path"]) if element["path"] in parents else "")
