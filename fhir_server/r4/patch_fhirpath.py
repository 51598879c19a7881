"""FHIRPath Patch (R4 fhirpatch.html): a Parameters resource that changes a resource; pure.

A patch that is not one is 400; one that does not fit the resource is 422. Errors name the parameter, and quote no value.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_server.r4.definitions import CHOICES
from fhir_server.r4.elements import UNKNOWN, Field, choices, fields
from fhir_server.r4.errors import FhirError
from fhir_server.r4.fhirpath import Element, Environment, FhirPathError, run
from fhir_server.r4.fhirpath.checking import check
from fhir_server.r4.fhirpath.compiler import build
from fhir_server.r4.fhirpath.syntax import Node, choice_key
from fhir_server.r4.fhirpath.values import resource
from fhir_server.r4.patch_parameters import Change, Json, parts


def apply(patch: list[Change], value: Json) -> Json:
    """Change a resource in place; FhirError 422 where an operation does not fit, and then the resource is of no use."""
    root = resource(value)
    environment = Environment(root, root, root)
    for change in patch:
        try:
            check(change.path, root.type)  # a slip in a path must not pass for an element that is absent
            _OPERATIONS[change.type](change, root, environment)
        except FhirPathError as error:
            raise _unfit(change, str(error)) from None
    return value


# --- values --------------------------------------------------------------------------------------------------------------


class _Value(NamedTuple):
    """A value as JSON, what stands beside it in `_name`, and the type its part names ("" where it has parts itself)."""

    value: Any
    more: Any
    type: str


def _value(change: Change, part: Json, place: str) -> _Value:
    """The value of a part: value[x], a resource, or parts that are the elements of a type without a name (`place`)."""
    if isinstance(part.get("resource"), dict):
        return _Value(part["resource"], None, "")
    for key in (key.removeprefix("_") for key in part):
        if CHOICES.get(key, ("",))[0] == "value":
            return _Value(part.get(key), part.get(f"_{key}"), CHOICES[key][1])
    if not parts(part):
        raise _unfit(change, "`value` has neither a value nor parts")
    made: Json = {}
    for one in parts(part):
        _add_to(change, made, place, str(one.get("name", "")), one)
    return _Value(made, None, "")


def _add_to(change: Change, node: Json, place: str, name: str, part: Json) -> None:
    """Put what a part holds into a JSON object that is a `place`, at the end of an array or where nothing is yet."""
    value, key, field = _fitted(change, place, name, part)
    if field.repeats:
        _insert(node, key, value, max(len(node.get(key) or ()), len(node.get(f"_{key}") or ())))
        return
    if any(one in node or f"_{one}" in node for one in (key, *choices(place).get(name, ()))):
        raise _unfit(change, "the element is there already; use replace")
    _set(node, key, value)


def _fitted(change: Change, place: str, name: str, part: Json) -> tuple[_Value, str, Field]:
    known = fields(place)
    value = _value(change, part, known.get(name, UNKNOWN).type)
    key = choice_key(name, value.type) if name in choices(place) else name
    field = known.get(key)
    if field is None:
        raise _unfit(change, "R4 has no such element here")
    return value, key, field


def _set(node: Json, key: str, value: _Value) -> None:
    for name, content in ((key, value.value), (f"_{key}", value.more)):
        if content is None:
            node.pop(name, None)
        else:
            node[name] = content


# --- arrays: what `name` and `_name` hold stays side by side -----------------------------------------------------------------


def _pairs(node: Json, key: str) -> list[tuple[Any, Any]]:
    values, mores = node.get(key) or [], node.get(f"_{key}") or []
    count = max(len(values), len(mores))
    return list(zip(values + [None] * (count - len(values)), mores + [None] * (count - len(mores)), strict=True))


def _store(node: Json, key: str, pairs: list[tuple[Any, Any]]) -> None:
    for name, content in ((key, [value for value, _ in pairs]), (f"_{key}", [more for _, more in pairs])):
        if any(one is not None for one in content):
            node[name] = content
        else:
            node.pop(name, None)


def _insert(node: Json, key: str, value: _Value, index: int) -> None:
    pairs = _pairs(node, key)
    pairs.insert(index, (value.value, value.more))
    _store(node, key, pairs)


# --- operations ------------------------------------------------------------------------------------------------------------


def _add(change: Change, root: Element, environment: Environment) -> None:
    target = _single(change, change.path, root, environment)
    _add_to(change, _object(change, target), target.type, change.name, change.value or {})


def _insert_at(change: Change, root: Element, environment: Environment) -> None:
    node, name, place, _ = _array(change, root, environment)
    value, key, field = _fitted(change, place, name, change.value or {})
    if not field.repeats or change.index > len(_pairs(node, key)):
        raise _unfit(change, "`index` is beyond the end of the list" if field.repeats else "the element is no list")
    _insert(node, key, value, change.index)


def _move(change: Change, root: Element, environment: Environment) -> None:
    node, name, _, field = _array(change, root, environment)
    pairs = _pairs(node, name) if field.repeats else []
    if max(change.source, change.destination) >= len(pairs):
        raise _unfit(change, "`source` and `destination` must be places in the list")
    pairs.insert(change.destination, pairs.pop(change.source))
    _store(node, name, pairs)


def _delete(change: Change, root: Element, environment: Environment) -> None:
    found = _select(change.path, root, environment)
    if len(found) > 1:
        raise _unfit(change, "`path` finds several elements; delete takes one")
    for target in found:
        if target.holder is None:
            raise _unfit(change, "the resource itself cannot be deleted by a patch")
        _remove(target)
        _prune(root.value)


def _replace(change: Change, root: Element, environment: Environment) -> None:
    target = _single(change, change.path, root, environment)
    if target.holder is None:
        raise _unfit(change, "the resource itself cannot be replaced by a patch")
    value = _value(change, change.value or {}, target.type)
    element, _, _ = CHOICES.get(target.key, ("", "", ()))
    if target.index is not None:
        pairs = _pairs(target.holder, target.key)
        pairs[target.index] = (value.value, value.more)
        _store(target.holder, target.key, pairs)
    elif element and value.type and target.key == choice_key(element, target.type):
        _remove(target)
        _set(target.holder, choice_key(element, value.type), value)
    else:
        _set(target.holder, target.key, value)


def _remove(target: Element) -> None:
    if target.index is None:
        _set(target.holder, target.key, _Value(None, None, ""))
    else:
        pairs = _pairs(target.holder, target.key)
        del pairs[target.index]
        _store(target.holder, target.key, pairs)


def _prune(node: Json) -> None:
    """Leave out objects and arrays that became empty: FHIR has none (json.html)."""
    for key in dict.fromkeys(name.removeprefix("_") for name in node):
        value, more = node.get(key), node.get(f"_{key}")
        if list in (type(value), type(more)):
            pairs = [(_pruned(one), _pruned(other)) for one, other in _pairs(node, key)]
            _store(node, key, [pair for pair in pairs if pair != (None, None)])
        else:
            _set(node, key, _Value(_pruned(value), _pruned(more), ""))


def _pruned(value: Any) -> Any:
    if type(value) is dict:
        _prune(value)
    return None if value == {} else value


def _array(change: Change, root: Element, environment: Environment) -> tuple[Json, str, str, Field]:
    """Where a list stands, whether it is there or not: JSON object, name, type of what holds it, and the list's Field."""
    if change.path[0] != "child":
        raise _unfit(change, "`path` must end in the name of a list")
    holder = _single(change, change.path[1], root, environment)
    field = fields(holder.type).get(change.path[2], UNKNOWN)
    return _object(change, holder), change.path[2], holder.type, field


def _object(change: Change, target: Element) -> Json:
    """The JSON object of an element; a primitive's is what stands beside it."""
    if type(target.value) is dict:
        return target.value
    if target.holder is None:
        raise _unfit(change, "nothing can be put below this")
    more = target.more if type(target.more) is dict else {}
    if target.index is None:
        target.holder[f"_{target.key}"] = more
    else:
        pairs = _pairs(target.holder, target.key)
        pairs[target.index] = (target.value, more)
        _store(target.holder, target.key, pairs)
    return more


def _select(path: Node, root: Element, environment: Environment) -> list[Element]:
    return [found for found in run(build(path), root, environment) if found.__class__ is Element]


def _single(change: Change, path: Node, root: Element, environment: Environment) -> Element:
    found = _select(path, root, environment)
    if len(found) != 1:
        raise _unfit(change, "`path` must find exactly one element; it finds " + ("several" if found else "none"))
    return found[0]


_OPERATIONS: dict[str, Callable[[Change, Element, Environment], None]] = {
    "add": _add,
    "insert": _insert_at,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _unfit(change: Change, problem: str) -> FhirError:
    return FhirError(422, "processing", problem, f"Parameters.parameter[{change.number}]")
