"""`hie serve` as a stranger meets it: a process that seeds, prints what to try, answers, and stops when told."""

import asyncio
import json
import os
import re
import resource
import select
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.r4.profiling import profile

HIE = [sys.executable, "-m", "exchange.cli"]
PATIENCE = 180  # a busy machine takes more than a minute to seed the demo region
ESTABLISHED = "01"  # in /proc/net/tcp
COMING = 32  # of so many connections each of two processes gets some, but once in two thousand million times


@asynccontextmanager
async def served(data: Path, *options: str) -> AsyncIterator[tuple[Process, str]]:
    """A running `hie serve` on free ports, and what it printed when it was up."""
    command = [*HIE, "serve", "--data", str(data), "--port", "0", "--mllp-port", "0", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            up = (await process.stdout.readuntil(b"data      ")).decode()
            if "--no-seed" not in options:
                up += (await process.stdout.readuntil(b"docs/examples/adt-a04.hl7")).decode()
        yield process, up
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hie(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(*HIE, *arguments, stdout=PIPE, stderr=PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, out.decode()


async def stopped(process: Process) -> int:
    process.send_signal(signal.SIGINT)
    return await asyncio.wait_for(process.wait(), PATIENCE)


def asking(token: str) -> dict[str, Any]:
    """With a token, and with more patience than httpx has: 5 s."""
    return {"headers": {"Authorization": f"Bearer {token.strip()}"}, "timeout": PATIENCE}


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


async def test_what_it_prints_works_and_its_data_are_there_the_next_time(tmp_path: Path) -> None:
    """The first start seeds; a doctor, a patient and a hospital do what the welcome says; Ctrl-C ends it; nothing is lost."""
    data = str(tmp_path)
    async with served(tmp_path) as (process, up):
        url, patient = found(r"FHIR R4   (\S+)", up), found(r"patient=Patient/(\S+?)&", up)
        clinician = ("--kind", "practitioner", "--practitioner", "d", "--organization", "hospital-b")
        _, token = await hie("token", "--data", data, *clinician)
        doctor = {"Authorization": f"Bearer {token.strip()}"}
        async with httpx.AsyncClient(base_url=url, headers=doctor, timeout=PATIENCE) as client:
            before = (await client.get(f"/Patient/{patient}/$everything")).json()
            assert {entry["resource"]["id"].split("-")[1] for entry in before["entry"]} == {"a", "b", "c"}
            assert (await client.get("/Organization/hospital-a")).json()["name"] == "天山医科大学第一附属医院"
        _, token = await hie("token", "--data", data, "--kind", "patient", "--patient", patient)
        own = asking(token)
        assert "Practitioner/d" in json.dumps(httpx.get(f"{url}/Patient/{patient}/$access-log", **own).json()["entry"][0])
        code, reply = await hie("send", "--mllp-port", found(r"--mllp-port (\d+)", up), "docs/examples/adt-a04.hl7")
        assert (code, "MSA|AA|EXAMPLE-1" in reply) == (0, True)
        assert await stopped(process) == 0
        assert process.stderr is not None
        assert b"Traceback" not in await process.stderr.read()
    async with served(tmp_path, "--no-seed") as (process, up):
        async with httpx.AsyncClient(base_url=found(r"FHIR R4   (\S+)", up), headers=doctor, timeout=PATIENCE) as client:
            after = (await client.get(f"/Patient/{patient}/$everything")).json()
        assert after["entry"] == [
            entry | {"fullUrl": entry["fullUrl"].replace(url, found(r"FHIR R4   (\S+)", up))} for entry in before["entry"]
        ]
        code, inbox = await hie("inbox", "--data", data)
        assert (code, inbox.count(" done ")) == (0, 100)
        code, verdict = await hie("verify-audit", "--data", data)
        assert (code, "is whole" in verdict) == (0, True)
        assert await stopped(process) == 0


async def test_more_workers_serve_the_same_store(tmp_path: Path) -> None:
    """--workers: what one process wrote, a consent or a profile among it, holds at once in every other."""
    async with served(tmp_path, "--no-seed", "--workers", "2") as (process, up):
        url = found(r"FHIR R4   (\S+)", up)
        _, token = await hie("token", "--data", str(tmp_path), "--kind", "system", "--organization", "hospital-a")
        clinician = ("--kind", "practitioner", "--practitioner", "d", "--organization", "b")
        _, doctors = await hie("token", "--data", str(tmp_path), *clinician)
        system, doctor = asking(token), asking(doctors)
        for number in range(10):
            known = f"hospital-a-{number}"
            body = {"resourceType": "Patient", "id": known, "active": True}
            assert httpx.put(f"{url}/Patient/{known}", json=body, **system).status_code == 201
            assert httpx.get(f"{url}/Patient/{known}", **doctor).status_code == 200
            assert httpx.post(f"{url}/Consent", json=_nobody(known), **system).status_code == 201
            assert {httpx.get(f"{url}/Patient/{known}", **doctor).status_code for _ in range(5)} == {404}
            strict = profile("p", "Patient", {"at": "language", "min": number % 2}) | {"id": "p"}
            assert httpx.put(f"{url}/StructureDefinition/p", json=strict, **system).status_code in (200, 201)
            claims = {"resourceType": "Patient", "meta": {"profile": [strict["url"]]}}
            expected = 422 if number % 2 else 201
            assert {httpx.post(f"{url}/Patient", json=claims, **system).status_code for _ in range(5)} == {expected}
        assert await stopped(process) == 0


async def test_a_mongod_and_a_worker_that_are_killed_are_started_again(tmp_path: Path) -> None:
    """What was acknowledged is there; until then the answer is an honest 503 that says when to ask again (http.html#ops)"""
    async with served(tmp_path, "--no-seed", "--workers", "2") as (process, up):
        _, token = await hie("token", "--data", str(tmp_path), "--kind", "system", "--organization", "hospital-a")
        system = {"Authorization": f"Bearer {token.strip()}"}
        async with (
            asyncio.timeout(PATIENCE),
            httpx.AsyncClient(base_url=found(r"FHIR R4   (\S+)", up), headers=system, timeout=PATIENCE) as client,
        ):
            for number, killed in enumerate(children := _children(process)):
                assert (
                    await client.put(f"/Patient/{number}", json={"resourceType": "Patient", "id": str(number)})
                ).status_code == 201
                os.kill(killed, signal.SIGKILL)
                while len(_children(process) - children) == number:
                    answer = await _asked(client, f"/Patient/{number}")
                    assert answer is None or answer.status_code in (200, 503)
                    assert answer is None or answer.status_code == 200 or "Retry-After" in answer.headers
                while not (answer := await _asked(client, f"/Patient/{number}")) or answer.status_code != 200:
                    pass
        assert await stopped(process) == 0


async def test_more_connections_than_a_program_gets_by_default(tmp_path: Path) -> None:
    """1,024 open files where services are started, here fewer: a thousand clinics that stay connected took all of them"""
    few, (least, most) = 400, resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))  # what we start has it from us
    try:
        async with served(tmp_path, "--no-seed") as (process, up), AsyncExitStack() as stack:
            resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))
            url, port = found(r"FHIR R4   (\S+)", up), int(found(r"MLLP on 127.0.0.1:(\d+)", up))
            for _ in range(few):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{url}/metadata")).status_code == 200
            assert await stopped(process) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


async def test_hospitals_that_come_back_at_once_are_dealt_out_to_all_workers(tmp_path: Path) -> None:
    """They stay connected for days: all were with the process that listened first, and the other had nothing to do"""
    async with served(tmp_path, "--no-seed", "--workers", "2") as (process, up):
        port = int(found(r"MLLP on 127.0.0.1:(\d+)", up))
        async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
            for _ in range(COMING):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                stack.callback(writer.close)
            while sum(of_each := [_accepted(one, port) for one in (process.pid, *_children(process))]) < COMING:
                await asyncio.sleep(0)
        assert len([number for number in of_each if number]) == 2
        assert await stopped(process) == 0


def _accepted(pid: int, port: int) -> int:
    """How many connections to the port a process has."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    to_port = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED}
    held = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed in between
            held.append(str(one.readlink()))
    return sum(one in to_port for one in held)


def _children(process: Process) -> set[int]:
    return set(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))


async def _asked(client: httpx.AsyncClient, path: str) -> httpx.Response | None:
    """None from a process that was killed."""
    try:
        return await client.get(path)
    except httpx.TransportError:
        return None


async def test_kill_9_leaves_no_worker_and_no_mongod(tmp_path: Path) -> None:
    """Not even one that stands still: it would answer from a store that another exchange serves by then"""
    async with served(tmp_path, "--no-seed", "--workers", "3") as (process, _):
        children = _children(process)
        assert len(children) == 3, "mongod and two workers"
        os.kill(next(one for one in children if b"--worker" in Path(f"/proc/{one}/cmdline").read_bytes()), signal.SIGSTOP)
        ends = [os.pidfd_open(one) for one in children]
        process.kill()
        await process.wait()
    for end in ends:
        assert await asyncio.to_thread(select.select, (end,), (), (), PATIENCE) == ([end], [], [])
        os.close(end)


def _nobody(patient: str) -> dict[str, object]:
    """A Consent that denies everybody."""
    scope = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": scope,
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
        "provision": {"type": "deny"},
    }
