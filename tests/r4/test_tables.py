"""The shipped tables are what the generator makes of HL7's package, and what a binding, target or choice means."""

import json
from contextlib import suppress

import pytest
import zstandard

from fhir_server.r4.codes_generator import compile_codes
from fhir_server.r4.definitions import CHOICES, TABLES
from fhir_server.r4.definitions_generator import compile_definitions
from fhir_server.r4.elements_generator import compile_elements
from fhir_server.r4.invariants_generator import compile_invariants
from fhir_server.r4.package import Package, load, structures
from fhir_server.r4.profiles_generator import compile_profiles
from fhir_server.r4.schema_bindings import NotEnumerable, expander
from fhir_server.r4.schema_generator import compile_schema
from fhir_server.r4.summary_generator import compile_summaries
from tests.fixtures import FIXTURES


@pytest.fixture(scope="module")
def package() -> Package:
    return load(FIXTURES / "definitions" / "hl7.fhir.r4.core-4.0.1.tgz")


def test_tables_are_current(package: Package) -> None:
    """Run `python -m fhir_server.r4.schema_generator PACKAGE` when this fails."""
    schema = zstandard.decompress((TABLES / "schema.json.zst").read_bytes())
    assert json.loads(schema) == compile_schema(package)
    assert zstandard.decompress((TABLES / "profiles.zst").read_bytes()) == compile_profiles(package)
    elements = zstandard.decompress((TABLES / "elements.json.zst").read_bytes())
    assert json.loads(elements) == compile_elements(package)
    codes = zstandard.decompress((TABLES / "codes.json.zst").read_bytes())
    assert json.loads(codes) == compile_codes(package)
    assert json.loads((TABLES / "invariants.json").read_bytes()) == compile_invariants(package)
    assert json.loads((TABLES / "definitions.json").read_bytes()) == compile_definitions(package)
    assert json.loads((TABLES / "summaries.json").read_bytes()) == compile_summaries(package)


def test_value_sets_are_expanded(package: Package) -> None:
    """valueset.html#compose: whole systems, listed codes, imports, hierarchies; the rest is not guessed."""
    expand = expander(package)
    codes = {
        name: {code for _, code in expand(f"http://hl7.org/fhir/ValueSet/{name}")}
        for name in ("administrative-gender", "units-of-time")
    }
    assert codes == {
        "administrative-gender": {"male", "female", "other", "unknown"},
        "units-of-time": {"s", "min", "h", "d", "wk", "mo", "a"},
    }
    assert {code for _, code in expand("http://hl7.org/fhir/ValueSet/all-types|4.0.1")} >= {"Patient", "string", "Type", "Any"}
    inactive = {code for _, code in expand("http://terminology.hl7.org/ValueSet/v3-ActEncounterCode")}
    assert {"AMB", "IMP", "ACUTE"} <= inactive
    for unknown in ("http://hl7.org/fhir/ValueSet/mimetypes", "http://hl7.org/fhir/ValueSet/condition-code", "urn:none"):
        with pytest.raises(NotEnumerable):
            expand(unknown)


def test_most_required_bindings_are_enforced(package: Package) -> None:
    """terminologies.html#required: 349 of 366 elements; the others name systems outside the package (UCUM, BCP 13 ...)."""
    expand, bound, enforced = expander(package), 0, 0
    for structure in structures(package):
        for element in structure["snapshot"]["element"]:
            binding = element.get("binding", {})
            if binding.get("strength") == "required":
                bound += 1
                with suppress(NotEnumerable):
                    enforced += bool(expand(binding["valueSet"]))
    assert (bound, enforced) == (366, 349)


def test_choices() -> None:
    """json.html: a choice's property is the element with the type's name."""
    assert CHOICES["valueQuantity"] == ("value", "Quantity", ["Device", "DeviceDefinition"])
    assert CHOICES["deceasedBoolean"] == ("deceased", "boolean", [])
