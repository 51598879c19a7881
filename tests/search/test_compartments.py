"""Compartments are exact clauses of reference paths (R4 compartmentdefinition.html)."""

import pytest

from fhir_server.r4.definitions import COMPARTMENTS
from fhir_server.search.compartments import inside, members
from fhir_server.search.plan import lookup


@pytest.mark.parametrize("compartment", sorted(COMPARTMENTS))
def test_the_index_decides_on_every_type(compartment: str) -> None:
    """A type of which nothing could be told would be let in whole"""
    for kind in members(compartment):
        clauses = inside(compartment, "1", kind)
        assert clauses
        for clause in clauses:
            found = lookup(clause)
            own = clause.parameter.name == "_id" and kind == compartment
            assert own or (found.exact and found.terms and all(t.endswith(f">{compartment}/1") for t in found.terms)), kind


def test_what_is_in_a_compartment() -> None:
    """compartmentdefinition-patient.html: Observation by subject and performer; the Patient itself, and who links to it"""
    (clause,) = inside("Patient", "1", "Observation")
    assert {path.expression for path in clause.parameter.paths} == {"subject", "performer"}
    assert [clause.parameter.name for clause in inside("Patient", "1", "Patient")] == ["_id", "Patient compartment"]
    assert inside("Patient", "1", "Organization") == () and members("Organization") == ()
    assert [clause.parameter.name for clause in inside("Encounter", "1", "Encounter")] == ["_id"]
