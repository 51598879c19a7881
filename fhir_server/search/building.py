"""What a SearchParameter of the region's own defines (search/custom.py), built: the parameter that it makes on a type."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.fhirpath import FhirPathError
from fhir_server.r4.search_types import USABLE
from fhir_server.search.expressions import Typed, names_variable, reader, typed, written
from fhir_server.search.parameters import Parameter, Path, Repetition, joined, standard, target_of

# As of the official parameters; a reference that is only a URI does not say whom the resource is about.
USED = USABLE | {"reference": frozenset(("Reference", "canonical"))}
# Persons: their dates identify (DESIGN 3), so that they are indexed as terms of year, month and day.
_PERSONS = frozenset(("Patient", "Person", "RelatedPerson", "Practitioner"))
_RESOURCE = "%resource."


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
        raise refused(f"yields nothing on {resource_type}", "expression")
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
        raise refused("may begin with %resource and has no other variable", element)
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


def refused(problem: str, element: str) -> FhirError:
    text = f"{problem} (or store it as a draft, which has no effect)"
    return FhirError(422, "business-rule", text, f"SearchParameter.{element}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "nothing"


def _typed(expression: str, place: str, element: str) -> list[Typed]:
    try:
        return typed(expression, place)
    except FhirPathError as error:
        raise refused(f"on {place}: {error}", element) from None


def _usable(kind: str, expression: str, place: str, element: str) -> list[Typed]:
    """What of an expression a parameter of this type can search; FhirError 422 where that is nothing."""
    found = _typed(expression, place, element)
    usable = [(node, datatype) for node, datatype in found if datatype in USED[kind]]
    if not usable:
        problem = (
            f"yields {_listed(datatype for _, datatype in found)} on {place}, in which a parameter of type "
            f"{kind} finds nothing: it searches {_listed(USED[kind])}"
        )
        raise refused(problem, element)
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
