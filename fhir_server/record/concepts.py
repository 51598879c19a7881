"""Searches by the meaning of codes (search.html#token) where stored value sets and code systems say what is meant."""

import asyncio
from collections.abc import Iterator

from consent.caller import Caller
from consent.scopes import allows
from fhir_server.r4.json import read_stored
from fhir_server.r4.references import literal
from fhir_server.record.context import Record
from fhir_server.record.definitions import Held
from fhir_server.search.clauses import Clause, error
from fhir_server.search.concepts import code_system, concepts
from fhir_server.search.query import Query
from fhir_server.search.rewriting import rewritten, values_of
from fhir_server.search.values import Concepts, Unheld, Value
from fhir_server.store.documents import opened
from fhir_server.terminology.library import Name, needs
from fhir_server.terminology.published import published


async def with_meanings(record: Record, caller: Caller, query: Query) -> Query:
    """The query with the codes that stored definitions stand for; 400 where nothing here says what is meant."""
    if not any(_unheld(query)):
        return query
    query = await _by_url(record, caller, query)
    names = {name for value in _unheld(query) for name in _stored(_name(value))}
    return await asyncio.to_thread(_told, await record.definitions.at_hand(caller, names), query)


async def _by_url(record: Record, caller: Caller, query: Query) -> Query:
    """The query with value sets that are named by id, as `:in=ValueSet/1`, named by what is their url there."""
    named = {value.code for value in _unheld(query) if (literal(value.code) or ("",))[0] == "ValueSet"}
    if not named or not allows(caller.scopes, "ValueSet", "r"):
        return query
    urls = {one: await _url(record, one) for one in named}

    def renamed(clause: Clause, value: Value) -> Value:
        return value._replace(code=urls.get(value.code, value.code)) if isinstance(value, Unheld) else value

    return rewritten(query, renamed)


async def _url(record: Record, name: str) -> str:
    """The canonical url, with its version; the name itself where no directory data is of that name, or it has no url."""
    stored = await record.by_key(record.codec.identity(name))
    is_told = stored and "b" in stored and not stored["p"]
    resource = read_stored(opened(record.codec, stored)) if stored and is_told else {}
    return "|".join(resource[part] for part in ("url", "version") if part in resource) if "url" in resource else name


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
