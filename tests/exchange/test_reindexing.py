"""Indexing by processes of their own: it survives kill -9 in the middle, and `hie reindex` shows it (docs/decisions/0031)."""

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from exchange.issuing import token_for
from exchange.settings import Settings
from tests.exchange.test_serving import found, hie, served
from tests.store.parameters import parameter, status, store
from tests.store.region import everything

Resource = dict[str, Any]
PEOPLE, AT_ONCE = 1_500, 250
WORTH = parameter("worth", "number", "Patient", "Patient.multipleBirth.ofType(integer)")


@asynccontextmanager
async def exchange(data: Path, *options: str) -> AsyncIterator[tuple[Process, httpx.AsyncClient, httpx.AsyncClient]]:
    """Served by processes of its own: a hospital's client and an administrator's. Each request has a connection of its own, so
    that all workers get some."""
    async with served(data, "--no-seed", *options) as (process, up):
        settings, url = replace(Settings(), data=data), found(r"FHIR R4   (\S+)", up)
        tokens = token_for(settings, "system", organization="hospital-a"), token_for(settings, "admin")
        headers = ({"Authorization": f"Bearer {token}", "Connection": "close"} for token in tokens)
        made = [httpx.AsyncClient(base_url=url, headers=one, timeout=60) for one in headers]
        async with made[0] as hospital, made[1] as admin:
            yield process, hospital, admin


def people(start: int, worth: int) -> Resource:
    def entry(number: int) -> Resource:
        one = {"resourceType": "Patient", "id": f"hospital-a-{number}", "multipleBirthInteger": worth + number % 3}
        return {"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}}

    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry(start + n) for n in range(AT_ONCE)]}


async def test_it_goes_on_after_kill_9(tmp_path: Path) -> None:
    """Killed while it is under way and a hospital writes; then two workers go on from there: no search is half answered"""
    async with exchange(tmp_path) as (process, hospital, admin):
        for start in range(0, PEOPLE, AT_ONCE):
            assert (await hospital.post("", json=people(start, 1))).status_code == 200
        await store(admin, WORTH)
        while (before := await status(admin))["state"] != "running" or not 0 < before["percent"] < 60:
            assert before["state"] != "done"
        rewriting = asyncio.create_task(hospital.post("", json=people(500, 4)))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await asyncio.gather(rewriting, return_exceptions=True)
    untouched = {f"hospital-a-{number}" for number in range(750, PEOPLE) if number % 3 == 2}
    code, said = await hie("reindex", "--data", str(tmp_path))
    assert (code, "not yet" in said, "running" in said) == (1, True, True), said
    async with exchange(tmp_path, "--workers", "2") as (process, hospital, admin):
        writing = asyncio.create_task(hospital.post("", json=people(0, 7)))
        while (now := await status(admin))["state"] != "done":
            assert now.get("done", PEOPLE) >= before["done"]
            answer = await hospital.get("/Patient?worth=3&_count=1000")
            assert answer.status_code == 503 or untouched <= {one["resource"]["id"] for one in answer.json()["entry"]}
        assert (await writing).status_code == 200
        stored = await everything(hospital, "Patient?_count=1000")
        assert len(stored) == PEOPLE
        for value in range(10):
            expected = sorted(one["id"] for one in stored if one["multipleBirthInteger"] == value)
            got = await everything(hospital, f"Patient?worth={value}&_count=1000")
            assert sorted(one["id"] for one in got) == expected
    code, said = await hie("reindex", "--data", str(tmp_path), "Patient", "--watch")
    assert (code, said.split()) == (0, ["worth", "searchable", "urn:region:worth", "done"])
