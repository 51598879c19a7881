"""SearchParameter resources (R4 searchparameter.html) -> parameters like those of the official table."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.elements import is_kind_of
from fhir_server.r4.errors import FhirError
from fhir_server.r4.fhirpath import FhirPathError
from fhir_server.r4.search_types import USABLE
from fhir_server.search.expressions import Typed, names_variable, reader, typed, written
from fhir_server.search.parameters import Known, Parameter, Path, Repetition, joined, official, standard, target_of

OFFICIAL = "http://hl7.org/fhir/SearchParameter/"
MAX_EXPRESSION = 2_000
MAX_COMPONENTS = 8
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)
_RESOURCE = "%resource."

# As of the official parameters; a reference that is only a URI does not say whom the resource is about.
_USABLE = USABLE | {"reference": frozenset(("Reference", "canonical"))}
# Persons: their dates identify (DESIGN 3), so that they are indexed as terms of year, month and day.
_PERSONS = frozenset(("Patient", "Person", "RelatedPerson", "Practitioner"))
_EVERY = {"Resource": RESOURCE_TYPES}
_EVERY["DomainResource"] = tuple(one for one in RESOURCE_TYPES if is_kind_of(one, "DomainResource"))


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a composite: what the parameter that `url` names was when the composite was stored, and where it looks here."""

    url: str
    code: str
    type: str
    targets: tuple[str, ...]
    expression: str


@dataclass(frozen=True, slots=True)
class Definition:
    """What of a SearchParameter makes a difference to searches; `types` are concrete, `components` those of a composite."""

    url: str
    code: str
    type: str
    types: tuple[str, ...]
    expression: str
    targets: tuple[str, ...]
    components: tuple[Component, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON, for `definition_of`."""
        return asdict(self)


def definition_of(plain: dict[str, Any]) -> Definition:
    components = tuple(Component(**_with_tuples(one)) for one in plain.get("components", ()))
    return Definition(**_with_tuples(plain) | {"components": components})


def _with_tuples(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(one) if isinstance(one, list) else one for name, one in plain.items()}


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
            raise _refused(problem, "code")
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


def parameter(definition: Definition, resource_type: str, origin: str) -> Parameter:
    """The parameter that a definition makes on a type; FhirError 422 where its expression is none for this type."""
    if definition.type == "composite":
        return _composite(definition, resource_type, origin)
    usable = _usable(definition.type, definition.expression, resource_type, "expression")
    system = _implied_system(resource_type, definition.expression.strip().removeprefix(f"{resource_type}."))
    paths = tuple(
        _path(
            definition.code, definition.type, resource_type, f"{number}@{origin}", datatype, system, reader(node, resource_type)
        )
        for number, (node, datatype) in enumerate(usable)
    )
    targets = tuple(dict.fromkeys(one for node, _ in usable if (one := target_of(node))))
    return Parameter(definition.code, definition.type, definition.targets or targets or RESOURCE_TYPES, paths, origin=origin)


def _composite(definition: Definition, resource_type: str, origin: str) -> Parameter:
    """As R4's own: each repetition has all parts, and what the parts search in the whole resource gives candidates."""
    starts = _typed(definition.expression, resource_type, "expression")
    if not starts:
        raise _refused(f"yields nothing on {resource_type}", "expression")
    repetitions = tuple(
        Repetition(
            reader(node, resource_type),
            tuple(_part(at, one, resource_type, place, written(node)) for at, one in enumerate(definition.components)),
        )
        for node, place in starts
    )
    components = tuple(
        Parameter(one.code, one.type, one.targets, tuple(_whole(definition, at, resource_type, origin, repetitions)))
        for at, one in enumerate(definition.components)
    )
    return Parameter(definition.code, "composite", (), (), components, repetitions, origin)


def _part(at: int, component: Component, resource_type: str, place: str, start: str | None) -> tuple[Path, ...]:
    """The paths of a component from a repetition, each named by what it is from the resource, if that is a plain path."""
    of_resource = component.expression.startswith(_RESOURCE)
    start, place = ("$this", resource_type) if of_resource else (start, place)
    expression, element = component.expression.removeprefix(_RESOURCE), f"component[{at}].expression"
    usable = _usable(component.type, expression, place, element)
    if names_variable(expression):
        raise _refused("may begin with %resource and has no other variable", element)
    found = []
    for node, datatype in usable:
        path = written(node)
        name = joined(start, path) if start and path else ""
        system = _implied_system(resource_type, name) if datatype == "code" else None
        found.append(Path(name, datatype, system, "", False, False, None, False, reader(node, place), of_resource))
    return tuple(found)


def _whole(
    definition: Definition, at: int, resource_type: str, origin: str, repetitions: tuple[Repetition, ...]
) -> Iterable[Path]:
    """What a component searches in the whole resource: where R4 has a parameter of the same, by its entries."""
    component = definition.components[at]
    of_r4 = _of_r4(resource_type, component.type)
    for number, repetition in enumerate(repetitions):
        for place, path in enumerate(repetition.components[at]):
            name, extract = f"{at}.{number}.{place}@{origin}", _through(repetition, path)
            own = _path(definition.code, component.type, resource_type, name, path.datatype, path.system, extract)
            yield of_r4.get((path.expression, path.datatype), own)


@cache
def _of_r4(resource_type: str, kind: str) -> Mapping[tuple[str, str], Path]:
    """The paths that R4's parameters of one type have entries of, as of what makes none itself, by expression and datatype."""
    paths = (path for one in standard(resource_type).values() for path in one.paths if one.type == kind and path.key)
    return {(path.expression, path.datatype): replace(path, indexed=False) for path in paths}


def _through(repetition: Repetition, path: Path) -> Callable[[dict[str, Any]], list[Any]]:
    if path.of_resource:
        return path.extract
    return lambda resource: [value for element in repetition.extract(resource) for value in path.extract(element)]


def _check(resource: dict[str, Any]) -> None:
    if resource["type"] == "special":
        problem = (
            "is special: R4 says of each such parameter by itself what it means. Choose the type of what the expression yields"
        )
        raise _refused(problem, "type")
    if not _CODE.fullmatch(resource["code"]):
        raise _refused("is 1 to 64 letters, digits and '-', a letter first, so that it can stand in a URL", "code")
    for base in resource["base"]:
        if base not in RESOURCE_TYPES and base not in _EVERY:
            raise _refused("names a type that R4 does not have", "base")
    _check_expression(resource, "")


def _check_expression(node: dict[str, Any], place: str) -> None:
    if not node.get("expression"):
        raise _refused("is missing: say in FHIRPath which elements are searched", f"{place}expression")
    if len(node["expression"]) > MAX_EXPRESSION:
        raise _refused(f"is longer than {MAX_EXPRESSION} characters", f"{place}expression")


def _components(resource: dict[str, Any], in_force: Mapping[str, Definition]) -> tuple[Component, ...]:
    """The parts of a composite; of any other parameter there are none."""
    given = resource.get("component", ()) if resource["type"] == "composite" else ()
    if len(given) > MAX_COMPONENTS:
        raise _refused(f"has more than {MAX_COMPONENTS} parts", "component")
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
        raise _refused(problem, f"{place}definition")
    if found.type not in _USABLE:
        raise _refused(f"is {found.type}, which cannot be part of a composite", f"{place}definition")
    if found.type == "reference" and "Patient" in found.targets:
        problem = (
            "may refer to a Patient, and whose record it is, is searched by a parameter of its own, such as patient: leave it "
            "out, or define one with other targets"
        )
        raise _refused(problem, f"{place}definition")
    return found


def _as_component(definition: Definition, expression: str) -> Component:
    targets = definition.targets if definition.type != "reference" else parameter(definition, definition.types[0], "").targets
    return Component(definition.url, definition.code, definition.type, targets, expression)


def _refused(problem: str, element: str) -> FhirError:
    text = f"{problem} (or store it as a draft, which has no effect)"
    return FhirError(422, "business-rule", text, f"SearchParameter.{element}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "nothing"


def _typed(expression: str, place: str, element: str) -> list[Typed]:
    try:
        return typed(expression, place)
    except FhirPathError as error:
        raise _refused(f"on {place}: {error}", element) from None


def _usable(kind: str, expression: str, place: str, element: str) -> list[Typed]:
    """What of an expression a parameter of this type can search; FhirError 422 where that is nothing."""
    found = _typed(expression, place, element)
    usable = [(node, datatype) for node, datatype in found if datatype in _USABLE[kind]]
    if not usable:
        problem = (
            f"yields {_listed(datatype for _, datatype in found)} on {place}, in which a parameter of type "
            f"{kind} finds nothing: it searches {_listed(_USABLE[kind])}"
        )
        raise _refused(problem, element)
    return usable


def _path(
    code: str, kind: str, resource_type: str, name: str, datatype: str, system: str | None,
    extract: Callable[[dict[str, Any]], list[Any]],
) -> Path:  # fmt: skip
    """Its key is its own and that of this definition, so that what earlier ones left in the index is never found."""
    return Path(
        expression=f"{code}.{name}",
        datatype=datatype,
        system=system if datatype == "code" else None,
        key=f"{resource_type}.{code}.{name}",
        indexed=True,
        exact=True,
        target=None,
        days=kind == "date" and resource_type in _PERSONS,
        extract=extract,
    )


def _implied_system(resource_type: str, expression: str) -> str | None:
    """The code system that an official parameter tells of the same element."""
    paths = (path for one in standard(resource_type).values() for path in one.paths)
    return next((path.system for path in paths if path.expression == expression), None)
