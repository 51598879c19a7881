"""$meta, $meta-add, $meta-delete (R4 resource-operation-meta.html): labels are in force at once, the custodian sets them."""

import asyncio
from typing import Any

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.consent.build import CONFIDENTIALITY
from tests.gate.building import found, keep, observation, patient, status
from tests.serving import Door

Resource = dict[str, Any]
RESTRICTED = {"security": [{"system": CONFIDENTIALITY, "code": "R"}]}
TAG = {"system": "urn:tags", "code": "checked"}


def given(meta: Resource) -> Resource:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


async def meta_of(client: Any, method: str, path: str, meta: Resource | None = None) -> Resource:
    answer = await client.request(method, path, json=given(meta) if meta else None)
    assert answer.status_code == 200, answer.text
    parameters = read(answer.content)
    validate(parameters)
    return dict(next((one["valueMeta"] for one in parameters.get("parameter", ())), {}))


async def test_what_is_added_is_a_set_and_what_is_deleted_need_not_be_there(door: Door) -> None:
    """Identity of a tag or label is system and code, of a profile its url; everything else of the resource stays"""
    client = door.system("hospital-a")
    await keep(client, observation("o", None, valueQuantity={"value": 1.5}))
    meta = {"tag": [TAG | {"display": "checked"}], "profile": ["urn:p"], "versionId": "77"}
    for _ in range(2):
        added = await meta_of(client, "POST", "/Observation/o/$meta-add", meta)
        assert (added["tag"], added["profile"], added["versionId"]) == (meta["tag"], ["urn:p"], "2")
    assert await meta_of(client, "GET", "/Observation/o/$meta") == added
    assert (await client.get("/Observation/o")).json()["meta"] == added
    assert await found(client, "/Observation?_tag=urn:tags|checked") == {"Observation/o"}
    for _ in range(2):
        left = await meta_of(
            client, "POST", "/Observation/o/$meta-delete", {"tag": [TAG, {"system": "urn:tags", "code": "no"}]}
        )
        assert ("tag" in left, left["profile"], left["versionId"]) == (False, ["urn:p"], "3")
    stored = (await client.get("/Observation/o")).json()
    assert (stored["valueQuantity"], stored["status"]) == ({"value": 1.5}, "final")
    history = (await client.get("/Observation/o/_history")).json()
    assert [one["resource"]["meta"].get("tag") for one in history["entry"]] == [None, meta["tag"], None]


async def test_if_match_guards_labels_as_well(door: Door) -> None:
    """http.html#concurrency, RFC 9110 13.1.1: what was meant for another version is not done"""
    client = door.system("hospital-a")
    await keep(client, observation("o", None))
    for operation, tag, expected in (("meta-add", 'W/"7"', 412), ("meta-add", 'W/"1"', 200), ("meta-delete", 'W/"1"', 412)):
        path = f"/Observation/o/${operation}"
        assert (await client.post(path, json=given({"tag": [TAG]}), headers={"If-Match": tag})).status_code == expected
    asked = {"method": "POST", "url": "Observation/o/$meta-delete", "ifMatch": 'W/"1"'}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": given({"tag": [TAG]}), "request": asked}]}
    assert (await client.post("", json=batch)).json()["entry"][0]["response"]["status"] == "412"
    assert (await client.get("/Observation/o")).json()["meta"]["tag"] == [TAG]


async def test_a_label_closes_and_opens_the_record_with_the_next_request(door: Door) -> None:
    """DESIGN 4: the gate decides on the labels there are now, also about earlier versions"""
    keeper, doctor = door.system("hospital-a"), door.doctor("li", "hospital-b")
    await keep(keeper, patient("p"), observation("o", "p"))
    paths = ("/Observation/o", "/Observation/o/_history/1", "/Observation/o/$meta")
    assert [await status(doctor, path) for path in paths] == [200, 200, 200]
    await meta_of(keeper, "POST", "/Observation/o/$meta-add", RESTRICTED)
    assert [await status(doctor, path) for path in paths] == [404, 404, 404]
    assert await found(doctor, "/Observation?patient=p") == set()
    assert (await doctor.post("/Observation/o/$meta-delete", json=given(RESTRICTED))).status_code == 404
    await meta_of(keeper, "POST", "/Observation/o/$meta-delete", RESTRICTED)
    assert [await status(doctor, path) for path in paths] == [200, 200, 200]


async def test_only_the_custodian_labels_a_record(door: Door) -> None:
    keeper = door.system("hospital-a")
    await keep(keeper, patient("p"), observation("o", "p"))
    reader = door.client("system", organization="hospital-a", scope="system/*.rs")
    for client in (door.doctor("li", "hospital-b"), door.system("hospital-b"), door.patient("p"), reader):
        for name in ("meta-add", "meta-delete"):
            answer = await client.post(f"/Observation/o/${name}", json=given(RESTRICTED))
            assert answer.status_code in (403, 404), answer.text
    assert "security" not in (await keeper.get("/Observation/o")).json()["meta"]
    assert (await keeper.get("/Observation/o")).headers["etag"] == 'W/"1"'


async def test_labels_that_many_add_at_once_are_all_there(door: Door) -> None:
    """No label is lost: a version that came between is read again"""
    client = door.system("hospital-a")
    await keep(client, observation("o", None))
    tags = [{"tag": [{"system": "urn:tags", "code": str(number)}]} for number in range(4)]
    await asyncio.gather(*(meta_of(client, "POST", "/Observation/o/$meta-add", tag) for tag in tags))
    codes = {one["code"] for one in (await meta_of(client, "GET", "/Observation/o/$meta"))["tag"]}
    assert codes == {"0", "1", "2", "3"}


async def test_what_is_no_meta_is_refused(door: Door) -> None:
    client = door.system("hospital-a")
    await keep(client, observation("o", None))
    for wrong in ({"tag": "x"}, {"tag": [{"code": 1}]}, {"nothing": 1}):
        assert (await client.post("/Observation/o/$meta-add", json=given(wrong))).status_code == 400
    empty = {"resourceType": "Parameters"}
    assert (await client.post("/Observation/o/$meta-add", json=empty)).status_code == 400
    await client.delete("/Observation/o")
    assert (await client.post("/Observation/o/$meta-add", json=given(RESTRICTED))).status_code == 410
    assert (await client.get("/Observation/o/$meta")).status_code == 410


async def test_what_is_in_use_is_what_may_be_seen(door: Door) -> None:
    """resource-operation-meta.html: at the levels of a type and of the system, without version and time"""
    a, doctor = door.system("hospital-a"), door.doctor("li", "hospital-b")
    secret = {"security": RESTRICTED["security"], "tag": [TAG | {"code": "secret"}]}
    await keep(a, patient("p", meta={"profile": ["urn:of-people"]}))
    await keep(a, observation("o", "p", meta={"tag": [TAG | {"display": "checked"}]}), observation("r", "p", meta=secret))
    for path in ("/Observation/$meta", "/$meta"):
        of_all = {"profile": ["urn:of-people"]} if path == "/$meta" else {}
        assert await meta_of(doctor, "GET", path) == {**of_all, "tag": [TAG]}
        assert (await meta_of(a, "GET", path))["tag"] == [TAG, TAG | {"code": "secret"}]
    assert await meta_of(doctor, "GET", "/Condition/$meta") == {}
    assert (await doctor.get("/Nothing/$meta")).status_code == 404
    assert (await door.client("system", organization="a", scope="system/Patient.rs").get("/Condition/$meta")).status_code == 403
