"""DESIGN 3, "Embedded default": a mongod of our own, with authentication on, that never outlives its owner."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from exchange.embedded import EmbeddedError, InUseError, attach, connect_or_start, running
from exchange.replica_set import HOST
from exchange.settings import Settings

OWNER = """
import asyncio, signal, sys
from pathlib import Path
from exchange.embedded import running

signal.signal(signal.SIGINT, signal.default_int_handler)  # as at a terminal: what a shell runs in the background ignores it

async def main():
    async with running(Path(sys.argv[1]), cache_gb=0.25) as uri:
        print(uri, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
Client = AsyncMongoClient[dict[str, Any]]


async def _until(done: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.02)


def _owner(data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", OWNER, str(data)], stdout=subprocess.PIPE, text=True)


def _first_line(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout
    return owner.stdout.readline().strip()


def _mongod_pid(data: Path) -> int:
    return int((data / "mongodb" / "db" / "mongod.lock").read_text())


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_data_survive_a_stop_and_the_port_stays(tmp_path: Path) -> None:
    async with running(tmp_path, cache_gb=0.25) as first, Client(first) as client:
        await client.a.b.insert_one({"_id": 1})
    async with running(tmp_path, cache_gb=0.25) as second, Client(second) as client:
        assert await client.a.b.count_documents({}) == 1
    assert first == second


async def test_a_taken_port_is_replaced_and_the_replica_set_follows(tmp_path: Path) -> None:
    async with running(tmp_path, cache_gb=0.25) as first, Client(first) as client:
        await client.a.b.insert_one({"_id": 1})
    port = int((tmp_path / "mongodb" / "port").read_text())
    squatter = await asyncio.start_server(lambda reader, writer: writer.close(), HOST, port)
    async with squatter, running(tmp_path, cache_gb=0.25) as second, Client(second) as client:
        assert first != second
        assert await client.a.b.count_documents({}) == 1


async def test_no_password_no_data(mongodb_uri: str) -> None:
    """Else it would be a way around `record` for any local process."""
    anonymous = "mongodb://" + mongodb_uri.rpartition("@")[2]
    async with Client(anonymous) as client:
        with pytest.raises(OperationFailure, match="requires authentication"):
            await client.list_database_names()


async def test_only_its_owner_may_read_the_secret(tmp_path: Path) -> None:
    async with running(tmp_path, cache_gb=0.25):
        home = tmp_path / "mongodb"
        assert home.stat().st_mode & 0o777 == 0o700
        assert (home / "key").stat().st_mode & 0o777 == 0o600


async def test_loopback_only_without_compressors(mongodb_uri: str) -> None:
    """CVE-2025-14847 is in the network compressors."""
    async with Client(mongodb_uri) as client:
        hello = await client.admin.command("hello", compression=["zlib", "zstd", "snappy"])
    assert "compression" not in hello
    assert hello["me"].startswith(f"{HOST}:")


async def test_what_stands_still_holds_its_rows_for_less_time_than_others_wait(mongodb_uri: str) -> None:
    """A process that was killed in a transaction: mongod ends it, by default after as long as a request may take"""
    async with Client(mongodb_uri) as client:
        asked = await client.admin.command("getParameter", 1, transactionLifetimeLimitSeconds=1)
    assert 2 * asked["transactionLifetimeLimitSeconds"] <= Settings().answer_seconds


async def test_transactions_and_change_streams(mongodb_uri: str, database: str) -> None:
    async with Client(mongodb_uri) as client:
        rows = client[database].rows
        await rows.insert_one({"_id": 0})
        async with await rows.watch() as changes:
            async with client.start_session() as session, await session.start_transaction():
                await rows.insert_one({"_id": 1}, session=session)
            assert (await changes.next())["documentKey"] == {"_id": 1}


async def test_the_cache_is_as_large_as_the_settings_say(tmp_path: Path) -> None:
    """HIE_MONGODB_CACHE_GB"""
    async with connect_or_start(tmp_path, 0.25) as uri, Client(uri) as client:
        status = await client.admin.command("serverStatus")
    assert status["wiredTiger"]["cache"]["maximum bytes configured"] == 256 * 1024 * 1024


async def test_others_attach_to_the_one_that_runs(tmp_path: Path) -> None:
    assert await attach(tmp_path) is None
    owner = _owner(tmp_path)
    try:
        uri = _first_line(owner)
        assert await attach(tmp_path) == uri
        async with connect_or_start(tmp_path, 0.25) as same:
            assert same == uri
        with pytest.raises(InUseError, match="another process serves"):
            async with running(tmp_path):
                raise AssertionError("two owners")
    finally:
        owner.terminate()
        owner.communicate()
    assert await attach(tmp_path) is None


async def test_attach_waits_for_one_that_is_starting(tmp_path: Path) -> None:
    owner = _owner(tmp_path)
    try:
        await _until((tmp_path / "mongodb" / "mongod.log").exists)  # its file of the lock is there before the lock is
        assert await attach(tmp_path) == _first_line(owner)
    finally:
        owner.terminate()
        owner.communicate()


async def test_kill_9_leaves_no_mongod_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    owner = _owner(tmp_path)
    async with Client(_first_line(owner)) as client:
        await client.a.b.insert_one({"_id": 1})
    mongod = _mongod_pid(tmp_path)
    owner.kill()
    owner.communicate()
    async with running(tmp_path, cache_gb=0.25) as uri, Client(uri) as client:
        assert not _alive(mongod)
        assert await client.a.b.count_documents({}) == 1


async def test_kill_9_in_the_first_start_is_recovered_from(tmp_path: Path) -> None:
    """Whatever a former start got done, the next completes it: here it is killed as soon as mongod owns its files."""
    owner = _owner(tmp_path)
    await _until((tmp_path / "mongodb" / "db" / "WiredTiger").exists)
    owner.kill()
    owner.communicate()
    async with running(tmp_path, cache_gb=0.25) as uri, Client(uri) as client:
        await client.a.b.insert_one({"_id": 1})


async def test_ctrl_c_reaches_the_owner_and_not_mongod(tmp_path: Path) -> None:
    owner = _owner(tmp_path)
    _first_line(owner)
    mongod = _mongod_pid(tmp_path)
    assert os.getpgid(mongod) == mongod
    owner.send_signal(signal.SIGINT)
    owner.communicate(timeout=30)
    assert not _alive(mongod)


async def test_without_a_mongod_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedError, match="install MongoDB"):
        async with running(tmp_path):
            raise AssertionError("nothing to run")
