"""Which custom search parameters there are, and which are searchable: the same for all processes, at every moment.

Rows of `parameters`:
    head  {g: generation, n}       raised by each change of the rows below, in the transaction that writes the SearchParameter
    KEY   {g, ready, b}            a parameter by its resource's key: in force since generation g, searchable or not, sealed
                                   definition
    task  {holder, until, ...}     the re-indexing (store/reindexing.py)
and of `claims`, one for each commit lane: {_id: random, lane: true}. A lane touches its row in each of its transactions, and
has one only while it goes by the newest generation. So once the rows are deleted, nothing is under way any more that goes by
an earlier generation, and nothing can begin (docs/decisions/0031).
"""

import asyncio
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pymongo import UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from fhir_server.search.building import Definition, definition_of
from fhir_server.search.custom import known, require_supported
from fhir_server.search.parameters import STANDARD_ONLY, Known
from fhir_server.store.database import Database
from fhir_server.store.documents import REGION, Codec, Document
from fhir_server.store.sealing import seal, unseal

HEAD, TASK = "head", "task"
LANE = {"lane": True}
log = logging.getLogger("hie.parameters")


class Outdated(Exception):
    """A lane that does not go by the newest generation."""


@dataclass(slots=True)
class Registry:
    """What this process knows of the custom parameters."""

    database: Database
    codec: Codec
    known: Known = STANDARD_ONLY
    rows: dict[bytes, Document] = field(default_factory=dict)
    task: Document = field(default_factory=dict)
    _lanes: dict[int, bytes] = field(default_factory=dict)
    _learning: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def establish(self) -> None:
        with suppress(DuplicateKeyError):  # another process did
            head = {"$setOnInsert": {"g": 0, "n": 0}}
            await self.database["parameters"].update_one({"_id": HEAD}, head, upsert=True)
        await self.sync()

    async def sync(self) -> None:
        """Learn what changed up to now."""
        await self._learn(await self.database.at_one_moment("parameters").find({}).to_list())

    def fence(self, lane: int) -> UpdateOne:
        """To be the first write of each transaction of a lane; matches nothing where the lane must `join` first."""
        return UpdateOne({"_id": self._lanes.get(lane, b"")}, {"$inc": {"n": 1}})

    async def join(self, lane: int) -> None:
        """Bring a lane to the newest generation."""
        name = os.urandom(16)

        async def join(session: AsyncClientSession) -> list[Document]:
            # First of all the head, so that a change of generation comes wholly before or wholly after.
            await self.database["parameters"].update_one({"_id": HEAD}, {"$inc": {"n": 1}}, session=session)
            await self.database["claims"].insert_one({"_id": name, "n": 0, **LANE}, session=session)
            return await self.database["parameters"].find({}, session=session).to_list()

        await self._learn(await self.database.transact(join))
        self._lanes[lane] = name

    async def drain(self) -> None:
        """Returns when all transactions that went by an earlier generation have ended: each delete waits for the lane's."""
        await self.database["claims"].delete_many(LANE)

    def definition(self, row: Document) -> Definition:
        return definition_of(read(unseal(self.codec.keys.key(REGION), row["b"], row["_id"])))

    async def _learn(self, rows: Iterable[Document]) -> None:
        """In the order in which they were read; nobody waits for the database meanwhile, whose transactions may wait for us."""
        async with self._learning:
            found = {row["_id"]: row for row in rows}
            generation = found.pop(HEAD, {"g": 0})["g"]
            if generation < self.known.generation:
                return  # read before what is known already
            self.task = found.pop(TASK, {})
            if generation > self.known.generation or found != self.rows:
                made = [(self.definition(row), origin(row), row["ready"]) for row in found.values()]
                # Hundreds of parameters of every type take seconds: requests go on by what was known before.
                self.known, self.rows = await asyncio.to_thread(_supported, generation, made), found


def _supported(generation: int, made: Sequence[tuple[Definition, str, bool]]) -> Known:
    return known(generation, [row for row in made if _is_supported(row[0])])


def _is_supported(definition: Definition) -> bool:
    """Not where an earlier release took what this one cannot read: searches do not know it then, and no write fails for it."""
    try:
        require_supported(definition)
    except FhirError as error:
        log.error("search parameter %s is without effect, store it anew: %s", definition.code, error)
        return False
    return True


def origin(row: Document) -> str:
    """Names one definition in force, so that what stands in the index of an earlier one is not taken for its own."""
    return f"{row['_id'].hex()}@{row['g']}"


def row_of(codec: Codec, key: bytes, definition: Definition, generation: int) -> Document:
    sealed = seal(codec.keys.key(REGION), write(definition.plain()), key)
    return {"_id": key, "g": generation, "ready": False, "b": sealed}


async def are_searchable(database: Database, origins: Collection[str], session: Any = None) -> bool:
    """Whether all of these definitions are in force, and indexed throughout."""
    keys = [bytes.fromhex(one.partition("@")[0]) for one in origins]
    rows = database["parameters"].find({"_id": {"$in": keys}, "ready": True}, {"g": 1}, session=session)
    return {origin(row) async for row in rows} >= set(origins)
