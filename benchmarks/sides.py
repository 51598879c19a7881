"""A FHIR server that is asked like any other: where it listens, who asks, and what it was given."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

from benchmarks.clients import Answer, Chunked, connected, request
from benchmarks.creating import GIVEN
from benchmarks.ingesting import AT_ONCE, CREATED
from benchmarks.measuring import Measured, closed_loop
from benchmarks.reading import SAMPLE, searches

NO_TOKEN = b"Authorization: Bearer \r\n"


@dataclass(frozen=True, slots=True)
class Side:
    """A server, its FHIR base path, the tokens of who writes and reads (an empty one is not sent), and what it made."""

    host: str
    port: int
    path: str
    writer: str = ""
    reader: str = ""
    names: list[str] = field(default_factory=list)

    def request(self, token: str, method: str, target: str, body: bytes = b"") -> bytes:
        made = request(token, method, f"{self.path}/{target}".rstrip("/").replace("|", "%7C"), body)
        return made if token else made.replace(NO_TOKEN, b"", 1)

    def gets(self, targets: Iterable[str]) -> list[bytes]:
        return [self.request(self.reader, "GET", target) for target in targets]

    async def answers(self, targets: Iterable[str]) -> list[Answer]:
        async with connected(Chunked, self.host, self.port, 1) as (connection,):
            return [await connection.ask(one) for one in self.gets(targets)]

    async def asked(
        self,
        requests: Iterator[bytes],
        status: int,
        clients: int,
        seconds: float,
        take: Callable[[bytes], int] = lambda body: 1,
    ) -> Measured:
        """So many at a time; every answer must have this status, and counts for what is taken from it."""

        async def ask(connection: Chunked, sent: bytes) -> int:
            answer = await connection.ask(sent)
            if answer.status != status:
                raise SystemExit(f"port {self.port} answered {answer.status}, not {status}: {answer.body[:300].decode()}")
            return take(answer.body)

        async with connected(Chunked, self.host, self.port, clients) as connections:
            return await closed_loop([(requests, partial(ask, one)) for one in connections], seconds)

    async def ingested(self, bundles: Iterable[bytes], clients: int = AT_ONCE) -> Measured:
        posts = (self.request(self.writer, "POST", "", bundle) for bundle in bundles)
        return await self.asked(posts, 200, clients, float("inf"), self._learnt)

    def _learnt(self, body: bytes) -> int:
        made = [found.decode() for found in CREATED.findall(body)]
        self.names.extend(made)
        return len(made)

    async def shapes(self) -> list[tuple[str, int, list[bytes]]]:
        """(name, status, requests) of each measurement, of what the reader may read: the default policy keeps some back."""
        names = random.Random(1).sample(self.names, min(SAMPLE, len(self.names)))
        answers = {name: one.body for name, one in zip(names, await self.answers(names), strict=True) if one.status == 200}
        stored = [json.loads(body) for name, body in answers.items() if not name.startswith("Patient/")]
        fresh = [{name: value for name, value in one.items() if name not in GIVEN} for one in stored]
        lives = [f"{name}/$everything?_count=1000" for name in self.names if name.startswith("Patient/")]
        posts = [self.request(self.writer, "POST", one["resourceType"], json.dumps(one).encode()) for one in fresh]
        kinds = {"reads by id": list(answers), "searches in a patient": searches(self.names), "Patient/$everything": lives}
        return [*((kind, 200, self.gets(targets)) for kind, targets in kinds.items()), ("creates", 201, posts)]
