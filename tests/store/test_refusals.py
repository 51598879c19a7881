"""A refused request leaves no trace, not even in the transaction that it shared with its neighbours."""

import asyncio

from fhir_server.persons.idcard import check_character
from tests.serving import Door

CARD = "65999119800203002"


def patient(known: str) -> dict[str, object]:
    identifier = {"system": "urn:oid:2.16.156.10011.1.3", "value": CARD + check_character(CARD)}
    told = {"identifier": [identifier], "name": [{"text": "N"}], "birthDate": "1980-02-03"}
    return {"resourceType": "Patient", "id": known, **told}


def put(resource: dict[str, object], **request: str) -> dict[str, object]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url, **request}}


async def test_a_transaction_refused_half_way_links_nobody(door: Door) -> None:
    """Its Patient would have joined a person; its last entry is refused; its neighbours commit."""
    a, b = door.system("hospital-a"), door.system("hospital-b")
    assert (await b.put("/Patient/b-1", json=patient("b-1"))).status_code == 201
    entries = [put(patient("a-1")), put({"resourceType": "Basic", "id": "x", "code": {"text": "x"}}, ifMatch='W/"3"')]
    bad = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    neighbours = [a.post("/Organization", json={"resourceType": "Organization", "name": str(n)}) for n in range(20)]
    refused, *others = await asyncio.gather(a.post("/", json=bad), *neighbours)
    assert refused.status_code in (404, 412)
    assert {one.status_code for one in others} == {201}
    assert (await a.get("/Patient/a-1")).status_code == 404
    assert await door.exchange.database["persons"].count_documents({}) == 0


async def test_what_many_create_only_where_it_is_missing_is_there_once(door: Door) -> None:
    """`ifNoneMatch: *` of one resource in many transactions at once: made by one, and there for all."""
    a = door.system("hospital-a")
    doctor = put({"resourceType": "Practitioner", "id": "a-dr", "name": [{"text": "Dr"}]}, ifNoneMatch="*")

    def bundle(number: int) -> dict[str, object]:
        mine = put({"resourceType": "Organization", "id": f"a-{number}", "name": "x"})
        return {"resourceType": "Bundle", "type": "transaction", "entry": [doctor, mine]}

    answers = await asyncio.gather(*(a.post("/", json=bundle(number)) for number in range(40)))
    assert {one.status_code for one in answers} == {200}
    assert (await a.get("/Practitioner/a-dr/_history")).json()["total"] == 1
    assert (await a.get("/Organization?_summary=count")).json()["total"] == 40
