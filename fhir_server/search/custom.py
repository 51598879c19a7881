"""SearchParameter resources (R4 searchparameter.html) -> parameters like those of the official table."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.elements import is_kind_of
from fhir_server.search.building import USED, Component, Definition, parameter, refused
from fhir_server.search.parameters import Known, Parameter, Path, official, standard

OFFICIAL = "http://hl7.org/fhir/SearchParameter/"
MAX_EXPRESSION = 2_000
MAX_COMPONENTS = 8
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)

_EVERY = {"Resource": RESOURCE_TYPES}
_EVERY["DomainResource"] = tuple(one for one in RESOURCE_TYPES if is_kind_of(one, "DomainResource"))


def effective(resource: dict[str, Any], in_force: Iterable[Definition] = ()) -> Definition | None:
    """What a valid SearchParameter asks for; None where it asks for nothing: it is not active, or one of R4's own.

    `in_force`: those that may be components. FhirError 422 says what cannot be made searchable, and what to do.
    """
    if resource["status"] != "active" or resource["url"].startswith(OFFICIAL):
        return None
    _check(resource)
    made = Definition(
        resource["url"],
        resource["code"],
        resource["type"],
        tuple(sorted({kind for base in resource["base"] for kind in _EVERY.get(base, (base,))})),
        resource["expression"],
        tuple(sorted(resource.get("target", ()))),
        _components(resource, {one.url: one for one in in_force}),
    )
    require_supported(made)
    return made


def require_supported(definition: Definition) -> None:
    """FhirError 422 where a type has a parameter with this code, or the expression is none for it."""
    for kind in definition.types:
        if definition.code in standard(kind):
            problem = f"R4 has a parameter with this code on {kind}: choose another, such as one with a prefix of the region's"
            raise refused(problem, "code")
        parameter(definition, kind, "")


def clash(one: Definition, others: Iterable[Definition]) -> str | None:
    """The type on which another definition has the same code."""
    taken = (kind for other in others if other.code == one.code for kind in other.types if kind in one.types)
    return next(taken, None)


def changed_below(in_force: Iterable[Definition]) -> str | None:
    """The code of a composite of which a component is not what it was any more."""
    every = list(in_force)
    parts = ((one.code, part) for one in every for part in one.components if not part.url.startswith(OFFICIAL))
    return next((code for code, part in parts if not any(_is(part, one) for one in every if one.url == part.url)), None)


def _is(part: Component, definition: Definition) -> bool:
    return _as_component(definition, part.expression) == part


def known(generation: int, rows: Iterable[tuple[Definition, str, bool]]) -> Known:
    """The parameters in force, of (definition, origin, whether it is indexed throughout)."""
    found: dict[str, list[tuple[Parameter, bool]]] = {}
    for one, origin, is_ready in rows:
        for kind in one.types:
            found.setdefault(kind, []).append((parameter(one, kind, origin), is_ready))
    return Known(
        generation,
        {kind: {**standard(kind), **{p.name: p for p, is_ready in some if is_ready}} for kind, some in found.items()},
        {kind: frozenset(p.name for p, is_ready in some if not is_ready) for kind, some in found.items()},
        {kind: tuple(entry for p, _ in some for entry in _entries(p)) for kind, some in found.items()},
    )


def _entries(parameter: Parameter) -> Iterable[tuple[str, Path]]:
    """The paths of its own that a write makes entries of."""
    return ((one.type, path) for one in (parameter, *parameter.components) for path in one.paths if path.indexed)


def _check(resource: dict[str, Any]) -> None:
    if resource["type"] == "special":
        problem = (
            "is special: R4 says of each such parameter by itself what it means. Choose the type of what the expression yields"
        )
        raise refused(problem, "type")
    if not _CODE.fullmatch(resource["code"]):
        raise refused("is 1 to 64 letters, digits and '-', a letter first, so that it can stand in a URL", "code")
    for base in resource["base"]:
        if base not in RESOURCE_TYPES and base not in _EVERY:
            raise refused("names a type that R4 does not have", "base")
    _check_expression(resource, "")


def _check_expression(node: dict[str, Any], place: str) -> None:
    if not node.get("expression"):
        raise refused("is missing: say in FHIRPath which elements are searched", f"{place}expression")
    if len(node["expression"]) > MAX_EXPRESSION:
        raise refused(f"is longer than {MAX_EXPRESSION} characters", f"{place}expression")


def _components(resource: dict[str, Any], in_force: Mapping[str, Definition]) -> tuple[Component, ...]:
    """The parts of a composite; of any other parameter there are none."""
    given = resource.get("component", ()) if resource["type"] == "composite" else ()
    if len(given) > MAX_COMPONENTS:
        raise refused(f"has more than {MAX_COMPONENTS} parts", "component")
    return tuple(_component(one, f"component[{at}].", in_force) for at, one in enumerate(given))


def _component(given: dict[str, Any], place: str, in_force: Mapping[str, Definition]) -> Component:
    _check_expression(given, place)
    url = given["definition"].partition("|")[0]
    if url.startswith(OFFICIAL):
        of_r4 = official(url.removeprefix(OFFICIAL))
        found = Component(url, of_r4.name, of_r4.type, of_r4.targets, given["expression"]) if of_r4 else None
    else:
        found = _as_component(in_force[url], given["expression"]) if url in in_force else None
    if found is None:
        problem = (
            "names a SearchParameter that is neither one of R4's that are searched here nor active: store that one first, with "
            "the status active, or in the same transaction"
        )
        raise refused(problem, f"{place}definition")
    if found.type not in USED:
        raise refused(f"is {found.type}, which cannot be part of a composite", f"{place}definition")
    if found.type == "reference" and "Patient" in found.targets:
        problem = (
            "may refer to a Patient, and whose record it is, is searched by a parameter of its own, such as patient: leave it "
            "out, or define one with other targets"
        )
        raise refused(problem, f"{place}definition")
    return found


def _as_component(definition: Definition, expression: str) -> Component:
    targets = definition.targets if definition.type != "reference" else parameter(definition, definition.types[0], "").targets
    return Component(definition.url, definition.code, definition.type, targets, expression)
