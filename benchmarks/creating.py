"""Single creates: resources of ingested people once more, each in a POST of its own by the hospital that keeps them."""

import itertools
import random
from collections.abc import Sequence
from functools import partial

import orjson

from benchmarks.clients import Http, connected, request
from benchmarks.ingesting import HOSPITAL
from benchmarks.measuring import Measured, closed_loop
from benchmarks.servers import HOST, Server

SAMPLE = 2000  # resources, created again and again
CLIENTS = 64
GIVEN = {"id", "meta"}  # by the server


async def sample(server: Server, names: Sequence[str]) -> list[bytes]:
    """Requests that create ingested resources again, without the ids that they got."""
    token = server.token("system", organization=HOSPITAL)
    kept = [name for name in names if not name.startswith("Patient/")]
    chosen = random.Random(3).sample(kept, min(SAMPLE, len(kept)))
    async with connected(Http, HOST, server.port, 1) as (connection,):
        stored = [(await connection.ask(request(token, "GET", f"/fhir/{name}"))).body for name in chosen]
    return [_post(token, body) for body in stored]


def _post(token: str, stored: bytes) -> bytes:
    resource = {name: value for name, value in orjson.loads(stored).items() if name not in GIVEN}
    return request(token, "POST", f"/fhir/{resource['resourceType']}", orjson.dumps(resource))


async def creates(server: Server, requests: Sequence[bytes], clients: int, seconds: float) -> Measured:
    """POST them in turn, `clients` at a time; every answer must be 201."""
    turns = itertools.cycle(requests)
    async with connected(Http, HOST, server.port, clients) as connections:
        return await closed_loop([(turns, partial(_create, one)) for one in connections], seconds)


async def _create(connection: Http, sent: bytes) -> int:
    answer = await connection.ask(sent)
    if answer.status != 201:
        raise RuntimeError(f"a create was answered with {answer.status}")
    return 1
