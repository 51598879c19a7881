"""Profiles made by hand, and what breaks them."""

from collections.abc import Iterable
from typing import Any

from fhir_server.r4.errors import Issue
from fhir_server.r4.profiles.library import Profiles
from fhir_server.r4.profiles.validation import issues
from fhir_server.r4.validation import validate
from fhir_server.terminology.bindings import tester
from fhir_server.terminology.library import Library

Resource = dict[str, Any]
R4 = "http://hl7.org/fhir/StructureDefinition/"
MINE = "http://example.org/fhir/StructureDefinition/"
HAS_CODE = tester(Library())
PATIENT: Resource = {"resourceType": "Patient", "gender": "female", "name": [{"family": "Li", "given": ["Na"]}]}


def profile(name: str, kind: str, *elements: Resource, base: str = "", **more: Any) -> Resource:
    """A StructureDefinition with this differential, whose elements have paths below the type."""
    return {
        "resourceType": "StructureDefinition",
        "url": MINE + name,
        "name": name,
        "status": "active",
        "fhirVersion": "4.0.1",
        "kind": "resource" if kind not in ("Extension", "HumanName", "Quantity") else "complex-type",
        "abstract": False,
        "type": kind,
        "baseDefinition": base or R4 + kind,
        "derivation": "constraint",
        "differential": {"element": _placed(kind, elements)},
        **({"context": [{"type": "element", "expression": "Element"}]} if kind == "Extension" else {}),
        **more,
    }


def _placed(kind: str, elements: Iterable[Resource]) -> list[Resource]:
    """ElementDefinitions `at` paths below the type, of a `slice`, with the ids that follow from what stands before them."""
    made, ids = [{"id": kind, "path": kind}], {kind: kind}

    def placed(path: str) -> str:
        parent, _, name = path.rpartition(".")
        return ids.get(path) or f"{placed(parent)}.{name}"

    for one in elements:
        path = f"{kind}.{one['at']}"
        parent, _, name = path.rpartition(".")
        ids[path] = f"{placed(parent)}.{name}" + (f":{one['slice']}" if "slice" in one else "")
        said = {name: value for name, value in one.items() if name not in ("at", "slice")}
        made.append({"id": ids[path], "path": path, **({"sliceName": one["slice"]} if "slice" in one else {}), **said})
    return made


def checked(resource: Resource, *profiles: Resource, asked: Iterable[str] = ()) -> list[Issue]:
    """All issues of a valid R4 resource by these profiles, of which it is asked about the first."""
    validate(resource)
    for one in profiles:
        validate(one)
    held = {one["url"]: one for one in profiles}
    return issues(resource, Profiles(HAS_CODE, held.get), [*asked, *list(held)[:1]])


def broken(resource: Resource, *profiles: Resource, asked: Iterable[str] = ()) -> list[tuple[str, str | None]]:
    """(code, expression) of the errors."""
    return [(one.code, one.expression) for one in checked(resource, *profiles, asked=asked) if one.severity == "error"]


def element(known: str, **more: Any) -> Resource:
    return {"id": known, "path": known, **more}


def rules(*slices: str, rules: str = "open", ordered: bool = False) -> Resource:
    """`slicing` by discriminators `type path`."""
    pairs = (one.split(" ") for one in slices)
    return {"slicing": {"rules": rules, "ordered": ordered, "discriminator": [{"type": a, "path": b} for a, b in pairs]}}
