"""What _include and _revinclude ask for beside the matches (search.html#include)."""

from collections.abc import Sequence
from typing import Any

from fhir_server.search import elements, values
from fhir_server.search.parameters import Parameter, parameters
from fhir_server.search.query import Clause, Include


def included(include: Include, resource: dict[str, Any]) -> list[str]:
    """The `Type/id` that the resource refers to by the include's parameter, each once; URLs elsewhere are left out."""
    found = (
        reference
        for parameter in _followed(include)
        for path in parameter.paths
        for element in path.extract(resource)
        for reference in elements.references(path.datatype, element)
    )
    return [reference for reference in dict.fromkeys(found) if _wanted(include, reference)]


def reverse(include: Include, references: Sequence[str]) -> Clause:
    """The clause, on resources of type `include.source`, that finds what refers to any of these `Type/id`."""
    if include.parameter is None:
        raise ValueError("a reverse include names its parameter")
    return Clause(include.parameter, None, (values.Reference(tuple(references)),))


def _followed(include: Include) -> list[Parameter]:
    if include.parameter:
        return [include.parameter]
    return [parameter for parameter in parameters(include.source).values() if parameter.type == "reference"]


def _wanted(include: Include, reference: str) -> bool:
    resource_type, _, id = reference.partition("/")
    return bool(parameters(resource_type)) and "/" not in id and include.target in (None, resource_type)
