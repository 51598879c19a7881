"""Whether an expression names only elements that the types of R4 have (N1 10: strict evaluation), before it runs.

What a step yields is a set of types, or None where only the resource can tell: below a resource of any type, or after a
function whose result is no element.
"""

from collections.abc import Callable

from fhir_server.r4.elements import choices, fields, is_kind_of, is_type
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.iteration import ITERATIONS
from fhir_server.r4.fhirpath.syntax import THIS, Node

Types = frozenset[str] | None

# Functions that yield some of their input.
_SELECTING = frozenset(
    ("where", "first", "last", "tail", "skip", "take", "single", "distinct", "intersect", "exclude", "trace", "sort")
)


def check(node: Node, resource_type: str) -> None:
    """FhirPathError where a path leads to an element that its type does not have."""
    types(node, resource_type)


def types(node: Node, resource_type: str) -> Types:
    """The types that an expression yields on a resource; FhirPathError as of `check`."""
    return _types(node, frozenset((resource_type,)))


def _types(node: Node, this: Types) -> Types:
    return _CHECKS[node[0]](this, *node[1:]) if node[0] in _CHECKS else None


def _child(this: Types, base: Node, name: str) -> Types:
    types = _types(base, this)
    if types is None or "Resource" in types:
        return None
    if base == THIS and any(is_kind_of(kind, name) for kind in types):
        return types
    found = {field for kind in types for field in _fields(kind, name)}
    if not found:
        raise FhirPathError(f"R4 has no element {name!r} here")
    return frozenset(found)


def _fields(kind: str, name: str) -> list[str]:
    known = fields(kind)
    return [known[key].type for key in choices(kind).get(name, (name,)) if key in known]


def _as(this: Types, base: Node, name: str) -> Types:
    _types(base, this)
    short = name.removeprefix("FHIR.")
    return frozenset((short,)) if is_type(short) else None


def _union(this: Types, a: Node, b: Node) -> Types:
    left, right = _types(a, this), _types(b, this)
    return None if left is None or right is None else left | right


def _call(this: Types, base: Node, name: str, arguments: tuple[Node, ...]) -> Types:
    types = _types(base, this)
    inner = types if name in ITERATIONS else this
    found = [_types(argument, inner) for argument in arguments]
    if name in _SELECTING:
        return types
    if name == "extension":
        return frozenset(("Extension",))
    return found[0] if name == "select" and found else None


def _op(this: Types, symbol: str, a: Node, b: Node) -> Types:
    _types(a, this)
    _types(b, this)
    return None


_CHECKS: dict[str, Callable[..., Types]] = {
    "this": lambda this: this,
    "child": _child,
    "as": _as,
    "index": lambda this, base, position: _types(base, this),
    "union": _union,
    "call": _call,
    "op": _op,
    "sign": lambda this, symbol, base: _types(base, this),
}
