"""`Database.insert` (store/database.py): each document is there once, whatever becomes of the connection meanwhile."""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bson import encode
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError, ServerSelectionTimeoutError

from fhir_server.store.audit import audit_log
from fhir_server.store.chain import Entry
from fhir_server.store.database import Database, connect, is_unavailable
from fhir_server.store.secrets import Secrets

STEPPED_DOWN = {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 10107, "errmsg": "Not primary while writing"}]}
FULL = {"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 8, "errmsg": "insertRecord 28: No space left on device"}]}


@dataclass(slots=True)
class Relay:
    """Between a driver and its mongod: the next `losses` inserts get there, and their answers are lost with the connection;
    the next `steps_down` are refused by a primary that steps down, entry by entry, or as `refusal` says."""

    host: str
    port: int
    losses: int = 0
    steps_down: int = 0
    refusal: dict[str, Any] = field(default_factory=lambda: STEPPED_DOWN)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self.host, self.port)
        with closing(inner_writer), closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked = await _message(reader)
                if b"\x02insert\x00" in asked and self.steps_down:
                    self.steps_down -= 1
                    writer.write(_answer(asked, self.refusal))
                    continue
                inner_writer.write(asked)
                answer = await _message(inner_reader)
                if b"\x02insert\x00" in asked and self.losses:
                    self.losses -= 1
                    return
                writer.write(answer)


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One message of MongoDB's protocol, which begins with its length."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "little") - 4)


def _answer(asked: bytes, told: dict[str, Any]) -> bytes:
    """OP_MSG (2013) with one section of kind 0, in answer to a message."""
    body = bytes(5) + encode(told)
    return struct.pack("<iiii", 16 + len(body), 0, int.from_bytes(asked[4:8], "little"), 2013) + body


@asynccontextmanager
async def relayed(uri: str, name: str) -> AsyncIterator[tuple[Relay, Database]]:
    place = urlsplit(uri)
    relay = Relay(place.hostname or "", place.port or 0)
    async with await asyncio.start_server(relay.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        database = await connect(uri.replace(f":{place.port}", f":{port}"), name)
        try:
            yield relay, database
        finally:
            await database.client.close()


async def ids(database: Database) -> list[Any]:
    return [one["_id"] async for one in database["audit"].find({}, sort={"_id": 1})]


async def test_a_lost_answer_leaves_each_document_once(mongodb_uri: str, database: str) -> None:
    async with relayed(mongodb_uri, database) as (relay, store):
        relay.losses = 1
        await store.insert("audit", [{"_id": number} for number in range(3)])
        assert relay.losses == 0
        assert await ids(store) == [0, 1, 2]


async def test_two_lost_answers_are_told(mongodb_uri: str, database: str) -> None:
    async with relayed(mongodb_uri, database) as (relay, store):
        relay.losses = 2
        with pytest.raises(ConnectionFailure):
            await store.insert("audit", [{"_id": 1}])
        assert await ids(store) == [1]


async def test_a_primary_that_steps_down_during_a_write_is_asked_again(mongodb_uri: str, database: str) -> None:
    async with relayed(mongodb_uri, database) as (relay, store):
        relay.steps_down = 1
        await store.insert("audit", [{"_id": 1}])
        assert await ids(store) == [1]


@pytest.mark.parametrize("refusal", [STEPPED_DOWN, FULL], ids=["stepped down", "full"])
@pytest.mark.parametrize("is_driver", [False, True], ids=["insert", "the driver's own"])
async def test_a_primary_that_steps_down_or_is_full_is_a_matter_of_time(
    mongodb_uri: str, database: str, is_driver: bool, refusal: dict[str, Any]
) -> None:
    """503, and not 500: the same request may succeed in a moment"""
    async with relayed(mongodb_uri, database) as (relay, store):
        relay.refusal = refusal
        relay.steps_down = 2
        with pytest.raises(PyMongoError) as told:
            await (store["audit"].insert_many([{"_id": 1}]) if is_driver else store.insert("audit", [{"_id": 1}]))
        assert is_unavailable(told.value)


async def test_without_a_primary_it_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    """The second try is for what may have been written: here nothing was sent"""
    caplog.set_level(logging.DEBUG, "pymongo.serverSelection")
    nowhere = "mongodb://127.0.0.1:9/?replicaSet=none"
    async with AsyncMongoClient[dict[str, Any]](nowhere, serverSelectionTimeoutMS=300) as client:
        with pytest.raises(ServerSelectionTimeoutError):
            await Database(client, client["none"]).insert("audit", [{"_id": 1}])
    assert sum("Server selection failed" in one.getMessage() for one in caplog.records) == 1


async def test_an_id_that_is_taken_is_told(mongodb_uri: str, database: str) -> None:
    async with relayed(mongodb_uri, database) as (_, store):
        await store["audit"].insert_one({"_id": 1, "theirs": True})
        with pytest.raises(BulkWriteError):
            await store.insert("audit", [{"_id": 1}, {"_id": 2}])
        assert await store["audit"].find_one({"_id": 1}) == {"_id": 1, "theirs": True}


async def test_of_what_was_written_in_part_the_rest_follows(mongodb_uri: str, database: str) -> None:
    async with relayed(mongodb_uri, database) as (relay, store):
        await store["audit"].insert_many([{"_id": 0}, {"_id": 2}])
        relay.losses = 1
        await store.insert("audit", [{"_id": number} for number in range(4)])
        assert await ids(store) == [0, 1, 2, 3]


@pytest.mark.parametrize("losses", [1, 2])
async def test_a_chain_holds_whatever_was_lost(mongodb_uri: str, database: str, tmp_path: Path, losses: int) -> None:
    """DESIGN 4: one entry for each access that was told of, and none that the chain does not account for"""
    async with relayed(mongodb_uri, database) as (relay, store):
        log = audit_log(store, tmp_path / "anchors", Secrets(bytes(32)))
        lane = asyncio.create_task(log.run(0))
        told = 0
        for lost in (0, losses, 0):
            relay.losses = lost
            ended = await asyncio.gather(*(log.record(Entry(1, (), {})) for _ in range(3)), return_exceptions=True)
            assert all(isinstance(one, ConnectionFailure) for one in ended) if lost == 2 else ended == [None] * 3
            told += 3
        lane.cancel()
        log.anchor({})
        assert [line async for line in log.verify()] == []
        assert len(await ids(store)) == told
