"""Which codes a value set has (R4 valueset.html#compositions), or whether it has one code, by the same rules."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.filters import test_of
from fhir_server.terminology.library import Library, system_canonical, value_sets
from fhir_server.terminology.systems import System, is_inactive

Resource = dict[str, Any]
Key = tuple[str, str]
"""Code system and code."""
Members = dict[Key, Resource]
"""With what the value set itself says of each: its own display and designations, or nothing."""

MAX_STEPS = 500_000
FILTER_STEPS = 500  # what making a filter's test of a regex takes at most; one by hierarchy takes as many as there are codes
MAX_NESTING = 30


@dataclass(slots=True)
class _Run:
    """One evaluation. `only`: the one code that is asked for; `known`: value sets that were met; `steps`: what it took."""

    library: Library
    only: Key | None
    known: dict[str, Members] = field(default_factory=dict)
    steps: int = 0

    def took(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise FhirError(403, "too-costly", "the value set takes too long to work out; define it by fewer or smaller parts")


def members(library: Library, value_set: Resource, only: Key | None = None) -> Members:
    """The codes in order, or those of them that are `only`; 404 and 422 where the definition cannot be followed here."""
    return _members(_Run(library, only), value_set, ())


def _members(run: _Run, value_set: Resource, within: tuple[str, ...]) -> Members:
    compose = value_set.get("compose")
    if compose is None:
        raise FhirError(422, "not-supported", "a value set without `compose` cannot be evaluated", "ValueSet.compose")
    found: Members = {}
    for part in compose.get("include", ()):
        selected = _selected(run, part, within)
        found = _joined(found, selected) if found else dict(selected)
    for part in compose.get("exclude", ()) if found else ():
        for key in _selected(run, part, within):
            found.pop(key, None)
    return found if compose.get("inactive", True) else _active(run.library, found)


def _joined(found: Members, more: Members) -> Members:
    """Each code once, where it was first."""
    for key, said in more.items():
        found.setdefault(key, said)
    return found


def _selected(run: _Run, part: Resource, within: tuple[str, ...]) -> Members:
    """What one include or exclude selects: in its system, and in every value set it names."""
    sets = [_of_system(run, part)] if "system" in part else []
    sets += [_nested(run, canonical, within) for canonical in value_sets(part)]
    run.took(sum(map(len, sets)))
    if not sets:
        raise FhirError(422, "invariant", "a part needs a system or a value set (vsd-1)", "ValueSet.compose.include")
    first, *others = sets
    return {key: said for key, said in first.items() if all(key in other for other in others)} if others else first


def _nested(run: _Run, canonical: str, within: tuple[str, ...]) -> Members:
    if canonical in within or len(within) == MAX_NESTING:
        raise FhirError(422, "processing", "the value set includes itself, or others too deeply", "ValueSet.compose")
    if canonical not in run.known:
        run.known[canonical] = _members(run, run.library.held("ValueSet", canonical), (*within, canonical))
    return run.known[canonical]


def _of_system(run: _Run, part: Resource) -> Members:
    url = part["system"]
    if run.only and run.only[0] != url:
        return {}
    return _listed(run, part) if "concept" in part else _filtered(run, part)


def _listed(run: _Run, part: Resource) -> Members:
    """Concepts one by one, also of a system that is not held; of one that is, only codes that it has."""
    url, system = part["system"], run.library.find_system(system_canonical(part))
    run.took(len(part["concept"]))
    given = {(url, one["code"]): one for one in part["concept"] if "code" in one and run.only in (None, (url, one["code"]))}
    if system is None or not system.is_complete:
        return given
    return {key: one for key, one in given.items() if key[1] in system.concepts}


def _filtered(run: _Run, part: Resource) -> Members:
    url, system = part["system"], run.library.system(system_canonical(part))
    if not system.is_complete:
        raise FhirError(422, "not-supported", f"only some codes of {url[:200]} are held here, so it cannot be expanded")
    run.took((FILTER_STEPS + len(system.concepts)) * len(part.get("filter", ())))
    tests = [test_of(system, rule) for rule in part.get("filter", ())]
    if run.only is None and not tests:
        return system.members
    codes: Iterable[str] = system.concepts if run.only is None else _just(system, run.only[1])
    run.took(1)
    return {(url, code): {} for code in codes if all(test(code) for test in tests)}


def _just(system: System, code: str) -> list[str]:
    found = system.code(code)
    return [] if found is None else [found]


def _active(library: Library, found: Members) -> Members:
    systems = {url: library.find_system(url) for url in {url for url, _ in found}}
    return {key: said for key, said in found.items() if not is_inactive(concept_of(systems[key[0]], key[1]))}


def shown(system: System | None, code: str, said: Resource) -> Resource:
    """The concept as a value set shows it: what that says of it itself first, then all that its system says."""
    concept = concept_of(system, code)
    own = said.get("designation", [])
    designations = [*own, *(one for one in concept.get("designation", ()) if one not in own)]
    made = {**concept, **{name: value for name, value in said.items() if value}}
    return {**made, "designation": designations} if designations else made


def concept_of(system: System | None, code: str) -> Resource:
    """What the system says of a code; nothing if it is not held."""
    return system.concepts.get(code, {}) if system else {}
