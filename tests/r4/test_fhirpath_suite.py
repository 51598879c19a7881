"""HL7's FHIRPath test suite for R4: every case passes, but for those named here with their reason."""

from datetime import UTC, datetime
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import parse

import pytest

from fhir_server.r4.fhirpath import FhirPathError, evaluate
from fhir_server.r4.fhirpath.checking import check
from fhir_server.r4.fhirpath.conversion import FUNCTIONS
from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.functions import type_of
from fhir_server.r4.fhirpath.syntax import parse as parse_expression
from fhir_server.r4.fhirpath.values import system
from fhir_server.r4.json import read
from tests.fixtures import FIXTURES

NOW = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)

_ROUNDED = "rounds a boundary down here, and up in HighBoundaryDecimal1 and 9"
EXCEPTIONS = {
    "testPlusDate19": "N1 6.6.7: below the second, fractions count; 0.1 's' is not nothing",
    "HighBoundaryDecimal15": _ROUNDED,
    "HighBoundaryDecimal16": _ROUNDED,
    "HighBoundaryDateTimeMillisecond3": "the last moment of 08 o'clock is 08:59:59.999, not 08:00:59.999",
}

EXAMPLES = {
    "patient-example.xml": "Patient-example.json",
    "appointment-examplereq.json": "Appointment-examplereq.json",
    "explanationofbenefit-example.json": "ExplanationOfBenefit-EB3500.json",
}
# What the cases read of the suite's other inputs, which come as XML.
INPUTS: dict[str, dict[str, Any]] = {
    "observation-example.xml": {
        "resourceType": "Observation",
        "id": "example",
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "extension": [
            {
                "url": "http://example.com/fhir/StructureDefinition/patient-age",
                "valueAge": {"value": 40, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"},
            }
        ],
        "valueQuantity": {"value": 185, "unit": "lbs", "system": "http://unitsofmeasure.org", "code": "[lb_av]"},
    },
    "parameters-example-types.xml": {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "string", "valueString": "string value"},
            {"name": "integer", "valueInteger": 1},
            {"name": "uuid", "valueUuid": "urn:uuid:52bdb4e0-41f0-4b1f-8a6d-2a1d5f5c5f5c"},
        ],
    },
    "valueset-example-expansion.xml": {"resourceType": "ValueSet", "version": "20150622"},
    "patient-container-example.json": {
        "resourceType": "Patient",
        "contained": [{"resourceType": "Patient", "id": "1"}],
    },
    "patient-example-period.xml": {
        "resourceType": "Patient",
        "identifier": [
            {"period": {"start": "2001-05-06"}},
            {"period": {"end": "2010"}},
            {"period": {"start": "2001-05", "end": "2001-05-07T10:00:00Z"}},
        ],
    },
    "codesystem-example.xml": {
        "resourceType": "CodeSystem",
        "concept": [{"code": "chol-mmol"}, {"code": "chol-mass", "concept": [{"code": "chol-mmol"}]}],
    },
    "questionnaire-example.xml": {
        "resourceType": "Questionnaire",
        "url": "http://hl7.org/fhir/Questionnaire/3141",
        "item": [
            {
                "linkId": str(group),
                "code": [{"code": f"c{group}"}] * (3 - group),
                "item": [{"linkId": f"{group}.{n}", "code": [{"code": f"{group}{n}{m}"} for m in range(2)]} for n in range(2)],
            }
            for group in (1, 2)
        ],
    },
}


def cases() -> list[Any]:
    root = parse(FIXTURES / "fhirpath" / "tests-fhir-r4.xml").getroot()
    return [pytest.param(test, id=test.get("name")) for test in root.iter("test")]


@cache
def example(name: str | None) -> dict[str, Any]:
    if name in INPUTS:
        return INPUTS[name]
    return read((FIXTURES / "r4-examples" / EXAMPLES[name or "patient-example.xml"]).read_bytes())


def written(item: Any) -> tuple[str, str]:
    """Type and text of an item, as the suite writes them."""
    namespace, name = type_of(item)
    text = FUNCTIONS["toString"](Environment(), [system(item)])[0]
    return (name if namespace == "FHIR" else name[0].lower() + name[1:]), text


def expected(case: Xml) -> list[tuple[str | None, str]]:
    return [(output.get("type"), (output.text or "").removeprefix("@").removeprefix("T")) for output in case.iter("output")]


@pytest.mark.parametrize("case", cases())
def test_case(case: Xml) -> None:
    expression = case.find("expression")
    assert expression is not None
    assert (_passes(case, expression)) is (case.get("name") not in EXCEPTIONS)


def _passes(case: Xml, expression: Xml) -> bool:
    text, resource = expression.text or "", example(case.get("inputfile"))
    try:
        if case.get("mode") == "strict":
            check(parse_expression(text), resource["resourceType"])
        found = evaluate(text, resource, NOW)
    except FhirPathError:
        return bool(expression.get("invalid"))
    wanted = expected(case)
    items = [(kind and own, text) for (own, text), (kind, _) in zip(map(written, found), wanted, strict=False)]
    return not expression.get("invalid") and len(found) == len(wanted) and items == wanted
