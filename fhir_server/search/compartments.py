"""Compartments (R4 compartmentdefinition.html): which resources of a type are in Patient/1, as a clause."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from fhir_server.r4.definitions import COMPARTMENTS
from fhir_server.search import values
from fhir_server.search.clauses import Clause
from fhir_server.search.parameters import Parameter, standard


def members(compartment: str) -> tuple[str, ...]:
    """The types that a compartment may hold resources of; none where there is no such compartment."""
    return tuple(sorted({*COMPARTMENTS[compartment], compartment})) if compartment in COMPARTMENTS else ()


def inside(compartment: str, id: str, resource_type: str) -> tuple[Clause, ...]:
    """Clauses of which one is to hold for a resource of this type to be in the compartment: its subject itself is."""
    found = []
    if resource_type == compartment:
        found.append(Clause(standard(resource_type)["_id"], None, (values.Token(None, id),)))
    if resource_type in _linking(compartment):
        clause = Clause(_linking(compartment)[resource_type], None, (values.Reference((f"{compartment}/{id}",)),))
        found.append(clause)
    return tuple(found)


@cache
def _linking(compartment: str) -> Mapping[str, Parameter]:
    """By type, the parameters that put a resource into the compartment as one."""
    return MappingProxyType(
        {
            kind: _joined(kind, compartment, names)
            for kind, names in COMPARTMENTS.get(compartment, {}).items()
            if names != ("{def}",)
        }
    )


def _joined(kind: str, compartment: str, names: tuple[str, ...]) -> Parameter:
    """Such as `subject` or `performer`; a path that leads only to other types does not count."""
    found = (path for name in names if name in standard(kind) for path in standard(kind)[name].paths)
    unique = {(path.key, path.expression): path for path in found if path.target in (None, compartment)}
    return Parameter(f"{compartment} compartment", "reference", (compartment,), tuple(unique.values()))
