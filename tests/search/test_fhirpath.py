"""The subset of FHIRPath that search parameters are written in (fhirpath.html in R4)."""

import pytest

from fhir_server.r4.fhirpath import compile
from fhir_server.r4.fhirpath.syntax import parse, write

PATIENT = {
    "resourceType": "Patient",
    "deceasedBoolean": False,
    "name": [{"family": "Li", "given": ["Wei", None]}, {"given": ["Xiao"]}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    "generalPractitioner": [{"reference": "Practitioner/1/_history/2"}, {"reference": "http://x/fhir/Organization/3"}],
    "link": [{"other": {"reference": "urn:uuid:4", "type": "Patient"}}],
    "extension": [{"url": "http://e/a", "valueString": "A"}, {"url": "http://e/b", "valueBoolean": True}],
}


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("Patient.name.family", ["Li"]),
        ("name.given", ["Wei", "Xiao"]),
        ("Resource.resourceType", ["Patient"]),
        ("Patient.name[1].given", ["Xiao"]),
        ("Patient.name[7].given", []),
        ("Patient.name.family | Patient.name.given", ["Li", "Wei", "Xiao"]),
        ("Patient.telecom.where(system='phone').value", ["1"]),
        ("(Patient.deceased as boolean)", [False]),
        ("Patient.deceased.as(boolean)", [False]),
        ("Patient.deceased.ofType(dateTime)", []),
        ("Patient.deceased.ofType(boolean).exists() and Patient.deceased.ofType(boolean) != false", [False]),
        ("Patient.deceased.ofType(dateTime).exists() and Patient.deceased.ofType(dateTime) != false", [False]),
        ("Patient.name.exists() and Patient.deceased.ofType(boolean) = false", [True]),
        ("Patient.name.exists() and Patient.gender = 'male'", []),
        ("Patient.generalPractitioner.where(resolve() is Practitioner).reference", ["Practitioner/1/_history/2"]),
        ("Patient.generalPractitioner.where(resolve() is Organization).reference", ["http://x/fhir/Organization/3"]),
        ("Patient.link.other.where(resolve() is Patient).reference", ["urn:uuid:4"]),
        ("Patient.extension('http://e/a').value.ofType(string)", ["A"]),
        ("Patient.name.where($this.family = 'Li').given", ["Wei"]),
        ("Patient.where(hasExtension('http://e/b')).name.family", ["Li"]),
        ("Patient.contact.name", []),
    ],
)
def test_expressions_of_search_parameters(expression: str, values: list) -> None:
    """searchparameter.html: expression; `resolve() is T` is told by the reference, nothing is fetched."""
    assert compile(expression, "Patient")(PATIENT) == values


@pytest.mark.parametrize(
    "expression", ["", "name.", "name..family", "name[", "name)", "(name", "name.nothing()", "name as", "'a", "name ~"]
)
def test_what_is_not_in_the_subset_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):
        compile(expression, "Patient")


@pytest.mark.parametrize(
    ("expression", "normal"),
    [
        ("Patient.name", "name"),
        ("(Patient.deceased as dateTime)", "deceased.ofType(dateTime)"),
        ("Account.subject.where(resolve() is Patient)", "Account.subject.where(resolve() is Patient)"),
        ("(a | b).c[0] | d.where(system='x' and use != 'y')", "(a | b).c[0] | d.where(system = 'x' and use != 'y')"),
    ],
)
def test_one_normal_form(expression: str, normal: str) -> None:
    """Paths that mean the same are written the same, so that parameters share index entries."""
    assert write(parse(expression, "Patient")) == normal
    assert write(parse(normal, "Patient")) == normal
