"""SearchParameter resources (R4 searchparameter.html) -> parameters like those of the official table."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import CHOICES, RESOURCE_TYPES
from fhir_server.r4.elements import fields, is_kind_of
from fhir_server.r4.errors import FhirError
from fhir_server.r4.fhirpath import FhirPathError, checking, syntax
from fhir_server.r4.search_types import USABLE
from fhir_server.search.parameters import Known, Parameter, Path, standard, target_of

OFFICIAL = "http://hl7.org/fhir/SearchParameter/"
MAX_EXPRESSION = 2_000
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)

_TESTS = frozenset(("=", "~", "!=", "!~", "<", ">", "<=", ">=", "and", "or", "xor", "implies", "in", "contains", "is"))
# What functions yield that yield no element; those that yield some of their input are `_SELECTING`. No others: their time or
# their result would depend on more than the resource.
_YIELDS = {
    **dict.fromkeys(("exists", "empty", "not", "all", "allTrue", "anyTrue", "allFalse", "anyFalse", "hasValue"), "boolean"),
    **dict.fromkeys(("isDistinct", "contains", "startsWith", "endsWith", "matches", "subsetOf", "supersetOf"), "boolean"),
    **dict.fromkeys(("count", "length", "indexOf"), "integer"),
    **dict.fromkeys(("lower", "upper", "substring", "replace", "toString", "trim", "join"), "string"),
}
_SELECTING = frozenset(
    ("where", "first", "last", "tail", "skip", "take", "distinct", "intersect", "exclude", "select", "extension", "resolve")
)
# As of the official parameters; a reference that is only a URI does not say whom the resource is about.
_USABLE = USABLE | {"reference": frozenset(("Reference", "canonical"))}
# Persons: their dates identify (DESIGN 3), so that they are indexed as terms of year, month and day.
_PERSONS = frozenset(("Patient", "Person", "RelatedPerson", "Practitioner"))
_CHOICE_NAMES = frozenset(element for element, *_ in CHOICES.values())
_EVERY = {"Resource": RESOURCE_TYPES}
_EVERY["DomainResource"] = tuple(one for one in RESOURCE_TYPES if is_kind_of(one, "DomainResource"))


@dataclass(frozen=True, slots=True)
class Definition:
    """What of a SearchParameter makes a difference to searches; `types` are concrete."""

    url: str
    code: str
    type: str
    types: tuple[str, ...]
    expression: str
    targets: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON, for `definition_of`."""
        return {name: getattr(self, name) for name in self.__slots__}


def definition_of(plain: dict[str, Any]) -> Definition:
    made: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in plain.items()}
    return Definition(**made)


def effective(resource: dict[str, Any]) -> Definition | None:
    """What a valid SearchParameter asks for; None where it asks for nothing: it is not active, or one of R4's own.

    FhirError 422 says what cannot be made searchable, and what to do.
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
        {kind: tuple((p.type, path) for p, _ in some for path in p.paths) for kind, some in found.items()},
    )


def parameter(definition: Definition, resource_type: str, origin: str) -> Parameter:
    """The parameter that a definition makes on a type; FhirError 422 where its expression is none for this type."""
    try:
        node = syntax.parse(definition.expression, resource_type)
        _require_repeatable(node)
        parts = [part for part in _alternatives(node) if not _is_of_another_type(part, resource_type)]
        found = [(part, datatype) for part in parts for datatype in _datatypes(part, resource_type)]
    except FhirPathError as error:
        raise _refused(f"on {resource_type}: {error}", "expression") from None
    usable = [(part, datatype) for part, datatype in found if datatype in _USABLE[definition.type]]
    if not usable:
        problem = (
            f"yields {_listed(datatype for _, datatype in found)} on {resource_type}, in which a parameter of type "
            f"{definition.type} finds nothing: it searches {_listed(_USABLE[definition.type])}"
        )
        raise _refused(problem, "expression")
    several = len({datatype for _, datatype in found}) > 1
    paths = tuple(
        _path(definition, resource_type, f"{number}@{origin}", ("as", part, datatype) if several else part, datatype)
        for number, (part, datatype) in enumerate(usable)
    )
    targets = tuple(dict.fromkeys(one for part, _ in usable if (one := target_of(part))))
    return Parameter(definition.code, definition.type, definition.targets or targets or RESOURCE_TYPES, paths, origin=origin)


def _check(resource: dict[str, Any]) -> None:
    if resource["type"] not in _USABLE:
        raise _refused(f"is {resource['type']}: of a composite define the parts; special has no general meaning", "type")
    if not _CODE.fullmatch(resource["code"]):
        raise _refused("is 1 to 64 letters, digits and '-', a letter first, so that it can stand in a URL", "code")
    for base in resource["base"]:
        if base not in RESOURCE_TYPES and base not in _EVERY:
            raise _refused("names a type that R4 does not have", "base")
    if not resource.get("expression"):
        raise _refused("is missing: say in FHIRPath which elements are searched", "expression")
    if len(resource["expression"]) > MAX_EXPRESSION:
        raise _refused(f"is longer than {MAX_EXPRESSION} characters", "expression")


def _refused(problem: str, element: str) -> FhirError:
    text = f"{problem} (or store it as a draft, which has no effect)"
    return FhirError(422, "business-rule", text, f"SearchParameter.{element}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "nothing"


def _path(definition: Definition, resource_type: str, name: str, node: syntax.Node, datatype: str) -> Path:
    """Its key is its own and that of this definition, so that what earlier ones left in the index is never found."""
    key = f"{resource_type}.{definition.code}.{name}"
    return Path(
        expression=f"{definition.code}.{name}",
        datatype=datatype,
        system=_implied_system(resource_type, definition.expression) if datatype == "code" else None,
        key=key,
        indexed=True,
        exact=True,
        target=None,
        days=definition.type == "date" and resource_type in _PERSONS,
        extract=_reader(node, resource_type),
    )


def _implied_system(resource_type: str, expression: str) -> str | None:
    """The code system that an official parameter tells of the same element."""
    bare = expression.strip().removeprefix(f"{resource_type}.")
    paths = (path for one in standard(resource_type).values() for path in one.paths)
    return next((path.system for path in paths if path.expression == bare), None)


def _reader(node: syntax.Node, resource_type: str) -> Callable[[dict[str, Any]], list[Any]]:
    """What the expression selects; nothing where it fails on a resource, which is to be stored all the same."""
    plain = fhirpath.paths.plain(node) if _is_plain(node, resource_type) else None
    if plain:
        return plain
    read = fhirpath.reader(node)

    def extract(resource: dict[str, Any]) -> list[Any]:
        try:
            return read(resource)
        except FhirPathError:
            return []

    return extract


def _is_plain(node: syntax.Node, resource_type: str) -> bool:
    """Whether it is a chain of names that are JSON properties: none a choice, but for a typed one of the resource itself."""
    if node[0] == "as" and node[1][0] == "child" and node[1][1] == syntax.THIS:
        return syntax.choice_key(node[1][2], node[2]) in fields(resource_type)
    while node[0] == "child" and node[2] not in _CHOICE_NAMES:
        node = node[1]
    return bool(node == syntax.THIS)


def _alternatives(node: syntax.Node) -> list[syntax.Node]:
    return [*_alternatives(node[1]), *_alternatives(node[2])] if node[0] == "union" else [node]


def _is_of_another_type(node: syntax.Node, resource_type: str) -> bool:
    """Of `Patient.x | Person.x` each type has its own."""
    while node[0] in ("child", "as", "index", "call"):
        if node[0] == "child" and node[1] == syntax.THIS:
            return node[2] in RESOURCE_TYPES and node[2] != resource_type
        node = node[1]
    return False


def _datatypes(node: syntax.Node, resource_type: str) -> list[str]:
    """What the expression can yield, by its form; FhirPathError where that cannot be told."""
    found = checking.types(node, resource_type)
    if node[0] == "op" and node[1] in _TESTS:
        return ["boolean"]
    if node[0] == "call" and node[2] in _YIELDS:
        return [_YIELDS[node[2]]]
    if not found:
        raise FhirPathError("it cannot be told what the expression yields: end it in .ofType(TYPE)")
    return sorted(found)


def _require_repeatable(node: syntax.Node) -> None:
    """Entries are made when a resource is written: they must come of it alone, and in little time."""
    for part in _parts(node):
        if part[0] == "call" and part[2] not in _YIELDS and part[2] not in _SELECTING:
            raise FhirPathError(f"the function {part[2]} is not supported in a search parameter")


def _parts(node: syntax.Node) -> Iterator[syntax.Node]:
    yield node
    for part in node:
        if isinstance(part, tuple):
            if part and isinstance(part[0], str):
                yield from _parts(part)
            else:
                for one in part:  # the arguments of a call
                    yield from _parts(one)
