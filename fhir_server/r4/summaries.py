"""Parts of a resource: `_summary` and `_elements` (R4 search.html#summary, #elements), from a shipped table."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from fhir_server.r4.definitions import CHOICES, TABLES
from fhir_server.r4.json import read, write

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}

_TABLE = json.loads((TABLES / "summaries.json").read_bytes())
_ALWAYS = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})

Summary = Literal["true", "text", "data"]
SUMMARIES: dict[str, Summary] = {"true": "true", "text": "text", "data": "data"}


@dataclass(frozen=True, slots=True)
class Subset:
    """What is left of a resource: a kind of summary, or these elements; what is mandatory or a modifier always stays."""

    summary: Summary | None = None
    elements: tuple[str, ...] = ()

    def of(self, raw: bytes) -> bytes:
        """The resource cut to this, tagged SUBSETTED so that nobody takes it for the whole."""
        resource = read(raw)
        cut = self._cut(resource["resourceType"], resource)
        tags = cut.get("meta", {}).get("tag", [])
        known = any(tag.get("code") == "SUBSETTED" for tag in tags)
        cut["meta"] = {**cut.get("meta", {}), "tag": tags if known else [*tags, SUBSETTED]}
        return write(cut)

    def _cut(self, kind: str, resource: dict[str, Any]) -> dict[str, Any]:
        if self.summary == "data":
            return {name: value for name, value in resource.items() if name != "text"}
        if self.summary == "true":
            return _summarised(kind, kind, resource)
        wanted = {*_TABLE["mandatory"][kind], *(("text",) if self.summary == "text" else self.elements)}
        return {name: value for name, value in resource.items() if name in _ALWAYS or _element(kind, name) in wanted}


def is_subset(resource: dict[str, Any]) -> bool:
    """Whether a valid resource says of itself that it is not the whole."""
    return any(SUBSETTED.items() <= tag.items() for tag in resource.get("meta", {}).get("tag", ()))


def elements(kind: str) -> frozenset[str]:
    """The names of a type's own elements, choices without their type."""
    return frozenset(_TABLE["elements"][kind])


def _summarised(kind: str, place: str, node: dict[str, Any]) -> dict[str, Any]:
    fields = _TABLE["summary"][place]
    kept: dict[str, Any] = {}
    for name, value in node.items():
        below = fields.get(_element(kind, name))
        if below:
            kept[name] = (
                [_summarised(kind, below, one) for one in value] if isinstance(value, list) else _summarised(kind, below, value)
            )
        elif below is not None or (place == kind and name in _ALWAYS):
            kept[name] = value
    return kept


def _element(kind: str, name: str) -> str:
    """The element of a JSON property: `value` of `valueQuantity`, `status` of `_status`."""
    bare = name.removeprefix("_")
    element, _, elsewhere = CHOICES.get(bare, (bare, "", ()))
    return bare if kind in elsewhere else element
