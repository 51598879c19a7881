"""By which rules the entries of a store were made: what relies on entries that earlier releases did not make asks here first.

A store that was begun by this release has them all, and so has one that was re-indexed whole. Any other is searched without
their help: more slowly, and as exactly.
"""

from typing import Any

from fhir_server.store.database import Database

RULES = 4  # to be raised with every change of what is indexed or counted
_ROW = "index"


async def is_current(database: Database) -> bool:
    """Whether all resources have the entries that this release makes."""
    if await database["resources"].find_one({}, {"_id": 1}) is None:
        await become_current(database)
    row = await database["counters"].find_one({"_id": _ROW})
    return row is not None and row["n"] == RULES


async def become_current(database: Database, session: Any = None) -> None:
    await database["counters"].update_one({"_id": _ROW}, {"$set": {"n": RULES}}, upsert=True, session=session)
