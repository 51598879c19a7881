"""Real resources: HL7's examples and Synthea's people."""

import json
import tarfile
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from fhir_server.r4.errors import FhirError, Issue
from fhir_server.r4.json import read, write
from fhir_server.r4.validation import validate
from tests.fixtures import FIXTURES

# Official examples that break R4's own definitions: element and reason.
BROKEN_EXAMPLES = {
    "ActivityDefinition-blood-tubes-supply": ("ActivityDefinition.text.div", "txt-2: an empty narrative"),
    "EventDefinition-example": ("EventDefinition.text.div", "txt-2: an empty narrative"),
    "DeviceMetric-example": (
        "DeviceMetric.parent.reference",
        "refers to a DeviceDefinition, declared is Device",
    ),
    "DeviceUseStatement-example": (
        "DeviceUseStatement.reasonReference[0].reference",
        "refers to a Procedure, which is not declared",
    ),
    "Observation-clinical-gender": ("Observation.performer[0].reference", "refers to an Encounter, which is not declared"),
    "CapabilityStatement-measure-processor": (
        "CapabilityStatement.rest[0].resource[0].searchParam[2].type",
        "calls `version` a string, whose definition says token",
    ),
    "ImplementationGuide-fhir": ("ImplementationGuide.name", "lacks required elements"),
    "ig-r4": ("ImplementationGuide.name", "lacks required elements"),
    "Questionnaire-qs1": ("Questionnaire.item[0].item[0].linkId", "lacks required elements"),
}


# Resources of the official package that break the definitions beside them, but for those that lack a base.
BROKEN_DEFINITIONS = {
    "StructureDefinition.baseDefinition is missing though it is not abstract (sdf-4)": [
        "StructureDefinition-Definition", "StructureDefinition-Event", "StructureDefinition-FiveWs",
        "StructureDefinition-Request",
    ],
    "the parameter `version` is called a string, its definition says token": [
        "CapabilityStatement-knowledge-repository", "CapabilityStatement-measure-processor",
        "CapabilityStatement-terminology-server",
    ],
    "a code that ends in a space": ["CodeSystem-v2-0550"],
    "an id of more than 64 characters": [
        "SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject",
    ],
    "the system of an include is a fragment": ["ValueSet-example-hierarchical"],
}  # fmt: skip


def verdict(data: bytes) -> tuple[Issue, ...]:
    try:
        validate(read(data))
    except FhirError as refused:
        return refused.issues
    return ()


@pytest.mark.parametrize("path", sorted((FIXTURES / "r4-examples").glob("*.json")), ids=lambda path: path.stem)
def test_official_examples(path: Path) -> None:
    """HL7's own examples are valid, but for those known to break their own definitions; all come back as written."""
    data = path.read_bytes()
    expected = BROKEN_EXAMPLES.get(path.stem)
    elements = {issue.expression for issue in verdict(data)}
    assert expected[0] in elements if expected else not elements
    resource = read(data)
    assert write(read(write(resource))) == write(resource)
    assert json.loads(write(resource)) == json.loads(data)


def test_synthea_is_valid() -> None:
    resources = [entry["resource"] for bundle in _bundles() for entry in bundle["entry"]]
    assert len(resources) > 10_000
    for resource in resources:
        validate(resource)


def _bundles() -> list[dict[str, Any]]:
    return [read(path.read_bytes()) for path in sorted((FIXTURES / "synthea").glob("*.json"))]


def test_official_definitions() -> None:
    """Nobody tuned to these: all 4,578 resources of R4's package, of which 20 are truly broken."""
    refused = set()
    with tarfile.open(FIXTURES / "definitions" / "hl7.fhir.r4.core-4.0.1.tgz") as archive:
        for member in archive:
            name = Path(member.name)
            content = archive.extractfile(member) if name.suffix == ".json" and name.name[0] != "." else None
            resource = read(content.read()) if content else {}
            if "resourceType" in resource and _is_refused(resource):
                refused.add(name.stem)
    without_base = {
        one for one in refused if one.startswith(("SearchParameter-codesystem-ext", "SearchParameter-valueset-ext"))
    }
    assert refused - without_base == set(chain.from_iterable(BROKEN_DEFINITIONS.values()))
    assert len(without_base) == 10


def _is_refused(resource: dict[str, Any]) -> bool:
    try:
        validate(resource)
    except FhirError:
        return True
    return False
