"""The official definitions as HL7 publishes them: an NPM package of conformance resources. Only generators read it."""

import json
import tarfile
from pathlib import Path
from typing import Any

Package = dict[str, dict[str, Any]]
"""Canonical url -> conformance resource."""


def load(path: Path) -> Package:
    """Conformance resources of an NPM package by canonical url."""
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.name.endswith(".json") and "/." not in member.name]
        resources = [json.loads(archive.extractfile(member).read()) for member in members]  # type: ignore[union-attr]
    return {r["url"]: r for r in resources if isinstance(r, dict) and "url" in r and "resourceType" in r}


def structures(package: Package) -> list[dict[str, Any]]:
    """StructureDefinitions of resources and complex types themselves, without profiles of them."""
    return [
        resource
        for resource in package.values()
        if resource["resourceType"] == "StructureDefinition"
        and resource["kind"] in ("resource", "complex-type")
        and resource.get("derivation") != "constraint"
    ]


def resource_types(definitions: list[dict[str, Any]]) -> list[str]:
    """Concrete resource types, sorted."""
    return sorted(d["type"] for d in definitions if d["kind"] == "resource" and not d["abstract"])
