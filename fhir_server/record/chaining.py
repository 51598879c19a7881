"""Chains, `_has` and `_list`: criteria on other resources, each of which the gate decides on like on every match.

A link is looked up from its far end where few resources answer there (the doctors of that name), else it is followed from each
candidate (a person's observations, and who performed them). Both find the same; what may not be seen is on neither way. A chain
over a Patient reaches that Patient's whole person, as a search by patient does. What is contained has no far end:
what refers to such is a candidate then, and its body is looked at.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from consent.scopes import allows
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read_stored, stored_name
from fhir_server.r4.references import literal
from fhir_server.record.containing import leading_inside
from fhir_server.record.criteria import Bound, Referring, referring
from fhir_server.record.gate import View
from fhir_server.record.persons import meet
from fhir_server.search.canonical_references import called, canonicals, has_url, names
from fhir_server.search.chains import Chain, Criterion, Link, Listed, Reverse
from fhir_server.search.clauses import Clause
from fhir_server.search.elements import CONTAINED
from fhir_server.search.include import references, reverse
from fhir_server.search.parameters import Parameter, is_canonical
from fhir_server.search.plan import lookup
from fhir_server.search.query import Query
from fhir_server.store.documents import Document, opened, patient_term, resource_key

FEW = 500  # resources at a far end that are fetched at once
LOOKED_UP = 500  # far ends up to which a link is looked up from there
AT_ONCE = 100  # candidates that links are followed from at once
ALL = 2**31 - 1
FOLLOWED = 50_000  # visible resources at the far ends of one such look; beyond them it is too costly


As = Literal["bodies", "stamps", "terms", "persons", "keys"]
"""What is needed of what is found: bodies; the stamps of each; with them the terms; whom all of it is about (`distinct`); which
Patients it is."""


class Finder(Protocol):
    """Visible matches of a query, among those within the bound and those `also` referring; `first`: how many at first, or of
    what is told together (`distinct`) at most."""

    def __call__(
        self, query: Query, bound: Bound | None, first: int, also: Sequence[Referring], wanted: As
    ) -> AsyncIterator[Document]: ...


@dataclass(frozen=True, slots=True)
class Afar:
    """What a link comes to, looked up from its far end: a clause, the keys of what it leads to, or Patients referred to."""

    clause: Clause | None = None
    keys: frozenset[bytes] | None = None
    referring: Referring | None = None


async def from_afar(sight: View, link: Link, resource_type: str, find: Finder) -> Afar | None:
    """The link as a clause or keys; None where too many resources stand at its far end."""
    if isinstance(link, Listed):
        return await _listed(sight, link, resource_type, find)
    if is_canonical(link.parameter):
        return None  # the index does not tell to which version of something a reference is
    return await (_chain(sight, link, find) if isinstance(link, Chain) else _reverse(sight, link, resource_type, find))


def with_contained(link: Chain, afar: Afar) -> Afar:
    """The same, and what refers to something contained, which may meet the link or not."""
    if afar.referring:
        return Afar(referring=afar.referring._replace(contained=True))
    known = afar.clause.values if afar.clause else ()
    return Afar(Clause(link.parameter, None, (*known, *into_contained(link.parameter).values)))


def into_contained(parameter: Parameter) -> Clause:
    """The clause that finds what refers to something contained by the parameter."""
    return reverse(parameter, (CONTAINED,))


def crowd(together: bool) -> int:
    """Resources at the far end of a `_has` up to which it is looked up from there; `together`: in one look for all of them."""
    return (4 if together else 2) * LOOKED_UP


async def followed(sight: View, links: Sequence[Link], documents: list[Document], find: Finder) -> list[Document]:
    """Those of the documents, all of one type, that meet all links."""
    for link in links:
        if documents and isinstance(link, Chain):
            documents = await _follow_chain(sight, link, documents, find)
        elif documents and isinstance(link, Reverse):
            documents = await _follow_reverse(sight, link, documents, find)
    return documents


# --- from the far end ----------------------------------------------------------------------------------------------------


async def _listed(sight: View, link: Listed, resource_type: str, find: Finder) -> Afar:
    """Lists are few and may be long: they are always looked up."""
    key = resource_key(sight.record.codec, "List", link.id)
    found = [one async for one in far(sight, "List", None, Bound({"_id": key}), 1, find)]
    items = (item for one in found for item in resource_of(sight, one).get("entry", ()))
    names = (item["item"]["reference"] for item in items if not item.get("deleted") and "reference" in item.get("item", {}))
    return Afar(keys=frozenset(key for _, key in targets(sight, names, (resource_type,))))


async def _chain(sight: View, link: Chain, find: Finder) -> Afar | None:
    by_key = referring(link.parameter, frozenset()) if {target for target, _ in link.ways} == {"Patient"} else None
    found: list[tuple[str, Document]] = []
    count = 0
    for target, criterion in link.ways:
        async for one in far(sight, target, criterion, None, FEW + 1, find, wanted="keys" if by_key else "bodies"):
            count += one.get("count", 1)
            if count > LOOKED_UP:
                return None
            if not is_hidden(one):
                found.append((target, one))
    if not found:
        return Afar(keys=frozenset())
    people = await meet(sight, (key for target, one in found if target == "Patient" for key in _themselves(one)))
    if by_key:
        return Afar(referring=by_key._replace(patients=frozenset(member for some in people.values() for member in some)))
    clause = reverse(link.parameter, [name_of(sight, one) for _, one in found])
    return Afar(clause) if lookup(clause).exact else None


async def _reverse(sight: View, link: Reverse, resource_type: str, find: Finder) -> Afar | None:
    by_key = referring(link.parameter, frozenset()) if resource_type == "Patient" else None
    found: set[bytes] = set()
    count = 0
    # That they are few has been seen of a plain criterion (`crowd`); of others they are read one by one.
    kind: As = "bodies" if by_key is None else "persons" if isinstance(link.criterion, Clause) else "terms"
    first = crowd(together=True) + 1 if kind == "persons" else FEW + 1
    async for one in far(sight, link.source, link.criterion, None, first, find, wanted=kind):
        count += one.get("count", 1)
        found.update(_referred(sight, link, by_key, one, resource_type))
        together = "count" in one
        if count > crowd(together) or (not together and len(found) > LOOKED_UP):
            return None
    if resource_type == "Patient":
        found = {member for members in (await meet(sight, found)).values() for member in members}
    return Afar(keys=frozenset(found))


# --- from each candidate -------------------------------------------------------------------------------------------------


async def _follow_chain(sight: View, link: Chain, documents: list[Document], find: Finder) -> list[Document]:
    resources = [resource_of(sight, one) for one in documents]

    async def outside(chain: Chain, some: list[dict[str, Any]]) -> set[int]:
        return await _leading(sight, chain, some, find)

    good = await leading_inside(sight, link, resources, outside) | await outside(link, resources)
    return [one for at, one in enumerate(documents) if at in good]


async def _leading(sight: View, link: Chain, resources: list[dict[str, Any]], find: Finder) -> set[int]:
    """Which of the resources meet the chain by what else is here."""
    types = tuple(target for target, _ in link.ways)
    named = [set(targets(sight, references(link.parameter, one), types)) for one in resources]
    if is_canonical(link.parameter):
        told = [canonicals(link.parameter, one) for one in resources]
        by_url = await _by_url(sight, {name for some in told for name in some}, types, find)
        named = [some.union(*(by_url.get(name, ()) for name in said)) for some, said in zip(named, told, strict=True)]
    people = await meet(sight, {key for some in named for kind, key in some if kind == "Patient"})
    reached = [{(kind, member) for kind, key in some for member in people.get(key, (key,))} for some in named]
    good: set[tuple[str, bytes]] = set()
    for target, criterion in link.ways:
        keys = sorted({key for some in reached for kind, key in some if kind == target})
        for start in range(0, len(keys), FEW):
            bound = Bound({"_id": {"$in": keys[start : start + FEW]}})
            good.update(
                [(target, one["_id"]) async for one in far(sight, target, criterion, bound, FEW + 1, find, wanted="stamps")]
            )
    return {at for at, some in enumerate(reached) if not good.isdisjoint(some)}


async def _follow_reverse(sight: View, link: Reverse, documents: list[Document], find: Finder) -> list[Document]:
    kind = RESOURCE_TYPES[documents[0]["t"]]
    keys = [one["_id"] for one in documents]
    people = await meet(sight, keys) if kind == "Patient" else {}
    bearers: dict[bytes, set[bytes]] = {}
    for key in keys:
        for member in people.get(key, (key,)):
            bearers.setdefault(member, set()).add(key)
    good: set[bytes] = set()
    by_key = referring(link.parameter, frozenset(bearers)) if kind == "Patient" else None
    by_url: dict[str, list[bytes]] = {}
    for one in documents if is_canonical(link.parameter) else ():
        for name in names(resource_of(sight, one)):
            by_url.setdefault(name, []).append(one["_id"])
    also = by_key or reverse(link.parameter, [*(name_of(sight, one) for one in documents), *by_url])
    count = 0
    wanted: As = "persons" if by_key else "bodies"
    first = ALL if by_key else FEW + 1  # what a bound may tell of is visible, and that is seen afterwards
    async for one in far(sight, link.source, link.criterion, None, first, find, also, wanted):
        count += not is_hidden(one)
        if count > FOLLOWED:
            raise FhirError(403, "too-costly", f"more than {FOLLOWED} {link.source} to look at; narrow the search")
        for key in _referred(sight, link, by_key, one, kind):
            good |= bearers.get(key, set())
        for name in canonicals(link.parameter, resource_of(sight, one)) if by_url else ():
            good.update(by_url.get(name, ()))
        if len(good) == len(documents):
            break
    return [one for one in documents if one["_id"] in good]


# --- both ----------------------------------------------------------------------------------------------------------------


async def far(
    sight: View,
    kind: str,
    criterion: Criterion | None,
    bound: Bound | None,
    first: int,
    find: Finder,
    also: Clause | Referring | None = None,
    wanted: As = "bodies",
) -> AsyncIterator[Document]:
    """Visible resources of a type that meet the criterion, and `also`; none of a type that this caller may not search."""
    if not allows(sight.caller.scopes, kind, "s"):
        return
    clauses = tuple(one for one in (criterion, also) if isinstance(one, Clause))
    links = () if criterion is None or isinstance(criterion, Clause) else (criterion,)
    pointing = (also,) if isinstance(also, Referring) else ()
    async for one in find(Query(kind, clauses=clauses, links=links), bound, first, pointing, wanted):
        yield one


async def _by_url(
    sight: View, told: Collection[str], types: Sequence[str], find: Finder
) -> Mapping[str, Collection[tuple[str, bytes]]]:
    """(type, key) of what may be seen here of what these canonical references say."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    for kind in filter(has_url, types) if told else ():
        async for one in far(sight, kind, called(kind, told), None, FEW + 1, find):
            for name in names(resource_of(sight, one)):
                found.setdefault(name, []).append((kind, one["_id"]))
    return found


def is_hidden(one: Document) -> bool:
    """Whether what is told together (`distinct`) is nothing that may be seen."""
    return "count" in one and not one["p"]


def _themselves(one: Document) -> Sequence[bytes]:
    """The keys of Patients that were found: each is about itself first of all."""
    return one["p"] if "each" in one else one["p"][:1]


def _referred(sight: View, link: Reverse, by_key: Referring | None, one: Document, kind: str) -> list[bytes]:
    """What a record refers to through the link: which Patients its terms tell, what else its body does.

    What was found since it refers to Patients, and is about one only, needs no terms.
    """
    if by_key and "each" in one:
        return list(one["p"])
    if by_key:
        terms, codec = frozenset(one["x"]), sight.record.codec
        return [known for known in one["p"] if any(patient_term(codec, path, known) in terms for path in by_key.paths)]
    return [key for _, key in targets(sight, references(link.parameter, resource_of(sight, one)), (kind,))]


def targets(sight: View, names: Iterable[str], types: Sequence[str]) -> list[tuple[str, bytes]]:
    """(type, key) of the references that lead to resources of these types here."""
    found = [target for name in names if (target := literal(name)) and target[0] in types]
    return [(kind, resource_key(sight.record.codec, kind, known)) for kind, known in found]


def resource_of(sight: View, one: Document) -> dict[str, Any]:
    """The resource of a document that has its body."""
    return read_stored(opened(sight.record.codec, one))


def name_of(sight: View, one: Document) -> str:
    """`Type/id`"""
    return stored_name(opened(sight.record.codec, one)).decode()
