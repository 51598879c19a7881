"""A search as MongoDB criteria: what the index decides, and the clauses that the bodies must confirm."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from fhir_server.r4.errors import FhirError
from fhir_server.record.pairing import Piece, pairing
from fhir_server.record.timing import in_time
from fhir_server.search.clauses import Clause, error
from fhir_server.search.compare import Test, tests
from fhir_server.search.elements import WORDED, has_texts
from fhir_server.search.index import has_words, is_counted, leads
from fhir_server.search.pairs import TO_PATIENT
from fhir_server.search.parameters import Parameter
from fhir_server.search.plan import Lookup, RangeTest, by_old_prefixes, lookup, parts
from fhir_server.search.query import Query
from fhir_server.search.rewriting import parts_of
from fhir_server.search.text import normalise
from fhir_server.search.values import Around, Ordered, Reference, String, Unheld
from fhir_server.store.documents import (
    TYPE_NUMBER,
    Codec,
    patient_term,
    resource_key,
)

MAX_PARAMETERS = 200
WAYS = 50  # through the index, up to which a page is looked up in passing
MAX_CODES = 150  # that have the words asked for; MongoDB by default merges up to 200 ways through an index in order

# Patient key -> the keys of all Patients that the caller may take for the same person.
Expand = Callable[[bytes], Awaitable[Sequence[bytes]]]


Scope = Literal["person", "terms", "ids", "population"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition for MongoDB beside those of the clauses, which a search is bounded by."""

    condition: dict[str, Any]  # which resources, by `_id`
    is_wide: bool = False  # whether the terms of the search bring up less than it does


class Referring(NamedTuple):
    """What refers by any of these paths to any of these Patients (keys)."""

    paths: tuple[str, ...]
    patients: frozenset[bytes]


def referring(parameter: Parameter, patients: frozenset[bytes]) -> Referring | None:
    """What refers to the Patients by the parameter; None where the index does not tell."""
    keys = tuple(path.key for path in parameter.paths if path.target in (None, "Patient"))
    return Referring(keys, patients) if all(keys) else None


class Criteria(NamedTuple):
    """`filter` for MongoDB; `types`: numbers of those asked for; `confirm`: clauses to check on the body, by number of its
    type; `scope`: what bounds the search."""

    filter: dict[str, Any]
    types: frozenset[int]
    confirm: Mapping[int, tuple[Clause, ...]]
    scope: Scope
    aided: bool = True  # by terms of its own, not only by that of its type
    counted: int | None = None  # the hashed term that alone decides, where its total is kept
    about: Mapping[int, frozenset[bytes]] = {}  # by type: Patients of whom a match names one
    is_one_look: bool = False  # whether all that the index brings up meets the filter
    is_wide: bool = False  # bounded by more ids than its terms bring up
    is_one_index: bool = False  # whether MongoDB has only that of terms to choose

    @property
    def is_near(self) -> bool:
        """Whether little is to be looked at: a life, or what is named."""
        return self.scope in ("person", "terms", "ids")

    def hint(self, order: str) -> str | None:
        """The index to use where it is known: a person's life is small, so that its own index beats every other."""
        if self.is_one_index and order == "s":
            return None  # no plan for a hinted query is kept: of two looks for terms both would be tried each time
        if self.is_wide:
            return "population"
        if self.scope == "population" and order == "w" and not self.aided:
            return "updated"
        return {"person": "person", "ids": None}.get(self.scope, "population" if order == "s" else None)


async def only_itself(patient: bytes) -> Sequence[bytes]:
    """The `Expand` of criteria that mean one Patient, and not the person."""
    return (patient,)


def pairs_of(text: str) -> list[tuple[str, str]]:
    """The name-value pairs of a query as a URL or a form has it; 400 where it is not percent-encoded UTF-8, or endless."""
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        problem = f"the query is not percent-encoded UTF-8 or has more than {MAX_PARAMETERS} parameters"
        raise FhirError(400, "invalid", problem) from None


async def criteria(
    codec: Codec,
    query: Query,
    expand: Expand,
    bound: Bound | None = None,
    *,
    by_pairs: bool = False,
    also: Iterable[Referring] = (),
) -> Criteria:
    """The criteria of a search; references to a Patient mean all Patients that `expand` gives for it. `also` is to hold, too.

    `by_pairs`: `filter` may leave it to `types` and `about` of what type a match is and whom it is about, which its terms tell
    but for collisions: MongoDB then has one index to choose from.
    """
    if query.links:
        raise FhirError(400, "not-supported", "chained parameters, _has and _list are for searches only; name what is meant")
    ids, number = query.ids(), TYPE_NUMBER[query.resource_type]
    is_free = ids is None and bound is None
    is_named = not is_free and not (bound and bound.is_wide)
    conditions, pieces, confirm = await _said(codec, query, expand)
    pieces += map(_referring, also)
    about = _about(pieces)
    paired = pairing(codec, query.resource_type, pieces) if by_pairs and is_free and codec.is_indexed else None
    if ids is not None:
        conditions.append({"_id": {"$in": [resource_key(codec, query.resource_type, known) for known in ids]}})
    said = {one: _any_of(codec, one) for one in pieces if one.is_told and not (paired and one in paired.replaced)}
    conditions += [_tested(one) for one in said.values()] if is_named and by_pairs else said.values()
    conditions += [one.condition for one in (paired, bound) if one]
    looks = sum("x" in one for one in conditions)
    by_terms = paired is not None or (about is not None and by_pairs and is_free and looks == 1)
    if about and not by_terms:
        conditions.append({"p": {"$in": sorted(about)}})
    if not looks:
        is_whole_type = about is None and is_free
        conditions.append({"x": codec.term(query.resource_type)} if is_whole_type else {"b": {"$exists": True}})
    timed = in_time(codec, query, said, pieces, conditions) if is_free and codec.is_indexed else conditions
    is_told = by_pairs and bool(looks or is_named) and (by_terms or not about)
    near: Scope = "terms" if by_terms else "person" if about else "ids" if bound else "population"
    return Criteria(
        {"$and": timed if is_told else [{"t": number}, *timed]},
        frozenset((number,)),
        {number: tuple(confirm)} if confirm else {},
        "ids" if ids is not None else near,
        looks > 0,
        _counted(query, pieces, conditions) if not confirm and about is None else None,
        {number: about} if about and by_terms else {},
        looks == 1 and _is_one_look(query, conditions, timed),
        bound is not None and bound.is_wide,
        is_told and is_free,
    )


def _tested(condition: dict[str, Any]) -> dict[str, Any]:
    """A condition that a few named resources are to meet. Put so that no index can serve it: looking for all that meet it
    would be tried beside looking at the few."""
    return {"$nor": [{"$nor": [condition]}]}


def _counted(query: Query, pieces: Sequence[Piece], conditions: Sequence[dict[str, Any]]) -> int | None:
    """The term that is all that is asked for, where its total is kept."""
    asked = [term for one in pieces for term in one.terms] or [query.resource_type]
    if len(conditions) > 1 or len(asked) > 1 or any(one.references for one in pieces):
        return None
    return conditions[0].get("x") if is_counted(query.resource_type, asked[0]) else None


def _is_one_look(query: Query, conditions: Sequence[dict[str, Any]], timed: Sequence[dict[str, Any]]) -> bool:
    """Whether one look for terms, and a time that is a part of their order, are all that there is."""
    dates = sum(leads(query.resource_type, one.parameter) for one in query.clauses) if timed is not conditions else 0
    return len(conditions) == 1 + dates and sum(len(_numbers(one)) for one in conditions if "x" in one) <= WAYS


async def _said(codec: Codec, query: Query, expand: Expand) -> tuple[list[dict[str, Any]], list[Piece], list[Clause]]:
    """What the clauses say: conditions on stamps and words, pieces for the index, and what the bodies are to confirm."""
    conditions: list[dict[str, Any]] = []
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
            found = [_found(codec, part) for part in parts(clause)]
            pieces += [await _piece(codec, one, expand) for one in found]
            if len(found) > 1 or not found[0].exact:
                confirm.append(clause)
    return conditions, pieces, confirm


def _found(codec: Codec, part: Clause) -> Lookup:
    is_old = part.parameter.type == "string" and not codec.is_indexed
    return (by_old_prefixes if is_old else lookup)(part)


async def _piece(codec: Codec, found: Lookup, expand: Expand) -> Piece:
    if not any(TO_PATIENT in term for term in found.terms):
        return Piece(found.terms, found.ranges, ())
    terms, references = [], []
    for term in found.terms:
        path, separator, patient = term.partition(TO_PATIENT)
        if separator:
            references += [(path, member) for member in await expand(codec.identity(f"Patient/{patient}"))]
        else:
            terms.append(term)
    return Piece(terms, found.ranges, references)


def _referring(one: Referring) -> Piece:
    return Piece((), (), [(path, patient) for path in one.paths for patient in sorted(one.patients)])


def _about(pieces: Iterable[Piece]) -> frozenset[bytes] | None:
    """The Patients that every match is about one of, as far as one clause says who; None where none does."""
    members = [frozenset(patient for _, patient in one.references) for one in pieces if one.is_of_patients]
    return frozenset.intersection(*members) if members else None


def _refuse_unsettled(clause: Clause) -> None:
    """Searches have asked the stored definitions and the clock; criteria of writes mean the same for ever, so they cannot."""
    for value in clause.values:
        if isinstance(value, Unheld):
            problem = "names what is not shipped here, as only searches may: list the codes, commas between"
            raise error(f"{clause.parameter.name}:{clause.modifier}", problem)
        if any(isinstance(part, Around) for part in parts_of(value)):
            raise error(
                clause.parameter.name, "is about a date, as only searches may be: say from when to when, with ge and le"
            )


def either(found: Sequence[Criteria], about: Sequence[bytes]) -> Criteria:
    """The criteria of what any of these finds; `about`: the Patients that all of it is about, if it is."""
    confirm = {number: clauses for one in found for number, clauses in one.confirm.items()}
    types = frozenset[int]().union(*(one.types for one in found))
    common = [part for part in found[0].filter["$and"] if all(part in one.filter["$and"] for one in found)]
    rests = [[part for part in one.filter["$and"] if part not in common] for one in found]
    terms = [term for rest in rests if _only_terms(rest) for part in rest if "x" in part for term in _numbers(part)]
    alternatives: list[dict[str, Any]] = [{"$and": rest} for rest in rests if not _only_terms(rest)]
    if terms:  # the name of a type is in each term
        alternatives.append({"x": {"$in": terms}})
    every: list[dict[str, Any]] = [{"t": {"$in": sorted(types)}}, *common]
    if all(rests):  # a branch without a rest finds all that is common
        every.append({"$or": alternatives})
    if about:
        every.insert(0, {"p": {"$in": sorted(about)}})
    theirs = {number: patients for one in found for number, patients in one.about.items()}
    return Criteria({"$and": every}, types, confirm, "person" if about else "ids", about=theirs)


async def _by_words(codec: Codec, clause: Clause) -> list[dict[str, Any]]:
    """Beside which codes such words stand, or that words stand beside none; nothing where that would not help."""
    paths = [path for path in clause.parameter.paths if has_texts(path.datatype)]
    if not codec.is_indexed or not all(path.key and path.datatype in WORDED for path in paths):
        return []
    words = tuple(value.text for value in clause.values if isinstance(value, String))
    found = {codec.term(has_words(path)) for path in paths}
    for path in paths:
        found |= await codec.displays.codes(has_words(path), lambda text: normalise(text).startswith(words))
    return [{"x": {"$in": sorted(found)}}] if len(found) <= MAX_CODES else []


def _only_terms(rest: Sequence[dict[str, Any]]) -> bool:
    """Whether a branch is one look for terms of a person, or of the whole region."""
    return sorted(name for part in rest for name in part if name != "t") in (["x"], ["p", "x"])


def _numbers(condition: dict[str, Any]) -> list[int]:
    """The terms that a look is for."""
    asked = condition["x"]
    return list(asked["$in"]) if isinstance(asked, dict) else [asked]


def patients_named(codec: Codec, query: Query) -> list[bytes]:
    """The Patients that a search names, whose persons it is going to ask for."""
    clauses = (clause for one in (query, *query.branches) for clause in one.clauses)
    accepted = (
        text for clause in clauses for value in clause.values if isinstance(value, Reference) for text in value.accepted
    )
    return [codec.identity(text) for text in accepted if text.startswith("Patient/")]


def _any_of(codec: Codec, piece: Piece) -> dict[str, Any]:
    terms = [codec.term(term) for term in piece.terms]
    terms += [patient_term(codec, path, patient) for path, patient in piece.references]
    alternatives = _ranges(codec, piece.ranges)
    if terms:
        alternatives.append({"x": {"$in": terms} if len(terms) > 1 else terms[0]})
    return alternatives[0] if len(alternatives) == 1 else {"$or": alternatives}


def _ranges(codec: Codec, ranges: Sequence[RangeTest]) -> list[dict[str, Any]]:
    """One condition for all keys that are to pass the same tests: each condition costs a look at every entry."""
    grouped: dict[tuple[str | None, tuple[Test, ...]], list[int]] = {}
    for test in ranges:
        grouped.setdefault((test.unit, test.tests), []).append(codec.term(test.key))
    return [{"r": {"$elemMatch": _entry(codec, keys, *how)}} for how, keys in grouped.items()]


def _entry(codec: Codec, keys: list[int], unit: str | None, all_of: tuple[Test, ...]) -> dict[str, Any]:
    made: dict[str, Any] = {"k": {"$in": keys}}
    if unit is not None:
        made["n"] = codec.term(unit)
    for side, how, bound in all_of:
        made.setdefault("a" if side == "low" else "z", {})[f"${how}"] = bound
    return made


def _last_updated(clause: Clause) -> list[dict[str, Any]]:
    """`_lastUpdated` is a stamp: an instant is both ends of its interval."""
    alternatives = [
        {"$and": [{"u": {f"${how}": bound}} for _, how, bound in all_of]}
        for value in clause.values
        if isinstance(value, Ordered)
        for all_of in tests(value)
    ]
    return [{"$or": alternatives}]


STAMPED: dict[str, Callable[[Clause], list[dict[str, Any]]]] = {"_lastUpdated": _last_updated, "_id": lambda clause: []}
