"""Which slice an item belongs to (profiling.html#slicing): a discriminator of a slice as a test of items.

A test answers None where it cannot be told, such as what a reference leads to outside of the resource.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fhir_server.r4.elements import EXTENSIONS
from fhir_server.r4.fhirpath import Element
from fhir_server.r4.fhirpath.values import child, is_exactly
from fhir_server.r4.profiles.running import Run
from fhir_server.r4.profiles.tree import Node, base_type
from fhir_server.r4.profiles.values import codes, fits, given, is_fixed

Test = Callable[[Element, Run], bool | None]

_DOT = re.compile(r"\.(?![^(]*\))")
_STEP = re.compile(r"(\$this|resolve(?=\(\))|extension(?=\()|ofType(?=\()|\w+)(?:\(\s*'?([^'()]*)'?\s*\))?")
_BY_URL = {"type": "value", "path": "url"}
_BY_TYPE = {"type": "type", "path": "$this"}

Step = tuple[str, str | None]
"""A name, or a function with its argument: `resolve()` is ("resolve", "")."""


def belongs(name: str, sliced: Node, one: Node) -> Test | None:
    """The test for a slice of an element; None where nothing tells its items from others."""
    tests = [test for test in (_test(one, given_) for given_ in _discriminators(name, sliced)) if test]
    return _all(tests) if tests else None


def _discriminators(name: str, sliced: Node) -> Sequence[dict[str, Any]]:
    """Extensions are sliced by url, and choices by type, also where it is not said."""
    said = sliced.element.get("slicing", {}).get("discriminator", ())
    return said or (
        (_BY_URL,) if name in EXTENSIONS else (_BY_TYPE,) if any(one.kind for one in sliced.slices.values()) else ()
    )


def _test(one: Node, discriminator: dict[str, Any]) -> Test | None:
    steps = [_STEP.fullmatch(part) for part in _DOT.split(discriminator["path"])]
    if None in steps:  # FHIRPath beyond what a discriminator may be (profiling.html#discriminator)
        return lambda item, run: None
    named = [(step[1], step[2]) for step in steps if step and step[1] != "$this"]
    return _KINDS.get(discriminator["type"], _by_value)(one, named)


# --- value and pattern ----------------------------------------------------------------------------------------------------


def _by_value(node: Node, steps: Sequence[Step]) -> Test | None:
    """Fixed values, patterns and required bindings on the way, of which the first decides."""
    own = _constraint(node)
    if own:
        return own
    if not steps:
        return _of_extension(node)
    (name, argument), rest = steps[0], steps[1:]
    if name == "resolve":
        return _through(_profiles(node, "targetProfile"), rest, lambda item, run: _just(run.resolved(item)))
    if name == "url" and not rest and _of_extension(node):
        return _of_extension(node)
    nodes = list(_below(node, name, argument))
    tests = [test for test in (_by_value(one, rest) for one in nodes) if test]
    if tests:
        return lambda item, run: _any(test(one, run) for one in _items(item, name, argument) for test in tests)
    return _through(_profiles(node, "profile"), steps, lambda item, run: [item])


def _constraint(node: Node) -> Test | None:
    fixed, pattern = given(node.element, "fixed"), given(node.element, "pattern")
    if fixed is not None:
        return lambda item, run: is_fixed(item.value, fixed)
    if pattern is not None:
        return lambda item, run: fits(item.value, pattern)
    binding = node.element.get("binding", {})
    if binding.get("strength") == "required" and "valueSet" in binding:
        return lambda item, run: _any(
            run.shelf.has_code(binding["valueSet"], system, code) for system, code in codes(item) if code
        )
    return None


def _of_extension(node: Node) -> Test | None:
    """An extension is told by its url: that of its profile."""
    urls = [url.partition("|")[0] for url in _profiles(node, "profile")]
    is_extension = any(kind.get("code") == "Extension" for kind in node.element.get("type", ()))
    return (lambda item, run: type(item.value) is dict and item.value.get("url") in urls) if urls and is_extension else None


def _through(
    profiles: Sequence[str], steps: Sequence[Step], items: Callable[[Element, Run], list[Element] | None]
) -> Test | None:
    """The test that other profiles, known when it runs, make of the rest of the way."""
    if not profiles:
        return None
    made: dict[int, Test | None] = {}

    def test(item: Element, run: Run) -> bool | None:
        found = items(item, run)
        known = [one for one in map(run.shelf.profile, profiles) if one]
        if found is None or not known:
            return None
        run.spend(len(known))
        tests = [made.setdefault(id(one.tree), _by_value(one.tree, steps)) for one in known]
        return _any(one(below, run) if one else None for below in found for one in tests)

    return test


# --- the other kinds ------------------------------------------------------------------------------------------------------


def _by_existence(node: Node, steps: Sequence[Step]) -> Test | None:
    found = _at(node, steps)
    if found is None or (not found.element.get("min") and found.element.get("max") != "0"):
        return None
    wanted = found.element.get("max") != "0"
    return lambda item, run: bool(_reached(item, steps)) is wanted


def _by_type(node: Node, steps: Sequence[Step]) -> Test | None:
    if steps and steps[-1][0] == "resolve":
        return _by_target(node, steps[:-1])
    found = _at(node, steps)
    if found is None:
        return None
    kinds = [found.kind] if found.kind else [kind["code"] for kind in found.element.get("type", ())]
    return (
        (lambda item, run: any(is_exactly(one.type, kind) for one in _reached(item, steps) for kind in kinds))
        if kinds
        else None
    )


def _by_target(node: Node, steps: Sequence[Step]) -> Test | None:
    found = _at(node, steps)
    targets = _profiles(found, "targetProfile") if found else []

    def test(item: Element, run: Run) -> bool | None:
        kinds = [run.reference_type(one) for one in _reached(item, steps)]
        return _any(None if kind is None else kind in types_of(targets, run) for kind in kinds)

    return test if targets else None


def _by_profile(node: Node, steps: Sequence[Step]) -> Test | None:
    through = bool(steps) and steps[-1][0] == "resolve"
    way = steps[:-1] if through else steps
    found = _at(node, way)
    profiles = _profiles(found, "targetProfile" if through else "profile") if found else []

    def test(item: Element, run: Run) -> bool | None:
        known = [one for one in map(run.shelf.profile, profiles) if one]
        reached = [run.resolved(one) if through else one for one in _reached(item, way)]
        answers = (None if one is None else run.conforms(profile, one, None) for one in reached for profile in known)
        return _any(answers) if known else None

    return test if profiles else None


_KINDS = {"value": _by_value, "pattern": _by_value, "exists": _by_existence, "type": _by_type, "profile": _by_profile}


def types_of(targets: Sequence[str], run: Run) -> set[str]:
    """The resource types of target profiles, as far as these are known."""
    profiles = (run.shelf.profile(target) for target in targets)
    return {*filter(None, map(base_type, targets)), *(profile.type for profile in profiles if profile)}


# --- ways -----------------------------------------------------------------------------------------------------------------


def _profiles(node: Node, name: str) -> list[str]:
    found = (canonical for kind in node.element.get("type", ()) for canonical in kind.get(name, ()))
    return [canonical for canonical in found if type(canonical) is str]


def _below(node: Node, name: str, argument: str | None) -> Iterator[Node]:
    """The nodes that a step leads to: an element and its slices."""
    if name == "ofType":
        yield from (one for one in node.slices.values() if one.kind == argument)
        yield node
    elif name == "extension":
        extensions = node.children.get("extension")
        yield from (one for one in (extensions.slices.values() if extensions else ()) if _is_about(one, argument))
    elif name in node.children:
        yield node.children[name]
        yield from node.children[name].slices.values()


def _is_about(extension: Node, url: str | None) -> bool:
    fixed = extension.children["url"].element.get("fixedUri") if "url" in extension.children else None
    return url == fixed or url in _profiles(extension, "profile")


def _at(node: Node, steps: Sequence[Step]) -> Node | None:
    for name, argument in steps:
        found = next(_below(node, name, argument), None)
        if found is None:
            return None
        node = found
    return node


def _items(item: Element, name: str, argument: str | None) -> list[Element]:
    if name == "ofType":
        return [item] if item.type == argument else []
    found = child(item, name)
    return [one for one in found if type(one.value) is dict and one.value.get("url") == argument] if argument else found


def _reached(item: Element, steps: Sequence[Step]) -> list[Element]:
    items = [item]
    for name, argument in steps:
        items = [below for one in items for below in _items(one, name, argument)]
    return items


def _just(item: Element | None) -> list[Element] | None:
    return None if item is None else [item]


def _all(tests: Sequence[Test]) -> Test:
    def test(item: Element, run: Run) -> bool | None:
        answers = [one(item, run) for one in tests]
        return False if False in answers else None if None in answers else True

    return test


def _any(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return True if True in found else None if None in found else False
