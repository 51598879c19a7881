"""The expressions of custom search parameters: what they yield, told before they run, and how they are read."""

from collections.abc import Callable, Iterator
from typing import Any

from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import CHOICES, RESOURCE_TYPES
from fhir_server.r4.elements import fields
from fhir_server.r4.fhirpath import FhirPathError, checking, syntax

Typed = tuple[syntax.Node, str]
"""One of the alternatives of an expression, and the type it yields."""

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
_CHOICE_NAMES = frozenset(element for element, *_ in CHOICES.values())


def typed(expression: str, place: str) -> list[Typed]:
    """The alternatives of an expression on a type (a backbone element's is its path), choices by type; FhirPathError where it
    is none for this type, or where it cannot be told what it yields."""
    node = syntax.parse(expression, place)
    _require_repeatable(node)
    parts = [part for part in syntax.alternatives(node) if not _is_of_another_type(part, place)]
    return [one for part in parts for one in _by_type(part, _datatypes(part, place))]


def reader(node: syntax.Node, place: str) -> Callable[[dict[str, Any]], list[Any]]:
    """What the expression selects; nothing where it fails on a resource, which is to be stored all the same."""
    plain = fhirpath.paths.plain(node) if _is_plain(node, place) else None
    if plain:
        return plain
    read = fhirpath.reader(node, place)

    def extract(value: Any) -> list[Any]:
        try:
            return read(value)
        except FhirPathError:
            return []

    return extract


def written(node: syntax.Node) -> str | None:
    """A path of names, choices by type, as R4's table has it; None for any other expression."""
    return syntax.write(node) if fhirpath.paths.plain(node) else None


def names_variable(expression: str) -> bool:
    """Whether it has a variable, such as %resource."""
    return any(part[0] == "variable" for part in _parts(syntax.parse(expression)))


def _is_plain(node: syntax.Node, place: str) -> bool:
    """Whether it is a chain of names that are JSON properties: none a choice, but for a typed one of the type itself."""
    if node[0] == "as" and node[1][0] == "child" and node[1][1] == syntax.THIS:
        return syntax.choice_key(node[1][2], node[2]) in fields(place)
    while node[0] == "child" and node[2] not in _CHOICE_NAMES:
        node = node[1]
    return bool(node == syntax.THIS)


def _is_of_another_type(node: syntax.Node, resource_type: str) -> bool:
    """Of `Patient.x | Person.x` each type has its own."""
    while node[0] in ("child", "as", "index", "call"):
        if node[0] == "child" and node[1] == syntax.THIS:
            return node[2] in RESOURCE_TYPES and node[2] != resource_type
        node = node[1]
    return False


def _by_type(node: syntax.Node, datatypes: list[str]) -> list[Typed]:
    if len(datatypes) == 1:
        return [(node, datatypes[0])]
    if any("." in one for one in datatypes):
        raise FhirPathError("it yields elements of several kinds: name each by itself, | between")
    return [(("as", node, one), one) for one in datatypes]


def _datatypes(node: syntax.Node, place: str) -> list[str]:
    """What the expression can yield, by its form; FhirPathError where that cannot be told."""
    found = checking.types(node, place)
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
