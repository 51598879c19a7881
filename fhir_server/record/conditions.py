"""What clauses say, as conditions for MongoDB on stamps, terms and ranges, and what of it the bodies are to confirm."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fhir_server.record.pairing import Piece
from fhir_server.search.clauses import Clause, error
from fhir_server.search.compare import Test, tests
from fhir_server.search.elements import WORDED, has_texts
from fhir_server.search.index import has_words
from fhir_server.search.pairs import TO_PATIENT
from fhir_server.search.parameters import is_canonical
from fhir_server.search.plan import Lookup, RangeTest, by_old_entries, lookup, parts
from fhir_server.search.query import Query
from fhir_server.search.rewriting import parts_of
from fhir_server.search.text import normalise
from fhir_server.search.values import Around, Ordered, String, Unheld, Within
from fhir_server.store.documents import Codec, patient_term

MAX_CODES = 150  # that have the words asked for; MongoDB by default merges up to 200 ways through an index in order

Condition = dict[str, Any]

# Patient key -> the keys of all Patients that the caller may take for the same person.
Expand = Callable[[bytes], Awaitable[Sequence[bytes]]]


async def said(codec: Codec, query: Query, expand: Expand) -> tuple[list[Condition], list[Piece], list[Clause]]:
    """What the clauses say: conditions on stamps and words, pieces for the index, and what the bodies are to confirm."""
    conditions: list[Condition] = []
    pieces: list[Piece] = []
    confirm: list[Clause] = []
    for clause in query.clauses:
        _refuse_unsettled(clause)
        if clause.modifier is None and clause.parameter.name in STAMPED:
            conditions += STAMPED[clause.parameter.name](clause)
        elif clause.modifier == "text":
            conditions += await _by_words(codec, clause)
            confirm.append(clause)
        else:
            asked = parts(clause)
            found = [_found(codec, part) for part in asked]
            pieces += [await _piece(codec, *one, expand) for one in zip(asked, found, strict=True)]
            if len(found) > 1 or not found[0].exact:
                confirm.append(clause)
    return conditions, pieces, confirm


def _found(codec: Codec, part: Clause) -> Lookup:
    is_old = not codec.is_indexed and part.parameter.type in ("string", "token")
    return (by_old_entries if is_old else lookup)(part)


async def _piece(codec: Codec, asked: Clause, found: Lookup, expand: Expand) -> Piece:
    if not any(TO_PATIENT in term for term in found.terms):
        return Piece(found.terms, found.ranges, ())
    terms, references = [], []
    for term in found.terms:
        path, separator, patient = term.partition(TO_PATIENT)
        if separator:
            references += [(path, member) for member in await expand(codec.identity(f"Patient/{patient}"))]
        else:
            terms.append(term)
    return Piece(terms, found.ranges, references, is_canonical(asked.parameter))


def _refuse_unsettled(clause: Clause) -> None:
    """Searches have asked the stored definitions and the clock; criteria of writes mean the same for ever, so they cannot."""
    for value in clause.values:
        if isinstance(value, Unheld):
            problem = "names what is not shipped here, as only searches may: list the codes, commas between"
            raise error(f"{clause.parameter.name}:{clause.modifier}", problem)
        if isinstance(value, Within):
            problem = "asks for what a hierarchy holds now, as only searches may: list what is meant, commas between"
            raise error(f"{clause.parameter.name}:{clause.modifier}", problem)
        if any(isinstance(part, Around) for part in parts_of(value)):
            raise error(
                clause.parameter.name, "is about a date, as only searches may be: say from when to when, with ge and le"
            )


async def _by_words(codec: Codec, clause: Clause) -> list[Condition]:
    """Beside which codes such words stand, or that words stand beside none; nothing where that would not help."""
    paths = [path for path in clause.parameter.paths if has_texts(path.datatype)]
    if not codec.is_indexed or not all(path.key and path.datatype in WORDED for path in paths):
        return []
    words = tuple(value.text for value in clause.values if isinstance(value, String))
    found = {codec.term(has_words(path)) for path in paths}
    for path in paths:
        found |= await codec.displays.codes(has_words(path), lambda text: normalise(text).startswith(words))
    return [{"x": {"$in": sorted(found)}}] if len(found) <= MAX_CODES else []


def any_of(codec: Codec, piece: Piece) -> Condition:
    """That a record has one of the terms, references and ranges of a piece."""
    terms = [codec.term(term) for term in piece.terms]
    terms += [patient_term(codec, path, patient) for path, patient in piece.references]
    alternatives = _ranges(codec, piece.ranges)
    if terms:
        alternatives.append({"x": {"$in": terms} if len(terms) > 1 else terms[0]})
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def _ranges(codec: Codec, ranges: Sequence[RangeTest]) -> list[Condition]:
    """One condition for all keys that are to pass the same tests: each condition costs a look at every entry."""
    grouped: dict[tuple[str | None, tuple[Test, ...]], list[int]] = {}
    for test in ranges:
        grouped.setdefault((test.unit, test.tests), []).append(codec.term(test.key))
    return [{"r": {"$elemMatch": _entry(codec, keys, *how)}} for how, keys in grouped.items()]


def _entry(codec: Codec, keys: list[int], unit: str | None, all_of: tuple[Test, ...]) -> Condition:
    made: Condition = {"k": {"$in": keys}}
    if unit is not None:
        made["n"] = codec.term(unit)
    for side, how, bound in all_of:
        made.setdefault("a" if side == "low" else "z", {})[f"${how}"] = bound
    return made


def _last_updated(clause: Clause) -> list[Condition]:
    """`_lastUpdated` is a stamp: an instant is both ends of its interval."""
    alternatives = [
        {"$and": [{"u": {f"${how}": bound}} for _, how, bound in all_of]}
        for value in clause.values
        if isinstance(value, Ordered)
        for all_of in tests(value)
    ]
    return [{"$or": alternatives}]


STAMPED: dict[str, Callable[[Clause], list[Condition]]] = {"_lastUpdated": _last_updated, "_id": lambda clause: []}


def tested(condition: Condition) -> Condition:
    """A condition that a few named resources are to meet. Put so that no index can serve it: looking for all that meet it
    would be tried beside looking at the few."""
    return {"$nor": [{"$nor": [condition]}]}


def terms_of(condition: Condition) -> list[int]:
    """The terms that a look is for."""
    asked = condition["x"]
    return list(asked["$in"]) if isinstance(asked, dict) else [asked]
