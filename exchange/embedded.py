"""Embedded MongoDB: a mongod of our own in the data folder, for demos, tests and small sites (Linux).

One process owns a data folder and runs its mongod as a child; other processes attach. Everything lies in DATA/mongodb:
`db/` (the data files), `key` (the one secret), `mongod.log`, and two files whose locks tell the state, even after a kill -9:
`owner` is locked while a process owns the folder, `port` (holding the port) while its mongod is ready.
"""

import asyncio
import fcntl
import hmac
import importlib.util
import os
import shutil
import signal
import socket
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from exchange.data import folder, secret
from exchange.dying import dying_with
from exchange.keeping import kept
from exchange.replica_set import HOST, REPLICA_SET, prepare

USER = "hie"
PATIENCE = 60.0  # seconds for mongod to come up (after a crash it replays its journal) or to go down
OPTIONS = {
    "--bind_ip": HOST,
    "--replSet": REPLICA_SET,
    "--oplogSize": "990",  # MB, the least that mongod accepts
    "--networkMessageCompressors": "disabled",  # CVE-2025-14847
    "--slowms": "3600000",  # the log line of a slow operation would quote it
    # Hashed keys go anywhere into an index: by default pages are written out (and compressed) after a few of them each.
    "--wiredTigerEngineConfigString": "eviction_dirty_target=60,eviction_dirty_trigger=80,eviction_updates_target=60,"
    "eviction_updates_trigger=80,eviction_checkpoint_target=0",
    "--zstdDefaultCompressionLevel": "3",
}
SWITCHES = ("--nounixsocket", "--noscripting", "--quiet")
PARAMETERS = {
    "diagnosticDataCollectionEnabled": "false",
    "shutdownTimeoutMillisForSignaledShutdown": "100",  # there is no secondary to hand over to
    # What a process that was killed or stands still holds is free again before those who wait for it give up. The largest
    # Bundles take about five seconds.
    "transactionLifetimeLimitSeconds": "30",
    # Hundreds of people of one name, newest first: each walked as far as it is wanted, instead of all of them sorted.
    "internalQueryMaxScansToExplode": "1000",
}
ADDRESS_IN_USE, LIBRARY_MISSING = 48, 127  # exit codes of mongod and of the loader
ATTEMPTS = 5


class EmbeddedError(RuntimeError):
    """mongod cannot be started or reached; the text says what to do."""


class InUseError(EmbeddedError):
    """Another process owns this data folder."""


@asynccontextmanager
async def running(data: Path, cache_gb: float = 1.0) -> AsyncIterator[str]:
    """Own the data folder and run its mongod; gives the URI. To be called in a thread that outlives it: mongod ends with it."""
    home = folder(data / "mongodb")
    folder(home / "db")
    secret(home / "key")
    async with _owner(home), _mongod(home, cache_gb) as port:
        await prepare(port, (home / "key").read_text(), USER, _password(home), PATIENCE)
        (home / "port").write_text(str(port))
        async with _lock(home / "port"):
            yield _uri(home, port)


async def attach(data: Path) -> str | None:
    """The URI of the mongod that another process runs in this data folder (waits while it starts), else None."""
    home = data / "mongodb"
    ready = f"the exchange that serves {data} is still starting: try again"
    await _until(lambda: _locked(home / "port") or not _locked(home / "owner"), ready)
    return _uri(home, int((home / "port").read_text())) if _locked(home / "port") else None


@asynccontextmanager
async def connect_or_start(data: Path, cache_gb: float) -> AsyncIterator[str]:
    """The URI of this data folder's mongod: attached to where a process runs it, started for the while where none does."""
    uri = await attach(data)
    if uri:
        yield uri
        return
    async with running(data, cache_gb) as uri:
        yield uri


def _uri(home: Path, port: int) -> str:
    return f"mongodb://{USER}:{_password(home)}@{HOST}:{port}/?directConnection=true&authSource=admin"


def _password(home: Path) -> str:
    return hmac.digest(secret(home / "key"), USER.encode(), "sha256").hex()


# -- one owner --


@asynccontextmanager
async def _owner(home: Path) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(_lock(home / "owner"))
        except BlockingIOError:
            raise InUseError(f"another process serves {home.parent}: stop it, or choose another data folder") from None
        # A mongod whose owner was killed ends by itself (dying.py), in its own time.
        db = home / "db"
        await _until(lambda: not _locked(db / "mongod.lock"), f"a mongod still runs on {db}: end it and try again")
        yield


@asynccontextmanager
async def _lock(path: Path) -> AsyncIterator[None]:
    with path.open("a") as file:
        await _acquire(file)
        yield


async def _acquire(file: IO[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        await asyncio.sleep(0.1)  # another process's glance (_locked) holds it for microseconds: try once more
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


async def _until(done: Callable[[], bool], otherwise: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not done():  # noqa: ASYNC110 - other processes do not set our events
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise EmbeddedError(otherwise) from None


# -- the process --


@asynccontextmanager
async def _mongod(home: Path, cache_gb: float) -> AsyncIterator[int]:
    port = _former_port(home)

    async def start() -> Process:
        nonlocal port
        process, port = await _up(home, cache_gb, port, is_elsewhere_fine=not _locked(home / "port"))
        return process

    async with kept("mongod", start, _stop):
        yield port


async def _up(home: Path, cache_gb: float, wanted: int, is_elsewhere_fine: bool) -> tuple[Process, int]:
    """mongod, listening; elsewhere if its port was taken after we found it free (any outgoing connection may take it), unless
    others know of it by now."""
    for _ in range(ATTEMPTS if is_elsewhere_fine else 1):
        port = _free_port(wanted) if is_elsewhere_fine else wanted
        process = await _spawn(home, port, cache_gb)
        try:
            await _until(
                lambda: process.returncode is not None or _listening(port),  # noqa: B023 - awaited before the next turn
                f"mongod is not up yet; see {home / 'mongod.log'}",
            )
        except BaseException:
            await _stop(process)
            raise
        if process.returncode is None:
            return process, port
        if process.returncode != ADDRESS_IN_USE:
            break
        wanted = 0
    raise EmbeddedError(_reason(process.returncode or 0, home))


async def _spawn(home: Path, port: int, cache_gb: float) -> Process:
    # Its own session, so that Ctrl-C in a terminal reaches us and not mongod: we end it after our last write.
    with _new_log(home).open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *_command(home, port, cache_gb),
            stdout=log,
            stderr=STDOUT,
            start_new_session=True,
            preexec_fn=dying_with(os.getpid(), signal.SIGTERM),
        )


def _command(home: Path, port: int, cache_gb: float) -> list[str]:
    places = {"--dbpath": home / "db", "--keyFile": home / "key", "--port": port, "--wiredTigerCacheSizeGB": cache_gb}
    options = [str(word) for pair in (OPTIONS | places).items() for word in pair]
    return [_find(), *options, *SWITCHES, *(f"--setParameter={name}={value}" for name, value in PARAMETERS.items())]


def _new_log(home: Path) -> Path:
    log = home / "mongod.log"
    if log.exists():
        log.replace(home / "mongod.log.1")
    return log


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()  # it loses nothing: its journal is replayed on the next start
        await process.wait()


def _find() -> str:
    found = shutil.which("mongod") or _of_wheel()
    if not found:
        raise EmbeddedError(
            "no mongod: install MongoDB 6 or later so that mongod is on PATH, or set HIE_MONGODB_URI to a replica set"
        )
    return found


def _of_wheel() -> str | None:
    spec = importlib.util.find_spec("fiftyone")
    places = spec.submodule_search_locations if spec else None
    return next((str(path) for place in places or () if (path := Path(place) / "db" / "bin" / "mongod").exists()), None)


def _reason(code: int, home: Path) -> str:
    reasons = {
        LIBRARY_MISSING: "a system library is missing (Debian: apt-get install libcurl4 libssl3)",
        ADDRESS_IN_USE: "its port was taken",
    }
    return f"mongod ended at once: {reasons.get(code, f'exit code {code}')}; {home / 'mongod.log'} says more"


# -- its port --


def _former_port(home: Path) -> int:
    # The replica set remembers its address: with the same port nothing has to be reconfigured.
    try:
        return int((home / "port").read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((HOST, wanted))
            return int(probe.getsockname()[1])
    return _free_port(0)


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
