"""Patient/$everything of a life of 1,000 resources, by a doctor of another hospital, beside a `find` of the same documents."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import raw
from benchmarks.clients import Http, connected, request
from benchmarks.ingesting import HOSPITAL
from benchmarks.measuring import Measured, closed_loop
from benchmarks.reading import clinician
from benchmarks.servers import HOST, Server
from benchmarks.synthea import people
from fhir_server.r4.references import walk_references
from fhir_server.store.documents import WITHOUT_TERMS

SIZE = 1_000
CLIENTS = 4
BUFFER = 2**22

Resource = dict[str, Any]


async def life(server: Server) -> str:
    """Write a life of so many resources; `Patient/id`."""
    token = server.token("system", organization=HOSPITAL)
    async with connected(Http, HOST, server.port, 1) as (connection,):
        answer = await connection.ask(request(token, "POST", "/fhir", json.dumps(_cut(_long_one())).encode()))
    if answer.status != 200:
        raise RuntimeError(f"the life was answered with {answer.status}")
    return "/".join(json.loads(answer.body)["entry"][0]["response"]["location"].split("/")[-4:-2])


def _long_one() -> Resource:
    return next(bundle for one in people() if len((bundle := json.loads(one))["entry"]) >= SIZE)


def _cut(bundle: Resource) -> Resource:
    """The first SIZE entries that refer to none that is left out; under another number than the person who is in already."""
    kept: list[Resource] = []
    names: set[str] = set()
    for entry in bundle["entry"]:
        targets = {to for one in walk_references(entry["resource"]) if (to := str(one.get("reference", "")))[:9] == "urn:uuid:"}
        if len(kept) < SIZE and targets <= {*names, entry["fullUrl"]}:
            kept.append(entry)
            names.add(entry["fullUrl"])
    kept[0]["resource"]["identifier"] = [{"system": "urn:bench:life", "value": "1"}]
    return bundle | {"entry": kept}


async def lives(server: Server, patient: str, clients: int, seconds: float) -> tuple[Measured, Measured]:
    """Whole answers, `clients` at a time; and how long the first byte of each took."""
    asked = request(clinician(server), "GET", f"/fhir/{patient}/$everything")
    first: list[float] = []

    async def client() -> tuple[Iterator[bytes], Any]:
        reader, writer = await asyncio.open_connection(HOST, server.port, limit=BUFFER)

        async def ask(sent: bytes) -> int:
            began = time.perf_counter()
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            first.append(time.perf_counter() - began)
            if b" 200 " not in head[:16]:
                raise RuntimeError("a request for everything was refused")
            await _rest(reader)
            return 1

        return itertools.repeat(asked), ask

    whole = await closed_loop([await client() for _ in range(clients)], seconds)
    return whole, Measured(whole.units, whole.seconds, sorted(first), whole.cpu)


async def _rest(reader: asyncio.StreamReader) -> None:
    """A chunked body to its end."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


async def raw_lives(driver: raw.Raw, patient: str, seconds: float) -> Measured:
    """`find` of the same sealed documents."""
    resources = driver.stored["resources"]

    async def find(person: bytes) -> int:
        found = await resources.find({"p": person}, WITHOUT_TERMS, hint="person", batch_size=SIZE + 1).to_list()
        return int(len(found) > SIZE // 2)

    return await closed_loop([(itertools.repeat(driver.codec.identity(patient)), find)] * CLIENTS, seconds)
