"""Faults of a replica set while hospitals write (DESIGN 3, the marked invariants): nothing acknowledged is lost, doubled or
half there, and what cannot be done is said with an honest 503 that has a Retry-After. `make faults` runs it."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import serving
from tests.exchange.test_serving import hie
from tests.faults.replica import Replica, replica_set
from tests.serving import Door

Resource = dict[str, Any]
WRITERS = 8
BEFORE, AFTER = 40, 40  # transactions acknowledged before the fault, and again after it began
ANSWER_SECONDS = 10
FROZEN_SECONDS = 25.0  # long enough for the others to elect, and for the driver to notice


@dataclass(slots=True)
class Told:
    """What the clients were told: rounds acknowledged to each writer, statuses in between."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    refused: list[tuple[int, bool]] = field(default_factory=list)
    progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def count(self) -> int:
        return sum(self.acknowledged.values())

    async def reaches(self, count: int) -> None:
        async with self.progress:
            await self.progress.wait_for(lambda: self.count >= count)


def transaction(writer: int, round_: int) -> Resource:
    """A Patient made once by its identifier, an Observation about it, and a resource that every round changes."""
    identifier = {"system": "urn:faults", "value": f"w{writer}-{round_}"}
    patient = {"resourceType": "Patient", "identifier": [identifier]}
    observation = {"resourceType": "Observation", "id": f"w{writer}-{round_}", "status": "final", "code": {"text": "x"},
                   "subject": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}}  # fmt: skip
    basic = {"resourceType": "Basic", "id": f"w{writer}", "code": {"text": str(round_)}}
    once = {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={identifier['system']}|{identifier['value']}"}
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": observation["subject"]["reference"], "resource": patient, "request": once},  # type: ignore[index]
            *(
                {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
                for one in (observation, basic)
            ),
        ],
    }


async def write(client: httpx.AsyncClient, writer: int, told: Told, done: asyncio.Event) -> None:
    """One transaction after the other; a refused one is repeated, as its answer says."""
    for round_ in itertools.count():
        while (answer := await client.post("", json=transaction(writer, round_))).status_code != 200:
            told.refused.append((answer.status_code, "retry-after" in answer.headers))
            await asyncio.sleep(0.5)
        async with told.progress:
            told.acknowledged[writer] = round_ + 1
            told.progress.notify_all()
        if done.is_set():
            return


async def kill_the_primary(replica: Replica) -> None:
    port = await replica.primary()
    replica.send(port, signal.SIGKILL)
    await replica.members[port].wait()
    await replica.start(port)


async def freeze_the_primary(replica: Replica) -> None:
    port = await replica.primary()
    replica.send(port, signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        replica.send(port, signal.SIGCONT)


async def lose_the_majority(replica: Replica) -> None:
    """Nothing can be written or read until it is back."""
    primary = await replica.primary()
    others = [port for port in replica.ports if port != primary]
    for port in others:
        replica.send(port, signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        for port in others:
            replica.send(port, signal.SIGCONT)


@asynccontextmanager
async def exchange(replica: Replica, data: Path) -> AsyncIterator[Door]:
    async with serving.door(replica.uri, "faults", data, answer_seconds=ANSWER_SECONDS) as door:
        yield door


@pytest.mark.parametrize("fault", [kill_the_primary, freeze_the_primary, lose_the_majority])
async def test_nothing_acknowledged_is_lost_doubled_or_half_there(
    tmp_path: Path, fault: Callable[[Replica], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, done = Told(), asyncio.Event()
    async with replica_set(tmp_path) as replica:
        async with exchange(replica, tmp_path / "hie") as door:
            client = door.client("system", organization="hospital-x")
            client.timeout = httpx.Timeout(180)
            async with asyncio.TaskGroup() as group:
                for number in range(WRITERS):
                    group.create_task(write(client, number, told, done))
                await told.reaches(BEFORE)
                await fault(replica)
                await told.reaches(told.count + AFTER)
                done.set()
            assert {refusal for refusal in told.refused if refusal != (503, True)} == set()
            assert told.refused or fault is kill_the_primary, "nobody was told that it took long"
            for writer, rounds in told.acknowledged.items():
                await check(door.client("system", organization="hospital-x"), writer, rounds)
        monkeypatch.setenv("HIE_MONGODB_URI", replica.uri)
        monkeypatch.setenv("HIE_DATABASE", "faults")
        code, said = await hie("verify-audit", "--data", str(tmp_path / "hie"))
        assert (code, "is whole" in said) == (0, True), said


async def check(client: httpx.AsyncClient, writer: int, rounds: int) -> None:
    """Each round is there once and whole, and the resource that all of them changed has a version for each, in order."""
    for round_ in range(rounds):
        found = (await client.get(f"/Patient?identifier=urn:faults|w{writer}-{round_}")).json()
        assert found["total"] == 1, (writer, round_)
        observation = (await client.get(f"/Observation/w{writer}-{round_}")).json()
        assert observation["subject"]["reference"] == f"Patient/{found['entry'][0]['resource']['id']}"
        assert observation["meta"]["versionId"] == "1"
    history = (await client.get(f"/Basic/w{writer}/_history?_count=1000")).json()["entry"]
    assert [entry["resource"]["code"]["text"] for entry in reversed(history)] == [str(n) for n in range(rounds)]
    assert [entry["resource"]["meta"]["versionId"] for entry in reversed(history)] == [str(n + 1) for n in range(rounds)]


async def test_more_requests_than_connections_can_take(tmp_path: Path) -> None:
    """A pool of two connections and no patience: each request is served, or told 503 and safe to repeat"""
    async with replica_set(tmp_path) as replica:
        narrow = f"{replica.uri}&maxPoolSize=2&waitQueueTimeoutMS=5"
        async with serving.door(narrow, "faults", tmp_path / "hie") as door:
            client = door.client("system", organization="hospital-x")
            client.timeout = httpx.Timeout(180)
            made = await asyncio.gather(*(client.put(f"/Basic/b-{number}", json=basic(number)) for number in range(300)))
            asked = await asyncio.gather(*(client.get(f"/Basic?code=c|{number}") for number in range(300)))
            assert {answer.status_code for answer in made} <= {201, 503}
            assert {answer.status_code for answer in asked} == {200, 503}, "nobody was refused: the pool was not full"
            assert all("retry-after" in answer.headers for answer in (*made, *asked) if answer.status_code == 503)
            for number, answer in enumerate(made):
                while answer.status_code == 503:
                    answer = await client.put(f"/Basic/b-{number}", json=basic(number))
                assert answer.json()["meta"]["versionId"] == "1"
            assert (await client.get("/Basic?_summary=count")).json()["total"] == 300


def basic(number: int) -> Resource:
    return {"resourceType": "Basic", "id": f"b-{number}", "code": {"coding": [{"system": "c", "code": str(number)}]}}
