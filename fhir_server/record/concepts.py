"""Searches by the meaning of codes (search.html#token) where stored value sets and code systems say what is meant."""

import asyncio
from collections.abc import Iterator

from consent.caller import Caller
from fhir_server.record.context import Record
from fhir_server.record.definitions import Held
from fhir_server.search.clauses import Clause, error
from fhir_server.search.concepts import code_system, concepts
from fhir_server.search.query import Query
from fhir_server.search.rewriting import rewritten, values_of
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
    return (value for value in values_of(query) if isinstance(value, Unheld))


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
    def told(clause: Clause, value: Value) -> Value:
        try:
            return _value(held, value)
        except ValueError as problem:
            raise error(f"{clause.parameter.name}:{clause.modifier}", f"has a value that {problem}") from None

    return rewritten(query, told)


def _value(held: Held, value: Value) -> Value:
    if not isinstance(value, Unheld):
        return value
    asked = value.modifier, value.system, value.code
    if asked not in held.meanings:
        held.meanings[asked] = concepts(*asked, held.library)
    return Concepts(value.asked, held.meanings[asked])
