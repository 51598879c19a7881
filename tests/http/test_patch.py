"""patch over HTTP (R4 http.html#patch): JSON Patch and FHIRPath Patch, alone and in Bundles, on the version that stands."""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from typing import Any

import httpx
import pytest

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.serving import Door

Resource = dict[str, Any]
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FHIR_JSON = {"Content-Type": "application/fhir+json"}
BASIC: Resource = {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}


def add(path: str, value: Any) -> Resource:
    return {"op": "add", "path": path, "value": value}


def parameters(kind: str, path: str, **parts: Resource) -> Resource:
    made: list[Resource] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    made += [{"name": name} | part for name, part in parts.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": made}]}


def binary(patch: list[Resource]) -> Resource:
    data = b64encode(json.dumps(patch).encode()).decode()
    return {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}


def bundle(kind: str, *entries: tuple[str, str, Resource]) -> Resource:
    made = [{"request": {"method": method, "url": url}, "resource": resource} for method, url, resource in entries]
    return {"resourceType": "Bundle", "type": kind, "entry": made}


async def patch(client: httpx.AsyncClient, path: str, content: Any, **headers: str) -> httpx.Response:
    form = JSON_PATCH if isinstance(content, list) else FHIR_JSON
    return await client.patch(path, content=json.dumps(content), headers=form | headers)


async def refused(answer: httpx.Response) -> tuple[int, str | None]:
    outcome = read(answer.content)
    validate(outcome)
    return answer.status_code, outcome["issue"][0].get("expression", [None])[0]


@pytest.fixture
async def client(door: Door) -> httpx.AsyncClient:
    client = door.system("hospital-a")
    assert (await client.put("/Basic/b", json=BASIC)).status_code == 201
    return client


async def test_both_formats_make_a_version(door: Door, client: httpx.AsyncClient) -> None:
    """http.html#patch: the resource with its new version; decimals that are not patched stay as they were written"""
    extension = b'{"resourceType":"Basic","id":"b","extension":[{"url":"urn:d","valueDecimal":1.10}],"code":{"text":"x"}}'
    assert (await client.put("/Basic/b", content=extension, headers=FHIR_JSON)).headers["etag"] == 'W/"2"'
    answer = await patch(client, "/Basic/b", [add("/language", "zh")])
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"3"')
    assert answer.headers["location"] == f"{door.base_url}/Basic/b/_history/3"
    answer = await patch(client, "/Basic/b", parameters("replace", "Basic.language", value={"valueCode": "ug"}))
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"4"')
    assert (answer.json()["language"], answer.json()["meta"]["versionId"]) == ("ug", "4")
    stored = await client.get("/Basic/b")
    assert b'"valueDecimal":1.10}' in stored.content
    assert stored.content == answer.content
    assert [one["resource"].get("language") for one in (await client.get("/Basic/b/_history")).json()["entry"]] == [
        "ug",
        "zh",
        None,
        None,
    ]
    minimal = await patch(client, "/Basic/b", [add("/language", "kk")], Prefer="return=minimal")
    assert (minimal.status_code, minimal.content) == (200, b"")


async def test_what_changes_nothing_makes_no_version(client: httpx.AsyncClient) -> None:
    """http.html#update, of a patch as well"""
    answer = await patch(client, "/Basic/b", [add("/code/text", "x"), {"op": "test", "path": "/id", "value": "b"}])
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')


@pytest.mark.parametrize(
    ("content", "status", "element"),
    [
        ([{"op": "remove", "path": "/language"}], 422, "Basic.language"),
        ([{"op": "remove", "path": "/code/text/x"}], 422, "Basic.code.text.x"),
        ([{"op": "remove", "path": "/code/coding/0/张三"}], 422, "Basic.code.coding[0]"),
        ([{"op": "test", "path": "/code/text", "value": "y"}], 422, "Basic.code.text"),
        ([{"op": "remove", "path": "/code"}], 422, "Basic.code"),
        ([add("/created", "yesterday")], 422, "Basic.created"),
        ([add("/id", "c")], 422, "Basic.id"),
        ([add("/resourceType", "Patient")], 422, "Basic.resourceType"),
        ([add("/meta/versionId", "7")], 422, "Basic.meta.versionId"),
        ([add("/meta", {})], 422, "Basic.meta.versionId"),
        ([add("", {})], 422, "Basic.resourceType"),
        ([add("", "x")], 422, None),
        ([{"op": "copy", "from": "", "path": "/extension"}] * 2, 422, "Basic.extension"),
        ([{"op": "copy", "from": "", "path": f"/{'a/' * n}a"} for n in range(400)], 422, "Basic" + ".a" * 12),
        ([add("/a" * n, {}) for n in range(1, 400)], 422, None),
        ([add("/a" * n, {}) for n in range(1, 70)], 422, None),
        ([{"op": "spam", "path": ""}], 400, None),
        (parameters("replace", "Basic.language", value={"valueCode": "x"}), 422, "Parameters.parameter[0]"),
        (parameters("rename", "Basic.language"), 400, "Parameters.parameter[0]"),
        (parameters("delete", "Basic.code"), 422, "Basic.code"),
        (BASIC, 400, None),
    ],
)
async def test_what_does_not_fit_is_refused(client: httpx.AsyncClient, content: Any, status: int, element: str | None) -> None:
    """http.html#patch: the result is valid and still the same resource, or nothing happens; errors name the element"""
    assert await refused(await patch(client, "/Basic/b", content)) == (status, element)
    assert (await client.get("/Basic/b")).headers["etag"] == 'W/"1"'


async def test_no_patch_makes_more_than_can_be_sent(client: httpx.AsyncClient) -> None:
    """One after the other they made a resource that packs well as large as they liked, until nobody could read it."""
    note = {"url": "http://example.org/note", "valueBase64Binary": "xxxx" * 3_250_000}
    statuses = [(await patch(client, "/Basic/b", [add("/extension", [note])])).status_code]
    statuses += [(await patch(client, "/Basic/b", [add("/extension/-", note)])).status_code for _ in range(2)]
    assert statuses == [200, 200, 422]
    assert (await patch(client, "/Basic/b", [{"op": "remove", "path": "/extension"}])).status_code == 200


async def test_a_patch_needs_something_to_patch(door: Door, client: httpx.AsyncClient) -> None:
    """What is absent, deleted or another's: 404 where it may not be seen, 403 where it may not be changed"""
    changed = [add("/language", "zh")]
    assert (await refused(await patch(client, "/Basic/none", changed)))[0] == 404
    assert (await refused(await patch(client, "/Basic/none", changed, **{"If-Match": 'W/"1"'})))[0] == 404
    assert (await refused(await patch(door.system("hospital-b"), "/Basic/b", changed)))[0] == 404
    assert (await client.put("/Location/l", json={"resourceType": "Location", "id": "l", "name": "x"})).status_code == 201
    assert (await refused(await patch(door.system("hospital-b"), "/Location/l", changed)))[0] == 403
    assert (await client.delete("/Basic/b")).status_code == 204
    assert (await refused(await patch(client, "/Basic/b", changed)))[0] == 404
    narrow = door.client("system", organization="hospital-a", scope="system/Location.rs")
    assert (await refused(await patch(narrow, "/Location/l", changed)))[0] == 403
    assert (await patch(door.client(), "/Location/l", changed)).status_code == 401


async def test_formats_and_sizes(door: Door, client: httpx.AsyncClient) -> None:
    """http.html#patch: 415 for a format that is none; bounds as for any body"""
    for form in ("application/json", "application/xml-patch+xml", "text/plain"):
        answer = await client.patch("/Basic/b", content=b"[]", headers={"Content-Type": form})
        assert (await refused(answer))[0] == 415
    assert (await refused(await client.patch("/Basic/b?code=x", content=b"[]", headers=JSON_PATCH)))[0] == 400
    for content in (b"{}", b"[", b'[{"op":"add","op":"remove","path":"/code"}]', b"[" * 100 + b"]" * 100):
        assert (await refused(await client.patch("/Basic/b", content=content, headers=JSON_PATCH)))[0] == 400
    big = b"[" + b" " * door.exchange.settings.max_body + b"]"
    assert (await refused(await client.patch("/Basic/b", content=big, headers=JSON_PATCH)))[0] == 413


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_in_bundles(client: httpx.AsyncClient, kind: str) -> None:
    """http.html#patch: Binary with a JSON Patch, or Parameters; references between entries are rewritten in what it adds"""
    other = "urn:uuid:6b7a1c3e-0d8f-4a55-9a0e-000000000001"
    await client.put("/Basic/c", json=BASIC | {"id": "c"})
    entries = bundle(
        kind,
        ("PATCH", "Basic/b", binary([add("/language", "zh")])),
        (
            "PATCH",
            "Basic/c",
            parameters("add", "Basic", name={"valueString": "author"}, value={"valueReference": {"reference": other}}),
        ),
        ("POST", "Practitioner", {"resourceType": "Practitioner", "name": [{"text": "x"}]}),
    )
    entries["entry"][2]["fullUrl"] = other
    answer = await client.post("", json=entries)
    assert [one["response"]["status"] for one in answer.json()["entry"]] == ["200", "200", "201"], answer.text
    assert (await client.get("/Basic/b")).json()["language"] == "zh"
    made = answer.json()["entry"][2]["response"]["location"].split("/")[-3]
    author = (await client.get("/Basic/c")).json()["author"]["reference"]
    assert author == (f"Practitioner/{made}" if kind == "transaction" else other)


async def test_a_transaction_with_a_patch_is_whole_or_not_at_all(client: httpx.AsyncClient) -> None:
    """http.html#transaction: the error names the entry"""
    entries = bundle(
        "transaction",
        ("PATCH", "Basic/b", binary([add("/language", "zh")])),
        ("PATCH", "Basic/none", binary([add("/language", "zh")])),
    )
    assert await refused(await client.post("", json=entries)) == (404, "Bundle.entry[1].resource")
    entries["entry"][1] = {"request": {"method": "PATCH", "url": "Basic/b"}, "resource": binary([])}
    assert (await refused(await client.post("", json=entries)))[0] == 400
    assert (await client.get("/Basic/b")).headers["etag"] == 'W/"1"'


async def test_patches_of_many_at_once_all_land(doors: tuple[Door, Door]) -> None:
    """Each applies to the version it replaces: none is lost. With If-Match one lands, the others hear 412."""
    clients = [door.system("hospital-a") for door in doors]
    assert (await clients[0].put("/Basic/b", json=BASIC | {"identifier": [{"value": "start"}]})).status_code == 201
    sent = [[add("/identifier/-", {"value": str(number)})] for number in range(60)]
    answers = await asyncio.gather(*(patch(clients[n % 2], "/Basic/b", one) for n, one in enumerate(sent)))
    assert Counter(answer.status_code for answer in answers) == {200: 60}
    stored = await clients[0].get("/Basic/b")
    assert {one["value"] for one in stored.json()["identifier"]} == {"start", *map(str, range(60))}
    assert stored.headers["etag"] == 'W/"61"'
    guarded = {"If-Match": 'W/"61"'}
    answers = await asyncio.gather(*(patch(clients[n % 2], "/Basic/b", one, **guarded) for n, one in enumerate(sent[:20])))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 19}


async def test_a_patched_patient_joins_its_person(doors: tuple[Door, Door]) -> None:
    """DESIGN 4: a number that tells who somebody is counts from the version that first has it, at whatever speed it comes"""
    system, number = "urn:oid:2.16.156.10011.1.3", "110101199003077758"
    hospitals = [door.system(one) for door, one in zip(doors, ("hospital-a", "hospital-b"), strict=True)]
    for client, known in zip(hospitals, "ab", strict=True):
        sent = {"resourceType": "Patient", "id": known, "name": [{"text": "古丽"}], "birthDate": "1990-03-07", "gender": "male"}
        assert (await client.put(f"/Patient/{known}", json=sent)).status_code == 201
    change = [add("/identifier", [{"system": system, "value": number}])]
    answers = await asyncio.gather(
        *(patch(client, f"/Patient/{known}", change) for client, known in zip(hospitals, "ab", strict=True))
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    record = doors[0].exchange.record
    assert len(await record.patients_of_person(record.codec.identity("Patient/a"))) == 2


async def test_a_patched_consent_holds_at_once(door: Door) -> None:
    """DESIGN 4: a change of consent is in force for every request that arrives after it"""
    hospital, doctor = door.system("hospital-a"), door.doctor("li", "hospital-b")
    await hospital.put("/Patient/p", json={"resourceType": "Patient", "id": "p", "name": [{"text": "x"}]})
    consent = {
        "resourceType": "Consent", "id": "c", "status": "active", "patient": {"reference": "Patient/p"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"text": "x"}], "policyRule": {"text": "x"}, "provision": {"type": "permit"},
    }  # fmt: skip
    assert (await hospital.put("/Consent/c", json=consent)).status_code == 201
    assert (await doctor.get("/Patient/p")).status_code == 200
    assert (await patch(hospital, "/Consent/c", [add("/provision/type", "deny")])).status_code == 200
    assert (await doctor.get("/Patient/p")).status_code == 404
    hidden = [await patch(doctor, "/Patient/p", [add("/gender", "male")], **how) for how in ({}, {"If-Match": 'W/"1"'})]
    assert [answer.status_code for answer in hidden] == [404, 404]


async def test_every_patch_leaves_an_audit_record(door: Door, client: httpx.AsyncClient) -> None:
    """DESIGN 4: allowed or refused"""
    before = await door.exchange.database["audit"].count_documents({})
    assert (await patch(client, "/Basic/b", [add("/language", "zh")])).status_code == 200
    assert (await patch(client, "/Basic/none", [add("/language", "zh")])).status_code == 404
    assert await door.exchange.database["audit"].count_documents({}) == before + 2
