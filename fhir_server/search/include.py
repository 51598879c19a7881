"""What _include and _revinclude ask for beside the matches (search.html#include)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from fhir_server.search import elements, values
from fhir_server.search.canonical_references import has_url
from fhir_server.search.clauses import Clause, error, require_indexed
from fhir_server.search.parameters import KNOWN, Known, Parameter, is_canonical, parameters, resource_types, standard

ITERATED = frozenset({"_include:iterate", "_revinclude:iterate"})


@dataclass(frozen=True, slots=True)
class Include:
    """One _include or _revinclude: the references of `parameter` (None: all) of `source` (None: any type), to `target`
    (None: any). `iterate`: of what is included, too.
    """

    source: str | None
    parameter: Parameter | None
    target: str | None
    iterate: bool = False


def parse(name: str, text: str, resource_type: str, types: Sequence[str]) -> list[Include]:
    """The includes that `_include=text` or `_include:iterate=text` asks for on a search of this type, among these."""
    return [_included(name, one, resource_type, types) for one in text.split(",")]


def parse_reverse(name: str, text: str, types: Sequence[str]) -> list[Include]:
    """The same of `_revinclude`."""
    return [_reverse_included(name, one, types) for one in text.split(",")]


def included(include: Include, resource: dict[str, Any]) -> list[str]:
    """The `Type/id` that the resource refers to by the include's parameter, each once; URLs elsewhere are left out."""
    if include.source not in (None, resource["resourceType"]):
        return []
    found = (one for parameter in _followed(include, resource["resourceType"]) for one in references(parameter, resource))
    return [reference for reference in dict.fromkeys(found) if _wanted(include, reference)]


def references(parameter: Parameter, resource: dict[str, Any]) -> list[str]:
    """What a resource refers to by the parameter, as it is written there."""
    return [
        reference
        for path in parameter.paths
        for element in path.extract(resource)
        for reference in elements.references(path.datatype, element)
    ]


def by_url(include: Include, resource_type: str) -> list[tuple[Parameter, list[str]]]:
    """The parameters by which resources of this type may refer by canonical url, and to resources of which types."""
    if include.source not in (None, resource_type):
        return []
    found = (parameter for parameter in _followed(include, resource_type) if is_canonical(parameter))
    return [(one, [kind for kind in one.targets if has_url(kind) and include.target in (None, kind)]) for one in found]


def pointing(include: Include, resource_type: str) -> list[tuple[str, Parameter]]:
    """The (type, parameter) by which a reverse include is reached from resources of this type; none where it is not."""
    if include.target not in (None, resource_type):
        return []
    if include.parameter and include.source:
        return [(include.source, include.parameter)] if resource_type in include.parameter.targets else []
    return [(source, one) for source, one in _pointing(resource_type) if include.source in (None, source)]


def followed_back(include: Include) -> tuple[Parameter, ...]:
    """The parameters that a reverse include looks up in the index; of a wildcard, the custom ones among them."""
    if include.parameter:
        return (include.parameter,)
    offered = KNOWN.get().offered.items()
    return tuple(one for source, found in offered for one in found.values() if one.origin and include.source in (None, source))


def reverse(parameter: Parameter, references: Sequence[str]) -> Clause:
    """The clause that finds what refers to any of these `Type/id` by the parameter."""
    return Clause(parameter, None, (values.Reference(tuple(references)),))


def _pointing(resource_type: str) -> tuple[tuple[str, Parameter], ...]:
    """Every reference parameter that may refer to this type, once for all that search the same element."""
    return (*_standard_pointing(resource_type), *_custom_pointing(resource_type))


def _custom_pointing(resource_type: str) -> Iterator[tuple[str, Parameter]]:
    for source, offered in KNOWN.get().offered.items():
        yield from ((source, one) for one in offered.values() if one.origin and resource_type in _referable(one))


def _referable(parameter: Parameter) -> tuple[str, ...]:
    return parameter.targets if parameter.type == "reference" else ()


@cache
def _standard_pointing(resource_type: str) -> tuple[tuple[str, Parameter], ...]:
    found: dict[tuple[str, frozenset[str]], tuple[str, Parameter]] = {}
    for source in resource_types():
        for one in standard(source).values():
            if resource_type in _referable(one):
                found.setdefault((source, frozenset(path.key for path in one.paths)), (source, one))
    return tuple(found.values())


def _followed(include: Include, resource_type: str) -> list[Parameter]:
    if include.parameter:
        return [include.parameter]
    return [parameter for parameter in parameters(resource_type).values() if parameter.type == "reference"]


def _wanted(include: Include, reference: str) -> bool:
    resource_type, _, id = reference.partition("/")
    return bool(parameters(resource_type)) and "/" not in id and include.target in (None, resource_type)


def _included(name: str, text: str, resource_type: str, types: Sequence[str]) -> Include:
    if text == "*":
        return Include(None if name in ITERATED else resource_type, None, None, name in ITERATED)
    found = _path(KNOWN.get(), name, text)
    if found.source not in types and not found.iterate:
        raise error(name, f"starts from another type than {_listed(types)}: ask for it as _include:iterate")
    return found


def _reverse_included(name: str, text: str, types: Sequence[str]) -> Include:
    if text == "*":
        return Include(None, None, None, name in ITERATED)
    found = _path(KNOWN.get(), name, text)
    reached = types if found.parameter is None else [one for one in types if one in found.parameter.targets]
    if not found.iterate and not any(found.target in (None, one) for one in reached):
        raise error(name, f"names a parameter that cannot refer to {_listed(types)}")
    return found


def _listed(types: Sequence[str]) -> str:
    return types[0] if len(types) == 1 else "those that are searched"


@lru_cache(maxsize=1_024)
def _path(known: Known, name: str, text: str) -> Include:
    """What is known decides what a parameter means."""
    source, code, target = (*text.split(":"), "", "")[:3]
    if text.count(":") not in (1, 2) or (target and target not in resource_types()):
        raise error(name, "is not [type]:[parameter] or [type]:[parameter]:[target type]")
    require_indexed(source, code, name)
    parameter = parameters(source).get(code)
    if source not in resource_types() or (code != "*" and (parameter is None or parameter.type != "reference")):
        raise error(name, "names no reference parameter: /metadata lists those that are known")
    if target and parameter and target not in parameter.targets:
        raise error(name, "names a target type that the parameter cannot refer to")
    return Include(source, parameter, target or None, name in ITERATED)
