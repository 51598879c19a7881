"""The part of FHIRPath that R4's search parameters are written in, compiled once to closures.

Paths, `|`, `and`, `=`, `!=`, `is` after resolve(), `as`, indexers, literals, and the functions in `_FUNCTIONS`. A choice
element is named with its type (`value.ofType(Quantity)` reads `valueQuantity`): JSON alone does not tell a choice apart.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from fhir_server.r4.fhirpath_syntax import Node, choice_key, parse

Values = list[Any]
Evaluator = Callable[[Any], Values]

_REFERENCE_TYPE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?$")


def compile(expression: str, resource_type: str) -> Callable[[dict[str, Any]], Values]:
    """A function from a parsed resource to the elements that the expression selects; ValueError if not in the subset."""
    return _compile(parse(expression, resource_type))


def reference_type(reference: dict[str, Any]) -> str | None:
    """The resource type a Reference points at: of its literal reference, else its `type`; None if neither tells."""
    found = _REFERENCE_TYPE.search(reference.get("reference") or "")
    return found[1] if found else reference.get("type")


def _compile(node: Node) -> Evaluator:
    keys = _keys(node)
    return _plain(keys) if keys is not None else _COMPILERS[node[0]](*node[1:])


def _keys(node: Node) -> tuple[str, ...] | None:
    """The JSON keys of a plain path from the resource down (a choice's key carries its type); None if it is not plain."""
    if node == ("this",):
        return ()
    if node[0] == "child":
        below = _keys(node[1])
        return None if below is None else (*below, node[2])
    if node[0] == "as" and node[1][0] == "child":
        below = _keys(node[1][1])
        return None if below is None else (*below, choice_key(node[1][2], node[2]))
    return None


def _plain(keys: tuple[str, ...]) -> Evaluator:
    if not keys:
        return lambda node: [node]
    if len(keys) == 1:
        return _one(keys[0])
    return _deep(keys[:-1], keys[-1])


def _one(key: str) -> Evaluator:
    def read(node: Any) -> Values:
        value = node.get(key) if isinstance(node, dict) else None
        if value is None:
            return []
        # Arrays of primitives hold null where only an extension is given.
        return [item for item in value if item is not None] if isinstance(value, list) else [value]

    return read


def _deep(parents: tuple[str, ...], last: str) -> Evaluator:
    leaf = _one(last)

    def read(node: Any) -> Values:
        nodes = [node]
        for key in parents:
            below: Values = []
            for item in nodes:
                value = item.get(key) if isinstance(item, dict) else None
                if isinstance(value, list):
                    below += value
                elif value is not None:
                    below.append(value)
            if not below:
                return below
            nodes = below
        return leaf(nodes[0]) if len(nodes) == 1 else [value for item in nodes for value in leaf(item)]

    return read


def _each(base: Node, step: Callable[[Any], Iterable[Any]]) -> Evaluator:
    source = _compile(base)
    return lambda node: [value for item in source(node) for value in step(item)]


def _as(base: Node, type_name: str) -> Evaluator:
    if base[0] != "child":
        raise ValueError("only a choice element is given a type")
    return _each(base[1], _one(choice_key(base[2], type_name)))


def _index(base: Node, position: int) -> Evaluator:
    source = _compile(base)
    return lambda node: source(node)[position : position + 1]


def _either(a: Node, b: Node) -> Evaluator:
    left, right = _compile(a), _compile(b)

    def read(node: Any) -> Values:
        values = left(node)
        return values + [value for value in right(node) if value not in values]

    return read


def _call(base: Node, name: str, arguments: tuple[Node, ...]) -> Evaluator:
    if name not in _FUNCTIONS:
        raise ValueError(f"function {name} is not in the subset")
    return _FUNCTIONS[name](base, *arguments)


def _where(base: Node, criterion: Node) -> Evaluator:
    test = _compile(criterion)
    return _each(base, lambda item: (item,) if test(item) == [True] else ())


def _exists(base: Node) -> Evaluator:
    source = _compile(base)
    return lambda node: [bool(source(node))]


def _extension(base: Node, url: Node) -> Evaluator:
    return _each(base, lambda item: [entry for entry in _EXTENSIONS(item) if entry.get("url") == url[1]])


def _has_extension(base: Node, url: Node) -> Evaluator:
    return _each(base, lambda item: [any(entry.get("url") == url[1] for entry in _EXTENSIONS(item))])


def _op(symbol: str, a: Node, b: Node) -> Evaluator:
    return _OPERATORS[symbol](a, b)


def _is(a: Node, b: Node) -> Evaluator:
    if a[0] != "call" or a[2] != "resolve":
        raise ValueError("`is` is only known after resolve()")
    # Nothing is fetched: the reference itself says what it points at.
    return _each(a[1], lambda item: [isinstance(item, dict) and reference_type(item) == b[1]])


def _equals(wanted: bool) -> Callable[[Node, Node], Evaluator]:
    def build(a: Node, b: Node) -> Evaluator:
        left, right = _compile(a), _compile(b)

        def read(node: Any) -> Values:
            one, other = left(node), right(node)
            return [(one == other) is wanted] if one and other else []

        return read

    return build


def _and(a: Node, b: Node) -> Evaluator:
    left, right = _compile(a), _compile(b)

    def read(node: Any) -> Values:
        one, other = left(node), right(node)
        if one == [False] or other == [False]:
            return [False]
        return [True] if one and other else []

    return read


_EXTENSIONS = _one("extension")
_FUNCTIONS: dict[str, Callable[..., Evaluator]] = {
    "where": _where,
    "exists": _exists,
    "extension": _extension,
    "hasExtension": _has_extension,
}
_OPERATORS: dict[str, Callable[[Node, Node], Evaluator]] = {
    "is": _is,
    "=": _equals(True),
    "!=": _equals(False),
    "and": _and,
}
_COMPILERS: dict[str, Callable[..., Evaluator]] = {
    "child": lambda base, name: _each(base, _one(name)),
    "as": _as,
    "index": _index,
    "union": _either,
    "call": _call,
    "op": _op,
    "literal": lambda value: lambda _: [value],
}
