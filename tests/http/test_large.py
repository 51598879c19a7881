"""Large resources are stored as they are, and hold up nobody else: the event loop goes on while they are worked on."""

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.aside import LARGE
from tests.http.test_batch import bundle, entry
from tests.serving import Door

Resource = dict[str, Any]
JSON = {"Content-Type": "application/fhir+json"}


def questionnaire(items: int, **more: Any) -> Resource:
    item = [{"linkId": f"{number}", "text": "a question of some length " * 3, "type": "string"} for number in range(items)]
    return {"resourceType": "Questionnaire", "id": "q", "status": "active", "item": item, **more}


async def longest_pause(until: "asyncio.Task[httpx.Response]") -> float:
    """For how long nothing else could run, at worst, in seconds of our processor time: a busy machine counts for nothing."""
    longest, last = 0.0, time.process_time()
    while not until.done():
        await asyncio.sleep(0.001)
        now = time.process_time()
        longest, last = max(longest, now - last), now
    return longest


@pytest.fixture
def settled() -> Iterator[None]:
    """What other tests have left is not walked through by garbage collection: a served exchange freezes what it has loaded."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("settled")
async def test_a_huge_resource_holds_up_nobody(door: Door) -> None:
    """2 MB: created, updated, patched; most of the time others have their turn (what remains is garbage collection)"""
    client = door.system("hospital-a")
    huge = json.dumps(questionnaire(15_000)).encode()
    assert len(huge) > 4 * LARGE
    patch = b'[{"op":"add","path":"/title","value":"x"}]'
    asks = [
        ("PUT", huge, JSON, 201),
        ("PUT", huge.replace(b"active", b"draft"), JSON, 200),
        ("PATCH", patch, {"Content-Type": "application/json-patch+json"}, 200),
    ]
    for method, content, headers, status in asks:
        start = time.process_time()
        task = asyncio.create_task(client.request(method, "/Questionnaire/q", content=content, headers=headers))
        pause = await longest_pause(task)
        assert (await task).status_code == status
        assert pause < (time.process_time() - start) / 2, method
    read = await client.get("/Questionnaire/q")
    assert read.json() | {"meta": {}} == questionnaire(15_000, title="x", meta={}) | {"status": "draft"}
    assert read.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_large_answer_is_whole_however_it_is_sent(door: Door, encoding: str) -> None:
    """http.html#mime-type: the same bytes, compressed or not; HEAD tells the length of what GET sends uncompressed"""
    client = door.system("hospital-a")
    sent = await client.put("/Questionnaire/q", json=questionnaire(3_000), headers={"Accept-Encoding": encoding})
    assert len(sent.content) > LARGE
    wanted = {"Accept-Encoding": encoding}
    read, head = [await client.request(method, "/Questionnaire/q", headers=wanted) for method in ("GET", "HEAD")]
    assert read.content == sent.content
    assert head.content == b""
    if encoding == "identity":
        assert head.headers["content-length"] == str(len(read.content))


async def test_an_error_in_a_large_resource_is_told(door: Door) -> None:
    """Validation in a thread refuses as any; an entry of a transaction is named"""
    client, wrong = door.system("hospital-a"), questionnaire(3_000, status="nothing")
    alone = await client.put("/Questionnaire/q", json=wrong)
    within = await client.post("", json=bundle("transaction", entry("PUT", "Questionnaire/q", wrong)))
    places = [answer.json()["issue"][0]["expression"][0] for answer in (alone, within)]
    assert (alone.status_code, within.status_code) == (400, 400)
    assert places == ["Questionnaire.status", "Bundle.entry[0].resource.status"]
    assert (await client.get("/Questionnaire/q")).status_code == 404


async def test_large_and_small_resources_are_written_at_once(door: Door) -> None:
    """Each comes back as it was sent, whichever thread worked on it"""
    client = door.system("hospital-a")
    sizes = {f"q-{number}": 3_000 + number if number % 3 == 0 else number for number in range(12)}
    sent = {known: questionnaire(size, id=known) for known, size in sizes.items()}
    answers = await asyncio.gather(*(client.put(f"/Questionnaire/{known}", json=one) for known, one in sent.items()))
    assert {answer.status_code for answer in answers} == {201}
    for known, one in sent.items():
        assert (await client.get(f"/Questionnaire/{known}")).json() | {"meta": {}} == one | {"meta": {}}
