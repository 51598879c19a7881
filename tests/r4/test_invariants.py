"""The pruned walk over invariants says what evaluating every invariant on every element would say."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.definitions import TABLES
from fhir_server.r4.fhirpath import Element, Environment, FhirPathError, program
from fhir_server.r4.fhirpath.values import children, resource
from fhir_server.r4.invariants import problems
from fhir_server.r4.json import read
from tests.fixtures import FIXTURES

INVARIANTS = json.loads((TABLES / "invariants.json").read_bytes())


def naive(value: dict[str, Any]) -> Iterator[str]:
    """Every invariant on every element that FHIRPath finds below a resource, as texts."""
    root = resource(value)
    level: list[tuple[Element, Environment]] = [(root, Environment(root, root))]
    while level:
        below = []
        for element, environment in level:
            for key, expression, says in INVARIANTS.get(element.type, ()):
                if not holds(expression, element, environment):
                    yield f"{says.strip().rstrip('.')} ({key})"
            for child in children(element):
                inside = type(child.value) is dict and "resourceType" in child.value
                outer = environment.root if child.key == "contained" else child
                below.append((child, Environment(child, outer) if inside else environment))
        level = below


def holds(expression: str, element: Element, environment: Environment) -> bool:
    environment.context = element
    try:
        found = program(expression)(element, environment)
    except FhirPathError:
        return False
    return [getattr(one, "value", one) for one in found] == [True]


def walked(value: dict[str, Any], extended: bool) -> list[str]:
    found = [problem for _, problem in problems(value, extended)]
    return sorted(one.text for one in found if one.text in texts())


@cache
def texts() -> frozenset[str]:
    return frozenset(f"{says.strip().rstrip('.')} ({key})" for some in INVARIANTS.values() for key, _, says in some)


@cache
def examples() -> tuple[dict[str, Any], ...]:
    paths = sorted((FIXTURES / "r4-examples").glob("*.json"))
    return tuple(read(path.read_bytes()) for path in paths if path.stat().st_size < 40_000)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_walk_misses_nothing_and_invents_nothing(data: st.DataObject) -> None:
    """elementdefinition.html#constraint: on HL7's examples, whole and with elements taken out."""
    value = json.loads(json.dumps(data.draw(st.sampled_from(examples()))))
    for _ in range(data.draw(st.integers(0, 4))):
        parents = list(objects(value))
        node = data.draw(st.sampled_from(parents))
        names = [name for name in node if name != "resourceType"]
        if names:
            del node[data.draw(st.sampled_from(names))]
    assert walked(value, extended=True) == sorted(naive(value))
    if b"xtension" not in json.dumps(value).encode():
        assert walked(value, extended=False) == walked(value, extended=True)


def objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from objects(one)


def test_every_invariant_compiles() -> None:
    """R4 has 213 of severity error besides those that schema and rules carry; each runs on an element without content."""
    assert sum(map(len, INVARIANTS.values())) > 190
    for place, some in INVARIANTS.items():
        for _, expression, _ in some:
            holds(expression, Element({}, place), Environment(Element({}, place)))
