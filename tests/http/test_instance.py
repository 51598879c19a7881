"""read, vread, create, update, delete, history over HTTP (R4 http.html)."""

import json
from typing import Any

from tests.serving import Door

PATIENT: dict[str, Any] = {"resourceType": "Patient", "name": [{"text": "Test"}], "birthDate": "1980-02-03"}
JSON_PATCH = "application/json-patch+json"


async def test_create_gives_location_etag_and_the_resource(door: Door) -> None:
    """http.html#create"""
    client = door.system("hospital-a")
    created = await client.post("/Patient", json=PATIENT)
    assert created.status_code == 201
    assert created.headers["etag"] == 'W/"1"'
    known = created.json()["id"]
    assert created.headers["location"] == f"{door.base_url}/Patient/{known}/_history/1"
    read = await client.get(f"/Patient/{known}")
    assert read.status_code == 200
    assert read.json() == created.json()
    assert read.json()["meta"]["versionId"] == "1"


async def test_update_makes_versions_that_are_all_kept(door: Door) -> None:
    """http.html#update, #vread, #history"""
    client = door.system("hospital-a")
    for version, family in enumerate("abc", 1):
        sent = PATIENT | {"id": "a-1", "name": [{"family": family}]}
        assert (await client.put("/Patient/a-1", json=sent)).status_code == (201 if version == 1 else 200)
    first = (await client.get("/Patient/a-1/_history/1")).json()
    assert first["name"] == [{"family": "a"}]
    history = (await client.get("/Patient/a-1/_history")).json()
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["3", "2", "1"]
    assert history["total"] == 3


async def test_if_match_guards_against_lost_updates(door: Door) -> None:
    """http.html#concurrency"""
    client = door.system("hospital-a")
    await client.put("/Patient/a-1", json=PATIENT | {"id": "a-1"})
    changed = PATIENT | {"id": "a-1", "gender": "female"}
    refused = await client.put("/Patient/a-1", json=changed, headers={"If-Match": 'W/"7"'})
    assert refused.status_code == 412
    accepted = await client.put("/Patient/a-1", json=changed, headers={"If-Match": 'W/"1"'})
    assert accepted.status_code == 200
    missing = await client.put("/Patient/a-2", json=changed | {"id": "a-2"}, headers={"If-Match": 'W/"1"'})
    assert missing.status_code == 404


async def test_if_match_of_any_version(door: Door) -> None:
    """RFC 9110 13.1.1: `*` changes what is there, whatever its version, and makes nothing"""
    client, any_version = door.system("hospital-a"), {"If-Match": "*"}
    label = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}
    patch: dict[str, Any] = {
        "content": b'[{"op":"add","path":"/gender","value":"male"}]',
        "headers": {"Content-Type": JSON_PATCH} | any_version,
    }
    sent = PATIENT | {"id": "a-1"}
    assert (await client.put("/Patient/a-1", json=sent, headers=any_version)).status_code == 404
    await client.put("/Patient/a-1", json=sent)
    answers = [
        await client.put("/Patient/a-1", json=sent | {"gender": "female"}, headers=any_version),
        await client.patch("/Patient/a-1", **patch),
        await client.post("/Patient/a-1/$meta-add", json=label, headers=any_version),
        await client.delete("/Patient/a-1", headers=any_version),
        await client.delete("/Patient/a-1", headers=any_version),
        await client.put("/Patient/a-1", json=sent, headers=any_version),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 204, 412, 412]
    assert (await client.get("/Patient/a-1/_history")).json()["total"] == 5


async def test_a_deleted_resource_is_gone_and_its_versions_stay(door: Door) -> None:
    """http.html#delete"""
    client = door.system("hospital-a")
    await client.put("/Patient/a-1", json=PATIENT | {"id": "a-1"})
    assert (await client.delete("/Patient/a-1")).status_code == 204
    assert (await client.get("/Patient/a-1")).status_code == 410
    assert (await client.get("/Patient/a-1/_history/1")).status_code == 200
    assert (await client.get("/Patient")).json()["total"] == 0
    again = await client.put("/Patient/a-1", json=PATIENT | {"id": "a-1"})
    assert again.status_code == 201
    assert again.headers["etag"] == 'W/"3"'


async def test_decimals_come_back_as_they_were_written(door: Door) -> None:
    """datatypes.html#decimal: the precision of a decimal has meaning"""
    client = door.system("hospital-a")
    sent = b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10}}'
    headers = {"Content-Type": "application/fhir+json"}
    assert (await client.put("/Observation/o", content=sent, headers=headers)).status_code == 201
    assert b'"value":1.10}' in (await client.get("/Observation/o")).content


async def test_without_a_token_there_is_no_data(door: Door) -> None:
    """Every route needs a caller, except metadata, health and token endpoints."""
    client = door.client()
    asked = ("GET", "/Patient/x"), ("GET", "/Patient"), ("POST", "/Patient"), ("POST", "/"), ("GET", "/nothing/at/all")
    for method, path in asked:
        assert (await client.request(method, path)).status_code == 401, path
    assert (await client.get("/metadata")).status_code == 200


async def test_an_absolute_reference_to_what_is_here_is_as_good_as_a_relative_one(door: Door) -> None:
    """references.html#literal: so the life that it belongs to has it, however it was written; a document stays what it was"""
    client, elsewhere = door.system("hospital-a"), "http://example.org/fhir/Patient/a-1"
    absolute = f"{door.base_url}/Patient/a-1"
    await client.put("/Patient/a-1", json=PATIENT | {"id": "a-1"})
    sent: dict[str, Any] = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": absolute}}
    made = (await client.post("/Basic", json=sent)).json()
    entries = [{"request": {"method": "POST", "url": "Basic"}, "resource": sent | {"author": {"reference": elsewhere}}}]
    await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    patch = [{"op": "add", "path": "/author", "value": {"reference": f"{absolute}/_history/1"}}]
    patched = await client.patch(f"/Basic/{made['id']}", content=json.dumps(patch), headers={"Content-Type": JSON_PATCH})
    assert patched.json()["author"] == {"reference": "Patient/a-1/_history/1"}
    found = (await client.get("/Basic?patient=Patient/a-1")).json()["entry"]
    assert [one["resource"]["subject"] for one in found] == [{"reference": "Patient/a-1"}] * 2
    assert {one["resource"].get("author", {})["reference"] for one in found} == {elsewhere, "Patient/a-1/_history/1"}
    document = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:uuid:" + 36 * "0", "resource": sent}],
    }
    assert (await client.post("/Bundle", json=document)).json()["entry"] == document["entry"]


async def test_a_summary_does_not_replace_the_whole(door: Door) -> None:
    """search.html#summary: the tag is there so that an incomplete resource does not overwrite a complete one; alone, by
    criteria, in a Bundle; nothing is lost where nothing else is there"""
    client = door.system("hospital-a")
    whole = PATIENT | {"id": "a-1", "identifier": [{"system": "urn:x", "value": "1"}], "photo": [{"title": "x"}]}
    assert (await client.put("/Patient/a-1", json=whole)).status_code == 201
    summary = (await client.get("/Patient/a-1?_summary=true")).json()
    assert "photo" not in summary
    request = {"method": "PUT", "url": "Patient/a-1"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": summary, "request": request}]}
    for refused, place in (
        (await client.put("/Patient/a-1", json=summary), "Patient.meta.tag"),
        (await client.put("/Patient?identifier=urn:x|1", json=summary), "Patient.meta.tag"),
        (await client.post("/", json=bundle), "Bundle.entry[0].resource.meta.tag"),
    ):
        assert (refused.status_code, refused.json()["issue"][0]["expression"]) == (422, [place])
    assert (await client.get("/Patient/a-1")).json()["photo"] == whole["photo"]
    copy = summary | {"id": "a-2"}
    assert [(await client.put("/Patient/a-2", json=copy | more)).status_code for more in ({}, {"active": True})] == [201, 200]
    label = {"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "y"}]}}
    labelled = await client.post("/Patient/a-2/$meta-add", json={"resourceType": "Parameters", "parameter": [label]})
    assert labelled.status_code == 200
    assert (await client.put("/Patient/a-2", json=PATIENT | {"id": "a-2"})).status_code == 200
