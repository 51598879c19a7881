"""Concurrent writers (DESIGN 3): conditional creates are race-free, no update is lost, transactions are whole, and none
suffers for its neighbours. Two exchanges work on one store, as two processes would."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx

from fhir_server.store.documents import TYPE_NUMBER
from tests.serving import Door

Resource = dict[str, Any]


def clients(doors: tuple[Door, Door]) -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    return doors[0].system("hospital-a"), doors[1].system("hospital-a")


def transaction(*entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def put(resource: Resource, **more: str) -> Resource:
    return {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"} | more}


async def total(client: httpx.AsyncClient, query: str) -> int:
    return int((await client.get(f"/{query}&_summary=count")).json()["total"])


async def findings(door: Door) -> list[str]:
    return [line async for line in door.exchange.record.audit.verify()]


async def test_concurrent_conditional_creates_make_one_resource(doors: tuple[Door, Door]) -> None:
    """http.html#ccreate: 500 at once, through two exchanges; the one that was made is what all others get"""
    both = clients(doors)
    headers = {"If-None-Exist": "identifier=urn:x|1"}

    def create(number: int) -> Any:
        sent = {"resourceType": "Patient", "identifier": [{"system": "urn:x", "value": "1"}], "multipleBirthInteger": number}
        return both[number % 10 == 0].post("/Patient", json=sent, headers=headers)

    answers = await asyncio.gather(*(create(number) for number in range(500)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 499}
    assert len({answer.content for answer in answers}) == 1
    assert await total(both[0], "Patient?identifier=urn:x|1") == 1


async def test_concurrent_conditional_updates_make_one_resource(doors: tuple[Door, Door]) -> None:
    """http.html#cond-update: 100 at once beside conditional creates by the same criteria; each leaves its version"""
    both, criteria = clients(doors), "identifier=urn:x|1"

    def write(number: int) -> Any:
        client = both[number % 10 == 0]
        sent = {"resourceType": "Basic", "identifier": [{"system": "urn:x", "value": "1"}], "code": {"text": str(number)}}
        if number % 4 == 0:
            return client.post("/Basic", json=sent, headers={"If-None-Exist": criteria})
        return client.put(f"/Basic?{criteria}", json=sent)

    answers = await asyncio.gather(*(write(number) for number in range(100)))
    assert {answer.status_code for answer in answers} == {200, 201}
    made = Counter(answer.status_code for answer in answers)[201]
    (one,) = (await both[0].get(f"/Basic?{criteria}")).json()["entry"]
    history = (await both[0].get(f"/Basic/{one['resource']['id']}/_history?_count=1000")).json()["entry"]
    assert made == 1
    assert [entry["resource"]["meta"]["versionId"] for entry in history] == [str(n) for n in range(len(history), 0, -1)]
    updates = {str(number) for number in range(100) if number % 4}
    written = [entry["resource"]["code"]["text"] for entry in history]
    assert updates <= set(written)
    assert len(set(written)) == len(written) in (75, 76)


async def test_a_batch_sees_what_its_earlier_jobs_wrote(doors: tuple[Door, Door]) -> None:
    """http.html#ccreate: of jobs that commit together, the next sees the first's create, change and deletion"""
    client = clients(doors)[0]

    async def create(number: str, **more: Any) -> httpx.Response:
        sent = {"resourceType": "Basic", "code": {"text": number}, "identifier": [{"system": "urn:x", "value": number}]}
        return await client.post("/Basic", json=sent | more, headers={"If-None-Exist": "identifier=urn:x|1"})

    # What is made does not match its own criteria: so each of these makes one.
    assert {one.status_code for one in await asyncio.gather(*(create("2") for _ in range(20)))} == {201}
    both = Counter(one.status_code for one in await asyncio.gather(*(create("1") for _ in range(20))))
    assert both == {201: 1, 200: 19}
    assert await total(client, "Basic?identifier=urn:x|1") == 1
    assert await total(client, "Basic?identifier=urn:x|2") == 20


async def test_two_hundred_writers_lose_no_version(doors: tuple[Door, Door]) -> None:
    """http.html#update: 200 at once on one resource, through two exchanges; each is acknowledged with a version of its own"""
    both = clients(doors)
    answers = await asyncio.gather(*(both[number % 2].put("/Basic/b", json=basic("b", number)) for number in range(200)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 199}
    history = (await both[0].get("/Basic/b/_history?_count=1000")).json()["entry"]
    assert [entry["resource"]["meta"]["versionId"] for entry in history] == [str(number) for number in range(200, 0, -1)]
    kept = {entry["resource"]["code"]["text"]: entry["response"]["etag"] for entry in history}
    assert kept == {str(number): answer.headers["etag"] for number, answer in enumerate(answers)}
    assert await findings(doors[0]) == []


async def test_no_update_is_lost(doors: tuple[Door, Door]) -> None:
    """http.html#concurrency: 100 writers read, change and write back with If-Match until it is accepted"""
    both = clients(doors)
    assert (await both[0].put("/Group/g", json=group([]))).status_code == 201
    free = asyncio.Semaphore(4)

    async def add(number: int) -> None:
        client = both[number % 2]
        while True:
            async with free:
                read = await client.get("/Group/g")
                changed = group([*(one["value"] for one in read.json().get("identifier", [])), str(number)])
                answer = await client.put("/Group/g", json=changed, headers={"If-Match": read.headers["etag"]})
            if answer.status_code == 200:
                return
            assert answer.status_code == 412

    await asyncio.gather(*(add(number) for number in range(100)))
    last = (await both[0].get("/Group/g")).json()
    assert sorted(int(one["value"]) for one in last["identifier"]) == list(range(100))
    history = (await both[1].get("/Group/g/_history?_count=1000")).json()["entry"]
    assert [entry["resource"]["meta"]["versionId"] for entry in history] == [str(version) for version in range(101, 0, -1)]
    assert [len(entry["resource"].get("identifier", [])) for entry in history] == list(range(100, -1, -1))


def group(members: list[str]) -> Resource:
    made: Resource = {"resourceType": "Group", "id": "g", "type": "person", "actual": False}
    return made | ({"identifier": [{"value": one} for one in members]} if members else {})


async def test_overlapping_transactions_are_all_or_nothing(doors: tuple[Door, Door]) -> None:
    """http.html#transaction: of those acknowledged every version is there, of those refused none; versions have no gap"""
    both, chance = clients(doors), random.Random(1)
    names = [f"b-{number}" for number in range(6)]

    def made(number: int) -> tuple[list[str], Resource]:
        chosen = chance.sample(names, 3)
        entries = [put(basic(name, number)) for name in chosen]
        if number % 4 == 0:
            entries.append(put(basic("never", number), ifMatch='W/"1"'))
        return chosen, transaction(*entries)

    asked = [made(number) for number in range(80)]
    answers = await asyncio.gather(*(both[n % 2].post("", json=bundle) for n, (_, bundle) in enumerate(asked)))
    assert [answer.status_code for answer in answers] == [404 if number % 4 == 0 else 200 for number in range(80)]
    written = {name: [str(n) for n, (chosen, _) in enumerate(asked) if n % 4 and name in chosen] for name in names}
    for name in names:
        history = (await both[0].get(f"/Basic/{name}/_history?_count=1000")).json()["entry"]
        assert sorted(one["resource"]["code"]["text"] for one in history) == sorted(written[name])
        assert [one["resource"]["meta"]["versionId"] for one in history] == [str(n) for n in range(len(history), 0, -1)]
    assert (await both[0].get("/Basic/never")).status_code == 404
    assert await findings(doors[0]) == []


def basic(known: str, number: int) -> Resource:
    return {"resourceType": "Basic", "id": known, "code": {"text": str(number)}}


async def test_a_bad_request_never_fails_its_neighbours(doors: tuple[Door, Door]) -> None:
    """DESIGN 3: a batch that cannot commit is split, whether a request is refused or the database itself rejects it"""
    door, client = doors[0], doors[0].system("hospital-a")
    rejected = {"t": {"$ne": TYPE_NUMBER["Flag"]}}
    await door.exchange.database.database.command("collMod", "resources", validator=rejected)
    await client.put("/Basic/taken", json=basic("taken", 0))
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": "Patient/p"}}

    def send(number: int) -> Any:
        match number % 10:
            case 3:
                return client.post("/Flag", json=flag)
            case 5:
                return client.put("/Basic/taken", json=basic("taken", number), headers={"If-Match": 'W/"99"'})
            case 7:
                return client.post("/Basic", json={"resourceType": "Basic", "nothing": 1})
        return client.put(f"/Basic/n-{number}", json=basic(f"n-{number}", number))

    answers = await asyncio.gather(*(send(number) for number in range(100)))
    expected = [{3: 500, 5: 412, 7: 400}.get(number % 10, 201) for number in range(100)]
    assert [answer.status_code for answer in answers] == expected
    assert await total(client, "Basic?_id:missing=false") == 71
    assert await findings(door) == []


async def test_a_patient_is_linked_once_whoever_writes_at_the_same_moment(doors: tuple[Door, Door]) -> None:
    """DESIGN 4: many hospitals write one person at once; in the end all of these Patients are one person"""
    card = [{"system": "urn:oid:2.16.156.10011.1.19", "value": "HC000111"}]
    same = {"resourceType": "Patient", "identifier": card, "name": [{"text": "测试"}], "birthDate": "1980-02-03"}

    def write(number: int) -> Any:
        return doors[number % 2].system(f"hospital-{number}").put(f"/Patient/h{number}", json=same | {"id": f"h{number}"})

    answers = await asyncio.gather(*(write(number) for number in range(12)))
    assert {answer.status_code for answer in answers} == {201}
    persons = await doors[0].exchange.database["persons"].find({}).to_list()
    assert [len(person["patients"]) for person in persons] == [12]


async def test_a_consent_that_comes_with_its_patient_is_in_force(doors: tuple[Door, Door]) -> None:
    """DESIGN 4: a hospital's Consent counts for the Patient it keeps, also when both are written at the same moment"""
    one, two = clients(doors)
    names = [f"p-{number}" for number in range(40)]
    for name in names:
        patient = one.put(f"/Patient/{name}", json={"resourceType": "Patient", "id": name})
        answers = await asyncio.gather(patient, two.put(f"/Consent/{name}", json=consent(name)))
        assert [answer.status_code for answer in answers] == [201, 201]
    doctor = doors[0].doctor("dr", "hospital-b")
    reads = await asyncio.gather(*(doctor.get(f"/Patient/{name}") for name in names))
    assert [answer.status_code for answer in reads] == [404] * len(names)


def consent(patient: str) -> Resource:
    """The person wants nothing to be seen."""
    return {
        "resourceType": "Consent",
        "id": patient,
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTOUT"}]},
        "provision": {"type": "deny"},
    }
