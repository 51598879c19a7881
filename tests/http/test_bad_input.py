"""Bad input gets a 4xx OperationOutcome, changes nothing, and hears nothing of what it sent (R4 http.html#Status-Codes)."""

import json
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fhir_server.r4.validation import validate
from tests.http.guarding import DIGITS, JSON, MARK, Guarded, guarded

__all__ = ["guarded"]  # a fixture

MB = 1024 * 1024


def patient(**elements: Any) -> bytes:
    return json.dumps({"resourceType": "Patient", "name": [{"text": MARK}]} | elements, ensure_ascii=False).encode()


def nested(depth: int) -> bytes:
    return b'{"resourceType":"Patient","extension":' + b'[{"extension":' * depth + b"[]" + b"}]" * depth + b"}"


def raw(text: str) -> bytes:
    return text.replace("MARK", MARK).encode()


BODIES: dict[str, bytes] = {
    "empty": b"",
    "not JSON": raw("MARK"),
    "cut off": raw('{"resourceType":"Patient","name":[{"text":"MARK"}'),
    "more after the end": patient() + raw('{"text":"MARK"}'),
    "an array": raw('["MARK"]'),
    "a string": raw('"MARK"'),
    "null": b"null",
    "the same key twice": raw('{"resourceType":"Patient","gender":"male","gender":"MARK"}'),
    "not UTF-8": b'{"resourceType":"Patient","name":[{"text":"\xff\xfe7731"}]}',
    "GB18030": '{"resourceType":"Patient","name":[{"text":"阿依古丽-7731"}]}'.encode("gb18030"),
    "UTF-16": patient().decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + patient(),
    "compressed without saying so": b"\x1f\x8b\x08" + os.urandom(64),
    "NUL, raw": raw('{"resourceType":"Patient","name":[{"text":"MARK\0"}]}'),
    "NUL, escaped": raw('{"resourceType":"Patient","name":[{"text":"MARK\\u0000"}]}'),
    "half a surrogate pair": raw('{"resourceType":"Patient","name":[{"text":"MARK\\ud800"}]}'),
    "NaN": raw('{"resourceType":"Patient","multipleBirthInteger":NaN}'),
    "a huge number": raw('{"resourceType":"Patient","extension":[{"url":"urn:x","valueDecimal":7731e400}]}'),
    "a number of 10,000 digits": b'{"resourceType":"Patient","multipleBirthInteger":' + b"7" * 10_000 + b"}",
    "an integer beyond 32 bits": patient(multipleBirthInteger=77_310_000_000),
    "1,000 levels": nested(1_000),
    "100,000 levels": nested(100_000),
    "100,000 arrays": b'{"resourceType":"Patient","name":' + b"[" * 100_000,
    "an unknown element": patient(nickname=MARK),
    "an element named like a person": json.dumps({"resourceType": "Patient", MARK: 1}).encode(),
    "a number for a code": patient(gender=7731),
    "a code that is none": patient(gender=MARK),
    "a string for a list": patient(name=MARK),
    "an object for a string": patient(birthDate={"text": MARK}),
    "a date that is none": patient(birthDate="7731-13-45"),
    "null for an element": patient(gender=None),
    "an empty object": patient(maritalStatus={}),
    "an empty list": patient(address=[]),
    "an empty string": patient(address=[{"city": ""}]),
    "meta that is no object": patient(meta=MARK),
    "meta with a wrong instant": patient(meta={"lastUpdated": MARK}),
    "no resourceType": raw('{"name":[{"text":"MARK"}]}'),
    "an unknown resourceType": raw('{"resourceType":"MARK"}'),
    "a list as resourceType": raw('{"resourceType":["MARK"]}'),
    "an object as resourceType": raw('{"resourceType":{"a":"MARK"}}'),
    "another resourceType": raw('{"resourceType":"Observation","status":"final","code":{"text":"MARK"}}'),
    "a contained resource without id": patient(contained=[{"resourceType": "Organization", "name": MARK}]),
    "a reference to nothing contained": patient(managingOrganization={"reference": f"#{MARK}"}),
    "two values of a choice": patient(deceasedBoolean=True, deceasedDateTime="2020"),
    "script in narrative": patient(text={"status": "generated", "div": f"<div><script>{MARK}</script></div>"}),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_bad_body_is_refused(guarded: Guarded, name: str) -> None:
    """json.html, http.html#create, #update: as a create, as an update, and as the resource of a transaction"""
    assert await guarded.refused("POST", "/Patient", BODIES[name], JSON) == 400
    assert await guarded.refused("PUT", "/Patient/a-1", BODIES[name], JSON) == 400
    entry = b'{"resource":%s,"request":{"method":"POST","url":"Patient"}}' % (BODIES[name] or b"null")
    good = b'{"resource":%s,"request":{"method":"POST","url":"Patient"}}' % patient()
    bundle = b'{"resourceType":"Bundle","type":"transaction","entry":[%s,%s]}' % (good, entry)
    assert await guarded.refused("POST", "", bundle, JSON) == 400


@pytest.mark.parametrize("chunked", [False, True])
async def test_fifty_megabytes_are_refused(guarded: Guarded, chunked: bool) -> None:
    """413, whether or not Content-Length says so"""

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * MB

    assert await guarded.refused("POST", "/Patient", stream() if chunked else b" " * (50 * MB), JSON) == 413


async def test_what_the_store_cannot_hold_is_refused(guarded: Guarded) -> None:
    """Within the limit of the body and valid, but more than one document holds: compression does not help"""
    large = b'{"resourceType":"Binary","contentType":"application/dicom","data":"%s"}' % b64encode(os.urandom(17 * MB))
    assert await guarded.refused("POST", "/Binary", large, JSON) == 413
    many = [{"system": "urn:x", "value": str(number)} for number in range(40_000)]
    assert await guarded.refused("POST", "/Patient", patient(identifier=many), JSON) == 413


HEADERS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "text/plain": ("POST", "/Patient", {"Content-Type": "text/plain"}, 415),
    "XML": ("POST", "/Patient", {"Content-Type": "application/fhir+xml"}, 415),
    "no content type": ("POST", "/Patient", {"Content-Type": ""}, 415),
    "no content type on a Bundle": ("POST", "", {"Content-Type": ""}, 415),
    "If-Match without quotes": ("PUT", "/Patient/a-1", JSON | {"If-Match": "7731"}, 400),
    "If-Match with a word": ("PUT", "/Patient/a-1", JSON | {"If-Match": 'W/"abc"'}, 400),
    "If-Match of another version": ("PUT", "/Patient/a-1", JSON | {"If-Match": 'W/"7731"'}, 412),
    "If-Match of a huge version": ("PUT", "/Patient/a-1", JSON | {"If-Match": f'W/"{"7" * 40}"'}, 400),
    "If-Match of nothing there": ("PUT", "/Patient/a-3", JSON | {"If-Match": 'W/"1"'}, 404),
    "If-Match on a delete": ("DELETE", "/Patient/a-1", {"If-Match": 'W/"7731"'}, 412),
    "If-None-Exist of unknown parameters": ("POST", "/Patient", JSON | {"If-None-Exist": "nothing=7731"}, 400),
    "If-None-Exist not percent-encoded": ("POST", "/Patient", JSON | {"If-None-Exist": "name=%ff7731"}, 400),
    "If-None-Exist without a value": ("POST", "/Patient", JSON | {"If-None-Exist": "identifier"}, 400),
    "If-None-Exist with many fields": ("POST", "/Patient", JSON | {"If-None-Exist": "name=a&" * 100}, 400),
    "If-None-Exist that matches several": ("POST", "/Patient", JSON | {"If-None-Exist": "identifier=urn:x%7Ctwice"}, 412),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_a_bad_header_is_refused(guarded: Guarded, name: str) -> None:
    """http.html#concurrency, #ccreate, #mime-type"""
    method, path, headers, status = HEADERS[name]
    content = patient(id=path.rpartition("/")[2]) if method == "PUT" else patient() if method == "POST" else None
    assert await guarded.refused(method, path, content, headers) == status


PATHS = [
    ("GET", "/", 400), ("GET", "/Nothing", 404), ("GET", "/patient/a-1", 404), ("GET", "/Patient/a_1", 404),
    ("GET", f"/Patient/{'a' * 65}", 404), ("GET", "/Patient/%00", 404), ("GET", "/Patient/%E9%98%BF-7731", 404),
    ("GET", "/Patient/a-1/_history/x", 404), ("GET", "/Patient/a-1/_history/0", 404), ("GET", "/Patient/a-1/_history/-1", 404),
    ("GET", "/Patient/a-1/_history/7731", 404), ("GET", f"/Patient/a-1/_history/{'9' * 400}", 404),
    ("GET", "/Patient/a-1/_history?_sort=_lastUpdated", 400), ("GET", "/Patient/a-1?name=7731", 400),
    ("GET", "/Patient/a-1/_history/1?_since=7731", 400),
    ("GET", "/Patient/a-1/$nothing", 404), ("GET", "/Patient/a-1/x/y/z", 404),
    ("GET", "/Patient/a-1/$everything?start=7731x", 400), ("GET", "/Patient/_history?_at=sa2020", 400),
    ("GET", "/Patient/a-1/$everything?_type=Nothing", 400), ("GET", "/Patient/a-1/$everything?_count=-1", 400),
    ("GET", "/Patient/a-1/$everything?_since=2020&_since=2021", 400), ("GET", "/Patient/a-1/$everything?_page=7731", 400),
    ("GET", "/Encounter/a-1/$everything?start=2020", 400), ("GET", "/Patient/a-1/$everything?name=7731", 400),
    ("GET", "/_history?_since=7731x", 400), ("GET", "/Patient/a-1/_history?_at=7731x", 400),
    ("GET", "/Patient/a-1/_history?_at=2020&_at=2021", 400), ("GET", "/Patient/a-1/_history?_list=7731", 400),
    ("GET", "/Patient/_history?_count=0", 400), ("GET", "/Nothing/_history", 404), ("GET", "/_history?_page=7731", 400),
    ("PATCH", "/Patient/a-1", 415), ("PATCH", "/Patient", 412),
    ("DELETE", "/Patient", 412), ("PUT", "/Patient", 412), ("POST", "/Patient/a-1", 405),
    ("OPTIONS", "/Patient", 405), ("TRACE", "/Patient/a-1", 405), ("DELETE", "/Patient?nothing=7731", 400),
    ("DELETE", "/Patient?identifier=7731&_sort=name", 400), ("DELETE", "/Patient?name:nothing=7731", 400),
    ("DELETE", "/Patient/a-1?name=7731", 400), ("DELETE", "/Patient/a_1", 404), ("POST", "/$nothing", 404),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), PATHS, ids=[f"{method}{path[:40]}" for method, path, _ in PATHS])
async def test_a_bad_path_is_refused(guarded: Guarded, method: str, path: str, status: int) -> None:
    """http.html#summary"""
    assert await guarded.refused(method, path) == status


QUERIES = [
    "Patient?nothing=7731", "Patient?name:nothing=7731", "Patient?name=", "Patient?=7731", "Patient?name=%ff7731",
    "Patient?_id=",
    "Patient?birthdate=7731-99", "Patient?birthdate=zz2000", "Patient?birthdate=gt", "Patient?_lastUpdated=7731x",
    "Patient?_count=-1", "Patient?_count=7731x", "Patient?_count=1&_count=2", "Patient?_sort=nothing", "Patient?_sort=阿7731",
    "Patient?_sort=", "Patient?_total=7731",
    "Patient?_summary=7731", "Patient?_elements=7731", "Patient?_include=7731",
    "Patient?_include=Patient:x",
    "Patient?_revinclude=Observation:code", "Patient?_revinclude=7731:subject", "Patient?_include:iterate=7731:organization",
    "Patient?identifier=a|b|7731", "Patient?identifier=|", "Patient?gender:in=7731", "Patient?gender:missing=7731",
    "Patient?organization.shoe=7731", "Patient?_has:Observation:encounter:code=7731",
    "Patient?general-practitioner=Patient/7731",
    "Patient?general-practitioner=%20", "Observation?value-quantity=x7731", "Observation?value-quantity=1e9999",
    "Observation?value-quantity=1|2|3|7731", "Observation?date=2020-02-30", "Observation?date=2020,7731x", "Patient?_page=7731",
    "Patient?_page=", "Patient?_page=%00", "Patient?_page=" + "A" * 20_000, "Patient?name=a&_page=7731", "Patient?_format=xml",
    "Patient?" + "name=a&" * 300, "Patient?name=" + ",".join(["a"] * 1_000), "Patient?" + "&".join(["name=a"] * 100),
    "Patient?_id:nothing=7731", "Patient?_filter=7731", "Patient?_query=7731",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=[query[:60] for query in QUERIES])
async def test_a_bad_search_is_refused(guarded: Guarded, query: str) -> None:
    """search.html#errors: by GET, by POST, and inside a batch only that entry"""
    status = await guarded.refused("GET", f"/{query}")
    assert status in (400, 406)
    kind, _, form = query.partition("?")
    if "_format" not in query:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert await guarded.refused("POST", f"/{kind}/_search", form.encode(), headers) in (400, 413)
        batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": query}}]}
        answer = (await guarded.client.post("", json=batch)).json()["entry"][0]["response"]
        assert answer["status"] == "400"
        validate(answer["outcome"])
        assert DIGITS not in json.dumps(answer)


FORMS: dict[str, tuple[bytes, str, int]] = {
    "JSON": (b'{"name":"7731"}', "application/json", 415),
    "multipart": (b"7731", "multipart/form-data; boundary=x", 415),
    "not UTF-8": (b"name=\xff7731", "application/x-www-form-urlencoded", 400),
    "too large": (b"name=" + b"7731" * 20_000, "application/x-www-form-urlencoded", 413),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_bad_form_is_refused(guarded: Guarded, name: str) -> None:
    """search.html#get-post"""
    content, kind, status = FORMS[name]
    assert await guarded.refused("POST", "/Patient/_search", content, {"Content-Type": kind}) == status


async def test_a_page_link_is_good_only_for_its_caller(guarded: Guarded) -> None:
    """DESIGN 4: every page is gated anew; a link that was given to somebody else, or changed, is refused"""
    page = (await guarded.client.get("/Patient?_count=1")).json()
    path = page["link"][1]["url"].removeprefix(guarded.door.base_url)
    assert (await guarded.client.get(path)).status_code == 200
    others = [guarded.door.system("hospital-b"), guarded.door.doctor("dr-1", "hospital-a"), guarded.door.patient("a-1")]
    for other in others:
        assert await replace(guarded, client=other).refused("GET", path) == 400
    for forged in (path[:-3], path[:-3] + "AAA", path.replace("_page=", "_page=A")):
        assert await guarded.refused("GET", forged) == 400


OPERATIONS: dict[str, tuple[str, bytes, int]] = {
    "no reason": ("$break-glass", b'{"resourceType":"Parameters"}', 400),
    "an empty reason": ("$break-glass", b'{"resourceType":"Parameters","parameter":[{"name":"reason","valueString":""}]}', 400),
    "parameters that are no list": ("$break-glass", raw('{"resourceType":"Parameters","parameter":"MARK"}'), 400),
    "parameters that are no objects": ("$break-glass", raw('{"resourceType":"Parameters","parameter":["MARK",7731]}'), 400),
    "a reason that is a number": (
        "$break-glass",
        b'{"resourceType":"Parameters","parameter":[{"name":"reason","valueString":7731}]}',
        400,
    ),
    "not JSON": ("$break-glass", b"7731", 400),
    "too large": ("$break-glass", b" " * 100_000, 413),
    "link to nothing": ("$link", raw('{"resourceType":"Parameters","parameter":[{"name":"other","valueString":"MARK"}]}'), 400),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_bad_operation_is_refused(guarded: Guarded, name: str) -> None:
    """operations.html"""
    operation, content, status = OPERATIONS[name]
    client = guarded.door.doctor("dr-1", "hospital-a") if operation == "$break-glass" else guarded.door.admin()
    assert await replace(guarded, client=client).refused("POST", f"/Patient/a-1/{operation}", content, JSON) == status
