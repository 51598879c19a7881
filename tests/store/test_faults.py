"""kill -9 in the middle of writing (DESIGN 3): what was acknowledged is there and whole, nothing is there by halves."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import httpx

from tests.exchange.test_serving import found, hie, served

Resource = dict[str, Any]
WRITERS, ENOUGH = 12, 150
COUNTED = ("Patient?", "Observation?", "Observation?status=final", "Basic?")


def transaction(name: str, round_: int) -> Resource:
    """A Patient, an Observation about it, and a resource that all rounds of a writer change."""
    writer = name.partition("-")[0]
    about = {"subject": {"reference": f"Patient/{name}"}}
    resources: list[Resource] = [
        {"resourceType": "Patient", "id": name, "name": [{"text": name}]},
        {"resourceType": "Observation", "id": name, "status": "final", "code": {"text": name}, **about},
        {"resourceType": "Basic", "id": writer, "code": {"text": str(round_)}},
    ]
    urls = [f"{one['resourceType']}/{one['id']}" for one in resources]
    entries = [{"resource": one, "request": {"method": "PUT", "url": url}} for one, url in zip(resources, urls, strict=True)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def write(
    client: httpx.AsyncClient, writer: int, asked: list[str], acknowledged: list[str], enough: asyncio.Event
) -> None:
    """One transaction after the other, until nobody answers any more."""
    for round_ in itertools.count():
        name = f"w{writer}-{round_}"
        asked.append(name)
        try:
            answer = await client.post("", json=transaction(name, round_))
        except httpx.HTTPError:
            return
        assert answer.status_code == 200
        acknowledged.append(name)
        if len(acknowledged) >= ENOUGH:
            enough.set()


async def client_of(data: Path, url: str) -> httpx.AsyncClient:
    _, token = await hie("token", "--data", str(data), "--kind", "system", "--organization", "hospital-x")
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token.strip()}"}, timeout=30)


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Every acknowledged transaction is there, whole; every other is whole or absent; versions have no gap; the audit holds"""
    asked: list[str] = []
    acknowledged: list[str] = []
    enough = asyncio.Event()
    async with served(tmp_path, "--no-seed") as (process, up):
        async with await client_of(tmp_path, found(r"FHIR R4   (\S+)", up)) as client, asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(write(client, number, asked, acknowledged, enough))
            await enough.wait()
            process.kill()
        await process.wait()
    assert len(asked) > len(acknowledged) >= ENOUGH
    async with served(tmp_path, "--no-seed") as (process, up):
        async with await client_of(tmp_path, found(r"FHIR R4   (\S+)", up)) as client:
            written = {name: await _written(client, name) for name in asked}
            assert {name for name in acknowledged if not all(written[name])} == set()
            assert {name for name, parts in written.items() if any(parts) != all(parts)} == set()
            for number in range(WRITERS):
                await _check_versions(client, f"w{number}", [name for name, parts in written.items() if all(parts)])
            whole = sum(all(parts) for parts in written.values())
            assert [await _total(client, query) for query in COUNTED] == [whole, whole, whole, WRITERS]
            assert (await client.post("", json=transaction("w0-after", 1_000))).status_code == 200
        code, said = await hie("verify-audit", "--data", str(tmp_path))
        assert (code, "is whole" in said) == (0, True)


async def _written(client: httpx.AsyncClient, name: str) -> list[bool]:
    answers = [await client.get(f"/{kind}/{name}") for kind in ("Patient", "Observation")]
    assert all(answer.status_code in (200, 404) for answer in answers)
    assert all(name in answer.text for answer in answers if answer.status_code == 200)
    return [answer.status_code == 200 for answer in answers]


async def _total(client: httpx.AsyncClient, query: str) -> int:
    total: int = (await client.get(f"/{query}&_summary=count")).json()["total"]
    return total


async def _check_versions(client: httpx.AsyncClient, writer: str, names: list[str]) -> None:
    """The resource that a writer changed each time has one version for each of its transactions."""
    rounds = [name.partition("-")[2] for name in names if name.startswith(f"{writer}-")]
    history = (await client.get(f"/Basic/{writer}/_history?_count=1000")).json()["entry"]
    assert [entry["resource"]["code"]["text"] for entry in reversed(history)] == rounds
    assert [entry["resource"]["meta"]["versionId"] for entry in reversed(history)] == [str(n + 1) for n in range(len(rounds))]
