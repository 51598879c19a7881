"""Entries that are requests of their own (R4 http.html#transaction, #trules): answered as if each were sent by itself."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http import inner
from fhir_server.http.inner import READS_AT_ONCE, Bundled, Found, answered
from fhir_server.http.service import Service
from tests.gate.building import HIV, ICD_10, condition, consent, encounter, keep, labelled, observation, patient, provision
from tests.http.test_batch import basic, bundle, entry, run, statuses
from tests.serving import Door

KINDS = ("batch", "transaction")
Resource = dict[str, Any]
READS = (
    "Patient/p",
    "Patient/p/_history/1",
    "Patient/p/_history?_count=1",
    "Patient/_history",
    "_history?_count=5",
    "Patient?name=zhang&_count=1",
    "?_type=Patient,Observation&_sort=-_lastUpdated",
    "Patient/p/Observation?code:text=x",
    "Patient/p/*?_summary=true",
    "Patient/p?_elements=name",
    "Patient/p/$everything",
    "Patient/p/$meta",
    "Observation/$lastn?patient=p&code:text=x",
    "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender",
    "metadata",
    "Patient/none",
    "Nothing/none",
    "Patient/p/nothing",
    "Patient?nothing=1",
    "Patient?name=%E5%BC%A0",
    "Patient?_format=xml",
)
EXPAND: Resource = {
    "resourceType": "Parameters",
    "parameter": [{"name": "url", "valueUri": "http://hl7.org/fhir/ValueSet/administrative-gender"}],
}
LABEL: Resource = {
    "resourceType": "Parameters",
    "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "y"}]}}],
}


async def known(door: Door) -> None:
    client = door.system("hospital-a")
    for name in ("Zhang San", "Zhang Er"):
        await keep(client, patient("p", name=name))
    await keep(client, patient("q", name="Zhang Yi"), observation("o", "p"), encounter("e", "p"))


def alike(url: str, told: Any) -> Any:
    """Without what differs from one request to the next: the random token of a page link, the time of an expansion."""
    if url.startswith("ValueSet"):
        return {**told, "expansion": {**told["expansion"], "timestamp": "", "identifier": ""}}
    links = [{**one, "url": one["url"].partition("_page=")[0]} for one in told.get("link", ())]
    return {**told, "link": links}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_read_is_answered_as_by_itself(door: Door, kind: str) -> None:
    """http.html#transaction: whatever GET answers, with its status, ETag and resource, or with its outcome"""
    await known(door)
    answers = await run(door, kind, *(entry("GET", url) for url in READS), entry("GET", f"{door.base_url}/Patient/p"))
    client = door.system("hospital-a")
    for url, answer in zip((*READS, "Patient/p"), answers, strict=True):
        alone = await client.get(url if url.startswith("?") else f"/{url}")
        assert answer["response"]["status"] == str(alone.status_code), url
        assert answer["response"].get("etag") == alone.headers.get("etag"), url
        told = answer["resource"] if alone.status_code == 200 else answer["response"]["outcome"]
        assert alike(url, told) == alike(url, alone.json()), url


@pytest.mark.parametrize("kind", KINDS)
async def test_head_and_conditional_reads(door: Door, kind: str) -> None:
    """http.html#head: no body; #cread: 304 for who has it already"""
    await known(door)
    answers = await run(
        door,
        kind,
        entry("HEAD", "Patient/p"),
        entry("HEAD", "Patient/none"),
        entry("GET", "Patient/p", ifNoneMatch='W/"2"'),
        entry("GET", "Patient/p", ifNoneMatch='W/"1"'),
        entry("GET", "Patient/p", ifModifiedSince="2999-01-01T00:00:00Z"),
        entry("GET", "Patient/p", ifModifiedSince="2001-01-01T00:00:00Z"),
    )
    assert statuses(answers) == ["200", "404", "304", "200", "304", "200"]
    assert answers[0]["response"]["etag"] == 'W/"2"'
    assert ["resource" in one for one in answers] == [False, False, False, True, False, True]


async def test_characters_that_are_not_encoded_are_taken_for_themselves(door: Door) -> None:
    """A url in a Bundle is text: nothing is lost where it was not percent-encoded"""
    await keep(door.system("hospital-a"), patient("p", name="张三"))
    (answer,) = await run(door, "batch", entry("GET", "Patient?name=张&_summary=count"))
    assert answer["resource"]["total"] == 1


async def test_the_preference_of_the_bundle_is_that_of_its_entries(door: Door) -> None:
    """search.html#errors: handling=lenient"""
    asked = entry("GET", "Patient?nothing=1")
    assert statuses(await run(door, "batch", asked)) == ["400"]
    assert statuses(await run(door, "batch", asked, prefer="handling=lenient")) == ["200"]


@pytest.mark.parametrize("kind", KINDS)
async def test_operations_by_post(door: Door, kind: str) -> None:
    """operations.html: Parameters in, a resource out; in a transaction they see what was written"""
    answers = await run(
        door, kind, entry("POST", "ValueSet/$expand", EXPAND), entry("POST", "ValueSet/$nothing", EXPAND), entry("GET", "Basic")
    )
    assert statuses(answers) == ["200", "404", "200"]
    assert {one["code"] for one in answers[0]["resource"]["expansion"]["contains"]} >= {"male", "female"}
    answers = await run(door, "transaction", entry("GET", "Basic/b/$meta"), entry("PUT", "Basic/b", basic("b")))
    assert answers[0]["resource"]["parameter"][0]["valueMeta"]["versionId"] == "1"


async def test_an_operation_that_changes_something_is_no_part_of_a_transaction(door: Door) -> None:
    """http.html#transaction: all or nothing, and it could not be undone with the others; in a batch it stands alone"""
    await known(door)
    labelling = entry("POST", "Patient/p/$meta-add", LABEL)
    sent = bundle("transaction", entry("POST", "Basic", basic()), labelling)
    refused = await door.system("hospital-a").post("", json=sent)
    assert refused.status_code == 400
    assert refused.json()["issue"][0]["expression"] == ["Bundle.entry[1].request.url"]
    assert (await door.system("hospital-a").get("/Basic?_summary=count")).json()["total"] == 0
    assert statuses(await run(door, "batch", labelling, entry("POST", "Basic", basic()))) == ["200", "201"]
    assert (await door.system("hospital-a").get("/Patient/p")).json()["meta"]["tag"] == [{"system": "urn:x", "code": "y"}]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_entry_is_gated_and_audited_by_itself(door: Door, kind: str) -> None:
    """DESIGN 4: what is hidden reads as absent; the patient sees each access, allowed or denied, and by whom"""
    client = door.system("hospital-a")
    await keep(client, patient("p"), condition("hiv", "p", HIV), condition("flu", "p"), observation("v", "p", **labelled("V")))
    await keep(client, consent("c", "p", provision("permit")))
    doctor = door.doctor("li", "hospital-b")
    urls = (
        "Patient/p/Condition",
        "Patient/p/$everything",
        f"Condition?code={ICD_10}|{HIV}",
        "Observation/v",
        "Patient/p/_history",
    )
    answers = (await doctor.post("", json=bundle(kind, *(entry("GET", url) for url in urls)))).json()["entry"]
    for url, answer in zip(urls, answers, strict=True):
        alone = await doctor.get(f"/{url}")
        told = answer["response"]["outcome"] if alone.status_code == 404 else answer["resource"]
        assert told == alone.json(), url
    log = (await door.patient("p").get("/Patient/p/$access-log")).json()["entry"]
    seen = [one["resource"]["subtype"][0]["code"] for one in log if "Practitioner/li" in str(one["resource"]["agent"])]
    assert len(seen) == 2 * len(urls) and {seen.count(one) for one in seen} == {2, 4}, seen


NESTED: dict[str, Callable[[str], Resource]] = {
    "a Bundle": lambda base: entry("POST", "/", bundle("batch")),
    "a Bundle to the absolute root": lambda base: entry("POST", base, bundle("batch")),
    "a search by POST": lambda base: entry("POST", "Patient/_search", EXPAND),
    "another server": lambda base: entry("GET", "http://example.org/fhir/Patient/p"),
}


@pytest.mark.parametrize("what", NESTED)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_no_entry_may_be(door: Door, what: str, kind: str) -> None:
    """http.html#transaction: a Bundle in a Bundle would be without end"""
    bad = NESTED[what](door.base_url)
    answer = await door.system("hospital-a").post("", json=bundle(kind, entry("GET", "Basic"), bad))
    outcome = answer.json() if kind == "transaction" else answer.json()["entry"][1]["response"]["outcome"]
    assert (answer.status_code if kind == "transaction" else int(answer.json()["entry"][1]["response"]["status"])) == 400
    assert outcome["issue"][0]["expression"] == ["Bundle.entry[1].request.url"]


SEGMENTS = (
    "Patient",
    "p",
    "Basic",
    "*",
    "_history",
    "_search",
    "$everything",
    "$meta",
    "$meta-add",
    "$expand",
    "metadata",
    "..",
    "%2F",
)
PAIRS = (
    "_count=1",
    "_type=Patient",
    "_at=2026",
    "_at=x",
    "_page=x",
    "_sort=-_id",
    "name=%",
    "name=%E5",
    "name=a%00",
    "=",
    "?",
    "_format=x",
)


async def test_any_url_is_answered_or_refused(door: Door) -> None:
    """No url breaks the Bundle that it stands in, or the server"""
    await known(door)
    dice = Random(1)
    words = (*SEGMENTS, "", "#", "é", "\\", "a b", "http://", "x" * 3_000)
    paths = ["/".join(dice.choices(words, k=dice.randint(1, 5))) for _ in range(400)]
    urls = [path + dice.choice(("", "?", f"?{'&'.join(dice.choices(PAIRS, k=2))}")) for path in paths]
    entries = [entry(dice.choice(("GET", "GET", "HEAD", "POST")), url, LABEL) for url in urls if url.strip() == url and url]
    entries = [one for one in entries if not any(letter.isspace() for letter in one["request"]["url"])]
    answers = await run(door, "batch", *entries)
    assert {status[0] for status in statuses(answers)} <= {"2", "4"}
    assert len(set(statuses(answers))) > 3


async def test_answers_are_bounded_together(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a short Bundle asks for must not fill the memory: entries beyond the bound are refused, each with what to do"""
    monkeypatch.setattr(inner, "MAX_ANSWER", 3_000)
    await keep(door.system("hospital-a"), patient("p", name="x" * 1_000), patient("large", name="x" * 4_000))
    answers = await run(door, "batch", *(entry("GET", f"Patient/{one}") for one in ("large", *"pppppp")))
    assert sorted(statuses(answers)) == ["200"] * 2 + ["403"] * 5
    assert {one["response"]["outcome"]["issue"][0]["code"] for one in answers if "resource" not in one} == {"too-costly"}


async def test_reads_of_one_bundle_take_turns() -> None:
    """64 searches of a large life at once took 2 GB, and for 18 s nobody else was answered."""
    most = under_way = 0

    async def handler(_: Service, __: Caller, ___: Request) -> Response:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return Response(b"{}")

    bundled = Bundled(cast(Any, None), cast(Any, None), lambda _: Found(handler, is_safe=True), "", 0)
    scope = {"type": "http", "method": "GET", "path": "/Patient", "query_string": b"", "headers": []}
    await asyncio.gather(*(answered(bundled, Request(scope)) for _ in range(20)))
    assert most == READS_AT_ONCE
