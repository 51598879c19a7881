"""`hie serve`: MongoDB if embedded, HTTP, MLLP, the demo region on first start; one Ctrl-C ends all of it."""

import argparse
import asyncio
import gc
import os
import resource
import signal
import socket
import ssl
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from adapters import hospitals, mllp
from adapters.inbox import resume, take
from exchange.app import create_app
from exchange.demo.seed import seed_once
from exchange.dying import dying_with
from exchange.intake import inbox_of, register
from exchange.keeping import kept
from exchange.listening import bound, http
from exchange.opening import Opened, opened
from exchange.settings import Settings
from exchange.welcome import welcome
from fhir_server.r4.validation import prepare

TURN = b"\n"  # what a worker is told when it may open the store


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address that HTTP listens on (HIE_HOST)")
    parser.add_argument("--port", type=int, help="port that HTTP listens on; 0 picks a free one and prints it (HIE_PORT)")
    parser.add_argument("--mllp-port", type=int, help="port that MLLP listens on; 0 picks a free one (HIE_MLLP_PORT)")
    parser.add_argument("--workers", type=int, help="processes that serve HTTP and MLLP (HIE_WORKERS)")
    parser.add_argument("--no-seed", action="store_true", help="do not put the demo region into an empty store")
    parser.add_argument("--worker", type=int, nargs=2, help=argparse.SUPPRESS)  # descriptors of its sockets, HTTP and MLLP


@dataclass(frozen=True, slots=True)
class Served:
    """A running exchange: the base URL of FHIR, and the port of MLLP."""

    exchange: Opened
    url: str
    mllp_port: int


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.worker:
        return await _work(settings, *(socket.socket(fileno=one) for one in arguments.worker))
    stop = _stop_signals()
    _open_many()
    async with served(settings, stop) as up:
        if not arguments.no_seed:
            await seed_once(up.exchange, up.mllp_port)
        await welcome(up.exchange, up.url, up.mllp_port)
        await stop.wait()
        print("stopping ...", file=sys.stderr)
    return 0


@asynccontextmanager
async def served(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Served]:
    """HTTP and MLLP over the exchange, its hospitals registered, what a crash left of their messages taken up again."""
    shared = settings.workers > 1
    listening, wire = bound(settings.host, settings.port, shared), bound(settings.mllp_host, settings.mllp_port, shared)
    url, mllp_port = _base_url(settings, listening), wire.getsockname()[1]
    preparing = asyncio.create_task(asyncio.to_thread(prepare))  # while MongoDB starts
    async with _waiting(settings, listening, wire) as waiting, opened(settings) as exchange, AsyncExitStack() as running:
        await preparing
        known = hospitals.load(settings.region)
        await register(exchange.record, known.values())
        await resume(inbox_of(exchange), known)  # before anything newer comes, which what is older would overwrite
        await running.enter_async_context(_mllp(exchange, wire))
        await running.enter_async_context(http(create_app(exchange, url), listening, stop))
        for child in waiting:
            await running.enter_async_context(_worker(settings, listening, wire, child))
        _settle()
        yield Served(exchange, url, mllp_port)


def _settle() -> None:
    """What is loaded by now stays for ever: no collection of garbage need walk through the tables again, 50 ms each time.

    What a request makes goes with it, hardly ever in cycles: looking for these ten times as seldom saves 3 % of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(7_000, 20, 50)


def _open_many() -> None:
    """As many files as the system lets us, and with us workers and mongod. Where services are started 1,024 are the rule, for
    programs of old that cannot do with more: a thousand clinics that stay connected left none for anybody else."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _base_url(settings: Settings, listening: socket.socket) -> str:
    return settings.base_url or f"http://{settings.host}:{listening.getsockname()[1]}/fhir"


@asynccontextmanager
async def _mllp(exchange: Opened, wire: socket.socket) -> AsyncIterator[None]:
    """The MLLP listener on a socket that is bound already."""
    settings, inbox = exchange.settings, inbox_of(exchange)
    listener = await mllp.serve(
        settings.mllp_host,
        settings.mllp_port,
        lambda hospital, raw: take(inbox, hospital, raw),
        hospitals.load(settings.region),
        mllp.Limits(frame=settings.mllp_max_message),
        _tls(settings),
        wire,
    )
    try:
        yield
    finally:
        listener.close()  # not wait_closed: hospitals keep their connections open, and would keep us from ending


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.mllp_tls_cert is None or settings.mllp_tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.mllp_tls_ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.mllp_tls_cert, settings.mllp_tls_key)
    if settings.mllp_tls_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


# -- further processes that serve the same ports --


async def _spawn(settings: Settings, listening: socket.socket, wire: socket.socket) -> Process:
    """A child that waits for its turn, with sockets of its own on our ports: the kernel deals out connections (SO_REUSEPORT).

    On one shared socket the first to wake took them all. They are bound here, before anybody can connect: clients and hospitals
    come back at once after a restart, and stay; all were ours, who listened first. The child alone keeps them, so that they go
    with it. With us it ends at once, when we are killed: also where it is only starting, or stands still.
    """
    with (
        bound(settings.host, listening.getsockname()[1], True) as its_listening,
        bound(settings.mllp_host, wire.getsockname()[1], True) as its_wire,
    ):
        kept_open = (its_listening.fileno(), its_wire.fileno())
        places = {"--data": settings.data, "--workers": settings.workers}
        words = [str(word) for pair in places.items() for word in pair]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exchange.cli", "serve", *words, "--worker", *map(str, kept_open)),
            stdin=asyncio.subprocess.PIPE,
            env=os.environ | {"HIE_BASE_URL": _base_url(settings, listening)},
            pass_fds=kept_open,
            preexec_fn=dying_with(os.getpid(), signal.SIGKILL),
        )


@asynccontextmanager
async def _waiting(settings: Settings, listening: socket.socket, wire: socket.socket) -> AsyncIterator[list[Process]]:
    """The first of them: they get ready while MongoDB starts. Those whose turn never comes end with this."""
    children = [await _spawn(settings, listening, wire) for _ in range(settings.workers - 1)]
    try:
        yield children
    finally:
        for child in children:
            assert child.stdin is not None
            child.stdin.close()


@asynccontextmanager
async def _worker(settings: Settings, listening: socket.socket, wire: socket.socket, first: Process) -> AsyncIterator[None]:
    """Its turn, now that the store is open: a child that serves. It ends when we close its input, after its last request."""
    starting = [first]

    async def start() -> Process:
        child = starting.pop() if starting else await _spawn(settings, listening, wire)
        assert child.stdin is not None
        child.stdin.write(TURN)
        return child

    async def stop(child: Process) -> None:
        assert child.stdin is not None
        child.stdin.close()
        await child.wait()

    async with kept("a worker", start, stop):
        yield


async def _work(settings: Settings, listening: socket.socket, wire: socket.socket) -> int:
    stop = asyncio.Event()
    for ignored in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ignored, lambda: None)  # the parent tells us, after its last request
    told = await _input()
    prepare()
    if not await told.readline():
        return 0
    async with opened(settings) as exchange, AsyncExitStack() as running:
        await running.enter_async_context(_mllp(exchange, wire))
        await running.enter_async_context(http(create_app(exchange, _base_url(settings, listening)), listening, stop))
        _settle()
        waiting = asyncio.create_task(told.read())
        await asyncio.wait((waiting, asyncio.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
    return 0


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
