"""SearchParameter resources become searchable after an online re-indexing (R4 searchparameter.html, docs/decisions/0031)."""

import asyncio
from typing import Any

import httpx

from tests.serving import Door

Resource = dict[str, Any]
PATIENCE = 30
NICK = "urn:region:nick"


def parameter(code: str, kind: str, base: str | list[str], expression: str, **more: Any) -> Resource:
    told = {"url": f"urn:region:{code}", "name": code.replace("-", "_"), "description": "x", "status": "active"}
    bases = [base] if isinstance(base, str) else base
    asked = {"code": code, "type": kind, "base": bases, "expression": expression}
    return {"resourceType": "SearchParameter", "id": code, **told, **asked, **more}


async def define(admin: httpx.AsyncClient, *parameters: Resource) -> None:
    """Store them, and wait until all are searchable."""
    for one in parameters:
        answer = await admin.put(f"/SearchParameter/{one['id']}", json=one)
        assert answer.status_code in (200, 201), answer.text
    await done(admin)


async def done(admin: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await status(admin))["state"] != "done":
            await asyncio.sleep(0.05)


async def status(admin: httpx.AsyncClient) -> Resource:
    answer = await admin.get("/SearchParameter/$reindex")
    assert answer.status_code == 200, answer.text
    found: Resource = {"searchable": {}}
    for one in answer.json()["parameter"]:
        (value,) = (value for name, value in one.items() if name != "name")
        if one["name"] == "parameter":
            parts = {part["name"]: value for part in value for name, value in part.items() if name != "name"}
            found["searchable"][parts["code"]] = parts["searchable"]
        else:
            found[one["name"]] = value
    return found


async def test_what_was_there_before_is_found(door: Door) -> None:
    """searchparameter.html: once it is indexed, by every modifier, as a sort, in chains, `_has` and includes"""
    hospital, admin = door.system("hospital-a"), door.admin()
    ext = {"url": NICK, "valueString": "Lao Wang"}
    for known, more in (("p1", {"extension": [ext]}), ("p2", {})):
        assert (
            await hospital.put(f"/Patient/{known}", json={"resourceType": "Patient", "id": known, **more})
        ).status_code == 201
    await define(admin, parameter("nick", "string", "Patient", f"Patient.extension('{NICK}').value.ofType(string)"))
    answer = await hospital.get("/Patient?nick=lao")
    assert answer.json().get("total") == 1, answer.text
    assert (await hospital.get("/Patient?nick:missing=true")).json()["total"] == 1
