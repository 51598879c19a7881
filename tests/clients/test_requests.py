"""What clients in other languages send, byte for byte where it matters: noted down from the clients themselves, at work."""

import gzip
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.serving import Door

WEIGHT = {"coding": [{"system": "urn:x", "code": "w"}]}


@pytest.fixture
def client(door: Door) -> httpx.AsyncClient:
    return door.system("hospital-a")


async def weighed(client: httpx.AsyncClient, times: int = 3) -> str:
    """The id of a Patient with as many Observations."""
    known: str = (await client.post("/Patient", json={"resourceType": "Patient"})).json()["id"]
    for number in range(times):
        one = {"resourceType": "Observation", "status": "final", "code": WEIGHT, "valueInteger": number}
        (await client.post("/Observation", json={**one, "subject": {"reference": f"Patient/{known}"}})).raise_for_status()
    return known


def values(answer: httpx.Response) -> list[int]:
    found: dict[str, Any] = answer.raise_for_status().json()
    return sorted(one["resource"]["valueInteger"] for one in found.get("entry", []))


async def test_searches_by_get_at_the_address_of_post(client: httpx.AsyncClient) -> None:
    """HAPI's client with SearchStyleEnum.GET_WITH_SEARCH; fhir-kit-client 1 for the system"""
    known = await weighed(client)
    page = await client.get(f"/Observation/_search?patient={known}&_count=2")
    assert len(values(page)) == 2
    (following,) = [one["url"] for one in page.json()["link"] if one["relation"] == "next"]
    assert len(values(await client.get(following))) == 1
    assert values(await client.get(f"/_search?_type=Observation&patient={known}")) == [0, 1, 2]
    assert values(await client.get(f"/Patient/{known}/Observation/_search?code=w")) == [0, 1, 2]


async def test_searches_in_a_compartment_by_post(client: httpx.AsyncClient) -> None:
    """HAPI's client with SearchStyleEnum.POST, fhir-kit-client with postSearch (search.html#get-post; R5 writes it down)"""
    known, other = await weighed(client), await weighed(client, 1)
    form = {"code": "urn:x|w", "_count": "2"}
    page = await client.post(f"/Patient/{known}/Observation/_search", data=form)
    assert len(values(page)) == 2
    (following,) = [one["url"] for one in page.json()["link"] if one["relation"] == "next"]
    assert len(values(await client.get(following))) == 1
    assert values(await client.post(f"/Patient/{other}/Observation/_search", data=form)) == [0]
    assert (await client.post(f"/Patient/{known}/*/_search", data={"_type": "Observation"})).json()["total"] == 3
    assert (await client.post(f"/Observation/{known}/Observation/_search", data=form)).status_code == 404
    assert (await client.post(f"/Patient/{known}/Organization/_search", data=form)).status_code == 404


async def test_an_operation_without_parameters(client: httpx.AsyncClient) -> None:
    """fhir-kit-client: POST Patient/ID/$everything with no body (operations.html#request has this as its example)"""
    known = await weighed(client, 1)
    for headers in ({}, {"Content-Type": "application/fhir+json"}):
        answer = await client.post(f"/Patient/{known}/$everything", headers=headers)
        assert (answer.status_code, answer.json()["total"]) == (200, 2)
    assert (await client.post("/CodeSystem/$lookup")).status_code == 400  # needs a code
    assert (
        await client.post(f"/Patient/{known}/$everything", content="{}", headers={"Content-Type": "text/plain"})
    ).status_code == 415


def versions(answer: httpx.Response) -> list[str]:
    return [one["response"]["etag"] for one in answer.raise_for_status().json().get("entry", [])]


async def test_histories_since_and_at_times_with_a_raw_plus(client: httpx.AsyncClient) -> None:
    """HAPI's client does not encode the + of an offset in history().since(...) and at(...) (RFC 3986 3.4: it need not)"""
    known = await weighed(client, 0)
    await client.put(f"/Patient/{known}", json={"resourceType": "Patient", "id": known, "active": True})
    for place in (f"/Patient/{known}/_history", "/Patient/_history", "/_history"):
        assert len(versions(await client.get(f"{place}?_since=2020-01-01T00:00:00.000+08:00&_count=2"))) == 2
        assert versions(await client.get(f"{place}?_since=2999-01-01T00:00:00.000+08:00")) == []
        assert versions(await client.get(f"{place}?_at=1999-01-01T00:00:00+00:00")) == []


async def test_histories_at_times_with_prefixes(client: httpx.AsyncClient) -> None:
    """HAPI's client sends `at(new DateRangeParam(...))` as ge and le (http.html#history: see the notes on date searching)"""
    known = await weighed(client, 0)
    for prefixes, found in {
        ("ge2020-01-01", "le2999-01-01"): 1, ("ge2020-01-01",): 1, ("le2020-01-01",): 0, ("lt2999",): 1, ("gt2999",): 1,
        ("eq2020",): 0, ("ge2998-01-01", "le2999-01-01"): 1,
    }.items():  # fmt: skip
        for place in (f"/Patient/{known}/_history", "/Patient/_history", "/_history"):
            answer = await client.get(place, params=[("_at", one) for one in prefixes])
            assert len(versions(answer)) == found, prefixes
    assert (await client.get(f"/Patient/{known}/_history?_at=ge2021&_at=le2020")).status_code == 400
    assert (await client.get(f"/Patient/{known}/_history?_at=sa2021")).status_code == 400


async def test_histories_in_part(client: httpx.AsyncClient) -> None:
    """HAPI's client, history().summaryMode(...) and elementsSubset(...) (http.html#parameters: for all requests)"""
    known = await weighed(client, 0)
    told = {"text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}, "active": True}
    await client.put(f"/Patient/{known}", json={"resourceType": "Patient", "id": known, "gender": "female", **told})
    await client.delete(f"/Patient/{known}")
    for asked, left in (
        ("_summary=true", {"active", "gender"}),
        ("_summary=text", {"active", "text"}),
        ("_elements=active", {"active"}),
    ):
        entries = (await client.get(f"/Patient/{known}/_history?{asked}")).raise_for_status().json()["entry"]
        assert [one["request"]["method"] for one in entries] == ["DELETE", "PUT", "POST"]
        assert entries[1]["resource"].keys() - {"resourceType", "id", "meta"} == left
        assert entries[1]["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    whole = (await client.get("/_history?_summary=true&_count=2")).raise_for_status().json()
    (following,) = [one["url"] for one in whole["link"] if one["relation"] == "next"]
    assert "SUBSETTED" in (await client.get(following)).text
    for refused in ("_summary=count", "_elements=active", "_summary=true&_summary=text"):
        assert (await client.get(f"/_history?{refused}")).status_code == 400
    assert "text" in (await client.get(f"/Patient/{known}/_history?_summary=false")).json()["entry"][1]["resource"]


async def test_general_parameters_with_writes_and_operations(client: httpx.AsyncClient) -> None:
    """HAPI's client, setPrettyPrint(true), setSummary(FALSE), setFormatParamStyle(SHORT): http.html#parameters"""
    general = "_format=json&_pretty=true&_summary=false"
    basic: dict[str, Any] = {"resourceType": "Basic", "code": {"text": "x"}}
    made = (await client.post(f"/Basic?{general}", json=basic)).raise_for_status().json()
    place = f"/Basic/{made['id']}"
    await client.put(f"{place}?{general}", json=made | {"language": "zh"})
    change = '[{"op": "replace", "path": "/language", "value": "ug"}]'
    patched = await client.patch(f"{place}?{general}", content=change, headers={"Content-Type": "application/json-patch+json"})
    assert patched.json()["language"] == "ug" and patched.text.startswith("{\n")
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": place[1:]}}]}
    assert (await client.post(f"/?{general}", json=bundle)).json()["entry"][0]["response"]["status"] == "200"
    nothing = {"resourceType": "Parameters"}
    known = await weighed(client, 1)
    assert (await client.post(f"/Patient/{known}/$everything?{general}", json=nothing)).json()["total"] == 2
    sent = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": basic}]}
    assert (await client.post(f"/Basic/$validate?{general}", json=sent)).status_code == 200
    assert (await client.delete(f"{place}?{general}")).status_code == 204


async def test_bodies_in_gzip(client: httpx.AsyncClient) -> None:
    """HAPI's client with GZipContentInterceptor (RFC 9110 8.4); other codings are refused, saying what is taken (15.5.16)"""
    packed = gzip.compress(b'{"resourceType": "Basic", "code": {"text": "x"}}')
    headers = {"Content-Type": "application/fhir+json; charset=UTF-8", "Content-Encoding": "gzip"}
    made = await client.post("/Basic", content=packed, headers=headers)
    assert (made.status_code, made.json()["code"]) == (201, {"text": "x"})
    for broken in (packed[:-9], packed + b"x", packed * 2, b"{}", b""):
        assert (await client.post("/Basic", content=broken, headers=headers)).status_code == 400
    for size in (33, 400):  # of MB: small as it is sent, too large as it is meant
        bomb = gzip.compress(b" " * (size << 20), 9)
        assert (await client.post("/Basic", content=bomb, headers=headers)).status_code == 413
    refused = await client.post("/Basic", content=packed, headers=headers | {"Content-Encoding": "br"})
    assert (refused.status_code, "gzip" in refused.text) == (415, True)
    answer = await client.post("/Patient/_search", content=gzip.compress(b"_id=x"), headers={
        "Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"})  # fmt: skip
    assert answer.json()["total"] == 0


@pytest.mark.parametrize("kind", ["transaction", "batch"])
async def test_bundles_of_bare_resources(client: httpx.AsyncClient, kind: str) -> None:
    """HAPI's client, transaction().withResources(...): a total, which bdl-1 forbids, and no url of what is created"""
    known = str(uuid4())
    entries = [
        {"resource": {"resourceType": "Basic", "code": {"text": "y"}}, "request": {"method": "POST"}},
        {"resource": {"resourceType": "Patient", "id": known}, "request": {"method": "PUT", "url": f"Patient/{known}"}},
    ]
    sent = {"resourceType": "Bundle", "id": str(uuid4()), "type": kind, "total": 2, "entry": entries}
    answer = (await client.post("/", json=sent)).raise_for_status().json()
    assert [one["response"]["status"] for one in answer["entry"]] == ["201", "201"]
    assert "/Basic/" in answer["entry"][0]["response"]["location"]
    unnamed: list[dict[str, Any]] = [{"resource": {}}, {"resource": {"resourceType": 1}}, {}]
    for wrong in unnamed:
        refused = await client.post("/", json=sent | {"entry": [wrong | {"request": {"method": "POST"}}]})
        assert refused.status_code == 400
