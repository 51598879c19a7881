"""The values of a query, wherever in it they stand: to look at, and to settle what only the moment or the store can tell."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from fhir_server.search.chains import Chain, Criterion, Link, Listed, Reverse
from fhir_server.search.clauses import Clause
from fhir_server.search.query import Query
from fhir_server.search.values import Around, Composite, Unheld, Value, Within, about

Change = Callable[[Clause, Value], Value]


def is_unsettled(query: Query) -> bool:
    """Whether only the moment or the store can tell what some value means."""
    return any(isinstance(value, Around | Unheld | Within) for value in values_of(query))


def as_of(query: Query, now: int) -> Query:
    """The query with its approximate dates as what they mean at this time (ms)."""
    return rewritten(query, lambda clause, value: about(value, now) if isinstance(value, Around) else value)


def values_of(query: Query) -> Iterator[Value]:
    """All values, those of branches, links and components among them."""
    for one in (query, *query.branches):
        for criterion in criteria_of(*one.clauses, *one.links):
            if isinstance(criterion, Clause):
                for value in criterion.values:
                    yield from parts_of(value)


def parts_of(value: Value) -> tuple[Value, ...]:
    """The values that a composite one is made of; any other value itself."""
    return value.parts if isinstance(value, Composite) else (value,)


def criteria_of(*criteria: Criterion | Link) -> Iterator[Criterion]:
    """These and all that stand inside them; a list that is named has none."""
    for one in criteria:
        if isinstance(one, Listed):
            continue
        yield one
        if isinstance(one, Chain):
            yield from criteria_of(*(inner for _, inner in one.ways))
        elif isinstance(one, Reverse):
            yield from criteria_of(one.criterion)


def rewritten(query: Query, change: Change) -> Query:
    """The query with each value as `change` has it."""
    return replace(
        query,
        clauses=tuple(_clause(one, change) for one in query.clauses),
        links=tuple(_link(one, change) for one in query.links),
        branches=tuple(rewritten(one, change) for one in query.branches),
    )


def _clause(clause: Clause, change: Change) -> Clause:
    return replace(clause, values=tuple(_value(clause, value, change) for value in clause.values))


def _value(clause: Clause, value: Value, change: Change) -> Value:
    if isinstance(value, Composite):
        return Composite(tuple(change(clause, part) for part in value.parts))
    return change(clause, value)


def _link(link: Link, change: Change) -> Link:
    if isinstance(link, Listed):
        return link
    if isinstance(link, Chain):
        return replace(link, ways=tuple((kind, _criterion(one, change)) for kind, one in link.ways))
    return replace(link, criterion=_criterion(link.criterion, change))


def _criterion(one: Criterion, change: Change) -> Criterion:
    if isinstance(one, Clause):
        return _clause(one, change)
    made = _link(one, change)
    assert not isinstance(made, Listed)
    return made
