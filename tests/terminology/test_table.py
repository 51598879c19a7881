"""The shipped table is what the official package and the Chinese lists say."""

import pytest
import zstandard

from fhir_server.r4.package import Package
from fhir_server.terminology.chinese import ICD_9_CM_3, ICD_10
from fhir_server.terminology.generator import chinese_system, compile_table
from fhir_server.terminology.published import TABLE, concept_maps, published
from tests.fixtures import FIXTURES

LISTS = ("icd10-cn", "icd9cm3-cn")


def test_the_table_is_what_the_generator_makes(package: Package) -> None:
    """Run `python -m fhir_server.terminology.generator PACKAGE ICD-10-LIST ICD-9-CM-3-LIST` when this fails."""
    lists = [chinese_system(name, lines(name)) for name in LISTS]
    assert zstandard.decompress(TABLE.read_bytes()) == compile_table(package, lists)


def test_everything_official_is_there_but_what_says_nothing(package: Package) -> None:
    """Left out: code systems of content not-present and supplements"""
    kinds = ("CodeSystem", "ValueSet", "ConceptMap")
    official = {(one["resourceType"], url) for url, one in package.items() if one["resourceType"] in kinds}
    missing = {url for kind, url in official if published(kind, url) is None}
    assert missing == {
        "http://snomed.info/sct",
        "http://hl7.org/fhir/CodeSystem/summary",
        "http://hl7.org/fhir/CodeSystem/example-supplement",
    }
    assert len(concept_maps()) == 80


@pytest.mark.parametrize(("url", "name"), [(ICD_10, "icd10-cn"), (ICD_9_CM_3, "icd9cm3-cn")])
def test_the_chinese_lists_are_whole(url: str, name: str) -> None:
    system = published("CodeSystem", url)
    assert system is not None
    assert [f"{one['code']} {one['display']}" for one in system["concept"]] == lines(name)


def test_a_canonical_with_a_version_finds_only_that_version() -> None:
    """references.html#canonical"""
    url = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert published("ValueSet", f"{url}|4.0.1") == published("ValueSet", url)
    assert published("ValueSet", f"{url}|3.0.2") is None
    assert published("CodeSystem", url) is None


def lines(name: str) -> list[str]:
    return [line.strip() for line in (FIXTURES / "china" / f"{name}.dat").read_text(encoding="utf-8").splitlines()]
