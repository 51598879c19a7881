"""Single creates: resources of ingested people once more, each in a POST of its own by the hospital that keeps them."""

import random
from collections.abc import Sequence

import orjson

from benchmarks.clients import Http, connected, request
from benchmarks.ingesting import HOSPITAL
from benchmarks.measuring import Measured
from benchmarks.servers import HOST, Server, in_turn

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
    """POST them in turn."""
    return await in_turn(server, requests, 201, clients, seconds)
