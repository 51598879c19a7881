"""How answers are presented, to whom: formats, conditional reads, compression, browsers of other origins (R4 http.html)."""

import pytest

from tests.serving import Door

WEIGHT = (
    b'{"resourceType":"Observation","id":"a-1","status":"final","code":{"text":"\xe4\xbd\x93\xe9\x87\x8d"},'
    b'"subject":{"reference":"Patient/a-2"},"valueQuantity":{"value":61.50,"unit":"kg"}}'
)
JSON = {"Content-Type": "application/fhir+json"}
PAGE = {"Origin": "https://app.example"}


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("", "application/fhir+json", 200),
        ("", "application/json;q=0.9, application/fhir+xml", 200),
        ("", "*/*", 200),
        ("", "application/fhir+xml", 406),
        ("", "text/turtle", 406),
        ("?_format=json", "application/fhir+xml", 200),
        ("?_format=application/fhir+json", "application/fhir+xml", 200),
        ("?_format=application/fhir%2Bjson", "text/html", 200),
        ("?_format=xml", "application/fhir+json", 406),
        ("", "application/fhir+json; fhirVersion=4.0", 200),
        ("", "application/fhir+json; fhirVersion=5.0", 406),
        ("", "application/fhir+json; fhirVersion=3.0, application/fhir+json;fhirVersion=4.0", 200),
    ],
)
async def test_json_or_not_at_all(door: Door, query: str, accept: str, status: int) -> None:
    """http.html#mime-type, #version-parameter: `_format` wins over Accept; 406 for what is not offered, also for strangers"""
    for client, place in ((door.system("hospital-a"), "Observation"), (door.client(), "metadata")):
        answer = await client.get(f"/{place}{query}", headers={"Accept": accept})
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/fhir+json")


async def test_what_is_sent_as_another_fhir_is_refused(door: Door) -> None:
    """http.html#version-parameter: a resource of another version must not be taken for one of R4"""
    client = door.system("hospital-a")
    for version, status in (("4.0", 201), ("4.0.1", 200), ("3.0", 415), ("5.0", 415)):
        sent = {"Content-Type": f"application/fhir+json; fhirVersion={version}"}
        assert (await client.put("/Observation/a-1", content=WEIGHT, headers=sent)).status_code == status


async def test_pretty_is_for_people_and_changes_no_number(door: Door) -> None:
    """http.html#parameters: _pretty; also where the search is posted"""
    client = door.system("hospital-a")
    await client.put("/Observation/a-1", content=WEIGHT, headers=JSON)
    answer = await client.get("/Observation/a-1?_pretty=true")
    assert '\n  "valueQuantity": {\n    "value": 61.50,' in answer.text
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.json() == (await client.get("/Observation/a-1")).json()
    posted = await client.post("/Observation/_search?_pretty=true", data={"_format": "json", "status": "final"})
    assert posted.json()["total"] == 1
    assert "\n" in posted.text


async def test_who_has_the_version_is_not_sent_it_again(door: Door) -> None:
    """http.html#cread"""
    client = door.system("hospital-a")
    made = await client.put("/Observation/a-1", content=WEIGHT, headers=JSON)
    modified = made.headers["last-modified"]
    for known in ({"If-None-Match": 'W/"1"'}, {"If-None-Match": '"7", "1"'}, {"If-Modified-Since": modified}):
        answer = await client.get("/Observation/a-1", headers=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", 'W/"1"')
    older = "Mon, 01 Jan 2001 00:00:00 GMT"
    for other in ({"If-None-Match": 'W/"2"', "If-Modified-Since": modified}, {"If-Modified-Since": older},
                  {"If-Modified-Since": "yesterday"}):  # fmt: skip
        assert (await client.get("/Observation/a-1", headers=other)).status_code == 200


async def test_who_may_not_see_it_learns_nothing_by_a_conditional_read(door: Door) -> None:
    await door.system("hospital-a").put("/Observation/a-1", content=WEIGHT, headers=JSON)
    answer = await door.patient("somebody-else").get("/Observation/a-1", headers={"If-None-Match": 'W/"1"'})
    assert answer.status_code == 404


async def test_head_is_a_read_without_its_body(door: Door) -> None:
    """http.html#read: HEAD"""
    client = door.system("hospital-a")
    await client.put("/Observation/a-1", content=WEIGHT, headers=JSON)
    answer = await client.head("/Observation/a-1")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, b"", 'W/"1"')


async def test_large_answers_come_compressed_to_who_takes_them(door: Door) -> None:
    """RFC 9110 8.4"""
    client = door.client()
    packed = await client.get("/metadata", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/metadata", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


@pytest.mark.parametrize("origin", [{}, PAGE])
async def test_who_refuses_compression_gets_none(door: Door, origin: dict[str, str]) -> None:
    """RFC 9110 12.5.3: a weight of 0 says that the coding is not acceptable"""
    client = door.client()
    said = {"gzip;q=0": False, "br, gzip; Q=0.000 , deflate": False, "gzip;q=0.001": True, "*, gzip;q=1": True}
    for accepted, packed in said.items():
        answer = await client.get("/metadata", headers={"Accept-Encoding": accepted} | origin)
        assert (answer.headers.get("content-encoding") == "gzip") is packed


async def test_a_page_of_another_origin_sees_versions_and_locations(door: Door) -> None:
    """Fetch standard, CORS protocol: SMART apps run in browsers; without a token a page gets nothing"""
    client = door.system("hospital-a")
    asked = {**PAGE, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
    preflight = await door.client().options("/Observation/a-1", headers=asked)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    made = await client.put("/Observation/a-1", content=WEIGHT, headers=JSON | PAGE)
    assert made.headers["access-control-allow-origin"] == "*"
    assert {"ETag", "Location"} <= set(made.headers["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in made.headers
    assert (await door.client().get("/Observation/a-1", headers=PAGE)).status_code == 401


ALLOWED = {
    "/Patient/a-1": ("POST", "DELETE, GET, HEAD, PATCH, PUT"),
    "/Patient/a-1/_history/1": ("DELETE", "GET, HEAD"),
    "/Patient/_history": ("POST", "GET, HEAD"),
    "/Patient": ("OPTIONS", "DELETE, GET, HEAD, PATCH, POST, PUT"),
    "/Patient/$validate": ("GET", "POST"),
    "": ("DELETE", "GET, HEAD, POST"),
}


@pytest.mark.parametrize("path", ALLOWED)
async def test_a_method_that_does_nothing_here_is_told_from_a_path_that_is_none(door: Door, path: str) -> None:
    """http.html#summary, RFC 9110 15.5.6: 405 says which methods there are; 404 that there is nothing, whatever the method"""
    method, allowed = ALLOWED[path]
    client = door.system("hospital-a")
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (405, allowed)
    assert answer.json()["issue"][0]["code"] == "not-supported"
    assert (await client.request(method, "/Nothing/a-1")).status_code == 404
    assert (await client.post("/Patient/a-1/Nothing")).status_code == 404
