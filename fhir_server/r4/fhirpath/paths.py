"""Plain paths on parsed JSON, without making elements: what search reads at each write, and quick answers for invariants.

A plain path is a chain of element names, choices given a type (`value.ofType(Quantity)` reads `valueQuantity`).
"""

from collections.abc import Callable
from typing import Any

from fhir_server.r4.definitions import CHOICES
from fhir_server.r4.fhirpath.syntax import THIS, Node, choice_key
from fhir_server.r4.fhirpath.values import Element

Reader = Callable[[Any], list[Any]]

_BESIDE = frozenset(("extension", "id"))  # what a primitive has, in JSON below `_name`


def plain(node: Node) -> Reader | None:
    """A function from a JSON value to the JSON values at a plain path; None for any other expression."""
    keys = _keys(node)
    if keys is None:
        return None
    if len(keys) < 2:
        return _one(keys[0]) if keys else lambda node: [node]
    return _deep(keys[:-1], keys[-1])


def present(node: Node) -> Callable[[Any], bool] | None:
    """Whether anything stands at a path of element names, for an item; None for any other expression."""
    names = _names(node)
    if not names or any(name in _CHOICES for name in names[:-1]):
        return None
    parents, last = _parents(names[:-1]), names[-1]
    keys = frozenset((last, f"_{last}", *_CHOICES.get(last, ())))

    def test(item: Any) -> bool:
        node = _node(item)
        if not parents:
            return node is not None and not keys.isdisjoint(node)
        return any(type(below) is dict and not keys.isdisjoint(below) for below in parents(node))

    return test


def texts(node: Node) -> Callable[[Any], list[Any] | None] | None:
    """The JSON values at a path of element names, for an item; the function yields None where one may have extensions only,
    and there is no function for any other expression."""
    names = _names(node)
    if not names or any(name in _CHOICES for name in names):
        return None
    parents, last, beside = _parents(names[:-1]), names[-1], f"_{names[-1]}"
    leaf = _one(last)

    def read(item: Any) -> list[Any] | None:
        nodes = [_node(item)] if not parents else parents(_node(item))
        if any(type(node) is dict and beside in node for node in nodes):
            return None
        return [value for node in nodes for value in leaf(node)]

    return read


def _node(item: Any) -> dict[str, Any] | None:
    if item.__class__ is not Element:
        return None
    node = item.value if type(item.value) is dict else item.more
    return node if type(node) is dict else None


def _parents(names: tuple[str, ...]) -> Reader | None:
    if not names:
        return None
    return _one(names[0]) if len(names) == 1 else _deep(names[:-1], names[-1])


def _names(node: Node) -> tuple[str, ...] | None:
    """The names of a path of elements from $this down; None if it is something else."""
    names: tuple[str, ...] = ()
    while node[0] == "child":
        node, names = node[1], (node[2], *names)
    is_plain = node == THIS and names and not names[0][0].isupper() and _BESIDE.isdisjoint(names[1:])
    return names if is_plain else None


def _choices() -> dict[str, tuple[str, ...]]:
    """Choice element -> its JSON properties with any type, extensions of primitives among them."""
    found: dict[str, tuple[str, ...]] = {}
    for key, (element, *_) in CHOICES.items():
        found[element] = (*found.get(element, ()), key, f"_{key}")
    return found


_CHOICES = _choices()


def _keys(node: Node) -> tuple[str, ...] | None:
    """The JSON keys of a plain path from the resource down (a choice's key carries its type); None if it is not plain."""
    if node == THIS:
        return ()
    if node[0] == "child":
        below = _keys(node[1])
        return None if below is None or (below and node[2] in _BESIDE) else (*below, node[2])
    if node[0] == "as" and node[1][0] == "child":
        below = _keys(node[1][1])
        return None if below is None else (*below, choice_key(node[1][2], node[2]))
    return None


def _one(key: str) -> Reader:
    def read(node: Any) -> list[Any]:
        value = node.get(key) if isinstance(node, dict) else None
        if value is None:
            return []
        # Arrays of primitives hold null where only an extension is given.
        return [item for item in value if item is not None] if isinstance(value, list) else [value]

    return read


def _deep(parents: tuple[str, ...], last: str) -> Reader:
    leaf = _one(last)

    def read(node: Any) -> list[Any]:
        nodes = [node]
        for key in parents:
            below: list[Any] = []
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
