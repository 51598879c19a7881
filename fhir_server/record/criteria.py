"""A search as MongoDB criteria: what the index decides, and the clauses that the bodies must confirm."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl

from fhir_server.r4.errors import FhirError
from fhir_server.record.conditions import Expand, any_of, said, terms_of, tested
from fhir_server.record.pairing import Piece, pairing
from fhir_server.record.timing import in_time
from fhir_server.search.clauses import Clause
from fhir_server.search.elements import CONTAINED
from fhir_server.search.index import is_counted, leads
from fhir_server.search.parameters import Parameter
from fhir_server.search.query import Query
from fhir_server.search.values import Reference
from fhir_server.store.documents import (
    TYPE_NUMBER,
    Codec,
    resource_key,
)

MAX_PARAMETERS = 200
MAX_QUERY = 64 * 1024  # characters, as many as HTTP lets in: in a Bundle, criteria come with no such bound
WAYS = 50  # through the index, up to which a page is looked up in passing

Scope = Literal["person", "terms", "ids", "population"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A condition for MongoDB beside those of the clauses, which a search is bounded by."""

    condition: dict[str, Any]  # which resources, by `_id`
    is_wide: bool = False  # whether the terms of the search bring up less than it does


class Referring(NamedTuple):
    """What refers by any of these paths to any of these Patients (keys), or with `contained` to something contained."""

    paths: tuple[str, ...]
    patients: frozenset[bytes]
    contained: bool = False


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
    is_by_code: bool = False  # whether its terms are pairs of a code and whose it is, or how much of it

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
    if len(text) > MAX_QUERY:
        raise FhirError(400, "too-long", f"a query has at most {MAX_QUERY} characters: split the search")
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
    conditions, pieces, confirm = await said(codec, query, expand)
    pieces += map(_referring, also)
    about = _about(pieces)
    paired = pairing(codec, query.resource_type, pieces) if by_pairs and is_free and codec.is_indexed else None
    told = {one: any_of(codec, one) for one in pieces if one.is_told and not (paired and one in paired.replaced)}
    conditions += map(tested, told.values()) if is_named and by_pairs else told.values()
    conditions += [one.condition for one in (paired, bound) if one]
    if ids is not None:
        conditions.append({"_id": {"$in": [resource_key(codec, query.resource_type, known) for known in ids]}})
    looks = sum("x" in one for one in conditions)
    by_terms = paired is not None or (about is not None and by_pairs and is_free and looks == 1)
    if about and not by_terms:
        conditions.append({"p": {"$in": sorted(about)}})
    if not looks:
        is_whole_type = about is None and is_free
        conditions.append({"x": codec.term(query.resource_type)} if is_whole_type else {"b": {"$exists": True}})
    timed = in_time(codec, query, told, pieces, conditions) if is_free and codec.is_indexed else conditions
    is_told = by_pairs and bool(looks or is_named) and (by_terms or not about)
    near: Scope = "terms" if by_terms else "person" if about else "ids" if bound else "population"
    return Criteria(
        filter={"$and": timed if is_told else [{"t": number}, *timed]},
        types=frozenset((number,)),
        confirm={number: tuple(confirm)} if confirm else {},
        scope="ids" if ids is not None else near,
        aided=looks > 0,
        counted=_counted(query, pieces, conditions) if not confirm and about is None else None,
        about={number: about} if about and by_terms else {},
        is_one_look=looks == 1 and _is_one_look(query, conditions, timed),
        is_wide=bound is not None and bound.is_wide,
        is_one_index=is_told and is_free,
        is_by_code=paired is not None,
    )


def _counted(query: Query, pieces: Sequence[Piece], conditions: Sequence[dict[str, Any]]) -> int | None:
    """The term that is all that is asked for, where its total is kept."""
    asked = [term for one in pieces for term in one.terms] or [query.resource_type]
    if len(conditions) > 1 or len(asked) > 1 or any(one.references for one in pieces):
        return None
    return conditions[0].get("x") if is_counted(query.resource_type, asked[0]) else None


def _is_one_look(query: Query, conditions: Sequence[dict[str, Any]], timed: Sequence[dict[str, Any]]) -> bool:
    """Whether one look for terms, and a time that is a part of their order, are all that there is."""
    dates = sum(leads(query.resource_type, one.parameter) for one in query.clauses) if timed is not conditions else 0
    return len(conditions) == 1 + dates and sum(len(terms_of(one)) for one in conditions if "x" in one) <= WAYS


def _referring(one: Referring) -> Piece:
    terms = [f"{path}>{CONTAINED}" for path in one.paths if one.contained]
    return Piece(terms, (), [(path, patient) for path in one.paths for patient in sorted(one.patients)])


def _about(pieces: Iterable[Piece]) -> frozenset[bytes] | None:
    """The Patients that every match is about one of, as far as one clause says who; None where none does."""
    members = [frozenset(patient for _, patient in one.references) for one in pieces if one.is_of_patients]
    return frozenset.intersection(*members) if members else None


def either(found: Sequence[Criteria], about: Sequence[bytes]) -> Criteria:
    """The criteria of what any of these finds; `about`: the Patients that all of it is about, if it is."""
    confirm = {number: clauses for one in found for number, clauses in one.confirm.items()}
    types = frozenset[int]().union(*(one.types for one in found))
    common = [part for part in found[0].filter["$and"] if all(part in one.filter["$and"] for one in found)]
    rests = [[part for part in one.filter["$and"] if part not in common] for one in found]
    terms = [term for rest in rests if _only_terms(rest) for part in rest if "x" in part for term in terms_of(part)]
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


def _only_terms(rest: Sequence[dict[str, Any]]) -> bool:
    """Whether a branch is one look for terms of a person, or of the whole region."""
    return sorted(name for part in rest for name in part if name != "t") in (["x"], ["p", "x"])


def patients_named(codec: Codec, query: Query) -> list[bytes]:
    """The Patients that a search names, whose persons it is going to ask for."""
    clauses = (clause for one in (query, *query.branches) for clause in one.clauses)
    accepted = (
        text for clause in clauses for value in clause.values if isinstance(value, Reference) for text in value.accepted
    )
    return [codec.identity(text) for text in accepted if text.startswith("Patient/")]
