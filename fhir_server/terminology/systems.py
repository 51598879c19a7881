"""A code system as it is worked with: concepts by code, and the hierarchy as links to parents (R4 codesystem.html)."""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import Number
from fhir_server.terminology.chinese import parents_of

Resource = dict[str, Any]
Links = dict[str, dict[str, None]]
"""Code -> other codes, each once, in order."""

_HEADING = {"property": [{"code": "notSelectable", "valueBoolean": True}]}
_UP, _DOWN = ("parent", "subsumedBy"), ("child",)
_INACTIVE = frozenset(("retired", "inactive", "withdrawn"))
_SUBSUMING = frozenset((None, "is-a", "classified-with"))


@dataclass(frozen=True)
class System:
    """`about`: the CodeSystem without its concepts; `concepts` in the order of the definition; `parents` of each code."""

    about: Resource
    concepts: Mapping[str, Resource]
    parents: Mapping[str, Collection[str]]

    @property
    def url(self) -> str:
        return str(self.about.get("url", ""))

    @property
    def is_complete(self) -> bool:
        return bool(self.about.get("content") == "complete")

    @cached_property
    def children(self) -> Mapping[str, Collection[str]]:
        links: dict[str, list[str]] = {}
        for code, above in self.parents.items():
            for parent in above:
                links.setdefault(parent, []).append(code)
        return links

    @cached_property
    def members(self) -> dict[tuple[str, str], Resource]:
        """The value set of all codes: (system, code) -> nothing more to say. Not to be changed."""
        return {(self.url, code): {} for code in self.concepts}

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """All that is said of each concept, folded, for filters."""
        return {code: fold(" ".join((code, *names(concept)))) for code, concept in self.concepts.items()}

    @cached_property
    def _folded(self) -> Mapping[str, str]:
        return {code.casefold(): code for code in self.concepts}

    def code(self, given: str) -> str | None:
        """The code as the system writes it; None if it has no such code."""
        if given in self.concepts:
            return given
        return self._folded.get(given.casefold()) if self.about.get("caseSensitive") is False else None

    def above(self, code: str) -> frozenset[str]:
        """All ancestors."""
        self._require_subsumption()
        return _reached(code, self.parents)

    def below(self, code: str) -> frozenset[str]:
        """All descendants."""
        self._require_subsumption()
        return _reached(code, self.children)

    def _require_subsumption(self) -> None:
        if self.about.get("hierarchyMeaning") not in _SUBSUMING:
            raise FhirError(422, "not-supported", "the hierarchy of this code system does not mean that one code is another")


def system_of(resource: Resource) -> System:
    """The system that a CodeSystem resource defines: nested, or by properties `parent`, `child`, `subsumedBy`."""
    concepts: dict[str, Resource] = {}
    parents: Links = {}
    for concept, above in _walk(resource.get("concept", ()), ()):
        code = concept["code"]
        concepts.setdefault(code, concept)
        _link(parents, code, (*above, *told(concept, *_UP)))
        for child in told(concept, *_DOWN):
            _link(parents, child, (code,))
    about = {name: value for name, value in resource.items() if name != "concept"}
    return _with_headings(System(about, concepts, parents))


def _walk(concepts: Iterable[Resource], above: tuple[str, ...]) -> Iterator[tuple[Resource, tuple[str, ...]]]:
    for concept in concepts:
        if "code" in concept:
            yield concept, above
            yield from _walk(concept.get("concept", ()), (concept["code"],))


def _link(links: Links, code: str, above: Iterable[str]) -> None:
    links.setdefault(code, {}).update(dict.fromkeys(above))


def _with_headings(system: System) -> System:
    """With the categories that the codes of a Chinese list tell, as abstract concepts without a name."""
    rule = parents_of(system.url)
    if rule is None:
        return system
    concepts, parents = dict(system.concepts), dict(system.parents)
    waiting = list(concepts)
    for code in waiting:  # grows while it is walked
        parents[code] = list(rule(code, system.concepts))
        missing = [parent for parent in parents[code] if parent not in concepts]
        concepts |= {parent: {"code": parent, **_HEADING} for parent in missing}
        waiting += missing
    return System(system.about, dict(sorted(concepts.items())), parents)


def _reached(start: str, links: Mapping[str, Iterable[str]]) -> frozenset[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = set(links.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return frozenset(found)


# --- concepts -------------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    """What a filter compares: case, width and composition of characters make no difference."""
    return unicodedata.normalize("NFKC", text).casefold()


def names(concept: Resource) -> list[str]:
    """The display and all designations."""
    given = [concept.get("display"), *(one.get("value") for one in concept.get("designation", ()))]
    return [name for name in given if name]


def told(concept: Resource, *properties: str) -> list[str]:
    """The values of these properties, as texts (codesystem.html#properties)."""
    found = (text(one) for one in concept.get("property", ()) if one.get("code") in properties)
    return [value for value in found if value]


def text(valued: Resource) -> str:
    """The value[x] as a filter is written: a Coding by its code, a boolean as `true`, a decimal as it was written."""
    value = next((value for name, value in valued.items() if name.startswith("value")), "")
    if isinstance(value, dict):
        return str(value.get("code", ""))
    if isinstance(value, Number):
        return value.text
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_inactive(concept: Resource) -> bool:
    """concept-properties: `inactive`, or a status that says so; a deprecated concept is still one to use."""
    return "true" in told(concept, "inactive") or not _INACTIVE.isdisjoint(told(concept, "status"))


def is_abstract(concept: Resource) -> bool:
    """concept-properties#notSelectable"""
    return "true" in told(concept, "notSelectable", "abstract")


def display(concept: Resource, language: str | None = None) -> str | None:
    """The display, in a language where there is a designation of it: `zh` finds zh-Hans, zh-CN finds zh."""
    wanted = (language or "").lower()
    for one in concept.get("designation", ()) if wanted else ():
        spoken = str(one.get("language", "")).lower()
        if spoken and (f"{spoken}-".startswith(f"{wanted}-") or f"{wanted}-".startswith(f"{spoken}-")):
            return str(one.get("value"))
    return concept.get("display")
