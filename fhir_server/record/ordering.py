"""The order of a search's matches, and where its pages end (R4 search.html#sort, http.html#paging).

An index gives the order of a stamp at any size; any other order is that of keys from the bodies.
"""

from collections.abc import Sequence
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.record.paging import Cursor
from fhir_server.search.index import clinical_date, leads
from fhir_server.search.match import sort_key
from fhir_server.search.query import Query
from fhir_server.store.documents import Codec, Document

SORTED_BY = 100  # characters of a text, so that a page link stays short

Keys = tuple[tuple[int, Any], ...]
Dated = tuple[frozenset[int], bool]
"""Hashed keys of dates, and whether a match is to have one of them, or none."""


def index_order(query: Query) -> str | None:
    """The stamp whose index gives the order asked for: `s` clinical date, `w` last updated; None: by keys."""
    if not query.sort:
        return "s"
    if len(query.sort) > 1:
        return None
    if query.sort[0][0].name == "_lastUpdated":
        return "w"
    return "s" if all(leads(one.resource_type, one.sort[0][0]) for one in query.branches or (query,)) else None


def parts_of(codec: Codec, query: Query) -> Sequence[Dated | None]:
    """In the order of the clinical date those that have the date which is sorted by, apart from those with another source of
    it, or with none: what lacks a value comes first, last if descending."""
    sorts = [(one.resource_type, one.sort[0][0]) for one in query.branches or (query,) if one.sort]
    if all(parameter.name == "_lastUpdated" or clinical_date(kind, parameter) for kind, parameter in sorts):
        return (None,)
    keys = frozenset(codec.term(path.key) for _, parameter in sorts for path in parameter.paths)
    return [(keys, has) for has in ((True, False) if query.sort[0][1] else (False, True))]


def is_of(dated: Dated, one: Document) -> bool:
    """Whether a match is of this part."""
    return dated[1] is not dated[0].isdisjoint(entry["k"] for entry in one.get("r", ()))


def direction(query: Query) -> int:
    return -1 if not query.sort or query.sort[0][1] else 1


def keys_of(query: Query, one: Document, resource: dict[str, Any]) -> Keys:
    """What a resource is sorted by, in its own type."""
    kind = RESOURCE_TYPES[one["t"]]
    own = next((branch for branch in query.branches if branch.resource_type == kind), query)
    keys = (sort_key(parameter, resource, descending) for parameter, descending in own.sort)
    return tuple((rank, key[:SORTED_BY] if isinstance(key, str) else key) for rank, key in keys)


def sort_by_keys(query: Query, keyed: list[tuple[Keys, Document]]) -> None:
    """Into the order asked for; ties by key."""
    keyed.sort(key=lambda pair: pair[1]["_id"])
    for position, (_, descending) in reversed(list(enumerate(query.sort))):
        keyed.sort(key=lambda pair, at=position: pair[0][at], reverse=descending)  # type: ignore[misc]


def in_order(chunk: list[Document], name: str, direction: int, is_last: bool) -> list[Document]:
    """Ties by key: the order of an index depends on which one the server takes, and that on records that may be hidden.

    The last of a chunk may be one of several that tie, of which the others are still to come: they are left to the next.
    """
    whole = chunk if is_last else [one for one in chunk if one[name] != chunk[-1][name]] or chunk
    if len({one[name] for one in whole}) == len(whole):
        return whole
    return sorted(whole, key=lambda one: (direction * one[name], one["_id"]))


def after(field_name: str, shown: Sequence[Document], before: Cursor | None) -> Cursor:
    """Where a page ended that an index ordered; `part` of a match is the number of the part it is of, if it comes in parts."""
    last = shown[-1]
    where = last.get("part", 0), last[field_name]
    tied = [one["_id"] for one in shown if (one.get("part", 0), one[field_name]) == where]
    if before and (before.part, before.value) == where:
        tied += before.tied
    return Cursor(last["_id"], value=last[field_name], tied=tuple(tied), part=where[0])
