"""Searches by the meaning of codes (search.html#token) where stored value sets and code systems say what is meant."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from consent.caller import Caller
from fhir_server.record.context import Record
from fhir_server.record.definitions import Held
from fhir_server.search.chains import Chain, Criterion, Link, Listed, Reverse
from fhir_server.search.clauses import Clause, error
from fhir_server.search.concepts import code_system, concepts
from fhir_server.search.query import Query
from fhir_server.search.values import Concepts, Unheld, Value
from fhir_server.terminology.library import Name, needs
from fhir_server.terminology.published import published


async def with_meanings(record: Record, caller: Caller, query: Query) -> Query:
    """The query with the codes that stored definitions stand for; 400 where nothing here says what is meant."""
    if not any(_unheld(query)):
        return query
    names = {name for value in _unheld(query) for name in _stored(_name(value))}
    return await asyncio.to_thread(_told, await record.definitions.at_hand(caller, names), query)


def _unheld(query: Query) -> Iterator[Unheld]:
    for one in (query, *query.branches):
        for clause in _clauses(*one.clauses, *one.links):
            yield from (value for value in clause.values if isinstance(value, Unheld))


def _clauses(*criteria: Criterion | Link) -> Iterator[Clause]:
    for one in criteria:
        if isinstance(one, Clause):
            yield one
        elif isinstance(one, Chain):
            yield from _clauses(*(criterion for _, criterion in one.ways))
        elif isinstance(one, Reverse):
            yield from _clauses(one.criterion)


def _name(value: Unheld) -> Name:
    return ("ValueSet", value.code) if value.modifier in ("in", "not-in") else ("CodeSystem", code_system(value.system))


def _stored(name: Name) -> set[Name]:
    """What is to be looked for: the name itself, or what a published value set is made of and nobody published."""
    met, waiting = {name}, [name]
    while waiting:
        found = published(*waiting.pop())
        new = set(needs(found)) - met if found else set()
        met |= new
        waiting += new
    return {one for one in met if published(*one) is None}


def _told(held: Held, query: Query) -> Query:
    branches = tuple(_told(held, one) for one in query.branches)
    clauses = tuple(_clause(held, one) for one in query.clauses)
    return replace(query, clauses=clauses, links=tuple(_link(held, one) for one in query.links), branches=branches)


def _link(held: Held, link: Link) -> Link:
    if isinstance(link, Listed):
        return link
    if isinstance(link, Reverse):
        return replace(link, criterion=_criterion(held, link.criterion))
    return replace(link, ways=tuple((kind, _criterion(held, one)) for kind, one in link.ways))


def _criterion(held: Held, one: Criterion) -> Criterion:
    if isinstance(one, Clause):
        return _clause(held, one)
    made = _link(held, one)
    assert not isinstance(made, Listed)
    return made


def _clause(held: Held, clause: Clause) -> Clause:
    try:
        return replace(clause, values=tuple(_value(held, value) for value in clause.values))
    except ValueError as problem:
        raise error(f"{clause.parameter.name}:{clause.modifier}", f"has a value that {problem}") from None


def _value(held: Held, value: Value) -> Value:
    if not isinstance(value, Unheld):
        return value
    asked = value.modifier, value.system, value.code
    if asked not in held.meanings:
        held.meanings[asked] = concepts(*asked, held.library)
    return Concepts(value.asked, held.meanings[asked])
