"""The exchange under test: `hie serve` as a child of ours, on free ports of 127.0.0.1, in a folder that goes with it."""

import asyncio
import itertools
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clients import Http, connected, required
from benchmarks.measuring import Measured, closed_loop
from consent.caller import Kind
from exchange.dying import dying_with
from exchange.embedded import attach
from exchange.issuing import token_for
from exchange.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
WORKERS = str(os.cpu_count() or 1)  # one process per core
ARGUMENTS = ("--host", HOST, "--port", "0", "--mllp-port", "0", "--no-seed", "--workers", WORKERS)
STARTUP, SHUTDOWN = 60, 60  # seconds
LIFETIME = 24 * 3600  # of our tokens, in seconds: growing may take hours on a busy machine
_UP = re.compile(r"http://[\d.]+:(\d+)/fhir.*?MLLP on [\d.]+:(\d+).*?\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Server:
    """A running exchange; `mongodb` is the URI of its MongoDB."""

    settings: Settings
    port: int
    mllp_port: int
    mongodb: str

    def token(self, kind: Kind, **claims: Any) -> str:
        return token_for(self.settings, kind, lifetime=LIFETIME, **claims)


@contextmanager
def folder(parent: Path | None) -> Iterator[Path]:
    """A new folder inside `parent`, which goes at the end."""
    with tempfile.TemporaryDirectory(prefix="hie-bench-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


@asynccontextmanager
async def serving(data: Path, cache_gb: float = Settings().mongodb_cache_gb) -> AsyncIterator[Server]:
    """Started on a folder with default settings but for the cache, whatever the environment says."""
    settings = replace(Settings(), data=data, mongodb_cache_gb=cache_gb)
    process = await _started(settings)
    try:
        port, mllp_port = await asyncio.wait_for(_ports(process), STARTUP)
        mongodb = await attach(settings.data)
        assert mongodb is not None, "the exchange is up, so its MongoDB is"
        yield Server(settings, port, mllp_port, mongodb)
    finally:
        await _stopped(process)


async def _started(settings: Settings) -> Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HIE_")}
    command = [sys.executable, "-m", "exchange.cli", "serve", *ARGUMENTS, "--data", str(settings.data)]
    environment |= {"PYTHONPATH": str(ROOT), "HIE_MONGODB_CACHE_GB": str(settings.mongodb_cache_gb)}
    ending = dying_with(os.getpid(), signal.SIGTERM)  # also when we are killed
    return await asyncio.create_subprocess_exec(*command, env=environment, stdin=DEVNULL, stdout=PIPE, preexec_fn=ending)


async def _ports(process: Process) -> tuple[int, int]:
    """The ports of HTTP and MLLP, as the exchange prints them when it is up."""
    assert process.stdout is not None
    said = ""
    while not (found := _UP.search(said)):
        line = await process.stdout.readline()
        if not line:
            raise SystemExit("hie bench: the exchange did not start; see what 'hie serve' says")
        said += line.decode()
    return int(found[1]), int(found[2])


async def _stopped(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), SHUTDOWN)
    except TimeoutError:
        process.kill()
        await process.wait()


async def in_turn(server: Server, requests: Sequence[bytes], status: int, clients: int, seconds: float) -> Measured:
    """Send them again and again, `clients` at a time; every answer must have this status."""
    turns = itertools.cycle(requests)

    async def ask(connection: Http, sent: bytes) -> int:
        await required(connection, sent, status)
        return 1

    async with connected(Http, HOST, server.port, clients) as connections:
        return await closed_loop([(turns, partial(ask, one)) for one in connections], seconds)
