"""The profiles of the official package: against HL7's own examples, and each as its snapshot has it and as its differential."""

import copy
from pathlib import Path
from typing import Any

import pytest

from fhir_server.r4.json import read
from fhir_server.r4.package import Package, load
from fhir_server.r4.profiles.compiler import compiled
from fhir_server.r4.profiles.library import Profiles
from fhir_server.r4.profiles.shipped import profiles_of_resources, shipped
from fhir_server.r4.profiles.tree import tree
from fhir_server.r4.profiles.validation import issues, named
from tests.fixtures import FIXTURES
from tests.r4.profiling import HAS_CODE, R4

Resource = dict[str, Any]
EXAMPLES = sorted((FIXTURES / "r4-examples").glob("*.json"))
SHIPPED = Profiles(HAS_CODE)

VITAL_SIGNS = {
    "Observation-blood-pressure-dar": ["bp", "vitalsigns"],
    "Observation-bmi-using-related": ["bmi"],
    "Observation-body-height": ["bodyheight"],
    "Observation-head-circumference": ["headcircum"],
    "Observation-satO2": ["oxygensat"],
    "Observation-vitals-panel": ["vitalspanel"],
}


@pytest.fixture(scope="module")
def package() -> Package:
    return load(FIXTURES / "definitions" / "hl7.fhir.r4.core-4.0.1.tgz")


def example(name: str) -> Resource:
    return read((FIXTURES / "r4-examples" / f"{name}.json").read_bytes())


def errors(resource: Resource, *profiles: str, at_hand: Profiles = SHIPPED) -> set[str | None]:
    found = issues(resource, at_hand, [R4 + name for name in profiles])
    return {one.expression for one in found if one.severity == "error"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_follow_the_profiles_that_they_claim(path: Path) -> None:
    resource = read(path.read_bytes())
    claimed = [canonical for canonical in named(resource) if shipped(canonical)]
    assert errors(resource) == set(), claimed


@pytest.mark.parametrize("name", VITAL_SIGNS)
def test_vital_signs(name: str) -> None:
    """observation-vitalsigns.html: each example follows its profile, and not without its category, subject, time or code"""
    resource = example(name)
    assert errors(resource, *VITAL_SIGNS[name]) == set()
    for element in ("category", "subject", "effectiveDateTime", "code"):
        less = {key: value for key, value in resource.items() if key != element}
        assert errors(less, *VITAL_SIGNS[name]) >= {f"Observation.{element.removesuffix('DateTime')}"}


def test_blood_pressure() -> None:
    """observation-vitalsigns.html: both components, each by its LOINC code, in mm[Hg]"""
    resource = example("Observation-blood-pressure-dar")
    systolic = next(n for n, one in enumerate(resource["component"]) if one["code"]["coding"][0]["code"] == "8480-6")
    assert errors(resource | {"component": resource["component"][:1]}, "bp") == {"Observation.component"}
    wrong = copy.deepcopy(resource)
    wrong["component"][systolic]["valueQuantity"]["code"] = "kPa"
    assert errors(wrong, "bp") == {
        f"Observation.component[{systolic}].value.ofType(Quantity)",  # the binding of vital signs
        f"Observation.component[{systolic}].value.ofType(Quantity).code",
    }
    assert errors(resource | {"effectiveDateTime": "2020"}, "vitalsigns") == {"Observation.effective.ofType(dateTime)"}


def test_differentials_say_what_snapshots_say(package: Package) -> None:
    """profiling.html#snapshot: all profiles on all examples; R4's own definitions, which are not repeated, are known already"""
    by_snapshot = Profiles(HAS_CODE, lambda canonical: None)
    for url, structure in package.items():
        if shipped(url):
            by_snapshot._compiled[url] = compiled(url, tree(structure, package.get))
    examples = [read(path.read_bytes()) for path in EXAMPLES]
    broken_already = ("Observation", "clinical-gender")  # refers to an Encounter, which Observation does not allow
    pairs = [
        (resource, url.removeprefix(R4))
        for kind, urls in profiles_of_resources().items()
        for url in urls
        for resource in examples
        if resource["resourceType"] == kind and (kind, resource.get("id")) != broken_already
    ]
    assert len(pairs) > 600
    for resource, name in pairs:
        assert bool(errors(resource, name)) is bool(errors(resource, name, at_hand=by_snapshot)), (resource.get("id"), name)
