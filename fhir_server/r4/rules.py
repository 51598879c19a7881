"""R4 rules that neither JSON Schema nor the table of invariants carries: nulls, contained resources, narrative, periods.

A rule looks at one element or resource and yields a Problem for each violation; tables say which rule looks where.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fhir_server.r4 import narrative
from fhir_server.r4.dates import interval

Node = dict[str, Any]


class Problem(NamedTuple):
    """`element` is a JSON property below the node looked at, "" for the node itself."""

    element: str
    code: str
    text: str


Rule = Callable[[Node], Iterator[Problem]]

_WIDEST_OFFSET = 14 * 3_600_000


def nulls_aligned(node: Node) -> Iterator[Problem]:
    """json.html#primitive: a null in an array of values stands where `_name` has extensions, and the other way round."""
    for name, values in node.items():
        if type(values) is list and None in values:
            partner = node.get(name[1:] if name.startswith("_") else f"_{name}", ())
            if any(value is None and _at(partner, index) is None for index, value in enumerate(values)):
                yield Problem(name, "structure", "null is only for a place that its companion array fills")


def _at(values: Any, index: int) -> Any:
    return values[index] if type(values) is list and index < len(values) else None


def contained(node: Node) -> Iterator[Problem]:
    """dom-2 to dom-5: contained resources have ids, contain nothing, are no versions, and belong to what contains them."""
    outside = strings({name: value for name, value in node.items() if name != "contained"})
    inside = [strings(resource) for resource in node["contained"]]
    users = Counter(text for texts in (outside, *inside) for text in texts if text.startswith("#"))
    ids = [resource.get("id") for resource in node["contained"]]
    if len(set(ids)) != len(ids):
        yield Problem("contained", "invariant", "ids of contained resources are unique")
    for position, resource in enumerate(node["contained"]):
        place = f"contained[{position}]"
        own = f"#{resource.get('id')}"
        is_used_by_others = users[own] > (own in inside[position])
        yield from _contained(place, resource, is_used_by_others or "#" in inside[position])


def _contained(place: str, resource: Node, is_used: bool) -> Iterator[Problem]:
    if "id" not in resource:
        yield Problem(place, "required", "a contained resource has an id")
    if "contained" in resource:
        yield Problem(f"{place}.contained", "invariant", "a contained resource contains none (dom-2)")
    if not is_used:
        yield Problem(place, "invariant", "a contained resource is referred to from the resource, or refers to it (dom-3)")
    if not resource.get("meta", {}).keys().isdisjoint(("versionId", "lastUpdated")):
        yield Problem(f"{place}.meta", "invariant", "a contained resource has no version of its own (dom-4)")
    if "security" in resource.get("meta", {}):
        yield Problem(f"{place}.meta.security", "invariant", "a contained resource has no security labels of its own (dom-5)")


def strings(value: Any) -> set[str]:
    """All strings inside a JSON value."""
    found, stack = set(), [value]
    while stack:
        node = stack.pop()
        if type(node) is str:
            found.add(node)
        elif type(node) is dict:
            stack += node.values()
        elif type(node) is list:
            stack += node
    return found


def local_references(node: Node) -> Iterator[Problem]:
    """ref-1: `#id` in a reference names a resource contained in the same resource."""
    ids = {f"#{resource.get('id')}" for resource in node.get("contained", ())} | {"#"}
    for reference in _references(node):
        if reference.startswith("#") and reference not in ids:
            yield Problem("", "invariant", "a reference to a contained resource has no such resource (ref-1)")


def _references(node: Node) -> Iterator[str]:
    """References that are resolved within this resource: those of other resources inside it (Bundle, Parameters) are not."""
    stack: list[Any] = [node]
    while stack:
        value = stack.pop()
        if type(value) is list:
            stack += value
        elif type(value) is dict:
            if type(value.get("reference")) is str and "resourceType" not in value:
                yield value["reference"]
            stack += [child for name, child in value.items() if name != "resource" and type(child) in (dict, list)]


def div(node: Node) -> Iterator[Problem]:
    """txt-1, txt-2."""
    found = narrative.problem(node["div"])
    if found:
        yield Problem("div", "invariant", found)


def period(node: Node) -> Iterator[Problem]:
    """per-1, as far as the written precision decides."""
    start, end = node.get("start"), node["end"]
    if type(start) is str and type(end) is str and _is_after(start, end):
        yield Problem("", "invariant", "a period ends after it starts (per-1)")


def _is_after(start: str, end: str) -> bool:
    # A date without a time is meant in some zone, so that against an instant a day may begin or end half a day off.
    slack = 0 if ("T" in start) == ("T" in end) else _WIDEST_OFFSET
    return interval(start)[0] > interval(end)[1] + slack
