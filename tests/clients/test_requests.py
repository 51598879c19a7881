"""What clients in other languages send, byte for byte where it matters: noted down from the clients themselves, at work."""

from typing import Any

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
