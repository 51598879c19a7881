"""Binary by its content (R4 binary.html, Serving Binary Resources using the RESTful API)."""

from base64 import b64encode
from typing import Any

import pytest

from tests.serving import Door

PDF = bytes(range(256)) * 20
FHIR = {"Accept": "application/fhir+json"}
OF_A = {"Content-Type": "application/pdf", "X-Security-Context": "Patient/a"}


@pytest.fixture
async def stored(door: Door) -> Door:
    """A Patient, and a document of theirs that their hospital sent as it is."""
    hospital = door.system("hospital-a")
    assert (await hospital.put("/Patient/a", json={"resourceType": "Patient", "id": "a"})).status_code == 201
    assert (await hospital.put("/Binary/b", content=PDF, headers=OF_A)).status_code == 201
    return door


async def test_what_is_sent_is_what_is_read(stored: Door) -> None:
    """And as FHIR where that is asked for; a change is a version"""
    hospital = stored.system("hospital-a")
    for accept in (
        {},
        {"Accept": "*/*"},
        {"Accept": "application/pdf"},
        {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
    ):
        answer = await hospital.get("/Binary/b", headers=accept)
        assert (answer.content, answer.headers["content-type"]) == (PDF, "application/pdf")
        assert (answer.headers["x-security-context"], answer.headers["etag"]) == ("Patient/a", 'W/"1"')
        assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = (await hospital.get("/Binary/b", headers=FHIR)).json()
    assert made["data"] == b64encode(PDF).decode() and made["securityContext"] == {"reference": "Patient/a"}
    assert (await hospital.put("/Binary/b", content=b"new", headers=OF_A | {"If-Match": 'W/"1"'})).status_code == 200
    assert (await hospital.get("/Binary/b")).content == b"new"
    assert (await hospital.get("/Binary/b/_history/1")).content == PDF
    assert (await hospital.get("/Binary/b", headers={"If-None-Match": 'W/"2"'})).status_code == 304
    head = await hospital.head("/Binary/b")
    assert (head.headers["content-type"], head.headers["content-length"], head.content) == ("application/pdf", "3", b"")


@pytest.mark.parametrize("query", ["_format=json", "_pretty=true", "_summary=false"])
async def test_how_fhir_is_to_look_is_asked_of_fhir(stored: Door, query: str) -> None:
    assert (await stored.system("hospital-a").get(f"/Binary/b?{query}")).json()["resourceType"] == "Binary"


async def test_in_bundles_it_is_fhir(stored: Door) -> None:
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Binary/b"}}]}
    answer = (await stored.system("hospital-a").post("/", json=batch)).json()
    assert answer["entry"][0]["resource"]["contentType"] == "application/pdf"


async def test_a_new_one_is_found_where_it_was_made(door: Door) -> None:
    hospital = door.system("hospital-a")
    kind = "text/plain; charset=utf-8"
    answer = await hospital.post("/Binary", content="你好".encode(), headers={"Content-Type": kind})
    assert answer.status_code == 201 and answer.json()["contentType"] == kind
    read = await hospital.get(f"/Binary/{answer.json()['id']}")
    assert (read.text, read.headers["content-type"]) == ("你好", kind)


async def test_it_is_treated_like_whom_it_is_about(stored: Door) -> None:
    """The gate decides on the content as on the resource: who sees no record of the patient gets neither"""
    other = stored.client("patient", patient="somebody")
    for accept in ({}, FHIR):
        assert (await other.get("/Binary/b", headers=accept)).status_code == 404
        assert (await stored.client("patient", patient="a").get("/Binary/b", headers=accept)).status_code == 200
        assert (await stored.client().get("/Binary/b", headers=accept)).status_code == 401
    without = {"Content-Type": "application/pdf"}
    assert (await stored.system("hospital-a").put("/Binary/c", content=PDF, headers=without)).status_code == 201
    assert (await stored.client("patient", patient="a").get("/Binary/c")).status_code == 404, "nobody knows whose it is"


async def test_a_stored_page_does_not_run_as_ours(door: Door) -> None:
    hospital = door.system("hospital-a")
    page = b"<script>alert(1)</script>"
    assert (await hospital.put("/Binary/p", content=page, headers={"Content-Type": "text/html"})).status_code == 201
    headers = (await hospital.get("/Binary/p")).headers
    assert headers["content-disposition"] == "attachment" and headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    odd = {"resourceType": "Binary", "id": "o", "contentType": "text/html\nSet-Cookie: a=b", "data": "QQ=="}
    if (await hospital.put("/Binary/o", json=odd)).status_code == 201:
        answer = await hospital.get("/Binary/o")
        assert answer.headers["content-type"] == "application/octet-stream" and "set-cookie" not in answer.headers


@pytest.mark.parametrize("kind", ["", "nonsense", "application/fhir+xml", "text/plain\u00e4"])
async def test_what_says_not_what_it_is_or_is_fhir_that_we_do_not_read_is_refused(door: Door, kind: str) -> None:
    headers = {b"Content-Type": kind.encode("latin-1")} if kind else {}
    answer = await door.system("hospital-a").request("POST", "/Binary", content=b"<Binary/>", headers=headers)
    assert answer.status_code == 415 and answer.json()["resourceType"] == "OperationOutcome"


async def test_a_json_body_is_the_resource(door: Door) -> None:
    """A Patient sent to the wrong place is an error, and no file"""
    answer = await door.system("hospital-a").post("/Binary", json={"resourceType": "Patient"})
    assert answer.status_code == 400
