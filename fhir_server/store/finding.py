"""Finds over `resources`: a command each for those that may take long, a shared one for those that are short (sharing.py)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.store.database import Database
from fhir_server.store.documents import WITHOUT_TERMS, Document
from fhir_server.store.sharing import Branch


@dataclass(slots=True, eq=False)
class Find:
    """The first `limit` documents of `resources` that meet the criteria, in this order if there is one."""

    criteria: Mapping[str, Any]
    projection: Mapping[str, int]
    sort: Mapping[str, int]
    limit: int
    hint: str | None = None

    def is_like(self, other: "Find") -> bool:
        """Whether both find the same."""
        mine, others = ((one.criteria, one.projection, one.sort, one.limit) for one in (self, other))
        return mine == others


def find_alone(database: Database) -> Callable[[Find], Awaitable[list[Document]]]:
    """Each find as a command of its own: for those that may take long, since a shared one is as slow as its slowest."""
    resources = database["resources"]

    async def find(wanted: Find) -> list[Document]:
        found = resources.find(wanted.criteria, wanted.projection, sort=wanted.sort, limit=wanted.limit, hint=wanted.hint)
        return await found.batch_size(wanted.limit).to_list()

    return find


class Finds:
    """Finds that share commands. A hint would hold for the first branch only; unhinted, the planner was seen to choose the
    same index, and to cache it."""

    def branches(self, finds: Sequence[Find]) -> list[Branch]:
        return [Branch("resources", _stages(one)) for one in finds]

    def answers(self, finds: Sequence[Find], found: Sequence[list[Document]]) -> dict[Find, list[Document]]:
        return dict(zip(finds, found, strict=True))


class ByKey:
    """Current resources by `_id`, without their terms."""

    def branches(self, keys: Sequence[bytes]) -> list[Branch]:
        return [Branch("resources", [{"$match": {"_id": {"$in": list(keys)}}}, {"$project": WITHOUT_TERMS}])]

    def answers(self, keys: Sequence[bytes], found: Sequence[list[Document]]) -> dict[bytes, Document]:
        return {document["_id"]: document for document in found[0]}


class ByKeys:
    """The same for several at once: all that there are of these, in any order."""

    def branches(self, asked: Sequence[tuple[bytes, ...]]) -> list[Branch]:
        return BY_KEY.branches(list(set().union(*asked)))

    def answers(
        self, asked: Sequence[tuple[bytes, ...]], found: Sequence[list[Document]]
    ) -> dict[tuple[bytes, ...], list[Document]]:
        known = BY_KEY.answers((), found)
        return {keys: [known[key] for key in keys if key in known] for keys in asked}


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Of the first `most` resources that meet the criteria those with the same stamps, together."""

    criteria: Mapping[str, Any]
    most: int


class Groups:
    """Group -> documents that each stand for all of the same stamps, and for how many (`count`).

    `each` has the Patients of those that are about one each; of others these are stamps, too, and terms come along.
    """

    def branches(self, asked: Sequence[Group]) -> list[Branch]:
        is_one = {"$eq": [{"$size": "$p"}, 1]}
        others = {name: {"$cond": [is_one, None, f"${name}"]} for name in ("p", "x")}
        grouped = {
            "_id": {"c": "$c", "l": "$l", "t": "$t", **others},
            "count": {"$sum": 1},
            "each": {"$addToSet": {"$cond": [is_one, {"$first": "$p"}, "$$REMOVE"]}},
        }
        return [Branch("resources", [{"$match": one.criteria}, {"$limit": one.most}, {"$group": grouped}]) for one in asked]

    def answers(self, asked: Sequence[Group], found: Sequence[list[Document]]) -> dict[Group, list[Document]]:
        told = ([_standing(row) for row in rows] for rows in found)
        return dict(zip(asked, told, strict=True))


def _standing(row: Document) -> Document:
    made: Document = row["_id"] | {"count": row["count"]}
    return made | {"each": row["each"]} if made["p"] is None else made


GROUPS, BY_KEY, BY_KEYS = Groups(), ByKey(), ByKeys()


def _stages(one: Find) -> list[dict[str, Any]]:
    order = [{"$sort": one.sort}] if one.sort else []
    return [{"$match": one.criteria}, *order, {"$limit": one.limit}, {"$project": one.projection}]
