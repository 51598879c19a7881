"""Hostile bodies, query strings and headers over HTTP: a 4xx within a bound of time, and of memory."""

import asyncio
import gzip
import json
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exchange import listening
from exchange.listening import MAX_HEAD
from fhir_server.http import oauth, outcomes
from tests import serving
from tests.fuzz.bundles import BUNDLES, ODD, PATCH
from tests.serving import Door

SECONDS = 5.0  # for one answer, on a busy machine
MEGABYTES = 500  # that the process grows by while it reads the worst of 32 MB

FHIR, FORM = "application/fhir+json", "application/x-www-form-urlencoded"


def nested(depth: int, opening: str, closing: str) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


BODIES = st.one_of(
    st.integers(65, 100_000).map(lambda depth: nested(depth, "[", "]")),
    st.integers(65, 50_000).map(lambda depth: nested(depth, '{"a":', "}")),
    st.integers(1, 200_000).map(lambda digits: b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * digits + b"}"),
    st.integers(1, 999_999).map(lambda power: b'{"resourceType":"Observation","x":1e%d}' % power),
    st.integers(1, 2_000_000).map(
        lambda size: json.dumps({"resourceType": "Patient", "x": "\U0001f600" * (size // 12)}).encode()
    ),
    st.integers(1, 300_000).map(lambda size: b'{"resourceType":"Patient","name":[' + b"{}," * size + b"{}]}"),
    ODD.map(lambda text: json.dumps({"resourceType": text, text: text}).encode()),
    st.binary(max_size=200),
    st.integers(1, 5_000_000).map(lambda size: gzip.compress(bytes(size))),
)
KINDS_OF_BODY = (FHIR, PATCH, FORM, "application/json", "text/xml", "multipart/form-data", "", "a/b; c=" * 9)
HEADERS = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(KINDS_OF_BODY)},
    optional={
        "Content-Encoding": st.sampled_from(["gzip", "br", "deflate", "x"]),
        "Accept": st.sampled_from(["*/*", "a", "text/csv"]),
    },
)
TARGETS = st.sampled_from([
    ("POST", "/Patient"), ("PUT", "/Patient/p"), ("PATCH", "/Patient/p"), ("POST", ""), ("POST", "/Patient/_search"),
    ("POST", "/Patient/$validate"), ("POST", "/ValueSet/$expand"), ("POST", "/Observation/$stats"),
    ("POST", "/Patient/p/$meta-add"), ("POST", "/Patient/p/$everything"), ("POST", "/Appointment/$book"),
])  # fmt: skip
QUERIES = st.one_of(
    st.integers(1, 6_000).map(lambda count: "_id=" + "," * count),
    st.integers(1, 3_000).map(lambda count: "name=" + ",".join("ab" for _ in range(count))),
    st.integers(1, 3_000).map(lambda count: "&".join(f"name=a{n}" for n in range(count))),
    st.integers(1, 800).map(lambda count: "_sort=" + ",".join(["name"] * count)),
    st.integers(1, 200).map(lambda count: "_has:Observation:patient:" * count + "code=x"),
    st.integers(1, 400).map(lambda count: "organization." * count + "name=x"),
    st.integers(1, 20_000).map(lambda digits: "birthdate=gt" + "9" * digits),
    st.integers(1, 20_000).map(lambda digits: "_count=" + "1" * digits),
    ODD.map(lambda text: str(httpx.QueryParams({text or "x": text, "name": text}))),
    st.from_regex(re.compile(r"(%[0-9a-fA-F]{0,2}|[&=|$\\,;+]){1,60}", re.ASCII), fullmatch=True),
)
KINDS = st.sampled_from(
    ["Patient", "Observation", "ValueSet/$expand", "Patient/p/$everything", "_history", "Observation/$lastn", ""]
)
FUZZED = settings(
    max_examples=60 * int(os.environ.get("FUZZ", "1")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)


async def answered(client: httpx.AsyncClient, method: str, path: str, **more: object) -> int:
    began = time.perf_counter()
    status = (await client.request(method, path, **more)).status_code  # type: ignore[arg-type]
    assert time.perf_counter() - began < SECONDS, (method, path[:60])
    return status


@FUZZED
@given(body=BODIES, headers=HEADERS, target=TARGETS)
async def test_no_body_is_answered_with_5xx_or_late(hostile: Door, body: bytes, headers: dict[str, str], target: tuple) -> None:
    """Deep nesting, huge numbers, long texts, odd characters, wrong types and encodings: nothing is unpacked"""
    async with hostile.client("system", organization="a") as client:
        status = await answered(client, *target, content=body, headers=headers)
        assert 200 <= status < 500


@FUZZED
@given(bundle=BUNDLES)
async def test_no_bundle_is_answered_with_5xx_or_late(hostile: Door, bundle: dict) -> None:
    """Entries that refer to each other, to themselves and to nothing, with any method, condition and content"""
    async with hostile.client("system", organization="a") as client:
        answer = await client.post("", json=bundle)
        assert 200 <= answer.status_code < 500, answer.text
        said = [one["response"]["status"] for one in answer.json().get("entry", ())]
        assert not [status for status in said if status.startswith("5")], answer.text


@FUZZED
@given(query=QUERIES, kind=KINDS)
async def test_no_query_is_answered_with_5xx_or_late(hostile: Door, query: str, kind: str) -> None:
    """Many parameters, many commas, long chains, odd characters"""
    async with hostile.client("system", organization="a") as client:
        assert 200 <= await answered(client, "GET", f"/{kind}?{query}") < 500


@pytest.mark.parametrize("unit", [b"{},", b"[],", b"1,", b'{"a":[1]},', b'"",'])
async def test_the_worst_body_that_is_let_in_takes_bounded_memory(hostile: Door, unit: bytes) -> None:
    """32 MB of the smallest values there are"""
    size = 32 * 1024 * 1024 - 100
    body = b'{"resourceType":"Patient","name":[' + unit * (size // len(unit)) + b"1]}"
    async with hostile.client("system", organization="a") as client:
        before = peak(reset=True)
        status = (await client.post("/Patient", content=body, headers={"Content-Type": FHIR})).status_code
    assert status == 413
    assert peak() - before < MEGABYTES * 1024 * 1024


@pytest.mark.parametrize("head", [b"GET /fhir/Patient?name=", b"GET /fhir/metadata HTTP/1.1\r\nX: "], ids=["line", "header"])
async def test_a_head_without_end_is_cut_off(hostile: Door, head: bytes) -> None:
    """Before anybody has said who they are"""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hostile.base_url).port)
    writer.write(head)
    sent = 0
    try:
        while sent < 64 * MAX_HEAD and not reader.at_eof():
            writer.write(b"a" * MAX_HEAD)
            sent += MAX_HEAD
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    else:
        assert (await reader.read()).startswith(b"HTTP/1.1 431")
    assert sent < 64 * MAX_HEAD
    writer.close()


@pytest.mark.parametrize("before", [b"", b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "later"])
@pytest.mark.parametrize("begun", [b"GET /fhir/Patient HTTP/1.1\r\nX: a", b""], ids=["begun", "silent"])
async def test_a_head_that_does_not_come_is_not_waited_for(
    hostile: Door, monkeypatch: pytest.MonkeyPatch, before: bytes, begun: bytes
) -> None:
    """RFC 9110 15.5.9: who opens many connections and says nothing on them would leave none to others"""
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hostile.base_url).port)
    writer.write(before + begun)
    answered = await asyncio.wait_for(reader.read(), 20)
    assert answered.startswith(b"HTTP/1.1 200" if before else b"HTTP/1.1 408" if begun else b"")
    assert (b"HTTP/1.1 408" in answered) == bool(begun)
    writer.close()


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\na", b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"], ids=["long", "chunked"]
)
@pytest.mark.parametrize(("path", "status"), [("/health", 405), ("/fhir/Patient", 401), ("/fhir/none", 401), ("/none", 404)])
async def test_a_body_that_nobody_waits_for_has_an_end(
    hostile: Door, monkeypatch: pytest.MonkeyPatch, path: str, status: int, body: bytes
) -> None:
    """RFC 9112 9.6: a byte now and then held a connection for ever, before anybody had said who they are"""
    monkeypatch.setattr(listening, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hostile.base_url).port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode() + body)
    answered = await asyncio.wait_for(reader.read(), 4)  # sooner than who is silent between two requests is closed
    assert answered.startswith(b"HTTP/1.1 %d" % status)
    assert answered.count(b"HTTP/1.1") == 1
    writer.close()


async def test_a_form_that_does_not_come_is_not_waited_for(hostile: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110 15.5.9"""
    monkeypatch.setattr(oauth, "_FORM_SECONDS", 0.05)
    assert (await half_sent(hostile, "/oauth2/token", FORM)).startswith(b"HTTP/1.1 408")


async def test_a_resource_that_does_not_come_is_no_fault_of_the_server(tmp_path: Path, mongodb_uri: str, database: str) -> None:
    """RFC 9110 15.5.9: it was a 503, whose text is not true: that a write took place is not possible"""
    async with serving.door(mongodb_uri, database, tmp_path, answer_seconds=1) as door:
        answered = await half_sent(door, "/fhir/Patient", FHIR)
        assert answered.startswith(b"HTTP/1.1 408")
        assert b'"code":"timeout"' in answered


async def half_sent(door: Door, path: str, kind: str) -> bytes:
    """The beginning of the answer to a request whose body does not come to an end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(door.base_url).port)
    token = door.token("system", organization="a")
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
    writer.write(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    try:
        return await asyncio.wait_for(reader.readuntil(b"}"), 20)
    finally:
        writer.close()


async def test_who_asks_on_and_on_without_waiting_is_hung_up_on(hostile: Door) -> None:
    """RFC 9112 9.3.2: 20 connections that pipelined 4 MB each, of strangers, took 2 GB"""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hostile.base_url).port)
    ahead = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000
    sent, before = 0, peak(reset=True)
    with suppress(ConnectionError):
        while sent < 100 * len(ahead) and not reader.at_eof():
            writer.write(ahead)
            sent += len(ahead)
            await writer.drain()
            await asyncio.sleep(0)
    assert sent < 100 * len(ahead)
    assert peak() - before < 100 * 1024 * 1024
    writer.close()


async def test_what_comes_after_a_request_does_not_answer_it(hostile: Door) -> None:
    """A resource was stored, and who sent it read 400 because of the bytes behind it: they sent it again."""
    token = hostile.system("hospital-a").headers["authorization"]
    body = b'{"resourceType":"Basic","code":{"text":"x"}}'
    head = f"POST /fhir/Basic HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: {FHIR}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hostile.base_url).port)
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(body), body) + b"\0garbage\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 201 ") and answer.count(b"HTTP/1.1") == 1


async def test_who_asks_a_little_ahead_is_answered_in_order(hostile: Door) -> None:
    """RFC 9112 9.3.2"""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(hostile.base_url).port)
    asked = [b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n"] * 25
    writer.write(b"".join(asked) + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answered = await asyncio.wait_for(reader.read(), 20)
    assert re.findall(rb"HTTP/1.1 (\d+)", answered) == [b"200", b"404"] * 25 + [b"200"]
    writer.close()


ODD_HANDSHAKES = {"body": b"Content-Length: 3\r\n\r\nabc", "headers": b"X: a\r\n" * 130 + b"\r\n"}


@pytest.mark.parametrize("rest", ODD_HANDSHAKES.values(), ids=ODD_HANDSHAKES)
async def test_a_handshake_that_nobody_understands_is_refused(
    tmp_path: Path, mongodb_uri: str, database: str, rest: bytes
) -> None:
    """RFC 6455 4.2.1: the connection stayed open for ever, unanswered, and the exchange did not stop in order any more"""
    head = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(door.base_url).port)
        writer.write(head + rest)
        answered = await asyncio.wait_for(reader.read(), 20)
        assert re.match(rb"HTTP/1.1 4(00|31)", answered)
        writer.close()


async def test_who_does_not_read_an_answer_is_hung_up_on(hostile: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is made from is held meanwhile: a life is 10 MB"""
    monkeypatch.setattr(listening, "STALLED_SECONDS", 0.1)
    client, ended = hostile.system("a"), asyncio.Event()
    large = [{"url": f"http://x.example/{number}", "valueString": "x" * 1_000_000} for number in range(20)]
    sent = {"resourceType": "Basic", "id": "large", "code": {"text": "x"}, "extension": large}
    assert (await client.put("/Basic/large", json=sent)).status_code == 201
    parts = outcomes._parts

    async def watched(body: memoryview) -> AsyncIterator[bytes]:
        try:
            async for part in parts(body):
                yield part
        finally:
            ended.set()

    monkeypatch.setattr(outcomes, "_parts", watched)
    async with client.stream("GET", "/Basic/large", headers={"Accept-Encoding": "identity"}) as answer:
        await asyncio.wait_for(ended.wait(), 20)
        with pytest.raises(httpx.TransportError):
            await answer.aread()


async def test_a_long_upload_in_small_chunks_is_no_head(hostile: Door) -> None:
    """What is counted is what the parser keeps, not what a body brings"""

    async def chunks():
        yield b'{"resourceType":"Basic","code":{"text":"'
        for _ in range(3_000):
            yield b"x" * 100
        yield b'"}}'

    async with hostile.client("system", organization="a") as client:
        answer = await client.post("/Basic", content=chunks(), headers={"Content-Type": FHIR})
        assert answer.status_code == 201, answer.text


def peak(reset: bool = False) -> int:
    """The most memory that this process, the server in it, has had since the reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024
