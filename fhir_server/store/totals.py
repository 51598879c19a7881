"""Totals of common terms, exact at any size: what a transaction adds to them is written in that transaction (DESIGN 3, Totals).

`totals` has a row for each term and each set of stamps the gate decides on:
    _id  {k  hashed term, c  custodian, l  hashed labels, p  whom it is about: nobody, ANYONE, or who cannot be told}
    n    how many current resources those are
`tallies` has what was committed lately, a document for each set of stamps: no row is hot, and a batch costs one insert:
    c, l, p  as above      k  hashed terms      n  what each of them gained
Every second, tallies are added to the rows and removed in one transaction. A total is the row and the tallies of one moment.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_server.store.database import DURABLE, Database
from fhir_server.store.documents import STAMPS, UNRESOLVED, Document
from fhir_server.store.sharing import Branch

ANYONE = b"anyone" + bytes(10)  # stands for a Patient without rules of their own
FOLD_SECONDS, FOLDED = 1.0, 500
COUNTED = {"x": 1, "n": 1, "p": 1, "c": 1, "l": 1}

Stamps = tuple[str, tuple[int, ...], tuple[bytes, ...]]
"""Custodian, labels, whom it is about."""
Changes = dict[Stamps, Counter[int]]


def changes(before: Mapping[bytes, Document], written: Iterable[Document]) -> Changes:
    """What documents, in the order they are written, add to each total. `before`: what stood in their place."""
    standing, changed = dict(before), Changes()
    for document in written:
        if earlier := standing.get(document["_id"]):
            changed.setdefault(_stamps(earlier), Counter()).subtract(_terms(earlier))
        changed.setdefault(_stamps(document), Counter()).update(_terms(document))
        standing[document["_id"]] = document
    return changed


async def tally(database: Database, changed: Changes, session: AsyncClientSession) -> None:
    """Write the changes, in the transaction that makes them true."""
    made = [_tally(stamps, {term: n for term, n in terms.items() if n}) for stamps, terms in changed.items()]
    made = [one for one in made if one["k"]]
    if made:
        await database["tallies"].insert_many(made, ordered=False, session=session)


async def fold_for_ever(database: Database) -> None:
    """Add tallies to rows; of several processes that do it at once, one has its way."""
    while True:
        await asyncio.sleep(FOLD_SECONDS * random.uniform(0.5, 1.5))
        try:
            while await database["tallies"].estimated_document_count():
                await fold(database)
        except PyMongoError:  # another process folds, or the database is away: nothing is lost, and there is a next time
            continue


async def fold(database: Database) -> None:
    """Add some tallies to the rows."""
    snapshot = ReadConcern("snapshot")
    async with database.client.start_session() as session, await session.start_transaction(snapshot, DURABLE):
        some = await database["tallies"].find({}, limit=FOLDED, session=session).to_list()
        added: Counter[Any] = Counter()
        for one in some:
            for term, n in zip(one["k"], one["n"], strict=True):
                added[term, one["c"], tuple(one["l"]), tuple(one["p"])] += n
        if added:
            rows = [UpdateOne({"_id": _id(*row)}, {"$inc": {"n": n}}, upsert=True) for row, n in added.items()]
            await database["totals"].bulk_write(rows, ordered=False, session=session)
            await database["tallies"].delete_many({"_id": {"$in": [one["_id"] for one in some]}}, session=session)


@dataclass(frozen=True, slots=True, eq=False)
class Total:
    """What is asked: how many resources of a type bear a term; those about `people`, up to `most`, are looked at one by one."""

    term: int
    number: int
    people: Sequence[bytes]
    most: int


Counted = tuple[list[tuple[Document, int]], list[Document]]
"""Of one moment: documents that stand for all that bear the term, with their numbers; and the stamps of those among them that
are about `people`."""


class Totals:
    """Totals that share commands: Total -> Counted, or None where too many are about `people`."""

    def branches(self, asked: Sequence[Total]) -> list[Branch]:
        return [Branch("totals", _stages(one)) for one in asked]

    def answers(self, asked: Sequence[Total], found: Sequence[list[Document]]) -> dict[Total, Counted | None]:
        return {one: _counted(one, documents) for one, documents in zip(asked, found, strict=True)}


TOTALS = Totals()


def _stages(one: Total) -> list[dict[str, Any]]:
    """In one pipeline, so that they are of one moment."""
    lately = {"_id": {"c": "$c", "l": "$l", "p": "$p"}, "n": {"$arrayElemAt": ["$n", {"$indexOfArray": ["$k", one.term]}]}}
    wanted = {"p": {"$in": list(one.people)}, "t": one.number, "x": one.term}
    theirs = [{"$match": wanted}, {"$limit": one.most + 1}, {"$project": STAMPS}]
    stages: list[dict[str, Any]] = [
        {"$match": {"_id.k": one.term}},
        {"$unionWith": {"coll": "tallies", "pipeline": [{"$match": {"k": one.term}}, {"$project": lately}]}},
    ]
    return [*stages, {"$unionWith": {"coll": "resources", "pipeline": theirs}}] if one.people else stages


def _counted(one: Total, found: Sequence[Document]) -> Counted | None:
    rows = [(_document(row["_id"], one.number), row["n"]) for row in found if "n" in row]
    documents = [document for document in found if "n" not in document]
    return None if len(documents) > one.most else (rows, documents)


def nothing(document: Document) -> Document:
    """What stands in place of a document that is removed, as far as totals depend on it."""
    return document | {"x": []}


def in_general(document: Document) -> Document:
    """The document that stands for this one in `read`."""
    return document | {"p": list(_about(document["p"]))}


def _stamps(document: Document) -> Stamps:
    return document["c"], tuple(document.get("l", ())), _about(document["p"])


def _terms(document: Document) -> Sequence[int]:
    terms: Sequence[int] = document["x"][: document.get("n", 0)]
    return terms


def _about(patients: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(one if one == UNRESOLVED else ANYONE for one in patients))


def _tally(stamps: Stamps, terms: Mapping[int, int]) -> Document:
    custodian, labels, about = stamps
    return {"c": custodian, "l": labels, "p": about, "k": list(terms), "n": list(terms.values())}


def _id(term: int, custodian: str, labels: Sequence[int], about: Sequence[bytes]) -> dict[str, Any]:
    return {"k": term, "c": custodian, "l": list(labels), "p": list(about)}


def _document(row: Mapping[str, Any], number: int) -> Document:
    return {"t": number, "c": row["c"], "p": row["p"], "l": row["l"]}
