"""The shipped table of search parameters against HL7's package (R4 searchparameter-registry.html)."""

import json

import pytest

from fhir_server.r4 import search_generator
from fhir_server.search.parameters import parameters, paths, resource_types, unsupported
from tests.fixtures import FIXTURES


@pytest.fixture(scope="module")
def definitions() -> search_generator.Definitions:
    return search_generator.load(FIXTURES / "definitions" / "hl7.fhir.r4.core-4.0.1.tgz")


def test_the_shipped_table_is_what_the_generator_makes(definitions: search_generator.Definitions) -> None:
    """Every expression leads to elements of R4, or the generator stops."""
    assert json.loads(search_generator.TABLE.read_text("utf-8")) == search_generator.table(definitions)


def test_every_official_parameter_is_offered_or_known_not_to_be(definitions: search_generator.Definitions) -> None:
    official = {(base, p["code"]) for p in definitions.parameters for base in p.get("base", ())}
    named = {(kind, code) for kind in resource_types() for code in (*parameters(kind), *unsupported(kind))}
    assert {(kind, code) for kind, code in official if kind not in ("Resource", "DomainResource")} <= named
    assert len(resource_types()) == 146


@pytest.mark.parametrize("kind", resource_types())
def test_parameters_of_all_types_compile(kind: str) -> None:
    """Each parameter has paths, each path stands in the index or is covered by one that does."""
    indexed = {path.key for _, path in paths(kind)}
    for parameter in parameters(kind).values():
        assert parameter.paths or parameter.components
        assert parameter.name == "_content" or parameter.extract({"resourceType": kind}) in ([], [False])
        assert all(not path.key or path.key in indexed for path in parameter.paths)
    assert {"_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"} <= set(parameters(kind))


def test_alias_parameters_share_their_entries() -> None:
    """`patient` is `subject` where it is a Patient, `family` is part of `name`, `phone` of `telecom`."""
    observation, patient = parameters("Observation"), parameters("Patient")
    assert observation["patient"].paths[0].key == observation["subject"].paths[0].key
    assert observation["patient"].targets == ("Patient",)
    assert patient["family"].paths[0].key == patient["name"].paths[0].key
    assert patient["phone"].paths[0].key == patient["telecom"].paths[0].key
    assert {path.key for path in observation["code"].paths} < {path.key for path in observation["combo-code"].paths}


def test_all_composite_parameters_are_offered(definitions: search_generator.Definitions) -> None:
    """search.html#combining: the index gives candidates for each component"""
    official = {(base, p["code"]) for p in definitions.parameters if p["type"] == "composite" for base in p["base"]}
    offered = {(kind, name): p for kind in resource_types() for name, p in parameters(kind).items() if p.type == "composite"}
    assert offered.keys() == official
    assert all(len(p.components) > 1 and p.repetitions for p in offered.values())
    assert [path.key for path in parameters("Observation")["combo-code-value-quantity"].components[0].paths] == [
        "Observation.code", "Observation.component.code",
    ]  # fmt: skip
    assert all(component.paths for p in offered.values() for component in p.components)


def test_what_is_not_offered() -> None:
    assert {"_query", "_filter"} <= unsupported("Observation")
    assert "phonetic" in unsupported("Patient")
