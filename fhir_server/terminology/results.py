"""Parameters resources that operations answer with (R4 parameters.html)."""

from typing import Any

Resource = dict[str, Any]
_TYPES = {bool: "valueBoolean", int: "valueInteger", str: "valueString"}


def parameter(name: str, value: Any, kind: str = "") -> Resource:
    """One parameter; `kind` is the FHIR type where Python's does not tell: a str is a string, a list is parts."""
    if isinstance(value, list):
        return {"name": name, "part": value}
    return {"name": name, f"value{kind}" if kind else _TYPES[type(value)]: value}


def parameters(*given: Resource | None) -> Resource:
    """The resource, without those that are None."""
    return {"resourceType": "Parameters", "parameter": [one for one in given if one is not None]}


def if_given(name: str, value: Any) -> Resource | None:
    return None if value is None else parameter(name, value)
