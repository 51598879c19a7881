"""What fhir.resources, another implementation of R4's definitions, refuses, we refuse too: examples with one thing broken."""

import copy
import importlib
from collections.abc import Iterator
from typing import Any

import pytest

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
