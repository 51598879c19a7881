"""What fhir.resources, another implementation of R4's definitions, refuses, we refuse too: examples with one thing broken."""

import copy
import importlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.fixtures import FIXTURES

EXAMPLES = (
    "AllergyIntolerance-fishallergy", "Appointment-example", "Condition-f001", "Consent-consent-example-basic",
    "DiagnosticReport-f201", "Encounter-f001", "Immunization-example", "Medication-med0301", "Observation-f001",
    "Organization-f001", "Patient-f001", "Practitioner-f201", "Procedure-f004", "Questionnaire-bb",
)  # fmt: skip
WRONG: tuple[Any, ...] = ({"nonsense": 1}, [[]], True, 3.5, "")


def mutants(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what was done, the resource with one element missing, added or of a wrong type)."""
    for path in list(_paths(resource)):
        yield f"without {path}", _changed(resource, path, None)
        for wrong in WRONG:
            yield f"{path} = {wrong}", _changed(resource, path, wrong)
        yield f"{path} with an unknown sibling", _changed(resource, (*path[:-1], "nonsense"), "x")


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the members of objects; of a list the first item stands for all."""
    if isinstance(node, list):
        yield from _paths(node[0], (*path, 0))
    elif isinstance(node, dict):
        for name, child in node.items():
            yield (*path, name)
            yield from _paths(child, (*path, name))


def _changed(resource: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(resource)
    parent: Any = changed
    for step in path[:-1]:
        parent = parent[step]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


def _accepted_by_oracle(oracle: Any, resource: dict[str, Any]) -> bool:
    try:
        oracle.model_validate(resource)
    except ValueError:
        return False
    return True


def _accepted(resource: dict[str, Any]) -> bool:
    try:
        validate(resource)
    except FhirError:
        return False
    return True


@pytest.mark.parametrize("name", EXAMPLES)
def test_refuses_what_the_oracle_refuses(name: str) -> None:
    resource = read((FIXTURES / "r4-examples" / f"{name}.json").read_bytes())
    kind = resource["resourceType"]
    oracle = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    resource.pop("text", None)
    assert _accepted(resource)
    assert _accepted_by_oracle(oracle, resource)
    missed = [done for done, mutant in mutants(resource) if _accepted(mutant) and not _accepted_by_oracle(oracle, mutant)]
    assert missed == []


# --- any example, any element, any of these changes -----------------------------------------------------------------------

Node = Any
LARGEST = 40_000  # bytes of an example
RENAMED = ("nonsense", "extension", "id", "status", "value", "valueString", "code", "_value", "resourceType")
RETYPED = (*WRONG, None, 0, -1, "x y", " ", "2020-13-01", [], {}, ["x"], {"extension": []}, 2**40)


def _dropped(parent: Node, step: Any, data: st.DataObject) -> None:
    del parent[step]


def _doubled(parent: Node, step: Any, data: st.DataObject) -> None:
    """An item of an array once more; any other value as an array of two."""
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[step]))
    else:
        parent[step] = [parent[step], copy.deepcopy(parent[step])]


def _retyped(parent: Node, step: Any, data: st.DataObject) -> None:
    parent[step] = copy.deepcopy(data.draw(st.sampled_from(RETYPED)))


def _renamed(parent: Node, step: Any, data: st.DataObject) -> None:
    if isinstance(parent, dict):
        parent[data.draw(st.sampled_from(RENAMED))] = parent.pop(step)


CHANGES: tuple[Callable[[Node, Any, st.DataObject], None], ...] = (_dropped, _doubled, _retyped, _renamed)


@cache
def pool() -> tuple[dict[str, Any], ...]:
    """HL7's examples and a resource of each type of Synthea's that both sides accept as they are, without narratives."""
    texts = [path.read_bytes() for path in sorted((FIXTURES / "r4-examples").glob("*.json")) if path.stat().st_size < LARGEST]
    found = [read(text) for text in texts]
    bundle = read(sorted((FIXTURES / "synthea").glob("*.json"))[-1].read_bytes())
    found += {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}.values()
    plain = [{name: value for name, value in one.items() if name != "text"} for one in found]
    return tuple(one for one in plain if _oracle(one) and _accepted(one) and _accepted_by_oracle(_oracle(one), one))


@cache
def _oracle_of(kind: str) -> Any:
    try:
        return getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    except ModuleNotFoundError:
        return None


def _oracle(resource: dict[str, Any]) -> Any:
    return _oracle_of(resource["resourceType"])


def _steps(node: Node, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all members and items."""
    for step, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, step)
        yield from _steps(child, (*path, step))


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_refuses_what_the_oracle_refuses_of_any_example(data: st.DataObject) -> None:
    """One or two changes somewhere: what is dropped, doubled, of another type or under another name."""
    changed = copy.deepcopy(pool()[data.draw(st.integers(0, len(pool()) - 1))])
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([one for one in _steps(changed) if one != ("resourceType",)] or [("id",)]))
        if path[0] not in changed:
            break
        parent: Node = changed
        for step in path[:-1]:
            parent = parent[step]
        change = data.draw(st.sampled_from(CHANGES))
        note(f"{change.__name__} {changed.get('resourceType')} {path}")
        change(parent, path[-1], data)
    if _accepted(changed):
        oracle = _oracle_of(changed["resourceType"])
        assert oracle is not None
        oracle.model_validate(changed)
