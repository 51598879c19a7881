"""A replica set of three mongods on loopback, whose members can be killed, frozen and brought back."""

import asyncio
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from exchange.embedded import _find as mongod

HOST = "127.0.0.1"
PATIENCE = 90.0


@dataclass(slots=True)
class Replica:
    """`uri` names all members; `members` are their processes by port."""

    home: Path
    ports: list[int]
    members: dict[int, Process] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(f'{HOST}:{port}' for port in self.ports)}/?replicaSet=faults"

    async def start(self, port: int) -> None:
        place = self.home / str(port)
        place.mkdir(exist_ok=True)
        options = {"--port": port, "--dbpath": place, "--bind_ip": HOST, "--replSet": "faults", "--oplogSize": 990,
                   "--wiredTigerCacheSizeGB": 0.25, "--logpath": place / "log", "--nounixsocket": ""}  # fmt: skip
        words = [str(word) for pair in options.items() for word in pair if word != ""]
        self.members[port] = await asyncio.create_subprocess_exec(mongod(), *words, stdout=DEVNULL)

    async def primary(self) -> int:
        """The port of the member that a majority follows now."""
        async with asyncio.timeout(PATIENCE), AsyncMongoClient[dict[str, Any]](self.uri) as client:
            while True:
                try:
                    return int((await client.admin.command("hello"))["me"].rpartition(":")[2])
                except PyMongoError:
                    await asyncio.sleep(0.2)

    def send(self, port: int, number: signal.Signals) -> None:
        self.members[port].send_signal(number)


@asynccontextmanager
async def replica_set(home: Path) -> AsyncIterator[Replica]:
    """Three members, one of them primary; all of them end with the context."""
    made = Replica(home, _free_ports(3))
    try:
        for port in made.ports:
            await made.start(port)
        members = [{"_id": number, "host": f"{HOST}:{port}"} for number, port in enumerate(made.ports)]
        await asyncio.gather(*(_command(port, "ping") for port in made.ports))  # all are to be there
        await _command(made.ports[0], "replSetInitiate", {"_id": "faults", "members": members})
        await made.primary()
        yield made
    finally:
        for process in made.members.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _command(port: int, name: str, value: Any = 1) -> None:
    """Of one member, once it is up."""
    async with AsyncMongoClient[dict[str, Any]](HOST, port, directConnection=True) as client:
        await client.admin.command(name, value)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
