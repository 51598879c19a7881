"""$validate-code (R4 valueset-operation-validate-code.html, codesystem-operation-validate-code.html)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.library import Library
from fhir_server.terminology.members import Resource, concept_of, members, shown
from fhir_server.terminology.results import if_given, parameter, parameters
from fhir_server.terminology.systems import System, display, fold, is_abstract, names


@dataclass(frozen=True, slots=True)
class Asked:
    """Codings, one of which is to be valid; `abstract`: whether a concept that only groups others will do."""

    codings: Sequence[Resource]
    abstract: bool = False
    language: str | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    valid: bool
    message: str | None = None
    display: str | None = None


_Find = Callable[[Resource], tuple[Resource, str | None]]
# A coding -> (concept, None), or ({}, what is wrong with it).


def in_value_set(library: Library, value_set: Resource, asked: Asked) -> Resource:
    """Parameters `result`, `message`, `display`. 404 where that depends on a code system that is not held."""

    def find(coding: Resource) -> tuple[Resource, str | None]:
        found = members(library, value_set, (coding["system"], coding.get("code", "")))
        system = library.find_system(coding["system"])
        for (_, code), said in found.items():
            concept = shown(system, code, said)
            own = [{"value": name} for name in names(concept_of(system, code))]  # still names of it, whatever the set shows
            return {**concept, "designation": [*concept.get("designation", ()), *own]}, _of_another_version(coding, system)
        return {}, "the code is not in the value set"

    return _answer(asked, find)


def in_system(system: System, asked: Asked) -> Resource:
    """The same, for a code system."""

    def find(coding: Resource) -> tuple[Resource, str | None]:
        if coding.get("system", system.url) != system.url:
            return {}, "the coding is of another code system"
        code = system.code(coding.get("code", ""))
        if code is not None:
            return system.concepts[code], _of_another_version(coding, system)
        partly = "" if system.is_complete else "; only some of its codes are held here"
        return {}, f"the code is not in the code system{partly}"

    return _answer(asked, find)


def _of_another_version(coding: Resource, system: System | None) -> str | None:
    held = system.about.get("version") if system else None
    return None if coding.get("version") in (None, held) else "this version of the code system is not held here"


def _answer(asked: Asked, find: _Find) -> Resource:
    best = _best(asked, find)
    return parameters(parameter("result", best.valid), if_given("message", best.message), if_given("display", best.display))


def _best(asked: Asked, find: _Find) -> _Verdict:
    """A valid one, else the first; what cannot be told of one coding does not matter where another is valid."""
    verdicts: list[_Verdict] = []
    refused: list[FhirError] = []
    for coding in asked.codings:
        try:
            verdicts.append(_verdict(coding, find, asked))
        except FhirError as error:
            refused.append(error)
    valid = [one for one in verdicts if one.valid]
    if refused and not valid:
        raise refused[0]
    return (valid or verdicts)[0]


def _verdict(coding: Resource, find: _Find, asked: Asked) -> _Verdict:
    concept, problem = find(coding)
    if problem:
        return _Verdict(False, problem)
    shown = display(concept, asked.language)
    if is_abstract(concept) and not asked.abstract:
        return _Verdict(False, "the code is abstract: it groups others and is not for use in a record", shown)
    if not _is_name(coding.get("display"), concept):
        return _Verdict(False, "the display is not one of this code", shown)
    return _Verdict(True, display=shown)


def _is_name(given: Any, concept: Resource) -> bool:
    """Whether a display is one of the concept, apart from case, width and blanks; where none is known any will do."""
    known = {_blanks(name) for name in names(concept)}
    return not given or not known or _blanks(str(given)) in known


def _blanks(text: str) -> str:
    return " ".join(fold(text).split())
