"""A process that stands still during an erasure acknowledges nothing that a destroyed key seals (decision 26)."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from exchange.embedded import attach
from tests import serving
from tests.exchange.test_serving import served
from tests.gate.building import id_card, keep, observation, patient, status
from tests.serving import Door
from tests.store.test_erasing import clients, erased, findings, foreseen, is_done, left, until

LIMIT = 3  # seconds that a transaction may last, where the process stands still for longer
SEALED = 500_000  # microseconds after which a transaction is one that waits for the key store


@pytest.mark.parametrize("is_late", [False, True], ids=["while its transaction lives", "longer than its transaction lives"])
async def test_what_a_stalled_process_acknowledges_can_be_read(tmp_path: Path, is_late: bool) -> None:
    """SIGSTOP between seal and commit, SIGCONT after the keys were to go: erased with the rest, or written anew"""
    async with served(tmp_path, "--no-seed") as (process, up), beside(tmp_path) as door:
        a, admin = door.system("a"), door.admin()
        await keep(a, patient("pa", id_card(7)))
        confirmation = (await foreseen(admin))["confirmation"]
        if is_late:
            await limit_transactions(tmp_path, door)
        async with clients(up, door.token("system", organization="a")) as there:
            with nobody_makes_keys(tmp_path):
                written = asyncio.create_task(there.post("", json=bundle(observation("o", "pa"), patient("z", id_card(8)))))
                await until(lambda: is_waiting(door))
                process.send_signal(signal.SIGSTOP)
            asked = asyncio.create_task(erased(admin, confirmation))
            gone = asyncio.create_task(until(lambda: is_over(door, asked)))
            await asyncio.wait([gone], timeout=None if is_late else 4)
            process.send_signal(signal.SIGCONT)
            answer = await written
            await gone
        assert (await asked, answer.status_code) == (202, 200), answer.text
        assert await left(door) == ({"resources": 1} if is_late else {})
        assert await status(a, "/Observation/o") == (200 if is_late else 404)
        assert await status(a, "/Patient/z") == 200
        assert await findings(door) == []


@asynccontextmanager
async def beside(data: Path) -> AsyncIterator[Door]:
    """A second exchange, in this process, on the store of the first."""
    uri = await attach(data)
    assert uri is not None
    async with serving.door(uri, "hie", data) as door:
        yield door


@contextmanager
def nobody_makes_keys(data: Path) -> Iterator[None]:
    """Holds the key store's lock for writing: who has sealed with a new key waits, in the middle of a transaction."""
    store = sqlite3.connect(data / "keys" / "data-keys.db", isolation_level=None)
    store.execute("BEGIN IMMEDIATE")
    yield
    store.execute("ROLLBACK")
    store.close()


async def is_waiting(door: Door) -> bool:
    sessions = {"$currentOp": {"allUsers": True, "idleSessions": True}}
    open_ones = {"$match": {"transaction.timeOpenMicros": {"$gt": SEALED}}}
    async with await door.exchange.database.client.admin.aggregate([sessions, open_ones]) as found:
        return bool(await found.to_list())


async def is_over(door: Door, asked: "asyncio.Task[int]") -> bool:
    return asked.done() and await is_done(door)


async def limit_transactions(data: Path, door: Door) -> None:
    """As the cluster's own user, who may."""
    (host, port), key = await door.exchange.database.client.address or ("", 0), (data / "mongodb" / "key").read_text()
    cluster: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        host, port, username="__system", password=key, authSource="local", directConnection=True
    )
    async with cluster:
        await cluster.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=LIMIT)


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    names = [f"{one['resourceType']}/{one['id']}" for one in resources]
    entry = [{"resource": one, "request": {"method": "PUT", "url": name}} for one, name in zip(resources, names, strict=True)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entry}
