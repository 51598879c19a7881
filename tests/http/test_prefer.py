"""Prefer (R4 http.html#ops, RFC 7240): what a write answers with; and what stands in requests and entries besides."""

from typing import Any

import httpx
import pytest

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.http.test_batch import basic, bundle, entry, run, statuses
from tests.http.test_conditional import FHIRPATH_PATCH, JSON_PATCH, REPLACED
from tests.serving import Door

Resource = dict[str, Any]

# How it is said, and what is then returned.
PREFERENCES = {
    "": "representation",
    "return=minimal": "minimal",
    "return=representation": "representation",
    "return=OperationOutcome": "OperationOutcome",
    "Return = Minimal": "minimal",
    'return="minimal"': "minimal",
    "respond-async, return=minimal; foo=bar": "minimal",
    "handling=lenient,return=OperationOutcome": "OperationOutcome",
    "return=minimal, return=representation": "minimal",
    "return=nothing": "representation",
    "xreturn=minimal": "representation",
}


def told(answer: httpx.Response) -> str:
    if not answer.content:
        return "minimal"
    resource = read(answer.content)
    validate(resource)
    return "OperationOutcome" if resource["resourceType"] == "OperationOutcome" else "representation"


@pytest.mark.parametrize("prefer", PREFERENCES)
async def test_what_a_write_returns(door: Door, prefer: str) -> None:
    """http.html#ops: of create, update, patch; headers are the same whatever is returned"""
    client, prefers = door.system("hospital-a"), {"Prefer": prefer}
    answers = [
        await client.post("/Basic", json=basic(), headers=prefers),
        await client.put("/Basic/b", json=basic("b"), headers=prefers),
        await client.put("/Basic/b", json=basic("b", text="y"), headers=prefers),
        await client.patch("/Basic/b", json=REPLACED, headers=JSON_PATCH | prefers),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200]
    assert [answer.headers["etag"] for answer in answers] == ['W/"1"', 'W/"1"', 'W/"2"', 'W/"3"']
    assert all(answer.headers["location"].startswith(f"{door.base_url}/Basic/") for answer in answers)
    assert {told(answer) for answer in answers} == {PREFERENCES[prefer]}


@pytest.mark.parametrize(("prefer", "status"), [("return=representation", 204), ("return=OperationOutcome", 200)])
async def test_what_a_delete_returns(door: Door, prefer: str, status: int) -> None:
    """http.html#delete: 204, or 200 with an OperationOutcome; again where it is gone"""
    client, prefers = door.system("hospital-a"), {"Prefer": prefer}
    await client.put("/Basic/b", json=basic("b"))
    answers = [await client.delete(path, headers=prefers) for path in ("/Basic/b", "/Basic/b", "/Basic?_id=b")]
    assert [answer.status_code for answer in answers] == [status] * 3
    assert {told(answer) for answer in answers} == {"minimal" if status == 204 else "OperationOutcome"}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("wanted", ["minimal", "representation", "OperationOutcome", ""])
async def test_what_entries_return(door: Door, wanted: str, kind: str) -> None:
    """http.html#transaction-response: for each entry that writes; minimal where nothing is said"""
    entries = entry("PUT", "Basic/b", basic("b")), entry("DELETE", "Basic/c"), entry("GET", "Basic?_summary=count")
    answers = await run(door, kind, *entries, prefer=f"return={wanted}" if wanted else "")
    assert statuses(answers) == ["201", "200" if wanted == "OperationOutcome" else "204", "200"]
    assert ["resource" in answer for answer in answers] == [wanted == "representation", False, True]
    outcomes = ["outcome" in answer["response"] for answer in answers]
    assert outcomes == [wanted == "OperationOutcome", wanted == "OperationOutcome", False]


async def test_the_first_of_several_prefer_headers_counts(door: Door) -> None:
    """RFC 7240 2: as if they were one"""
    headers = [("Prefer", "respond-async"), ("Prefer", "return=minimal"), ("Prefer", "return=representation")]
    answer = await door.system("hospital-a").put("/Basic/b", json=basic("b"), headers=headers)
    assert (answer.status_code, answer.content) == (201, b"")


async def test_head_is_get_without_a_body(door: Door) -> None:
    """http.html#head: same headers, on what is there, what is not, searches and the CapabilityStatement"""
    client = door.system("hospital-a")
    await client.put("/Basic/b", json=basic("b"))
    for path in ("/Basic/b", "/Basic/none", "/Basic?_id=b", "/Basic?nothing=1", "/metadata", "/Basic/b/_history"):
        get, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        for name in ("content-type", "content-length", "etag", "last-modified"):
            assert head.headers.get(name) == get.headers.get(name), (path, name)


@pytest.mark.parametrize("path", ["", "/"])
async def test_a_bundle_goes_to_the_base_with_or_without_a_slash(door: Door, path: str) -> None:
    """http.html#transaction: clients write the base URL in both ways"""
    url = f"{door.base_url}{path}"
    answer = await door.system("hospital-a").post(url, json=bundle("batch", entry("GET", "Basic")))
    assert (answer.status_code, answer.history) == (200, [])


async def test_put_with_if_none_match_makes_and_never_changes(door: Door) -> None:
    """RFC 9110 13.1.2: `*`; what is there stays, and who sent something else is told so; a deleted one is made again"""
    client, only = door.system("hospital-a"), {"If-None-Match": "*"}
    answers = [await client.put("/Basic/b", json=basic("b", text=text), headers=only) for text in ("first", "second")]
    assert [answer.status_code for answer in answers] == [201, 412]
    assert (await client.get("/Basic/b")).content == answers[0].content
    await client.delete("/Basic/b")
    assert (await client.put("/Basic/b", json=basic("b"), headers=only)).status_code == 201


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_preconditions_of_entries(door: Door, kind: str) -> None:
    """http.html#transaction: ifMatch of DELETE and PATCH, ifNoneMatch of PUT; a batch tells each entry's own status"""
    await run(door, "transaction", *(entry("PUT", f"Basic/{known}", basic(known)) for known in ("b", "c", "d")))
    stale = [
        entry("DELETE", "Basic/b", ifMatch='W/"7"'),
        entry("PATCH", "Basic/c", FHIRPATH_PATCH, ifMatch='W/"7"'),
        entry("DELETE", "Basic/none", ifMatch='W/"1"'),
    ]
    if kind == "batch":
        assert statuses(await run(door, kind, *stale)) == ["412", "412", "404"]
    else:
        refused = [await door.system("hospital-a").post("", json=bundle(kind, one)) for one in stale]
        assert [answer.status_code for answer in refused] == [412, 412, 404]
    fresh = [
        entry("DELETE", "Basic/b", ifMatch='W/"1"'),
        entry("PATCH", "Basic/c", FHIRPATH_PATCH, ifMatch='W/"1"'),
        entry("PUT", "Basic/d", basic("d", text="never"), ifNoneMatch="*"),
        entry("PUT", "Basic/e", basic("e"), ifNoneMatch="*"),
    ]
    answers = await run(door, kind, *fresh, prefer="return=representation")
    assert statuses(answers) == ["204", "200", "200", "201"]
    assert [answer["resource"]["code"]["text"] for answer in answers[1:]] == ["patched", "x", "x"]


async def test_each_entry_of_a_batch_keeps_its_status(door: Door) -> None:
    """http.html#transaction-response: as if it had been sent alone"""
    await door.system("hospital-b").put("/Basic/theirs", json=basic("theirs"))
    await run(door, "transaction", *(entry("PUT", f"Basic/{known}", basic(known, identifier="1")) for known in ("b", "c")))
    await run(door, "transaction", entry("DELETE", "Basic/b"), entry("PUT", "Basic/d", basic("d", identifier="1")))
    invalid: Resource = {"resourceType": "Basic", "id": "x"}
    cases = {
        "200": entry("PUT", "Basic/c", basic("c", identifier="1")),
        "201": entry("PUT", "Basic/new", basic("new")),
        "204": entry("DELETE", "Basic?identifier=urn:x|none"),
        "400": entry("PUT", "Basic/x", invalid),
        "403": entry("PUT", "Basic/theirs", basic("theirs", text="mine")),
        "404": entry("GET", "Basic/none"),
        "410": entry("GET", "Basic/b"),
        "412": entry("PUT", "Basic?identifier=urn:x|1", basic(text="new")),
        "422": entry("PATCH", "Basic/d", {**FHIRPATH_PATCH, "parameter": [deleting("Basic.code")]}),
    }
    answers = await run(door, "batch", *cases.values())
    assert statuses(answers) == list(cases)
    assert ["outcome" in answer["response"] for answer in answers] == [int(status) >= 400 for status in cases]


def deleting(path: str) -> Resource:
    parts = [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": path}]
    return {"name": "operation", "part": parts}


@pytest.mark.parametrize("empty", ["code=", "code:text=", "author.name=", "_count=", "_sort=", "unheard-of="])
async def test_an_empty_parameter_is_ignored_where_that_is_preferred(door: Door, empty: str) -> None:
    """search.html#errors: "Empty parameters are not an error - they are just ignored"; never in criteria of writes"""
    client, lenient = door.system("hospital-a"), {"Prefer": "handling=lenient"}
    await client.put("/Basic/b", json=basic("b"))
    found = (await client.get(f"/Basic?{empty}&_id=b", headers=lenient)).json()
    assert [one["search"]["mode"] for one in found["entry"]] == ["match", "outcome"]
    assert found["link"][0]["url"] == f"{door.base_url}/Basic?_id=b"
    assert (await client.get(f"/Basic?{empty}&_id=b")).status_code == 400
    assert (await client.delete(f"/Basic?{empty}&_id=b", headers=lenient)).status_code == 400
