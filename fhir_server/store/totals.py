"""Totals of common terms, exact at any size: rows that are incremented in the transaction that writes what they count
(DESIGN 3, Totals). One for each term and each set of stamps the gate decides on:

    _id  {k  hashed term, c  custodian, l  hashed labels, p  whom it is about: nobody, ANYONE, or who cannot be told, slot}
    n    how many current resources those are
Writers of different slots never meet in a row; the sum over all slots is the total.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.store.database import Database
from fhir_server.store.documents import STAMPS, UNRESOLVED, Document

ANYONE = b"anyone" + bytes(10)  # stands for a Patient without rules of their own
SLOTS = 16
KEPT = "totals"
_COUNTED = {"x": 1, "n": 1, "p": 1, "c": 1, "l": 1}

Row = tuple[int, str, tuple[int, ...], tuple[bytes, ...]]
"""Hashed term, custodian, labels, whom it is about."""


async def keep(database: Database) -> bool:
    """Whether totals are kept here: they were, from the first resource on."""
    counters = database["counters"]
    if await database["resources"].find_one({}, {"_id": 1}) is None:
        await counters.update_one({"_id": KEPT}, {"$set": {"n": 1}}, upsert=True)
    return await counters.find_one({"_id": KEPT}) is not None


def changes(before: Mapping[bytes, Document], written: Iterable[Document]) -> Counter[Row]:
    """What documents, in the order they are written, add to each row. `before`: what stood in their place."""
    standing = dict(before)
    changed: Counter[Row] = Counter()
    for document in written:
        if earlier := standing.get(document["_id"]):
            changed.subtract(_rows(earlier))
        changed.update(_rows(document))
        standing[document["_id"]] = document
    return changed


async def standing(database: Database, keys: list[bytes], session: AsyncClientSession) -> dict[bytes, Document]:
    """The documents of these keys, as far as totals depend on them."""
    found = database["resources"].find({"_id": {"$in": keys}}, _COUNTED, session=session) if keys else None
    return {one["_id"]: one async for one in found} if found else {}


async def add(database: Database, changed: Counter[Row], slot: int, session: AsyncClientSession) -> None:
    """Write the changes, in the transaction that makes them true."""
    updates = [UpdateOne({"_id": _id(row, slot)}, {"$inc": {"n": n}}, upsert=True) for row, n in sorted(changed.items()) if n]
    if updates:
        await database["totals"].bulk_write(updates, ordered=False, session=session)


async def read(
    database: Database, term: int, number: int, people: Sequence[bytes], most: int
) -> tuple[list[tuple[Document, int]], list[Document]] | None:
    """Of one moment: documents that stand for all that bear the term, with their numbers; and the stamps of those among them
    that are about `people`. None where these are more than `most`."""
    wanted = {"p": {"$in": list(people)}, "t": number, "x": term, "b": {"$exists": True}}
    theirs = [{"$match": wanted}, {"$limit": most + 1}, {"$project": STAMPS}]
    stages: list[dict[str, Any]] = [{"$match": {"_id.k": term}}]
    if people:
        stages.append({"$unionWith": {"coll": "resources", "pipeline": theirs}})
    found = await (await database.at_one_moment("totals").aggregate(stages)).to_list()
    rows = [(_document(one["_id"], number), one["n"]) for one in found if "n" in one]
    documents = [one for one in found if "n" not in one]
    return None if len(documents) > most else (rows, documents)


def in_general(document: Document) -> Document:
    """The document that stands for this one in `read`."""
    return document | {"p": list(_about(document["p"]))}


def _rows(document: Document) -> Iterable[Row]:
    about, labels = _about(document["p"]), tuple(document.get("l", ()))
    return ((term, document["c"], labels, about) for term in document["x"][: document.get("n", 0)])


def _about(patients: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(one if one == UNRESOLVED else ANYONE for one in patients))


def _id(row: Row, slot: int) -> dict[str, Any]:
    term, custodian, labels, about = row
    return {"k": term, "c": custodian, "l": list(labels), "p": list(about), "slot": slot}


def _document(row: Mapping[str, Any], number: int) -> Document:
    return {"t": number, "c": row["c"], "p": row["p"], "l": row["l"]}
