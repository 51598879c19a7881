"""What a resource refers to within itself (references.html#contained)."""

from typing import Any

from fhir_server.search import elements
from fhir_server.search.parameters import Parameter


def contained(parameter: Parameter, resource: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    """The contained resources of a type that it refers to by the parameter, each with its siblings as what it contains."""
    siblings = resource.get("contained")
    if not siblings:
        return []
    found = (elements.fragment(element) for path in parameter.paths for element in path.extract(resource))
    wanted = {fragment for fragment in found if fragment}
    kin = [one for one in siblings if one["resourceType"] == resource_type]
    return [{**one, "contained": siblings} for one in kin if one.get("id") in wanted]


def alone(resource: dict[str, Any]) -> dict[str, Any]:
    """Without what it contains."""
    return {name: value for name, value in resource.items() if name != "contained"}
