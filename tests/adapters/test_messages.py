"""Every ADT and ORU message of the fixtures: taken in, valid R4, and every populated field mapped or listed."""

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from adapters.hl7v2.convert import patient_ids
from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.parse import parse
from fhir_server.r4 import json as fhir_json
from fhir_server.r4 import validation
from tests.adapters.support import OPEN, SECRET, converted, resources
from tests.fixtures import FIXTURES

FILES = sorted((FIXTURES / "hl7v2").rglob("*.hl7"))
TAKEN = [path for path in FILES if parse(path.read_bytes()).header[9][1] in ("ADT", "ORU")]
OTHERS = [path for path in FILES if path not in TAKEN]


def name(path: Path) -> str:
    return path.stem


def as_received(resource: dict[str, Any]) -> dict[str, Any]:
    return fhir_json.read(fhir_json.write(resource))


def test_there_are_fixtures() -> None:
    assert len(TAKEN) > 250 and len(OTHERS) > 40


@pytest.mark.parametrize("path", TAKEN, ids=name)
def test_taken_in_as_valid_r4(path: Path) -> None:
    result = converted(path.read_bytes())
    for entry in result.bundle.get("entry", ()):
        resource = entry["resource"]
        validation.validate(as_received(resource))
        get_fhir_model_class(resource["resourceType"]).model_validate(json.loads(fhir_json.write(resource)))
        assert entry["request"]["url"] == f"{resource['resourceType']}/{resource['id']}" and len(resource["id"]) <= 64


@pytest.mark.parametrize("path", TAKEN, ids=name)
def test_whom_it_is_about_is_known_before_it_is_converted(path: Path) -> None:
    """The inbox files it under them before it is looked into, so that it goes when they are erased"""
    raw = path.read_bytes()
    made = [resource["id"] for resource in resources(converted(raw), "Patient")]
    about = patient_ids(parse(raw, OPEN.charset), OPEN, SECRET)
    assert list(about[: len(made)]) == made
    assert len(about) == max(len(made), 1) or b"\rMRG|" in raw.replace(b"\n", b"\r")


@pytest.mark.parametrize("path", TAKEN, ids=name)
def test_every_populated_field_is_mapped_or_listed(path: Path) -> None:
    raw = path.read_bytes()
    listed = converted(raw).unmapped
    assert len(listed) == len(set(listed))
    unknown = {segment.name for segment in parse(raw).segments} - {entry.split("-")[0] for entry in listed}
    assert not unknown & {"SFT", "ROL", "GT1", "ACC", "TQ1", "ARV", "DB1", "RF1", "PDA"}


@pytest.mark.parametrize("path", TAKEN, ids=name)
def test_references_stay_inside_the_bundle(path: Path) -> None:
    result = converted(path.read_bytes())
    made = {entry["request"]["url"] for entry in result.bundle.get("entry", ())} | {"Organization/hospital-a"}
    assert set(_references(result.bundle)) <= made
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest", "Condition", "Encounter"):
        assert all("subject" in resource for resource in resources(result, kind))


@pytest.mark.parametrize("path", OTHERS, ids=name)
def test_other_message_types_are_refused_cleanly(path: Path) -> None:
    with pytest.raises(Hl7Error, match="message type not supported") as refused:
        converted(path.read_bytes())
    assert (refused.value.code, refused.value.condition, refused.value.location) == ("AR", 200, "MSH-9")


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["reference"]] if isinstance(node.get("reference"), str) else []
    return own + [found for value in node.values() for found in _references(value)]
