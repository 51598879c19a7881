"""Compiles the codes of FHIR's own code systems from the official package; schema_generator.py writes them."""

from collections.abc import Iterable, Iterator
from typing import Any

from fhir_server.r4.package import Package

_OWN = "http://hl7.org/fhir/"


def compile_codes(package: Package) -> dict[str, list[str]]:
    """Code system -> its codes, of the systems that are versioned with R4 and complete in the package."""
    return {
        url: sorted(_codes(resource.get("concept", ())))
        for url, resource in sorted(package.items())
        if resource["resourceType"] == "CodeSystem" and url.startswith(_OWN) and resource["content"] == "complete"
    }


def _codes(concepts: Iterable[dict[str, Any]]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", ()))
