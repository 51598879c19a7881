"""`:above` and `:below` on references (search.html, Searching Hierarchies): what places, stays, ... are part of, or hold.

What may not be seen leads no further, up or down.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import groupby

from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal
from fhir_server.record.chaining import FEW, Finder, far, name_of, resource_of, targets
from fhir_server.record.criteria import Bound
from fhir_server.record.gate import View
from fhir_server.search.include import references, reverse
from fhir_server.search.parameters import Parameter, standard
from fhir_server.search.query import Query
from fhir_server.search.rewriting import rewritten, values_of
from fhir_server.search.values import HIERARCHIES, Reference, Within

MOST = 1_000  # resources that one reference may come to

Step = Callable[[View, str, Parameter, Sequence[str], Finder], AsyncIterator[str]]


async def with_hierarchies(sight: View, query: Query, find: Finder) -> Query:
    """The query with all that references `:above` and `:below` come to; 403 `too-costly` where that is more than MOST."""
    asked = {value for value in values_of(query) if isinstance(value, Within)}
    told = {value: Reference(await _reached(sight, value, find)) for value in asked}
    return rewritten(query, lambda clause, value: told[value] if isinstance(value, Within) else value)


async def _reached(sight: View, asked: Within, find: Finder) -> tuple[str, ...]:
    """What is asked for, and what there is of it further up or down, each once: hierarchies with a loop end, too."""
    reached, new = dict.fromkeys(asked.accepted), list(asked.accepted)
    while new:
        met = [one async for one in _next(sight, _STEPS[asked.modifier], new, find)]
        new = [one for one in dict.fromkeys(met) if one not in reached]
        reached |= dict.fromkeys(new)
        if len(reached) > MOST:
            problem = f":{asked.modifier} comes to more than {MOST} resources: ask further down, or for some of them"
            raise FhirError(403, "too-costly", problem)
    return tuple(reached)


async def _next(sight: View, step: Step, names: Iterable[str], find: Finder) -> AsyncIterator[str]:
    for kind, some in groupby(sorted(names), lambda name: name.partition("/")[0]):
        if kind in HIERARCHIES:
            async for one in step(sight, kind, standard(kind)[HIERARCHIES[kind]], list(some), find):
                yield one


async def _down(sight: View, kind: str, parameter: Parameter, names: Sequence[str], find: Finder) -> AsyncIterator[str]:
    async for one in far(sight, kind, reverse(parameter, names), None, FEW, find):
        yield name_of(sight, one)


async def _up(sight: View, kind: str, parameter: Parameter, names: Sequence[str], find: Finder) -> AsyncIterator[str]:
    bound = Bound({"_id": {"$in": [key for _, key in targets(sight, names, (kind,))]}})
    async for one in far(sight, kind, None, bound, FEW, find):
        for name in references(parameter, resource_of(sight, one)):
            if (found := literal(name)) and found[0] == kind:
                yield f"{kind}/{found[1]}"


_STEPS: dict[str, Step] = {"below": _down, "above": _up}
