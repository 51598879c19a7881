"""CodeSystem/$lookup and $subsumes (R4 codesystem-operation-lookup.html, codesystem-operation-subsumes.html)."""

from collections.abc import Iterator, Sequence
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.results import if_given, parameter, parameters
from fhir_server.terminology.systems import Resource, System, display, is_inactive, names

_DESIGNATION = (("language", "Code"), ("use", "Coding"), ("value", "String"))


def lookup(system: System, code: str, language: str | None = None, properties: Sequence[str] = ()) -> Resource:
    """What the system says of a code; `properties` are those to give, none: all. 404 for a code it does not have."""
    known = _known(system, code)
    concept = system.concepts[known]

    def wanted(name: str) -> bool:
        return not properties or name in properties

    designations = [
        _designation(one)
        for one in concept.get("designation", ())
        if wanted("designation") or f"lang.{one.get('language')}" in properties
    ]
    told = [one for one in _properties(system, known) if wanted(one[0]["valueCode"])]
    return parameters(
        parameter("name", str(system.about.get("name") or system.about.get("title") or system.url)),
        if_given("version", system.about.get("version")),
        parameter("display", display(concept, language) or next(iter(names(concept)), known)),
        *(parameter("designation", parts) for parts in designations if parts),
        *(parameter("property", parts) for parts in told),
    )


def subsumes(system: System, code_a: str, code_b: str) -> Resource:
    """Parameters `outcome`: equivalent, subsumes, subsumed-by or not-subsumed (concept-subsumption-outcome)."""
    one, other = _known(system, code_a), _known(system, code_b)
    return parameters(parameter("outcome", _outcome(system, one, other), "Code"))


def _outcome(system: System, one: str, other: str) -> str:
    """A code is equivalent to itself whatever the hierarchy means; for all else it must mean subsumption."""
    if one == other:
        return "equivalent"
    if other in system.below(one):
        return "subsumes"
    return "subsumed-by" if one in system.below(other) else "not-subsumed"


def _known(system: System, code: str) -> str:
    found = system.code(code)
    if found is None:
        partly = "" if system.is_complete else "; only some of its codes are held here"
        raise FhirError(404, "not-found", f"the code system has no such code{partly}", "code")
    return found


def _designation(one: Resource) -> list[Resource]:
    return [parameter(name, one[name], kind) for name, kind in _DESIGNATION if name in one]


def _properties(system: System, code: str) -> Iterator[list[Resource]]:
    """The parts of each property: those every code system has, then the concept's own."""
    concept = system.concepts[code]
    if "definition" in concept:
        yield _property("definition", "valueString", concept["definition"])
    yield _property("inactive", "valueBoolean", is_inactive(concept))
    for name, links in (("parent", system.parents), ("child", system.children)):
        for other in links.get(code, ()):
            shown = if_given("description", display(system.concepts.get(other, {})))
            yield [*_property(name, "valueCode", other), *([shown] if shown else [])]
    for one in concept.get("property", ()):
        if one.get("code", "inactive") not in ("parent", "child", "inactive"):
            yield from (_property(one["code"], name, value) for name, value in one.items() if name.startswith("value"))


def _property(code: str, name: str, value: Any) -> list[Resource]:
    return [parameter("code", code, "Code"), {"name": "value", name: value}]
