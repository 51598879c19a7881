"""Patient/$erase: nothing of a person is left, whatever happens meanwhile (docs/decisions/0026-erasing-a-person.md)."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from exchange.issuing import token_for
from exchange.settings import Settings
from tests import serving
from tests.exchange.test_serving import found as said
from tests.exchange.test_serving import hie, served, stopped
from tests.gate.building import (
    appointment,
    condition,
    consent,
    encounter,
    found,
    id_card,
    keep,
    observation,
    patient,
    provision,
    status,
)
from tests.serving import Door
from tests.store.test_totals import kept, recounted

CARD = id_card(7)
PATIENCE = 120.0
OF_PERSON = ["Patient/pa", "Patient/pb", "Observation/o", "Observation/gone", "Condition/c", "Consent/no", "Appointment/both"]


async def foreseen(admin: httpx.AsyncClient, known: str = "pa") -> dict[str, Any]:
    answer = await admin.post(f"/Patient/{known}/$erase", json={"resourceType": "Parameters"})
    assert answer.status_code == 200, answer.text
    return {one["name"]: next(value for name, value in one.items() if name != "name") for one in answer.json()["parameter"]}


async def erased(admin: httpx.AsyncClient, confirmation: str, known: str = "pa", reason: str = "asked at the desk") -> int:
    given = {"confirmation": confirmation, "reason": reason}
    parameter = [{"name": name, "valueString": value} for name, value in given.items()]
    answer = await admin.post(f"/Patient/{known}/$erase", json={"resourceType": "Parameters", "parameter": parameter})
    return answer.status_code


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await what():
            await asyncio.sleep(0.05)


async def region(door: Door) -> None:
    """A person of two hospitals with a life, and somebody else who shares an appointment each way."""
    a, b = door.system("a"), door.system("b")
    await keep(a, patient("pa", CARD), patient("q"), observation("o", "pa"), observation("o", "pa", "y"), encounter("q1", "q"))
    await keep(a, observation("gone", "pa"), appointment("both", "pa", "q"), appointment("other", "q", "pa"))
    await keep(b, patient("pb", CARD), condition("c", "pb"), consent("no", "pb", provision("permit")))
    assert (await a.delete("/Observation/gone")).status_code == 204
    await keep(a, observation("moved", "pa"), observation("moved", "q"))
    inbox = door.exchange.inbox
    await inbox.done((await inbox.put("a", "1", b"of pa", ["pa"])).id, [], [])
    await inbox.failed((await inbox.put("a", "2", b"of q and pb", ["q", "pb"])).id, "")
    await inbox.done((await inbox.put("a", "3", b"of q", ["q"])).id, [], [])


async def left(door: Door) -> dict[str, int]:
    """What the database holds under the keys of the person, by collection; the audit keeps whom it was about."""
    keys = [door.exchange.record.codec.identity(f"Patient/{known}") for known in ("pa", "pb")]
    database = door.exchange.database
    counts = {name: await database[name].count_documents({"p.0": {"$in": keys}}) for name in ("resources", "history")}
    counts |= {name: await database[name].count_documents({"patients": {"$in": keys}}) for name in ("bindings", "reviews")}
    counts["persons"] = await database["persons"].count_documents({"patients": {"$in": keys}, "patients.1": {"$exists": True}})
    counts["inbox"] = await database["inbox"].count_documents({"p": {"$in": keys}})
    return {name: count for name, count in counts.items() if count}


def has_key(door: Door, known: str) -> bool:
    owner = door.exchange.record.codec.identity(f"Patient/{known}")
    with sqlite3.connect(door.exchange.settings.data / "keys" / "data-keys.db") as keys:
        return keys.execute("SELECT 1 FROM keys WHERE owner = ?", (owner,)).fetchone() is not None


async def is_done(door: Door) -> bool:
    return await door.exchange.database["persons"].find_one({"erased": {"$exists": True}}) is None


async def findings(door: Door) -> list[str]:
    return [line async for line in door.exchange.record.audit.verify()]


async def test_a_person_is_erased_everywhere_and_nobody_else(door: Door) -> None:
    """Hidden at once; then keys and rows go; the audit is whole; the hospitals' ids are free again"""
    await region(door)
    a, admin, doctor = door.system("a"), door.admin(), door.doctor("li", "c")
    told = await foreseen(admin)
    assert [told[one] for one in ("patients", "resources", "shared", "named-elsewhere", "messages")] == [2, 7, 1, 1, 2]
    assert await status(doctor, "/Patient/pa") == 200
    everybody = (a, door.system("b"), doctor, door.patient("pa"))
    with door.exchange.record.codec.keys.erasing():  # nobody else begins to erase meanwhile
        assert await erased(admin, told["confirmation"]) == 202
        for client in everybody:
            for name in OF_PERSON:
                assert await status(client, f"/{name}") == 404, name
        assert await found(a, "/Observation") == {"Observation/moved"}
        assert (await a.get("/Observation?_summary=count")).json()["total"] == 1
        assert await status(doctor, "/Patient/pb/$everything") == 404
        assert (await a.put("/Observation/new", json=observation("new", "pa"))).status_code == 409
        assert (await a.put("/Patient/pa", json=patient("pa", CARD))).status_code == 409
        assert (await admin.post("/Patient/pa/$link", json=named("other", "Patient/q"))).status_code == 404
    await until(lambda: is_done(door))
    assert await left(door) == {}
    assert (has_key(door, "pa"), has_key(door, "pb"), has_key(door, "q")) == (False, False, True)
    assert sorted((one.state, one.raw) for one in await door.exchange.inbox.newest()) == [("done", b"of q"), ("erased", b"")]
    for name in OF_PERSON:
        assert [await status(client, f"/{name}{rest}") for client in everybody for rest in ("", "/_history")] == [404] * 8
    assert (await admin.post("/Patient/pa/$erase", json={"resourceType": "Parameters"})).status_code == 404
    for name in ("Patient/q", "Encounter/q1", "Appointment/other", "Observation/moved"):
        assert await status(a, f"/{name}") == 200, name
    assert await status(a, "/Observation/moved/_history/1") == 404
    assert await status(a, "/Observation/_history") == 200
    assert await findings(door) == []
    assert await kept(door) == await recounted(door)
    await keep(a, patient("pa", CARD), observation("o", "pa"))
    assert await found(a, "/Patient/pa/$everything") == {"Patient/pa", "Observation/o", "Appointment/other"}
    assert (await a.get("/Patient/pa")).headers["etag"] == 'W/"1"'


def named(name: str, value: str) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, "valueString": value}]}


async def test_it_takes_an_administrator_twice(door: Door) -> None:
    """A confirmation is for whom and what it was given for; who the person is must not have changed"""
    await region(door)
    admin = door.admin()
    for client in (door.system("a"), door.doctor("li", "a"), door.patient("pa")):
        assert (await client.post("/Patient/pa/$erase", json={"resourceType": "Parameters"})).status_code == 403
    token = (await foreseen(admin))["confirmation"]
    other = door.client("admin", organization="x")
    assert await erased(other, token) == 400
    assert await erased(admin, token[:-4] + "AAAA") == 400
    assert await erased(admin, token, reason="no") == 400
    assert await erased(admin, token, known="q") == 409
    assert await erased(admin, token, known="nobody") == 404
    assert (await admin.post("/Patient/pb/$unlink")).status_code == 204
    assert await erased(admin, token) == 409
    assert await status(door.system("a"), "/Patient/pa") == 200


@pytest.mark.parametrize("is_destroyed", [False, True], ids=["before the keys went", "before the rows went"])
async def test_another_process_goes_on_where_one_ended(
    mongodb_uri: str, database: str, tmp_path: Path, is_destroyed: bool
) -> None:
    """The mark in the database is all that is needed"""
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        await region(door)
        admin = door.admin()
        assert await erased(admin, (await foreseen(admin))["confirmation"]) == 202
        codec = door.exchange.record.codec
        if is_destroyed:
            await codec.keys.erase([codec.identity(f"Patient/{known}") for known in ("pa", "pb")])
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        assert [await status(door.system("a"), f"/{name}") for name in OF_PERSON] == [404] * len(OF_PERSON)
        await until(lambda: is_done(door))
        assert await left(door) == {}
        assert not has_key(door, "pa")
        assert await findings(door) == []


async def test_killed_in_between_it_goes_on_after_the_restart(tmp_path: Path) -> None:
    """kill -9 right after the answer: the person stays hidden and is gone a little later; `hie verify-audit`: whole"""
    async with served(tmp_path, "--no-seed") as (process, up):
        here = replace(Settings(), data=tmp_path)
        tokens = {"system": token_for(here, "system", organization="a"), "admin": token_for(here, "admin")}
        async with clients(up, tokens["system"]) as a, clients(up, tokens["admin"]) as admin:
            await keep(a, patient("pa", CARD), observation("o", "pa"))
            assert await erased(admin, (await foreseen(admin))["confirmation"]) == 202
        process.kill()
        await process.wait()
    async with served(tmp_path, "--no-seed") as (process, up), clients(up, tokens["system"]) as a:
        assert [await status(a, f"/{name}") for name in ("Patient/pa", "Observation/o")] == [404, 404]

        async def is_free() -> bool:
            return (await a.put("/Patient/pa", json=patient("pa", CARD))).status_code == 201

        await until(is_free)
        assert await status(a, "/Observation/o") == 404
        assert await stopped(process) == 0
    code, verdict = await hie("verify-audit", "--data", str(tmp_path))
    assert (code, "is whole" in verdict) == (0, True), verdict


def clients(up: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=said(r"FHIR R4   (\S+)", up), headers={"Authorization": f"Bearer {token}"}, timeout=30)
