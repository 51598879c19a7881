"""Re-indexing: the entries of stored resources are made anew, online, for parameters that came after them.

One process at a time works, under a lease; what it has done is committed with how far it is, chunk by chunk, so that another
goes on from there. The row `task` of `parameters`:
    holder, until   who works, and until when (ms) others leave it to that
    since           the generation that is being indexed: parameters in force since then are searchable when it is done
    left            [type number, `w` of the newest document to look at]: the types still to be done, the first is at `at`
    at              `w` of the last document looked at
    done, total     documents, of all types
    whole           whether these are all types
    again           type numbers that an administrator asked for
"""

import asyncio
import logging
import os
import time
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.aside import aside
from fhir_server.r4.json import read
from fhir_server.search.index import Entries, index
from fhir_server.search.parameters import KNOWN
from fhir_server.store import totals
from fhir_server.store.documents import TYPE_NUMBER, Document, body, found_by, unworded
from fhir_server.store.indexing import become_current
from fhir_server.store.keystore import KeyErased
from fhir_server.store.parameters import HEAD, TASK, Outdated, Registry

CHUNK = 100
YIELD_EVERY = 10
POLL_SECONDS = 1.0
LEASE_MS = 5_000
log = logging.getLogger("hie.reindexing")


class Overtaken(Exception):
    """Another process holds the lease now."""


async def reindex_for_ever(registry: Registry) -> None:
    """Learn every second what others changed, and index what is to be indexed; runs until cancelled."""
    me, own = os.urandom(16), asyncio.current_task()
    while not (own and own.cancelling()):  # an error of the driver's clean-up may come in place of the cancellation
        await asyncio.sleep(POLL_SECONDS)
        try:
            await registry.sync()
            await reindex(registry, me)
        except Overtaken:
            pass
        except Exception as error:  # it goes on from where it was; until then searches are refused
            log.error("re-indexing: %s", type(error).__name__)


async def reindex(registry: Registry, me: bytes) -> None:
    """Index all that is to be indexed, unless another process is at it."""
    while _is_due(registry) and (task := await _take(registry, me)):
        try:
            await _work(registry, me, task)
        finally:
            await _release(registry, me)
        await registry.sync()


async def _work(registry: Registry, me: bytes, task: Document) -> None:
    if not task.get("left"):
        task = await _begin(registry, me)
    while task["left"]:
        began = time.monotonic()
        task = await _chunk(registry, me, task)
        await asyncio.sleep(time.monotonic() - began)  # half of the time is for those who search and write
    await _finish(registry, me, task)


async def ask_again(registry: Registry, types: list[str]) -> None:
    """Have all resources of these types indexed anew, as after an update of this software that indexes differently."""
    numbers = [TYPE_NUMBER[one] for one in types]
    wanted = {"$addToSet": {"again": {"$each": numbers}}}
    await registry.database["parameters"].update_one({"_id": TASK}, wanted, upsert=True)


def _is_due(registry: Registry) -> bool:
    pending = any(not row["ready"] for row in registry.rows.values())
    return pending or bool(registry.task.get("left") or registry.task.get("again"))


async def _take(registry: Registry, me: bytes) -> Document | None:
    """The task, if its lease is free or ours; nobody but its holder changes it after that."""
    rows, now = registry.database["parameters"], _now()
    await rows.update_one({"_id": TASK}, {"$setOnInsert": {"until": 0}}, upsert=True)
    free = {"_id": TASK, "$or": [{"holder": me}, {"until": {"$lt": now}}, {"until": {"$exists": False}}]}
    held = {"$set": {"holder": me, "until": now + LEASE_MS}}
    return await rows.find_one_and_update(free, held, return_document=ReturnDocument.AFTER)


async def _release(registry: Registry, me: bytes) -> None:
    await registry.database["parameters"].update_one({"_id": TASK, "holder": me}, {"$set": {"until": 0}})


async def _begin(registry: Registry, me: bytes) -> Document:
    """What is to be done, counted: only once nothing is written any more that lacks the entries of the generation."""
    await registry.sync()
    since, again = registry.known.generation, list(registry.task.get("again", ()))
    pending = [registry.definition(row) for row in registry.rows.values() if not row["ready"]]
    types = sorted({*again, *(TYPE_NUMBER[kind] for one in pending for kind in one.types)})
    await registry.drain()
    left = [(number, await _newest(registry, number)) for number in types]
    total = [await _count(registry, number) for number in types]
    begun = {"since": since, "left": left, "at": 0, "done": 0, "total": sum(total), "whole": len(types) == len(TYPE_NUMBER)}
    return await _advance(registry, me, {"$set": begun, "$pull": {"again": {"$in": again}}})


async def _newest(registry: Registry, number: int) -> int:
    found = await registry.database["resources"].find_one({"t": number}, {"w": 1}, sort={"w": -1}, hint="updated")
    return int(found["w"]) if found else 0


async def _count(registry: Registry, number: int) -> int:
    return await registry.database["resources"].count_documents({"t": number}, hint="updated")


async def _chunk(registry: Registry, me: bytes, task: Document) -> Document:
    """The next documents, with how far that is, in one transaction: a writer in between repeats it, or it the writer's."""
    size = CHUNK

    async def change(session: AsyncClientSession) -> Document:
        nonlocal size
        number, newest = task["left"][0]
        rows, resources = registry.database["parameters"], registry.database["resources"]
        head = await rows.find_one({"_id": HEAD}, session=session)
        if head is None or head["g"] != registry.known.generation:
            raise Outdated
        wanted = {"t": number, "w": {"$gte": task["at"], "$lte": newest}}
        stored = await resources.find(wanted, session=session).sort("w", 1).limit(size).hint("updated").to_list()
        is_last = len(stored) < size
        if not is_last and stored[-1]["w"] == task["at"]:  # so many of one moment: look further
            size *= 2
            raise Outdated
        changed = await _changed(registry, stored)
        if changed:
            await resources.bulk_write([_update(*one) for one in changed], ordered=False, session=session)
            counted = totals.changes({one["_id"]: one for one, _ in changed}, [one | found for one, found in changed])
            await totals.tally(registry.database, counted, session)
        done = task["done"] + sum(one["w"] > task["at"] for one in stored)
        left, at = (task["left"][1:], 0) if is_last else (task["left"], stored[-1]["w"])
        return await _advance(registry, me, {"$set": {"left": left, "at": at, "done": done}}, session)

    while True:
        try:
            return await registry.database.transact(change)
        except Outdated:
            await registry.sync()


async def _changed(registry: Registry, stored: list[Document]) -> list[tuple[Document, Document]]:
    """Documents that not all parameters in force find, with what makes them found by all."""
    KNOWN.set(registry.known)
    changed = []
    for number, one in enumerate(stored):
        if (found := await _found_by(registry, one)) is not None and not _same(one, found):
            changed.append((one, found))
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
    return changed


def _update(one: Document, found: Document) -> UpdateOne:
    """No version, date or other stamp changes."""
    return UpdateOne({"_id": one["_id"]}, {"$set": found} | ({} if "r" in found else {"$unset": {"r": ""}}))


async def _found_by(registry: Registry, one: Document) -> Document | None:
    """None for what is deleted or erased: nobody can find it."""
    if "b" not in one:
        return None
    try:
        raw = body(registry.codec, one)
    except KeyErased:
        return None
    entries: Entries = await aside(len(raw), lambda: index(read(raw)))
    found = found_by(registry.codec, entries)
    found["x"] += await unworded(registry.codec, entries.displays)
    return found


def _same(one: Document, found: Document) -> bool:
    counted = one["x"][: one.get("n", 0)], found["x"][: found["n"]]
    return all(set(was) == set(now) for was, now in ((one["x"], found["x"]), counted)) and one.get("r", []) == found.get(
        "r", []
    )


async def _finish(registry: Registry, me: bytes, task: Document) -> None:
    """What was in force when it began is searchable from now on."""

    async def change(session: AsyncClientSession) -> None:
        await _advance(registry, me, {"$unset": dict.fromkeys(("left", "at", "since", "done", "total", "whole"), "")}, session)
        if task.get("whole"):
            await become_current(registry.database, session)
        indexed = {"ready": False, "g": {"$lte": task["since"]}}
        await registry.database["parameters"].update_many(indexed, {"$set": {"ready": True}}, session=session)

    await registry.database.transact(change)


async def _advance(registry: Registry, me: bytes, change: dict[str, Any], session: Any = None) -> Document:
    """Change the task, and renew the lease; Overtaken where it is another's: then nothing of this transaction stands."""
    renewed = change | {"$set": {**change.get("$set", {}), "until": _now() + LEASE_MS}}
    rows = registry.database["parameters"]
    task = await rows.find_one_and_update(
        {"_id": TASK, "holder": me}, renewed, return_document=ReturnDocument.AFTER, session=session
    )
    if task is None:
        raise Overtaken
    return task


def _now() -> int:
    return time.time_ns() // 1_000_000
