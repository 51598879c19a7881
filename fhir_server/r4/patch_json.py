"""JSON Patch (RFC 6902) on parsed JSON: pure, decimals as they were written.

A patch that is not one is 400; one that does not fit the document is 422. Errors say which operation and which element
(`Resource.name[0]`), and quote no value.
"""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import MAX_DEPTH, Number

MAX_OPERATIONS = 1000
MAX_COPIED = 10_000  # values, by `copy`: it may double what a short patch makes each time
LETTERS = 1_000  # of a text or a name are copied as one value more: a resource of 900 MB came of one of 1 MB

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_ELEMENT = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
_ESCAPE = re.compile(r"~(?![01])")

Path = tuple[str, ...]


class Change(NamedTuple):
    """One operation; `number` counts from 0, `source` is `from`."""

    number: int
    op: str
    path: Path
    source: Path
    value: Any


def changes(patch: Any) -> list[Change]:
    """The operations of a JSON Patch document; FhirError 400 `structure` if it is none (RFC 6902, section 3 and 4)."""
    if type(patch) is not list or not all(type(one) is dict for one in patch):
        raise FhirError(400, "structure", "a JSON Patch is an array of objects (RFC 6902)")
    if len(patch) > MAX_OPERATIONS:
        raise FhirError(400, "too-long", f"a patch has at most {MAX_OPERATIONS} operations")
    return [_change(number, one) for number, one in enumerate(patch)]


def apply(patch: list[Change], document: Any) -> Any:
    """The patched document; FhirError 422 where an operation does not fit. The given one is consumed."""
    state = _State(document)
    for change in patch:
        _OPERATIONS[change.op](state, change)
    return state.document


def _change(number: int, one: dict[str, Any]) -> Change:
    op = one.get("op")
    if type(op) is not str or op not in _OPERATIONS:
        raise _malformed(number, f"`op` must be one of {', '.join(_OPERATIONS)}")
    if op in _VALUED and "value" not in one:
        raise _malformed(number, f"`{op}` needs a `value`")
    source = _pointer(number, one, "from") if op in _SOURCED else ()
    return Change(number, op, _pointer(number, one, "path"), source, one.get("value"))


def _pointer(number: int, one: dict[str, Any], name: str) -> Path:
    """A JSON Pointer (RFC 6901) as its parts."""
    text = one.get(name)
    if type(text) is not str or (text and text[0] != "/") or _ESCAPE.search(text):
        raise _malformed(number, f"`{name}` must be a JSON Pointer such as /name/0/family")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


class _State:
    """The document while it is changed, and how much may still be copied."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self.left = MAX_COPIED

    def copy(self, change: Change, value: Any) -> Any:
        level, depth = [value], 0
        while level:
            self.left, depth = self.left - sum(map(_weight, level)), depth + 1
            if self.left < 0 or depth > MAX_DEPTH:
                raise _unfit(change, "copies too much")
            below = (node.values() if type(node) is dict else node for node in level if type(node) in (dict, list))
            level = [child for children in below for child in children]
        return deepcopy(value)


def _weight(value: Any) -> int:
    letters = len(value) if type(value) is str else sum(map(len, value)) if type(value) is dict else 0
    return 1 + letters // LETTERS


def _parent(state: _State, change: Change, path: Path) -> Any:
    node = state.document
    for part in path[:-1]:
        node = node[_key(change, node, part)]
    return node


def _key(change: Change, node: Any, part: str, beyond: int = 0) -> Any:
    """The key or index of something that is there, or `beyond` the end of an array."""
    if type(node) is dict and (part in node or beyond):
        return part
    if type(node) is list and ((part == "-" and beyond) or _INDEX.fullmatch(part)):
        index = len(node) if part == "-" else int(part)
        if index < len(node) + beyond:
            return index
    raise _unfit(change, "nothing stands where its path points")


def _get(state: _State, change: Change, path: Path) -> Any:
    if not path:
        return state.document
    parent = _parent(state, change, path)
    return parent[_key(change, parent, path[-1])]


def _put(state: _State, change: Change, value: Any) -> None:
    if not change.path:
        state.document = value
        return
    parent = _parent(state, change, change.path)
    key = _key(change, parent, change.path[-1], beyond=1)
    if type(parent) is list:
        parent.insert(key, value)
    else:
        parent[key] = value


def _take(state: _State, change: Change, path: Path) -> Any:
    if not path:
        raise _unfit(change, "the whole document cannot be removed")
    parent = _parent(state, change, path)
    key = _key(change, parent, path[-1])
    return parent.pop(key)


def _add(state: _State, change: Change) -> None:
    _put(state, change, deepcopy(change.value))


def _remove(state: _State, change: Change) -> None:
    _take(state, change, change.path)


def _replace(state: _State, change: Change) -> None:
    value = deepcopy(change.value)
    if not change.path:
        state.document = value
        return
    parent = _parent(state, change, change.path)
    parent[_key(change, parent, change.path[-1])] = value


def _move(state: _State, change: Change) -> None:
    if change.path == change.source:
        _get(state, change, change.source)
    elif change.path[: len(change.source)] == change.source:
        raise _unfit(change, "cannot move a value into itself")
    else:
        _put(state, change, _take(state, change, change.source))


def _copy(state: _State, change: Change) -> None:
    _put(state, change, state.copy(change, _get(state, change, change.source)))


def _test(state: _State, change: Change) -> None:
    if not is_same(_get(state, change, change.path), change.value):
        raise _unfit(change, "the document has another value")


def is_same(a: Any, b: Any) -> bool:
    """Equality of JSON values (RFC 6902, section 4.6): numbers by value, and a boolean is no number."""
    if type(a) is dict and type(b) is dict:
        return a.keys() == b.keys() and all(is_same(value, b[name]) for name, value in a.items())
    if type(a) is list and type(b) is list:
        return len(a) == len(b) and all(is_same(one, other) for one, other in zip(a, b, strict=True))
    return bool(_kind(a) is _kind(b) and a == b)


def _kind(value: Any) -> type:
    return float if type(value) in (int, Number) else type(value)


_OPERATIONS: dict[str, Callable[[_State, Change], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}
_VALUED = frozenset(("add", "replace", "test"))
_SOURCED = frozenset(("move", "copy"))


def _malformed(number: int, problem: str) -> FhirError:
    return FhirError(400, "structure", f"operation {number} of the patch: {problem}")


def _unfit(change: Change, problem: str) -> FhirError:
    text = f"operation {change.number} of the patch ({change.op}): {problem}"
    return FhirError(422, "processing", text, "".join(["Resource", *_steps(change.path[:MAX_DEPTH])]))


def _steps(path: Path) -> Iterator[str]:
    """A pointer as FHIRPath, as far as its parts are names of elements and indexes: others may be data."""
    for part in path:
        if _INDEX.fullmatch(part):
            yield f"[{part}]"
        elif _ELEMENT.fullmatch(part):
            yield f".{part.removeprefix('_')}"
        else:
            return
