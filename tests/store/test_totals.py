"""Totals that are kept with each write (DESIGN 3, Totals): never a wrong number, at any size, whoever writes meanwhile."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import httpx
from pymongo.errors import OperationFailure

from fhir_server.record.searching import BOUND
from fhir_server.store import totals
from tests.serving import Door

Resource = dict[str, Any]
SYSTEM = "urn:test:codes"
WRITERS, ROUNDS, MANY = 6, 25, 700


def observation(name: str, patient: str, code: str, status: str) -> Resource:
    concept = {"coding": [{"system": SYSTEM, "code": code}]}
    about = {"subject": {"reference": f"Patient/{patient}"}}
    return {"resourceType": "Observation", "id": name, "status": status, "code": concept, **about}


async def total(client: httpx.AsyncClient, query: str) -> int | None:
    """What `_total=accurate` says; None for too-costly."""
    answer = await client.get(f"/{query}&_total=accurate&_count=1")
    assert answer.status_code == 200, answer.text
    found: int | None = answer.json().get("total")
    return found


async def listed(client: httpx.AsyncClient, query: str) -> int:
    """How many there are by paging through all of them."""
    url, count = f"/{query}&_count=200", 0
    while url:
        page = (await client.get(url)).json()
        count += sum(entry["search"]["mode"] == "match" for entry in page.get("entry", ()))
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return count


async def write(client: httpx.AsyncClient, writer: int) -> None:
    """Creates, updates, deletes and transactions, one after the other, on resources that only this writer has."""
    dice = Random(writer)
    for round_ in range(ROUNDS):
        name = f"w{writer}-{dice.randrange(8)}"
        made = observation(name, f"p{dice.randrange(3)}", dice.choice("abc"), dice.choice(("final", "amended")))
        if dice.random() < 0.25:
            answer = await client.delete(f"/Observation/{name}")
        elif dice.random() < 0.3:
            other = observation(f"t{writer}-{round_}", "p1", dice.choice("abc"), "final")
            entries = [
                {"resource": one, "request": {"method": "PUT", "url": f"Observation/{one['id']}"}} for one in (made, other)
            ]
            answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        else:
            answer = await client.put(f"/Observation/{name}", json=made)
        assert answer.status_code in (200, 201, 204), answer.text


async def recounted(door: Door) -> Counter[Any]:
    """What the rows would be if they were made anew from the resources."""
    made = totals.changes({}, [one async for one in door.exchange.database["resources"].find({})])
    return +Counter({(term, *stamps): n for stamps, terms in made.items() for term, n in terms.items()})


async def kept(door: Door) -> Counter[Any]:
    while await door.exchange.database["tallies"].find_one({}):  # the exchange may be folding at the same moment
        with suppress(OperationFailure):
            await totals.fold(door.exchange.database)
    rows: Counter[Any] = Counter()
    async for one in door.exchange.database["totals"].find({}):
        row = one["_id"]
        rows[row["k"], row["c"], tuple(row["l"]), tuple(row["p"])] += one["n"]
    return +rows


QUERIES = ("Observation?", "Observation?status=final", *(f"Observation?code={SYSTEM}|{code}" for code in "abc"))


async def test_totals_are_exact_under_concurrent_writes(doors: tuple[Door, Door]) -> None:
    """search.html#total: `accurate`; two processes write, a third reads totals that never miss what was acknowledged before"""
    clients = [doors[number % 2].system("hospital-a") for number in range(WRITERS)]
    for patient in ("p0", "p1", "p2"):
        await clients[0].put(f"/Patient/{patient}", json={"resourceType": "Patient", "id": patient})
    await asyncio.gather(*(write(client, number) for number, client in enumerate(clients)))
    readers = clients[0], doors[1].doctor("li", "hospital-a"), doors[1].doctor("wu", "hospital-b")
    paged = [[await listed(reader, query) for query in QUERIES] for reader in readers]
    assert [[await total(reader, query) for query in QUERIES] for reader in readers] == paged
    assert await kept(doors[0]) == await recounted(doors[0])
    assert [[await total(reader, query) for query in QUERIES] for reader in readers] == paged


async def test_totals_of_what_one_person_hides(doors: tuple[Door, Door]) -> None:
    """DESIGN 4: totals are exact and leak nothing; the rules of a person hold for totals from the next request"""
    hospital, stranger = doors[0].system("hospital-a"), doors[1].doctor("wu", "hospital-b")
    for patient in ("open", "shut"):
        await hospital.put(f"/Patient/{patient}", json={"resourceType": "Patient", "id": patient})
        for number in range(3):
            name = f"{patient}-{number}"
            await hospital.put(f"/Observation/{name}", json=observation(name, patient, "a", "final"))
    query = f"Observation?code={SYSTEM}|a"
    assert (await total(stranger, query), await total(hospital, query)) == (6, 6)
    denial: Resource = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/shut"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
        "provision": {"type": "deny"},
    }
    answer = await hospital.post("/Consent", json=denial)
    assert answer.status_code == 201, answer.text
    assert (await total(stranger, query), await total(hospital, query)) == (3, 6)
    assert (await total(stranger, "Patient?"), await total(hospital, "Patient?")) == (1, 2)


async def test_totals_beyond_what_is_counted_by_walking(doors: tuple[Door, Door]) -> None:
    """DESIGN 3: the total of one counted token clause is exact at any size; others are exact up to a bound, then too-costly"""
    hospital = doors[0].system("hospital-a")
    await hospital.put("/Patient/p", json={"resourceType": "Patient", "id": "p"})
    count = 0
    while count <= BOUND:
        entries = [
            {"resource": observation(f"o-{count + n}", "p", "a", "final"), "request": {"method": "POST", "url": "Observation"}}
            for n in range(MANY)
        ]
        answer = await hospital.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.status_code == 200, answer.text[:300]
        count += MANY
    assert await total(hospital, f"Observation?code={SYSTEM}|a") == count
    assert await total(hospital, f"Observation?code={SYSTEM}|a&status=final") is None
