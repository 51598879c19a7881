"""Criteria on other resources: chains, `_has` and `_list` (search.html#chaining, #has, #list), each inside the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import ID_PATTERN
from fhir_server.search.clauses import Clause, Pending, Unknown, clause, error, require_indexed, searched
from fhir_server.search.parameters import Parameter, parameters, pending

MAX_HOPS = 8
MAX_WAYS = 64


@dataclass(frozen=True, slots=True)
class Chain:
    """`subject:Patient.name=x`: `parameter` refers to a resource that meets the criterion for its type."""

    parameter: Parameter
    ways: tuple[tuple[str, "Criterion"], ...]


@dataclass(frozen=True, slots=True)
class Reverse:
    """`_has:Observation:patient:code=x`: a `source` that meets the criterion refers to this resource by `parameter`."""

    source: str
    parameter: Parameter
    criterion: "Criterion"


@dataclass(frozen=True, slots=True)
class Listed:
    """`_list=id`: the List with this id has the resource as an item."""

    id: str


Criterion = Clause | Chain | Reverse
Link = Chain | Reverse | Listed


def criterion(resource_type: str, name: str, text: str, base_url: str, hops: int = 0, ways: int = 1) -> Criterion:
    """The criterion that `name=text` asks for; `ways` is how many there are to get here."""
    head, dot, rest = name.partition(".")
    reverse = name.startswith("_has:")
    if (reverse or dot) and hops == MAX_HOPS:
        raise error(name, f"goes over more than {MAX_HOPS} references", "too-costly")
    if reverse:
        return _reverse(resource_type, name, text, base_url, hops + 1, ways)
    if dot:
        return _chain(resource_type, head, rest, text, base_url, hops + 1, ways)
    return clause(resource_type, name, text, base_url)


def listed(name: str, text: str) -> Listed:
    if not ID_PATTERN.fullmatch(text):
        raise error(name, "is not the id of a List, nor the name of a functional list such as $current-allergies")
    return Listed(text)


def _reverse(resource_type: str, name: str, text: str, base_url: str, hops: int, ways: int) -> Reverse:
    parts = name.split(":", 3)
    if len(parts) == 4:
        require_indexed(parts[1], parts[2], name)
    parameter = parameters(parts[1]).get(parts[2]) if len(parts) == 4 else None
    if parameter is None or parameter.type != "reference" or resource_type not in parameter.targets:
        raise Unknown.because(name, f"is not _has:[type]:[parameter that refers to {resource_type}]:[what to ask of it]")
    return Reverse(parts[1], parameter, criterion(parts[1], parts[3], text, base_url, hops, ways))


def _chain(resource_type: str, head: str, rest: str, text: str, base_url: str, hops: int, ways: int) -> Chain:
    code, colon, target = head.partition(":")
    parameter = searched(resource_type, code, head)
    if parameter.type != "reference" or (colon and target not in parameter.targets):
        raise error(head, "refers to nothing that could be asked on: a chain is [reference]:[target type].[parameter]")
    if any(path.datatype == "Resource" for path in parameter.paths):
        raise error(head, "is a part of the resource itself, on which no chain is supported", "not-supported")
    types = (target,) if target else _able(parameter.targets, rest)
    if not types:
        raise Unknown.because(head, "refers to no type that has the parameter behind the dot")
    if ways * len(types) > MAX_WAYS:
        raise error(head, f"may refer to too many types: name one, as {code}:Patient", "too-costly")
    return Chain(parameter, _ways(types, rest, text, base_url, hops, ways * len(types)))


def _able(targets: Sequence[str], rest: str) -> tuple[str, ...]:
    """The types that have the next parameter."""
    if rest.startswith("_has:"):
        return tuple(targets)
    code = rest.partition(".")[0].partition(":")[0]
    return tuple(target for target in targets if code in parameters(target) or code in pending(target))


def _ways(types: Sequence[str], *asked: Any) -> tuple[tuple[str, Criterion], ...]:
    """The criterion for each type that it makes sense for; what is wrong with it, where it does for none."""
    found: list[tuple[str, Criterion]] = []
    wrong: list[FhirError] = []
    for one in types:
        try:
            found.append((one, criterion(one, *asked)))
        except Pending:
            raise
        except FhirError as problem:
            wrong.append(problem)
    if not found:
        raise min(wrong, key=lambda problem: isinstance(problem, Unknown))
    return tuple(found)
