"""`Database.insert` (store/database.py): each document is there once, whatever becomes of the connection meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo.errors import BulkWriteError, ConnectionFailure

from fhir_server.store.database import Database, connect


@dataclass(slots=True)
class Relay:
    """Between a driver and its mongod: the next `losses` inserts get there, and their answers are lost with the connection."""

    host: str
    port: int
    losses: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self.host, self.port)
        try:
            while head := await reader.readexactly(4):
                asked = head + await reader.readexactly(int.from_bytes(head, "little") - 4)
                inner_writer.write(asked)
                head = await inner_reader.readexactly(4)
                answer = head + await inner_reader.readexactly(int.from_bytes(head, "little") - 4)
                if b"\x02insert\x00" in asked and self.losses:
                    self.losses -= 1
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            inner_writer.close()
            writer.close()


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


async def test_an_id_that_is_taken_is_told(mongodb_uri: str, database: str) -> None:
    async with relayed(mongodb_uri, database) as (_, store):
        await store["audit"].insert_one({"_id": 1, "theirs": True})
        with pytest.raises(BulkWriteError):
            await store.insert("audit", [{"_id": 1}, {"_id": 2}])
        assert await store["audit"].find_one({"_id": 1}) == {"_id": 1, "theirs": True}
