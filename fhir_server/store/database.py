"""Collections and indexes of the exchange, and how the driver is set up."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CollectionInvalid,
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

T = TypeVar("T")
DUPLICATE_KEY = 11000  # error code of the server
DURABLE = WriteConcern("majority", j=True)
PATIENCE: dict[str, Any] = {  # ms: a primary that is gone or frozen is noticed after twice five seconds, an election waited for
    "connectTimeoutMS": 5_000,
    "heartbeatFrequencyMS": 5_000,
    "serverSelectionTimeoutMS": 10_000,
}
# Codes of a server that steps down, shuts down or recovers (the drivers' specification of "state change errors").
STEPPING_DOWN = frozenset((91, 189, 10058, 10107, 11600, 11602, 13435, 13436))
PASSING = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")  # error labels
NO_ROOM = "No space left on device"  # WiredTiger's error has no code of its own
COMPRESSED = {"wiredTiger": {"configString": "block_compressor=zstd"}}

INDEXES: dict[str, dict[str, dict[str, Any]]] = {
    "resources": {
        "population": {"key": {"x": 1, "s": -1}},
        "person": {"key": {"p": 1, "t": 1, "s": -1}},
        "updated": {"key": {"t": 1, "w": -1}},
    },
    "history": {"versions": {"key": {"o": 1, "v": -1}}, "updated": {"key": {"t": 1, "w": -1}}},
    "persons": {
        "patients": {"key": {"patients": 1}, "unique": True},
        "revision": {"key": {"rev": 1}, "sparse": True},
        "sources": {"key": {"rules.source": 1}, "sparse": True},
    },
    "apart": {},
    "claims": {"lanes": {"key": {"lane": 1}, "sparse": True}},
    "displays": {"paths": {"key": {"k": 1}}},
    "totals": {"terms": {"key": {"_id.k": 1}}},
    "tallies": {},
    "parameters": {},
    "counters": {},
    "reviews": {"state": {"key": {"state": 1, "at": -1}}},
    "audit": {
        "persons": {"key": {"p": 1, "at": -1}},
        "marks": {"key": {"m": 1, "at": -1}, "partialFilterExpression": {"m": {"$exists": True}}},
    },
    "inbox": {"state": {"key": {"state": 1, "at": 1}}, "patients": {"key": {"p": 1}, "sparse": True}},
    "bookings": {
        "appointment": {"key": {"a": 1}},
        "ahead": {"key": {"at": 1}},
        "past": {"key": {"gone": 1}, "expireAfterSeconds": 24 * 3600},
    },
    "signals": {"expiry": {"key": {"at": 1}, "expireAfterSeconds": 60}},
    "sessions": {"expiry": {"key": {"gone": 1}, "expireAfterSeconds": 0}},
    "bindings": {"patients": {"key": {"patients": 1}, "unique": True}},
    "attempts": {"expiry": {"key": {"gone": 1}, "expireAfterSeconds": 0}},
    "assertions": {"expiry": {"key": {"until": 1}, "expireAfterSeconds": 0}},
}


@dataclass(frozen=True)
class Database:
    """The client and its collections, all with majority reads and durable writes."""

    client: AsyncMongoClient[dict[str, Any]]
    database: AsyncDatabase[dict[str, Any]]

    def __getitem__(self, name: str) -> AsyncCollection[dict[str, Any]]:
        return self._collections[name]

    def at_one_moment(self, name: str) -> AsyncCollection[dict[str, Any]]:
        """The collection, read as it was at one moment: what commits while a query runs shows whole or not at all."""
        return self._at_one_moment[name]

    async def count(self, name: str, criteria: Mapping[str, Any], most: int) -> int:
        """How many there are, up to `most`, of what an index alone decides: only its entries are looked at."""
        found = await self.database.command({"count": name, "query": criteria, "limit": most})
        return int(found["n"])

    async def insert(self, name: str, documents: Sequence[Mapping[str, Any]]) -> None:
        """`insert_many` for half the driver's time, of documents whose ids nobody else makes: where it is not known what became
        of them it is tried once more, and what is there by then is no mistake."""
        command = {"insert": name, "documents": documents, "writeConcern": DURABLE.document}
        try:
            failed = await self._failed(command)
        except ServerSelectionTimeoutError:  # nothing was sent, and all the time that an election takes was waited for
            raise
        except AutoReconnect:
            again = await self._failed(command | {"ordered": False})
            failed = [one for one in again if one["code"] != DUPLICATE_KEY]
        if failed:
            raise BulkWriteError({"writeErrors": failed})

    async def _failed(self, insert: dict[str, Any]) -> list[Any]:
        reply = await self.database.command(insert)
        if "writeConcernError" in reply:
            raise AutoReconnect("the majority did not acknowledge a write")
        failed = list(reply.get("writeErrors", ()))
        if _has_stepped_down(failed):
            raise AutoReconnect("the primary stepped down during a write")
        return failed

    async def transact(self, work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """What `work` returns of one durable transaction on a snapshot; it is repeated where another came in between."""
        async with self.client.start_session() as session:
            return await session.with_transaction(work, read_concern=ReadConcern("snapshot"), write_concern=DURABLE)

    @cached_property
    def _collections(self) -> dict[str, AsyncCollection[dict[str, Any]]]:
        """Made once: making one takes a tenth of the time of a find."""
        return {name: self.database[name] for name in INDEXES}

    @cached_property
    def _at_one_moment(self) -> dict[str, AsyncCollection[dict[str, Any]]]:
        return {name: one.with_options(read_concern=ReadConcern("snapshot")) for name, one in self._collections.items()}


def is_unavailable(error: Exception) -> bool:
    """Whether the database was out of reach, electing or too slow: the same request may succeed in a moment."""
    if not isinstance(error, PyMongoError):
        return False
    if is_full(error) or _has_stepped_down(_failures(error)):
        return True
    return isinstance(error, ConnectionFailure) or error.timeout or any(error.has_error_label(label) for label in PASSING)


def is_full(error: Exception) -> bool:
    """Whether the database's disk has no room: nothing is written until there is some again."""
    return any(NO_ROOM in one.get("errmsg", "") for one in _failures(error))


def _failures(error: Exception) -> list[Mapping[str, Any]]:
    """What the server said of a command as a whole, and of each of its writes."""
    details = (error.details or {}) if isinstance(error, OperationFailure) else {}
    return [details, *details.get("writeErrors", ())]


def _has_stepped_down(failures: Sequence[Mapping[str, Any]]) -> bool:
    return any(one.get("code") in STEPPING_DOWN for one in failures)


async def connect(uri: str, name: str) -> Database:
    """Connect and make what is missing; safe to call from several processes at once."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, tz_aware=True, retryWrites=True, **PATIENCE)
    options: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    database = client.get_database(name, options, write_concern=DURABLE, read_concern=ReadConcern("majority"))
    for collection, indexes in INDEXES.items():
        await _make(database, collection, indexes)
    return Database(client, database)


async def _make(database: AsyncDatabase[dict[str, Any]], collection: str, indexes: dict[str, dict[str, Any]]) -> None:
    with suppress(CollectionInvalid):  # it is there already
        await database.create_collection(collection, storageEngine=COMPRESSED)
    made = [{"name": name, "storageEngine": COMPRESSED, **index} for name, index in indexes.items()]
    if made:
        await database.command("createIndexes", collection, indexes=made)
