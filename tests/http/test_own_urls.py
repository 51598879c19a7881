"""References by URL of this very server (R4 references.html#literal): they name what the relative ones name."""

from typing import Any

import pytest

from tests.gate.building import keep, observation, patient
from tests.serving import Door

PATCH = {"Content-Type": "application/json-patch+json"}


def about(subject: str) -> dict[str, Any]:
    return {**observation("o", "p"), "subject": {"reference": subject}}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


async def write(door: Door, how: str, resource: dict[str, Any]) -> None:
    client = door.system("a")
    request = {"resource": resource, "request": {"method": "PUT", "url": "Observation/o"}}
    if how == "patch":
        await keep(client, {**resource, "subject": {"reference": "Patient/q"}})
        change = [{"op": "replace", "path": "/subject", "value": resource["subject"]}]
        answer = await client.patch("/Observation/o", json=change, headers=PATCH)
    elif how == "update":
        answer = await client.put("/Observation/o", json=resource)
    else:
        answer = await client.post("", json=bundle(how, request))
    assert answer.status_code < 300 and '"40' not in answer.text, answer.text


@pytest.mark.parametrize("how", ["update", "patch", "batch", "transaction"])
async def test_a_reference_by_url_of_this_server_is_found_like_a_relative_one(door: Door, how: str) -> None:
    """search.html#reference: by whatever form it is asked for; and the patient sees it"""
    await keep(door.system("a"), patient("p", name="Gul"), patient("q"))
    await write(door, how, about(f"{door.base_url}/Patient/p"))
    queries = ("subject=Patient/p", "patient=p", f"subject={door.base_url}/Patient/p", "subject:Patient.name=gul", "_id=o")
    for client in (door.system("a"), door.patient("p")):
        for query in queries:
            found = (await client.get(f"/Observation?{query}")).json()
            assert [one["resource"]["id"] for one in found["entry"]] == ["o"], query
        included = (await client.get("/Observation?_id=o&_include=Observation:subject")).json()
        assert [one["resource"]["id"] for one in included["entry"]] == ["o", "p"]
        found = (await client.get("/Patient?_has:Observation:subject:status=final")).json()
        assert [one["resource"]["id"] for one in found["entry"]] == ["p"]


async def test_other_urls_stay_as_they_are(door: Door) -> None:
    """references.html#literal, bundle.html#references: those elsewhere, and what a document says of itself"""
    client = door.system("a")
    elsewhere = about("http://elsewhere.example/fhir/Patient/p")
    await keep(client, elsewhere)
    assert (await client.get("/Observation/o")).json()["subject"] == elsewhere["subject"]
    own = f"{door.base_url}/Patient/p"
    first = {"fullUrl": f"{door.base_url}/Observation/o", "resource": about(own)}
    entries = (first, {"fullUrl": own, "resource": patient("p")})
    await keep(client, {**bundle("collection", *entries), "id": "b"})
    assert (await client.get("/Bundle/b")).json()["entry"][0]["resource"]["subject"] == {"reference": own}


async def test_full_urls_of_a_transaction_come_first(door: Door) -> None:
    """http.html#trules: what a transaction creates under a full url gets an id of its own, which its references then name"""
    own = f"{door.base_url}/Patient/new"
    create = {"fullUrl": own, "resource": patient("new"), "request": {"method": "POST", "url": "Patient"}}
    refer = {"resource": about(own), "request": {"method": "PUT", "url": "Observation/o"}}
    made = (await door.system("a").post("", json=bundle("transaction", refer, create))).json()
    known = made["entry"][1]["response"]["location"].removeprefix(f"{door.base_url}/").partition("/_history")[0]
    assert (await door.system("a").get("/Observation/o")).json()["subject"] == {"reference": known}
