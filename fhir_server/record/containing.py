"""Chains into contained resources (search.html#contained), which are a part of their container: who may see that sees them.

Their references to Patients mean persons, as those of any other resource do.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fhir_server.r4.references import literal
from fhir_server.record.gate import View
from fhir_server.record.persons import same_person
from fhir_server.search.chains import Chain, Criterion
from fhir_server.search.clauses import Clause
from fhir_server.search.contained import alone, contained
from fhir_server.search.include import references
from fhir_server.search.match import matches
from fhir_server.search.values import Reference
from fhir_server.store.documents import resource_key

Outside = Callable[[Chain, list[dict[str, Any]]], Awaitable[set[int]]]
"""Which of these resources meet the chain by what else is here."""


async def leading_inside(sight: View, link: Chain, resources: list[dict[str, Any]], outside: Outside) -> set[int]:
    """Which of the resources meet the chain by what they contain."""
    good: set[int] = set()
    for target, criterion in link.ways:
        within = [(at, one) for at, resource in enumerate(resources) for one in contained(link.parameter, resource, target)]
        if within:
            met = await _meeting(sight, criterion, [one for _, one in within], outside)
            good.update(at for number, (at, _) in enumerate(within) if number in met)
    return good


async def _meeting(sight: View, criterion: Criterion, resources: list[dict[str, Any]], outside: Outside) -> set[int]:
    """Which of these contained resources meet the criterion. Only their container refers to them: `_has` finds none."""
    if isinstance(criterion, Clause):
        return {at for at, one in enumerate(resources) if await _meets(sight, criterion, one)}
    if isinstance(criterion, Chain):
        return await leading_inside(sight, criterion, resources, outside) | await outside(criterion, resources)
    return set()


async def _meets(sight: View, clause: Clause, resource: dict[str, Any]) -> bool:
    resource = alone(resource)
    return matches(clause, resource) or await _names_the_person(sight, clause, resource)


async def _names_the_person(sight: View, clause: Clause, resource: dict[str, Any]) -> bool:
    """Whether it refers to another Patient of a person that is asked for."""
    accepted = {text for value in clause.values if isinstance(value, Reference) for text in value.accepted}
    asked = [known for text in accepted if (known := _patient(sight, text))]
    if not asked:
        return False
    named = {_patient(sight, text) for text in references(clause.parameter, resource)}
    return any([not named.isdisjoint(await same_person(sight, one)) for one in asked])


def _patient(sight: View, reference: str) -> bytes | None:
    """The key of the Patient that a literal reference names."""
    target = literal(reference)
    return resource_key(sight.record.codec, *target) if target and target[0] == "Patient" else None
