"""Real resources: HL7's examples, Synthea's people, and the verdicts of HL7's own validator."""

import json
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
    "ImplementationGuide-fhir": ("ImplementationGuide.name", "lacks required elements"),
    "ig-r4": ("ImplementationGuide.name", "lacks required elements"),
    "Questionnaire-qs1": ("Questionnaire.item[0].item[0].linkId", "lacks required elements"),
}

# Cases of HL7's validator where we differ, and why.
LENIENT = {
    "needs terminology that the package has not, or displays": [
        "bundle-id-4", "bundle-id-5", "contract-binding-test", "ips-nz-pj", "mni-patientOverview-bundle-example1",
        "obs-temp-code2", "uk-msg", "supplement-2",
    ],
    "a profile that HL7's validator adds by code or configuration": [
        "cs-narrative-status-pub", "dr-example-org", "obs-mz", "obs-temp-bad", "obs-vs-1",
    ],
    "definitions as content: snapshots, expressions, filters, canonical urls": [
        "ext-ccuk", "sp-composite", "sp-diff-type", "vs-bad-ecl", "vs-bad-ecl-us", "vs-canonical-bad", "vs-canonical-bad-2",
        "vs-canonical-urn-bad", "vs-params-2", "vs-params-3", "vs-params-4",
    ],
    "an invariant or rule not checked yet": [
        "attachment-with-wrong-size", "bundle-id-2", "q-enablewhen-me-wrong", "resource-invalid-eid-2",
        "risk-assessment-probability-range",
    ],
    "a digital signature": ["signatures-example-2"],
    "an extension where a required code has no value: data-absent-reason is how R4 says so": ["allergy"],
    "a day and an instant within it: no order is broken": ["encounter-period"],
}  # fmt: skip
STRICT = {
    "comments are no JSON; HL7's validator takes them on request": ["json-comments-1-yes", "json-comments-2-yes"],
}


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


def test_agrees_with_the_reference_validator() -> None:
    """Validity as HL7's validator sees it, in all cases but those named."""
    folder = FIXTURES / "validator"
    cases = json.loads((folder / "cases.json").read_bytes())
    refused = {case["name"]: bool(verdict((folder / case["file"]).read_bytes())) for case in cases}
    lenient = {case["name"] for case in cases if case["errors"] and not refused[case["name"]]}
    strict = {case["name"] for case in cases if not case["errors"] and refused[case["name"]]}
    assert lenient == set(chain.from_iterable(LENIENT.values()))
    assert strict == set(chain.from_iterable(STRICT.values()))
    assert len(cases) - len(lenient) - len(strict) >= 75
