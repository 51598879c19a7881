"""Custom search parameters for tests: how they are stored, and how to wait until they are searchable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from fhir_server.r4.json import write
from fhir_server.record.applying import stamped
from fhir_server.store.chain import Entry
from fhir_server.store.documents import document
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.parameters import Registry
from fhir_server.store.reindexing import reindex
from fhir_server.store.snapshot import Snapshot
from tests.serving import Door

Resource = dict[str, Any]
PATIENCE = 120


def parameter(code: str, kind: str, base: str | list[str], expression: str, **more: Any) -> Resource:
    told = {"url": f"urn:region:{code}", "name": code.replace("-", "_"), "description": "x", "status": "active"}
    asked = {"code": code, "type": kind, "base": [base] if isinstance(base, str) else base, "expression": expression}
    return {"resourceType": "SearchParameter", "id": code, **told, **asked, **more}


def composite(code: str, base: str | list[str], expression: str, *components: tuple[str, str]) -> Resource:
    """Components are (definition, expression)."""
    made = [{"definition": definition, "expression": path} for definition, path in components]
    return parameter(code, "composite", base, expression, component=made)


async def store(admin: httpx.AsyncClient, *parameters: Resource) -> None:
    for one in parameters:
        answer = await admin.put(f"/SearchParameter/{one['id']}", json=one)
        assert answer.status_code in (200, 201), answer.text


async def define(admin: httpx.AsyncClient, *parameters: Resource, at_once: Registry | None = None) -> None:
    """Store them, and wait until all are searchable; with a registry, not for the second at which it next looks for work."""
    await store(admin, *parameters)
    if at_once:
        await at_once.sync()
        await reindex(at_once, b"test")
    await indexed(admin)


async def indexed(admin: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await status(admin))["state"] != "done":
            await asyncio.sleep(0.05)


async def status(admin: httpx.AsyncClient) -> Resource:
    """What $reindex tells: state, done, total, percent, and `searchable` by code."""
    answer = await admin.get("/SearchParameter/$reindex")
    assert answer.status_code == 200, answer.text
    found: Resource = {"searchable": {}}
    for one in answer.json()["parameter"]:
        if one["name"] == "parameter":
            parts = {part["name"]: _value(part) for part in one["part"]}
            found["searchable"][parts["code"]] = parts["searchable"]
        else:
            found[one["name"]] = _value(one)
    return found


def _value(one: Resource) -> Any:
    return next(value for name, value in one.items() if name.startswith("value"))


@asynccontextmanager
async def in_flight(door: Door, resource: Resource) -> AsyncIterator[None]:
    """A create that is indexed, and not committed before the context ends: until then nothing can be indexed throughout."""
    record, indexed, go = door.exchange.record, asyncio.Event(), asyncio.Event()

    async def decide(snapshot: Snapshot) -> Outcome:
        now = record.clock()
        whole = stamped(resource, resource["id"], 1, now)
        made = await document(record.codec, whole, write(whole), 1, now, "hospital-a")
        indexed.set()
        await go.wait()
        return Outcome(None, Entry(now, (), {"interaction": "create"}), [made])

    writing = asyncio.create_task(record.lanes.submit(Job(decide)))
    await indexed.wait()
    try:
        yield
    finally:
        go.set()
        await writing
