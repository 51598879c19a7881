"""ConceptMap/$translate (R4 conceptmap-operation-translate.html)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.library import Library
from fhir_server.terminology.results import if_given, parameter, parameters

Resource = dict[str, Any]

NO_MATCH = frozenset(("unmatched", "disjoint"))
# The target is wider than the source, so seen from the target the source is narrower (concept-map-equivalence).
_REVERSED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be translated, from and to where; `dependencies`: element -> codes. `reverse` swaps source and target."""

    codings: Sequence[Resource]
    source: str | None = None
    target: str | None = None
    target_system: str | None = None
    reverse: bool = False
    dependencies: Mapping[str, frozenset[str]] = field(default_factory=dict)


def translate(library: Library, maps: Iterable[Resource], asked: Asked) -> Resource:
    """Parameters `result`, `message`, `match`; the maps are those to look in, whatever they are for.

    One that leads to a map which is not held says nothing, and matters only where no other has a match.
    """
    found: list[Resource] = []
    refused: list[FhirError] = []
    for one in maps:
        try:
            found += _matches(library, one, asked) if _serves(one, asked) else ()
        except FhirError as error:
            refused.append(error)
    unique = list({orjson.dumps(one): one for one in found}.values())
    good = any(one["part"][0]["valueCode"] not in NO_MATCH for one in unique)
    if refused and not good:
        raise refused[0]
    message = None if good else "no concept map held here has a match for it"
    return parameters(parameter("result", good), if_given("message", message), *unique)


def _serves(one: Resource, asked: Asked) -> bool:
    """Whether a map is between the value sets that are asked for."""
    ends = (one.get("sourceCanonical", one.get("sourceUri")), one.get("targetCanonical", one.get("targetUri")))
    source, target = reversed(ends) if asked.reverse else ends
    return all(
        wanted is None or str(has).partition("|")[0] == wanted.partition("|")[0]
        for wanted, has in ((asked.source, source), (asked.target, target))
    )


_Found = tuple[Resource, Resource, Resource]


def _matches(library: Library, one: Resource, asked: Asked) -> list[Resource]:
    return [
        _match(one, group, element, target, asked.reverse)
        for coding in asked.codings
        for group, element, target in _found(library, one, coding, asked, set())
    ]


def _found(library: Library, one: Resource, coding: Resource, asked: Asked, met: set[str]) -> Iterator[_Found]:
    """(group, element, target) for each mapping of the coding; `met`: other maps that were followed, each once."""
    for group in one.get("group", ()):
        ends = ("source", "target")
        source, target = reversed(ends) if asked.reverse else ends
        if group.get(source) != coding.get("system") or asked.target_system not in (None, group.get(target)):
            continue
        if not _is_of_version(coding, group.get(f"{source}Version")):
            continue
        if asked.reverse:
            yield from _backwards(group, coding)
            continue
        elements = [element for element in group.get("element", ()) if element.get("code") == coding.get("code")]
        for element in elements:
            yield from ((group, element, to) for to in element.get("target", ()) if _depends(to, asked))
        if not elements and "unmapped" in group:
            yield from _unmapped(library, group, coding, asked, met)


def _is_of_version(coding: Resource, version: str | None) -> bool:
    """Whether a mapping of this version of a code system (None: of any) is one of the coding."""
    return None in (version, coding.get("version")) or version == coding["version"]


def _backwards(group: Resource, coding: Resource) -> Iterator[_Found]:
    for element in group.get("element", ()):
        yield from ((group, element, to) for to in element.get("target", ()) if to.get("code") == coding.get("code"))


def _depends(target: Resource, asked: Asked) -> bool:
    """Whether all that a mapping depends on is given (ConceptMap.group.element.target.dependsOn)."""
    return all(one.get("value") in asked.dependencies.get(one.get("property"), ()) for one in target.get("dependsOn", ()))


def _unmapped(library: Library, group: Resource, coding: Resource, asked: Asked, met: set[str]) -> Iterator[_Found]:
    """ConceptMap.group.unmapped: the same code, a fixed one, or what another map says."""
    rule = group["unmapped"]
    if rule.get("mode") == "other-map":
        url = rule.get("url", "")
        if url not in met:
            met.add(url)
            yield from _found(library, library.held("ConceptMap", url), coding, asked, met)
        return
    code = coding.get("code") if rule.get("mode") == "provided" else rule.get("code")
    target = {"code": code, "display": rule.get("display"), "equivalence": "relatedto"}
    yield group, {}, target


def _match(one: Resource, group: Resource, element: Resource, target: Resource, reverse: bool) -> Resource:
    """One `match`."""
    equivalence = target.get("equivalence", "relatedto")
    end, system = (element, group.get("source")) if reverse else (target, group.get("target"))
    concept = {"system": system, "code": end.get("code"), "display": end.get("display")}
    concept = {name: value for name, value in concept.items() if value is not None}
    parts = [parameter("equivalence", _REVERSED.get(equivalence, equivalence) if reverse else equivalence, "Code")]
    if "code" in concept:
        parts.append(parameter("concept", concept, "Coding"))
    parts += [] if reverse else [parameter("product", _product(each)) for each in target.get("product", ())]
    if "url" in one:
        parts.append(parameter("source", one["url"], "Uri"))
    return parameter("match", parts)


def _product(one: Resource) -> list[Resource]:
    concept = {"system": one.get("system"), "code": one.get("value"), "display": one.get("display")}
    concept = {name: value for name, value in concept.items() if value is not None}
    return [parameter("element", one.get("property", ""), "Uri"), parameter("concept", concept, "Coding")]
