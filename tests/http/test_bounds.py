"""What a caller may ask for is bounded, and what takes long is done in threads: nobody else waits for it."""

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from fhir_server.http.batch import AT_ONCE
from fhir_server.record.criteria import MAX_QUERY
from tests.http.test_batch import bundle, entry
from tests.serving import Door

Resource = dict[str, Any]
FHIR, JSON_PATCH = {"Content-Type": "application/fhir+json"}, {"Content-Type": "application/json-patch+json"}
TRUTH = {"code": {"text": "x"}}
LONG = f"identifier={'a' * MAX_QUERY}"
VALUE_SET = {
    "resourceType": "ValueSet",
    "status": "draft",
    "compose": {"include": [{"system": "http://x.example", "concept": [{"code": f"c{n}"} for n in range(40_000)]}]},
}
EXTENSIONS = [{"url": f"http://x.example/{n}", "valueString": "a value"} for n in range(20_000)]


async def share(asked: Coroutine[Any, Any, httpx.Response]) -> tuple[int, float]:
    """The status of an answer, and which share of the work for it the event loop did itself, whatever else the machine does."""
    loop, process = time.thread_time(), time.process_time()
    status = (await asked).status_code
    return status, (time.thread_time() - loop) / (time.process_time() - process)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status"),
    [
        ("POST /Basic/$validate", {"resourceType": "Basic", **TRUTH, "extension": EXTENSIONS}, FHIR, 200),
        ("POST /ValueSet/$expand?count=1", VALUE_SET, FHIR, 200),
        ("POST /ValueSet/$expand", {"resourceType": "Parameters", "parameter": [{}] * 300_000}, FHIR, 400),
        ("PATCH /Basic/b", [{"op": "add", "path": "/extension", "value": EXTENSIONS}], JSON_PATCH, 200),
        ("PATCH /Basic/b", [{"op": "none", "path": "/extension", "value": EXTENSIONS * 3}], JSON_PATCH, 400),
    ],
)
async def test_what_is_sent_is_worked_on_beside_the_event_loop(
    door: Door, path: str, content: Any, headers: dict[str, str], status: int
) -> None:
    """Operations and patches: as creates and updates are"""
    client, (method, url) = door.system("hospital-a"), path.split()
    await client.put("/Basic/b", json={"resourceType": "Basic", "id": "b", **TRUTH})
    answer = await share(client.request(method, url, content=json.dumps(content), headers=headers))
    assert answer[0] == status
    assert answer[1] < 0.5


async def test_a_sort_shows_as_many_as_its_bound_and_no_more(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """search.html#sort: on what no index orders; on no page is anything left out, and the first page says what is too costly"""
    monkeypatch.setattr("fhir_server.record.searching.BOUND", 3)
    client = door.system("hospital-a")

    async def sort(url: str) -> Resource:
        return dict((await client.get(url)).raise_for_status().json())

    for known in "dbca":
        await client.put(f"/Basic/{known}", json={"resourceType": "Basic", "id": known, "code": {"coding": [{"code": known}]}})
    refused = await client.get("/Basic?_sort=code&_count=2")
    assert (refused.status_code, refused.json()["issue"][0]["code"]) == (403, "too-costly")
    for gone, left in (("c", "abd"), ("d", "ab")):
        await client.delete(f"/Basic/{gone}")
        page = await sort("/Basic?_sort=code&_count=1")
        met = [page]
        while len(page["link"]) > 1:
            page = await sort(page["link"][1]["url"])
            met.append(page)
        assert [one["resource"]["id"] for page in met for one in page["entry"]] == list(left)


async def test_what_is_too_costly_is_in_the_audit(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN 4: every access, allowed or denied, leaves one: a history, an operation of terminology"""
    monkeypatch.setattr("fhir_server.record.histories.SCAN", 0)
    monkeypatch.setattr("fhir_server.record.terminology.MAX_STORED", 0)
    client, record = door.system("hospital-a"), door.exchange.record
    for known in "ab":
        for more in ({}, {"created": "2024-01-01"}):
            await client.put(f"/Basic/{known}", json={"resourceType": "Basic", "id": known, **TRUTH, **more})
    for path, interaction in (
        ("/Basic/_history?_at=2099", "history-type"),  # when the first versions had long been replaced
        ("/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender", "operation-expand"),
    ):
        assert (await client.get(path)).status_code == 403
        newest = [record.audit.open(one) async for one in door.exchange.database["audit"].find({})]
        (told,) = (one for one in newest if one["interaction"] == interaction)
        assert (told["outcome"], told["reason"]) == ("refused", "403 too-costly")


@pytest.mark.parametrize("path", ["/Basic?_summary=true", "/Basic/_history?_elements=code", "/Basic/b?_summary=data"])
async def test_parts_of_large_resources_are_made_beside_the_event_loop(door: Door, path: str) -> None:
    """search.html#summary"""
    client = door.system("hospital-a")
    await client.put("/Basic/b", json={"resourceType": "Basic", "id": "b", **TRUTH, "extension": EXTENSIONS})
    status, done = await share(client.get(path))
    assert status == 200
    assert done < 0.7


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    ("method", "url", "more"),
    [
        ("GET", f"Basic?{LONG}", {}),
        ("GET", f"Basic/{'a' * MAX_QUERY}", {}),
        ("PUT", f"Basic?{LONG}", {}),
        ("DELETE", f"Basic?{LONG}", {}),
        ("POST", "Basic", {"ifNoneExist": LONG}),
    ],
)
async def test_an_entry_asks_for_no_more_than_http_lets_in(
    door: Door, kind: str, method: str, url: str, more: dict[str, str]
) -> None:
    """http.html#transaction: a request line ends at 64 KB; a URL in a Bundle of 10 MB took 18 seconds of everybody"""
    one = entry(method, url, {"resourceType": "Basic", **TRUTH} if method in ("PUT", "POST") else None)
    one["request"] |= more
    answer = await door.system("hospital-a").post("", json=bundle(kind, one))
    outcome = answer.json() if kind == "transaction" else answer.json()["entry"][0]["response"]["outcome"]
    assert outcome["issue"][0]["code"] == "too-long"


async def test_a_conditional_reference_is_no_longer_than_a_search(door: Door) -> None:
    """http.html#trules"""
    referring = {"resourceType": "Basic", **TRUTH, "subject": {"reference": f"Patient?{LONG}"}}
    answer = await door.system("hospital-a").post("/Basic", json=referring)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "too-long")


async def turns(asked: Coroutine[Any, Any, httpx.Response]) -> tuple[httpx.Response, int, int]:
    """The answer, how often another had its turn meanwhile, and how many tasks there were at most."""
    task, count, most = asyncio.create_task(asked), 0, 0
    while not task.done():
        await asyncio.sleep(0)
        count, most = count + 1, max(most, len(asyncio.all_tasks()))
    return await task, count, most


async def test_a_batch_of_many_entries_has_few_tasks(door: Door) -> None:
    """A task for each of 300,000 entries took a gigabyte, and seconds of everybody to make them"""
    entries = [entry("GET", f"Nothing/{number}") for number in range(2_000)]
    answer, count, most = await turns(door.system("hospital-a").post("", json=bundle("batch", *entries)))
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["404"] * len(entries)
    assert count > len(entries) / AT_ONCE
    assert most < 2 * AT_ONCE


async def test_reads_of_a_transaction_let_others_have_their_turn(door: Door) -> None:
    """Also where each is refused at once"""
    entries = [entry("GET", f"Nothing?number={number}") for number in range(2_000)]
    answer, count, _ = await turns(door.system("hospital-a").post("", json=bundle("transaction", *entries)))
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["404"] * len(entries)
    assert count > len(entries)


@pytest.mark.parametrize("words", ["a " * 501, "a or " * 501, "(a) " * 200])
async def test_words_of_a_full_text_search_are_bounded(door: Door, words: str) -> None:
    """search.html#text: each resource is looked through for each, and 256 such texts are remembered"""
    answer = await door.system("hospital-a").post("/Patient/_search", data={"_content": words})
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "invalid")


async def test_not_every_error_of_many_is_listed(door: Door) -> None:
    """60 KB of nothing are 20,000 errors; to find them all took 0.2 s of everybody"""
    client = door.system("hospital-a")
    few = await client.post("/Patient", json={"resourceType": "Patient", "name": [{}] * 3})
    many = await client.post("/Patient", json={"resourceType": "Patient", "name": [{}] * 20_000})
    assert [len(answer.json()["issue"]) for answer in (few, many)] == [3, 1]
