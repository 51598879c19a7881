"""Finds over `resources`: a command each for those that may take long, a shared one for those that are short (sharing.py)."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fhir_server.store.database import Database
from fhir_server.store.documents import WITHOUT_TERMS, Document
from fhir_server.store.sharing import Branch

FEW, MEMORY = 4, 16  # times less than a page are few; of so many finds it is remembered how many documents are usual


class OfOne(NamedTuple):
    """What a find is for that is one look for terms, newest first: records of one type about one Patient. Others of the same
    `kind` tell how many are usual."""

    about: tuple[bytes, int]  # key of the Patient, number of the type
    terms: Sequence[int]
    kind: Hashable


@dataclass(slots=True, eq=False)
class Find:
    """The first `limit` documents of `resources` that meet the criteria, in this order if there is one."""

    criteria: Mapping[str, Any]
    projection: Mapping[str, int]
    sort: Mapping[str, int]
    limit: int
    hint: str | None = None
    of_one: OfOne | None = None
    is_small: bool = False  # whether it brings up few, as far as is known

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
    same index, and to cache it.

    A branch costs the server 0.1 ms before it finds anything. So finds of one type about one Patient that usually bring up
    little are one branch, in which documents are told apart by type and Patient. Where these do not tell, or the branch
    ends too early, a find has no answer, and is to be asked for alone.
    """

    def __init__(self) -> None:
        self._usual: dict[Hashable, float] = {}

    def branches(self, finds: Sequence[Find]) -> list[Branch]:
        for one in finds:
            one.is_small = one.of_one is not None and self._usual.get(one.of_one.kind, one.limit) * FEW <= one.limit
        return [Branch("resources", _stages(_joined(group))) for group in _groups(finds)]

    def answers(self, finds: Sequence[Find], found: Sequence[list[Document]]) -> dict[Find, list[Document]]:
        groups = zip(_groups(finds), found, strict=True)
        told = {one: some for group, documents in groups for one, some in _told_apart(group, documents).items()}
        for one, some in told.items():
            if one.of_one:
                usual = self._usual.get(one.of_one.kind, len(some))
                self._usual[one.of_one.kind] = usual + (len(some) - usual) / MEMORY
        return told


def _groups(finds: Sequence[Find]) -> list[list[Find]]:
    """Those that go together, no two for the same type and Patient; the others by themselves."""
    alone: list[list[Find]] = []
    together: dict[tuple[bytes, int], Find] = {}
    for one in finds:
        if one.is_small and one.of_one and one.of_one.about not in together:
            together[one.of_one.about] = one
        else:
            alone.append([one])
    return [*alone, list(together.values())] if together else alone


def _joined(group: Sequence[Find]) -> Find:
    """A find of all that these find."""
    first, *others = group
    if not others:
        return first
    terms = [term for one in group if one.of_one for term in one.of_one.terms]
    return Find({"x": {"$in": terms}}, first.projection, first.sort, sum(one.limit for one in group))


def _told_apart(group: Sequence[Find], documents: list[Document]) -> dict[Find, list[Document]]:
    """What each found, of those of which that is certain."""
    if len(group) == 1:
        return {group[0]: documents}
    wanted = {one.of_one.about: one for one in group if one.of_one}
    found: dict[Find, list[Document]] = {one: [] for one in group}
    for document in documents:
        told = [wanted[about] for patient in document["p"] if (about := (patient, document["t"])) in wanted]
        if len(told) == 1 and told[0] in found:
            found[told[0]].append(document)
        for one in told[1:] and told:  # about several who are asked for: it may be a match of one of them only
            found.pop(one, None)
    is_whole = len(documents) < sum(one.limit for one in group)
    return {one: some[: one.limit] for one, some in found.items() if is_whole or len(some) >= one.limit}


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
