"""What the database holds of persons, by their Patients; and its removal, in pieces that may each be repeated.

A resource is a person's whose data key seals it: that of the first Patient it is about. Others may name the person, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.store import totals
from fhir_server.store.database import Database

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Held:
    """How many resources are theirs, how many of these are about others, too, and how many of others name them; messages."""

    own: int
    shared: int
    named: int
    messages: int


async def held(database: Database, patients: Sequence[bytes]) -> Held:
    theirs, known = {"p.0": {"$in": list(patients)}}, list(patients)
    resources = database["resources"]
    own = await resources.count_documents({"p": {"$in": known}, **theirs}, hint="person")
    shared = await resources.count_documents({"$and": [{"p": {"$in": known}}, theirs, {"p": {"$elemMatch": {"$nin": known}}}]})
    named = await resources.count_documents({"$and": [{"p": {"$in": known}}, {"p.0": {"$nin": known}}]})
    messages = await database["inbox"].count_documents({"p": {"$in": known}})
    return Held(own, shared, named, messages)


async def remove(database: Database, patients: Sequence[bytes]) -> int:
    """Resources with history, terms and bookings; bindings to the portal; what identity matching knows; messages of hospitals.

    Returns how many resources."""
    known = list(patients)
    removed = 0
    while count := await database.transact(lambda session: _remove_some(database, known, session)):
        removed += count
    await database["history"].delete_many({"p.0": {"$in": known}})  # of what is about somebody else by now
    await database["bindings"].delete_many({"patients": {"$in": known}})
    await database["reviews"].delete_many({"patients": {"$in": known}})
    every = database["apart"].find({}, {"_id": 1})
    pairs = [one["_id"] async for one in every if not {one["_id"][:16], one["_id"][16:]}.isdisjoint(known)]
    await database["apart"].delete_many({"_id": {"$in": pairs}})
    await _remove_messages(database, known)
    return removed


async def _remove_messages(database: Database, patients: list[bytes]) -> None:
    """What was acknowledged stays acknowledged, and nothing else of it; what was not is as if it had never been sent."""
    about = {"p": {"$in": patients}}
    await database["inbox"].delete_many({**about, "state": {"$ne": "done"}})
    left = {"$set": {"state": "erased"}, "$unset": dict.fromkeys(("raw", "p", "reason", "unmapped", "notes"), "")}
    await database["inbox"].update_many(about, left)


async def _remove_some(database: Database, patients: list[bytes], session: AsyncClientSession) -> int:
    """Resources, with what belongs to them and what totals say of them."""
    theirs = {"p": {"$in": patients}, "p.0": {"$in": patients}}
    some = await database["resources"].find(theirs, totals.COUNTED, limit=CHUNK, hint="person", session=session).to_list()
    keys = [one["_id"] for one in some]
    await database["history"].delete_many({"o": {"$in": keys}}, session=session)
    await database["bookings"].delete_many({"a": {"$in": keys}}, session=session)
    await database["resources"].delete_many({"_id": {"$in": keys}}, session=session)
    await totals.tally(database, totals.changes({one["_id"]: one for one in some}, map(totals.nothing, some)), session)
    return len(some)
