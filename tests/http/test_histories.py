"""history of an instance, a type and the system over HTTP (R4 http.html#history)."""

import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import pytest_asyncio

from fhir_server.r4.dates import instant, interval
from tests import serving
from tests.gate.building import HIV, condition, consent, encounter, keep, patient, provision
from tests.serving import Door, Watch

HOUR = 3_600_000


async def versions(client: httpx.AsyncClient, path: str) -> list[tuple[str, str, str]]:
    """(method, url, ETag) of all entries on all pages."""
    found: list[tuple[str, str, str]] = []
    url: str | None = path
    while url:
        page: dict[str, Any] = (await client.get(url)).raise_for_status().json()
        assert page["type"] == "history"
        entries = page.get("entry", [])
        found += [(one["request"]["method"], one["fullUrl"].split("/fhir/")[1], one["response"]["etag"]) for one in entries]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return found


@pytest_asyncio.fixture(loop_scope="session")
async def ticking(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[Door]:
    """An exchange whose clock goes on by a millisecond at each look."""
    now = count(time.time_ns() // 1_000_000)
    async with serving.door(mongodb_uri, database, tmp_path, now=lambda: next(now)) as opened:
        yield opened


async def test_versions_of_a_type_newest_first(ticking: Door) -> None:
    """All versions and deletions, those of other types not; a resource that came back keeps its past"""
    client = ticking.system("a")
    written: list[tuple[str, str, str]] = []
    for known, turns in (("p", "PPD"), ("q", "P"), ("r", "PDP")):
        for number, turn in enumerate(turns, 1):
            name, sent = f"Patient/{known}", patient(known, name=f"Name {number}")
            answer = await (client.delete(f"/{name}") if turn == "D" else client.put(f"/{name}", json=sent))
            assert answer.status_code in (200, 201, 204)
            written.append(("DELETE" if turn == "D" else "PUT", name, f'W/"{number}"'))
            await client.put("/Encounter/e", json=encounter("e", "q", priority={"text": f"{known}{number}"}))
    for pages in ("", "?_count=1", "?_count=3"):
        assert await versions(client, f"/Patient/_history{pages}") == written[::-1]
    every = await versions(client, "/_history?_count=4")
    assert [one for one in every if one[1] != "Encounter/e"] == written[::-1]
    assert len(every) == 2 * len(written) and len(set(every)) == len(every)


async def test_a_version_is_later_than_the_one_before_it_whatever_the_clock_says(
    mongodb_uri: str, database: str, tmp_path: Path
) -> None:
    """A clock that is set back an hour after the first: who has that, and asks for what changed since, is told of the others"""
    watch = Watch()
    async with serving.door(mongodb_uri, database, tmp_path, now=watch) as door:
        client = door.system("a")
        first = watch.stop()
        await keep(client, patient("p", name="Name 1"))
        watch.stands = first - HOUR
        await keep(client, patient("p", name="Name 2"))
        deleted = await client.post("", json=_batch(("DELETE", "Patient/p")))
        await keep(client, patient("p", name="Name 4"))
        moments = [instant(first + number) for number in range(4)]
        assert deleted.json()["entry"][0]["response"]["lastModified"] == moments[2]
        for place in ("/Patient/p/_history", "/Patient/_history", "/_history"):
            entries = (await client.get(place, params={"_since": moments[0]})).json()["entry"]
            assert [one["response"]["lastModified"] for one in entries] == moments[::-1], place
            (then,) = (await client.get(place, params={"_at": moments[1]})).json()["entry"]
            assert then["resource"]["name"] == patient("p", name="Name 2")["name"]
        stands = (await client.get("/Patient", params={"_lastUpdated": f"gt{moments[0]}"})).json()["entry"]
        assert [one["resource"]["meta"]["lastUpdated"] for one in stands] == moments[-1:]


def _batch(*requests: tuple[str, str]) -> dict[str, Any]:
    entries = [{"request": {"method": method, "url": url}} for method, url in requests]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


async def test_the_method_is_that_which_made_the_version(door: Door) -> None:
    """http.html#history: also of a first version, and of one after a deletion; what is conditional stands as what it came to"""
    client = door.system("a")
    sent = patient("p")
    unnamed = {name: value for name, value in sent.items() if name != "id"}
    await client.put("/Patient/p", json=sent)
    await client.delete("/Patient/p")
    await client.put("/Patient/p", json=sent)
    posted = (await client.post("/Patient", json=unnamed)).json()["id"]
    numbered = unnamed | {"identifier": [{"system": "urn:x", "value": "1"}]}
    found = (await client.put("/Patient?identifier=urn:x|1", json=numbered)).json()
    await client.put(f"/Patient/{found['id']}", json=found | {"gender": "male"})
    put, again, gone = ("PUT", "201"), ("PUT", "200"), ("DELETE", "204")
    for known, expected in {"p": [put, gone, put], posted: [("POST", "201")], found["id"]: [again, put]}.items():
        for place in (f"/Patient/{known}/_history", "/Patient/_history", "/_history"):
            entries = [one for one in (await client.get(place)).json()["entry"] if one["fullUrl"].endswith(f"Patient/{known}")]
            assert [(one["request"]["method"], one["response"]["status"]) for one in entries] == expected
            urls = {one["request"]["url"] for one in entries}
            assert urls == ({"Patient"} if known == posted else {f"Patient/{known}"})


async def test_since(ticking: Door) -> None:
    """http.html#history: `_since` is inclusive"""
    client = ticking.system("a")
    await keep(client, patient("p"))
    second = await client.put("/Patient/p", json=patient("p", name="Li Si"))
    since = quote(second.json()["meta"]["lastUpdated"])
    assert await versions(client, f"/Patient/_history?_since={since}") == [("PUT", "Patient/p", 'W/"2"')]
    assert await versions(client, "/Patient/_history?_since=2999-01-01") == []


@pytest.mark.parametrize("seed", range(3))
async def test_at_since_and_count_against_an_oracle(mongodb_uri: str, database: str, tmp_path: Path, seed: int) -> None:
    """http.html#history: `_at` gives what was current at some time of the period, `_since` what was made then or later; of an
    instance, a type and the system; writes may share a moment; every version is on exactly one page"""
    dice, now = Random(seed), [1_700_000_000_000]
    async with serving.door(mongodb_uri, database, tmp_path, now=lambda: now[0]) as opened:
        client, written = opened.system("a"), list[Made]()
        for turn in range(40):
            now[0] += dice.choice((0, 1, 400, 60_000))
            kind, known = dice.choice(("Patient", "Basic")), dice.choice("abc")
            sent = {"resourceType": kind, "id": known, "language": f"x-{turn}"} | (
                {"code": {"text": "x"}} if kind == "Basic" else {}
            )
            answer = await (
                client.delete(f"/{kind}/{known}") if dice.random() < 0.2 else client.put(f"/{kind}/{known}", json=sent)
            )
            if etag := answer.headers.get("etag"):
                written.append((f"{kind}/{known}", etag, now[0]))
        for _ in range(40):
            place = dice.choice(("Patient/a", "Basic/b", "Patient", "Basic", ""))
            asked = {"_count": str(dice.choice((1, 2, 5, 100)))} if dice.random() < 0.8 else {}
            asked |= {"_at": moment(dice, written)} if dice.random() < 0.7 else {}
            asked |= {"_since": moment(dice, written)} if dice.random() < 0.3 else {}
            found = await versions(
                client, f"/{place}/_history?{urlencode(asked)}" if place else f"/_history?{urlencode(asked)}"
            )
            expected = oracle(written, place, asked)
            assert sorted((name, etag) for _, name, etag in found) == sorted((name, etag) for name, etag, _ in expected), asked
            times = {(name, etag): at for name, etag, at in written}
            assert [times[one[1:]] for one in found] == sorted((at for *_, at in expected), reverse=True)


Made = tuple[str, str, int]
"""A version: its resource, ETag, and when it was made."""


def moment(dice: Random, written: list[Made]) -> str:
    """An instant near a write, or the day or year around it."""
    at = dice.choice(written)[2] + dice.choice((-1, 0, 1))
    return instant(at)[: dice.choice((4, 10, 24, 24, 24))]


def oracle(written: list[Made], place: str, asked: dict[str, str]) -> list[Made]:
    """http.html#history, as naively as it is said."""
    found = []
    for number, (name, etag, made) in enumerate(written):
        replaced = next((at for other, _, at in written[number + 1 :] if other == name), None)
        since = interval(asked["_since"])[0] if "_since" in asked else 0
        low, high = interval(asked["_at"]) if "_at" in asked else (0, 1 << 60)
        is_there = f"{name}/".startswith(f"{place}/" if place else "")
        if is_there and since <= made <= high and (replaced is None or replaced > low):
            found.append((name, etag, made))
    return found


async def test_pages_of_an_instance(door: Door) -> None:
    """http.html#paging: what is written meanwhile neither repeats nor hides a version; a link is for its caller only"""
    client = door.system("a")
    for number in range(5):
        await keep(client, patient("p", name=f"Name {number}"))
    first = (await client.get("/Patient/p/_history?_count=2")).json()
    assert "total" not in first
    await keep(client, patient("p", name="later"))
    (url,) = [one["url"] for one in first["link"] if one["relation"] == "next"]
    assert [etag for *_, etag in await versions(client, url)] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert (await door.system("b").get(url)).status_code == 400
    assert (await client.get("/Patient/p/_history")).json()["total"] == 6


async def test_many_versions_of_one_moment(door: Door) -> None:
    """http.html#paging: a transaction of hundreds of resources shares an instant; each version is on exactly one page"""
    client, numbers = door.system("a"), count()
    for _ in range(2):
        resources = [patient(f"p{n}", name=f"Name {next(numbers)}") for n in range(250)]
        entries = [{"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}} for one in resources]
        sent = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert (await client.post("", json=sent)).status_code == 200
    found = await versions(client, "/Patient/_history?_count=77")
    assert len(found) == len(set(found)) == 500
    assert {etag for *_, etag in found[:250]} == {'W/"2"'}


async def test_each_version_is_gated(door: Door) -> None:
    """DESIGN 4: what the caller may not see is in no history; a patient sees the own record only"""
    client = door.system("a")
    await keep(client, patient("p"), patient("q"), condition("x", "p", HIV), condition("y", "q"))
    await keep(client, condition("x", "p", note=[{"text": "no longer sensitive"}]))
    await keep(client, consent("c", "q", provision("deny")))
    doctor = door.doctor("li", "b")
    assert await versions(doctor, "/Condition/_history") == [("PUT", "Condition/x", 'W/"2"')]
    assert not [name for _, name, _ in await versions(doctor, "/_history") if name in ("Patient/q", "Condition/y")]
    assert {name for _, name, _ in await versions(door.patient("q"), "/_history")} == {"Patient/q", "Condition/y", "Consent/c"}
    narrow = door.doctor("li", "b", scope="user/Patient.rs")
    assert await versions(narrow, "/_history") == [("PUT", "Patient/p", 'W/"1"')]
    assert (await narrow.get("/Condition/_history")).status_code == 403
