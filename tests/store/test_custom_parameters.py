"""SearchParameter resources become searchable after an online re-indexing (R4 searchparameter.html, docs/decisions/0031)."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.store.parameters import Registry
from tests import serving
from tests.serving import Door
from tests.store.parameters import composite, define, in_flight, indexed, parameter, status, store

Resource = dict[str, Any]
NICK, DOCTOR = "urn:region:nick", "urn:region:doctor"
NICKNAME = parameter("nick", "string", "Patient", f"Patient.extension('{NICK}').value.ofType(string)")


def person(known: str, nick: str | None = None, **more: Any) -> Resource:
    extension = {"extension": [{"url": NICK, "valueString": nick}]} if nick else {}
    return {"resourceType": "Patient", "id": known, **extension, **more}


async def keep(client: httpx.AsyncClient, *resources: Resource) -> None:
    for one in resources:
        answer = await client.put(f"/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code in (200, 201), answer.text


async def ids(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    return [one["resource"]["id"] for one in answer.json().get("entry", ()) if one["search"]["mode"] == "match"]


async def test_what_was_there_before_is_found_like_by_any_other(door: Door) -> None:
    """search.html: modifiers, :missing, :not, sort, chains, `_has`, includes; what is written after is found, too"""
    hospital, admin = door.system("hospital-a"), door.admin()
    seen = {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}}
    doctor = {"url": DOCTOR, "valueReference": {"reference": "Practitioner/wu"}}
    await keep(hospital, {"resourceType": "Practitioner", "id": "wu", "name": [{"family": "Wu"}]})
    await keep(hospital, person("p1", "Lao Wang"), person("p2", "Xiao Li", birthDate="1980-02-03"), person("p3"))
    await keep(hospital, seen | {"subject": {"reference": "Patient/p1"}, "extension": [doctor]})
    before = (await hospital.get("/Patient/p1")).headers
    await define(
        admin,
        NICKNAME,
        parameter("trusts", "reference", "Encounter", f"Encounter.extension('{DOCTOR}').value", target=["Practitioner"]),
        parameter("has-nick", "token", "Patient", f"Patient.extension('{NICK}').exists()"),
        parameter("born", "date", "Patient", "Patient.birthDate"),
    )
    await keep(hospital, person("p4", "Lao Zhang"))
    for query, expected in {
        "Patient?nick=lao": ["p1", "p4"], "Patient?nick:exact=Lao%20Wang": ["p1"], "Patient?nick:contains=i": ["p2"],
        "Patient?nick:missing=true": ["p3"], "Patient?has-nick=false": ["p3"], "Patient?has-nick:not=true": ["p3"],
        "Patient?born=1980-02": ["p2"], "Patient?born=lt1980-02-04": ["p2"],
        "Encounter?subject:Patient.nick=lao%20wang": ["e1"],
        "Encounter?trusts=wu": ["e1"], "Encounter?trusts:Practitioner.family=wu": ["e1"],
        "Patient?_has:Encounter:patient:trusts=Practitioner/wu": ["p1"],
        "Practitioner?_has:Encounter:trusts:status=finished": ["wu"],
        "?_type=Patient,Patient&nick=lao": ["p1", "p4"],
    }.items():  # fmt: skip
        assert sorted(await ids(hospital, query)) == expected, query
    assert await ids(hospital, "Patient?_sort=nick&_count=10") == ["p3", "p1", "p4", "p2"]
    for query in ("Encounter?_include=Encounter:trusts", "Practitioner?_revinclude=Encounter:trusts"):
        found = (await hospital.get(f"/{query}")).json()["entry"]
        assert sorted(one["resource"]["id"] for one in found) == ["e1", "wu"], query
    everything = (await hospital.get("/Practitioner?_revinclude=*")).json()["entry"]
    assert "e1" in [one["resource"]["id"] for one in everything]
    after = (await hospital.get("/Patient/p1")).headers
    assert (before["etag"], before["last-modified"]) == (after["etag"], after["last-modified"])
    assert len((await hospital.get("/Patient/p1/_history")).json()["entry"]) == 1


async def test_until_all_is_indexed_a_search_is_refused(doors: tuple[Door, Door]) -> None:
    """Never a half answer: 503, or ignored and said so (search.html#errors); not claimed in /metadata before"""
    hospital, admin = doors[0].system("hospital-a"), doors[0].admin()
    await keep(hospital, person("p1", "Lao Wang"))
    async with in_flight(doors[1], person("late", "Lao Li")):
        await store(admin, NICKNAME)
        for query in ("Patient?nick=lao", "Patient?_sort=nick", "Encounter?subject.nick=x", "Encounter?_has:Patient:nick:x=1"):
            answer = await hospital.get(f"/{query}")
            assert (answer.status_code, answer.json()["issue"][0]["code"]) == (503, "incomplete"), query
            assert "retry-after" in answer.headers and "being indexed" in answer.text
        lenient = (await hospital.get("/Patient?nick=lao", headers={"Prefer": "handling=lenient"})).json()
        assert "nick" in lenient["entry"][-1]["resource"]["issue"][0]["diagnostics"]
        assert (await hospital.post("/Patient", json=person("x"), headers={"If-None-Exist": "nick=lao"})).status_code == 503
        assert (await status(admin))["searchable"] == {"nick": False}
        assert not await _claims(hospital, "nick")
        waiting, _ = await asyncio.wait([asyncio.create_task(indexed(admin))], timeout=2)
        assert not waiting, "searchable, though a write was under way that did not know of it"
    await indexed(admin)
    assert sorted(await ids(hospital, "Patient?nick=lao")) == ["late", "p1"]
    for door in doors:
        async with asyncio.timeout(30):
            while not await _claims(door.client(), "nick"):
                await asyncio.sleep(0.05)


async def _claims(client: httpx.AsyncClient, code: str) -> bool:
    (patient,) = (one for one in (await client.get("/metadata")).json()["rest"][0]["resource"] if one["type"] == "Patient")
    return any(one["name"] == code for one in patient["searchParam"])


async def test_a_definition_that_changes_or_ends(doors: tuple[Door, Door]) -> None:
    """searchparameter.html: another expression is another index; retired, draft and deleted ones are unknown, to all at once"""
    hospital, admin = doors[0].system("hospital-a"), doors[0].admin()
    other = doors[1].system("hospital-a")
    await keep(hospital, person("p1", "Lao Wang", name=[{"text": "Zhou"}]))
    await define(admin, NICKNAME)
    assert await ids(other, "Patient?nick=lao") == ["p1"]
    await store(admin, NICKNAME | {"description": "said better"})
    assert (await status(admin))["searchable"] == {"nick": True}, "nothing to index: it searches the same"
    await store(admin, NICKNAME | {"expression": "Patient.name.text"})
    assert (await other.get("/Patient?nick=lao")).status_code == 503, "another process answered by what was"
    await indexed(admin)
    assert (await ids(other, "Patient?nick=lao"), await ids(other, "Patient?nick=zhou")) == ([], ["p1"])
    await store(admin, NICKNAME | {"status": "retired"})
    assert (await other.get("/Patient?nick=lao")).status_code in (400, 503)
    assert (await hospital.get("/Patient?nick=lao")).status_code in (400, 503)
    await keep(hospital, person("p2", "Lao Li"))
    await define(admin, NICKNAME)
    assert sorted(await ids(other, "Patient?nick=lao")) == ["p1", "p2"], "written while it was retired"
    assert (await admin.delete("/SearchParameter/nick")).status_code == 204
    assert (await other.get("/Patient?nick=lao")).status_code in (400, 503)
    assert (await status(admin))["searchable"] == {}


R4 = "http://hl7.org/fhir/SearchParameter/"
DOSE = parameter("dose", "quantity", "MedicationStatement", "MedicationStatement.dosage.doseAndRate.dose.ofType(Quantity)")
BY_ROUTE = composite(
    "route-dose", "MedicationStatement", "MedicationStatement.dosage",
    (f"{R4}clinical-code", "route"), ("urn:region:dose", "doseAndRate.dose.ofType(Quantity)"),
)  # fmt: skip


def taken(known: str, **routes: int) -> Resource:
    doses = [
        {"route": {"coding": [{"code": route}]}, "doseAndRate": [{"doseQuantity": {"value": dose}}]}
        for route, dose in routes.items()
    ]
    told = {"status": "active", "medicationCodeableConcept": {"text": "x"}, "subject": {"reference": "Patient/p1"}}
    return {"resourceType": "MedicationStatement", "id": known, **told, "dosage": doses}


async def test_a_composite_finds_what_stands_together(door: Door) -> None:
    """searchparameter.html, search.html#combining: of custom parts and R4's own; before and after; chains, `_has`, claims"""
    hospital, admin = door.system("hospital-a"), door.admin()
    await keep(hospital, person("p1", "Lao Wang"), taken("m1", oral=5, nasal=2), taken("m2", oral=2))
    await define(admin, DOSE, BY_ROUTE)
    await keep(hospital, taken("m3", oral=6))
    for query, expected in {
        "route-dose=oral$ge5": ["m1", "m3"], "route-dose=nasal$ge5": [], "route-dose=nasal$2,oral$2": ["m1", "m2"],
        "route-dose=oral$2&dose=2": ["m2"], "patient=p1&route-dose=oral$gt5": ["m3"],
    }.items():  # fmt: skip
        assert sorted(await ids(hospital, f"MedicationStatement?{query}")) == expected, query
    assert await ids(hospital, "Patient?_has:MedicationStatement:patient:route-dose=nasal$2") == ["p1"]
    assert await ids(hospital, "Patient?_has:MedicationStatement:patient:route-dose=nasal$5") == []
    counted = (await hospital.get("/MedicationStatement?route-dose=oral$gt1&_count=1&_total=accurate")).json()
    assert counted["total"] == 3
    for wrong in ("route-dose=oral", "route-dose=oral$x", "route-dose:missing=true", "_sort=route-dose"):
        assert (await hospital.get(f"/MedicationStatement?{wrong}")).status_code == 400, wrong
    headers = {"If-None-Exist": "route-dose=rectal$7"}
    made = [await hospital.post("/MedicationStatement", json=taken("x", rectal=7), headers=headers) for _ in range(2)]
    assert [one.status_code for one in made] == [201, 200]
    kinds = (await hospital.get("/metadata")).json()["rest"][0]["resource"]
    (claimed,) = (one["searchParam"] for one in kinds if one["type"] == "MedicationStatement")
    assert {"name": "route-dose", "type": "composite"} in claimed


async def test_a_composite_and_its_parts_come_and_go_together(door: Door) -> None:
    """Parts first, or in one transaction in any order; a part that a composite needs does not change under it"""
    hospital, admin = door.system("hospital-a"), door.admin()
    refused = await admin.put("/SearchParameter/route-dose", json=BY_ROUTE)
    assert (refused.status_code, "store that one first" in refused.text) == (422, True), refused.text
    assert refused.json()["issue"][0]["expression"] == ["SearchParameter.component[1].definition"]
    put = [{"resource": one, "request": {"method": "PUT", "url": f"SearchParameter/{one['id']}"}} for one in (BY_ROUTE, DOSE)]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": put}
    assert (await admin.post("/", json=bundle)).status_code == 200
    await indexed(admin)
    await keep(hospital, taken("m1", oral=5))
    assert await ids(hospital, "MedicationStatement?route-dose=oral$5") == ["m1"]
    for change in ({"status": "retired"}, {"type": "token", "expression": "MedicationStatement.status"}):
        refused = await admin.put("/SearchParameter/dose", json=DOSE | change)
        assert (refused.status_code, "route-dose" in refused.text) == (409, True), refused.text
    assert (await admin.delete("/SearchParameter/dose")).status_code == 409
    assert await ids(hospital, "MedicationStatement?route-dose=oral$5") == ["m1"]
    assert (await admin.delete("/SearchParameter/route-dose")).status_code == 204
    assert (await admin.delete("/SearchParameter/dose")).status_code == 204


async def test_only_an_administrators_takes_effect(door: Door) -> None:
    """Anybody's is stored and shown; drafts, R4's own, and what stands in a hospital's name have no effect"""
    hospital, admin = door.system("hospital-a"), door.admin()
    await keep(hospital, NICKNAME | {"id": "theirs"})
    await keep(admin, NICKNAME | {"id": "draft", "status": "draft", "expression": "now()"})
    official = {"id": "individual-family", "url": "http://hl7.org/fhir/SearchParameter/individual-family", "code": "family"}
    await keep(admin, parameter("family", "string", "Patient", "Patient.name.family") | official)
    assert (await status(admin)) == {"state": "done", "searchable": {}}
    assert (await hospital.get("/Patient?nick=x")).status_code == 400
    assert (await hospital.get("/SearchParameter/theirs")).status_code == 200
    assert (await hospital.get("/SearchParameter/$reindex")).status_code == 403
    assert (await hospital.post("/SearchParameter/$reindex", json={"resourceType": "Parameters"})).status_code == 403


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"expression": "Patient.nothing"}, 422, "no element 'nothing'"),
        ({"expression": "Patient.active"}, 422, "yields boolean"),
        ({"type": "special"}, 422, "special"), ({"code": "name"}, 422, "choose another"), ({"code": "_x"}, 422, "letters"),
        ({"base": ["DomainResource"], "expression": "DomainResource.name"}, 422, "on AdverseEvent"),
        ({"expression": "Patient.name.repeat(text)"}, 422, "not supported"), ({"expression": None}, 422, "FHIRPath"),
        ({"id": "again", "url": "urn:again", "code": "taken", "base": ["Person", "Patient"]}, 409, "on Patient"),
    ],
)  # fmt: skip
async def test_what_cannot_be_searchable_is_refused(door: Door, more: Resource, status: int, said: str) -> None:
    """searchparameter.html: with the element, and what to do; nothing of it is stored"""
    admin = door.admin()
    await keep(admin, parameter("taken", "string", "Patient", "Patient.name.text"))
    wanted = parameter("nick", "string", "Patient", "name.text")
    sent = {name: value for name, value in (wanted | more).items() if value is not None}
    answer = await admin.put(f"/SearchParameter/{sent['id']}", json=sent)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert answer.json()["issue"][0]["expression"][0].startswith("SearchParameter.")
    assert (await admin.get(f"/SearchParameter/{sent['id']}")).status_code == 404


async def test_a_conditional_create_by_it_makes_one(doors: tuple[Door, Door]) -> None:
    """http.html#ccreate: race-free by a custom parameter, too"""
    both = [door.system("hospital-a") for door in doors]
    await define(doors[0].admin(), NICKNAME)
    await ids(both[1], "Patient?nick=x")  # the other process knows it now
    headers = {"If-None-Exist": "nick=lao"}
    answers = await asyncio.gather(*(both[n % 2].post("/Patient", json=person("x", "Lao"), headers=headers) for n in range(40)))
    assert Counter(one.status_code for one in answers) == {201: 1, 200: 39}


async def test_writers_go_on_while_it_is_indexed(doors: tuple[Door, Door], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes write, and one of them indexes: no version is lost, and in the end the search finds what there is"""
    monkeypatch.setattr("fhir_server.store.reindexing.CHUNK", 7)
    both, admin, dice = [door.system("hospital-a") for door in doors], doors[0].admin(), random.Random(4)
    names = [f"p{number}" for number in range(120)]
    nicks: dict[str, str | None] = {name: f"old {number % 5}" for number, name in enumerate(names)}
    await asyncio.gather(*(keep(both[0], person(name, nick)) for name, nick in nicks.items()))
    never = {name: (await both[0].get(f"/Patient/{name}")).content for name in names[:10]}
    finished = asyncio.Event()

    async def write(number: int) -> int:
        rounds = 0
        while not finished.is_set() or rounds < 5:
            name = f"p{dice.randrange(10 + number * 25, 35 + number * 25)}"  # of up to 10 persons that are new
            nick = dice.choice((None, "new 1", "new 2"))
            if dice.random() < 0.2:
                assert (await both[number % 2].delete(f"/Patient/{name}")).status_code == 204
                nicks.pop(name, None)
            else:
                await keep(both[number % 2], person(name, nick, multipleBirthInteger=rounds))
                nicks[name] = nick
            rounds += 1
        return rounds

    writers = [asyncio.create_task(write(number)) for number in range(5)]
    await define(admin, NICKNAME, parameter("births", "number", "Patient", "Patient.multipleBirth.ofType(integer)"))
    finished.set()
    assert min(await asyncio.gather(*writers)) >= 5
    for asked in ("old", "old 3", "new", "new 2"):
        expected = sorted(name for name, nick in nicks.items() if nick and nick.startswith(asked))
        assert sorted(await ids(both[1], f"Patient?nick={asked}&_count=500")) == expected
    absent = sorted(name for name, nick in nicks.items() if nick is None)
    assert sorted(await ids(both[0], "Patient?nick:missing=true&_count=500")) == absent
    assert never == {name: (await both[0].get(f"/Patient/{name}")).content for name in never}
    assert [line async for line in doors[0].exchange.record.audit.verify()] == []


async def test_all_can_be_indexed_anew(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """$reindex by an administrator, as after an update that indexes differently: all entries are as at a write"""
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        hospital, admin = door.system("hospital-a"), door.admin()
        await define(admin, NICKNAME)
        await keep(hospital, *(person(f"p{number}", "Lao", birthDate="1980-02-03") for number in range(30)))
        resources = door.exchange.database["resources"]
        as_written = await resources.find({}).sort("_id", 1).to_list()
        await resources.update_many({}, {"$set": {"x": [], "r": []}})
        assert await ids(hospital, "Patient?birthdate=1980") == []
        asked = {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": "Nothing"}]}
        assert (await admin.post("/SearchParameter/$reindex", json=asked)).status_code == 400
        answer = await admin.post("/SearchParameter/$reindex", json={"resourceType": "Parameters"})
        assert answer.status_code == 202
        await indexed(admin)
        assert len(await ids(hospital, "Patient?birthdate=1980&nick=lao")) == 30
        again = await resources.find({}).sort("_id", 1).to_list()
        assert [_sorted(one) for one in again] == [_sorted(one) for one in as_written]


def _sorted(one: Resource) -> Resource:
    return one | {"x": sorted(one["x"]), "r": sorted(map(str, one.get("r", [])))}


async def test_many_are_learnt_while_requests_go_on(door: Door) -> None:
    """Parameters of every type take a process long to learn: its event loop turns meanwhile (DESIGN 7). Processor time, since
    others may have the processor."""
    profile = ("http://hl7.org/fhir/SearchParameter/Resource-profile", "profile")
    security = ("http://hl7.org/fhir/SearchParameter/Resource-security", "security")
    many = [composite(f"both-{n}", "Resource", "Resource.meta", profile, security) for n in range(12)]
    await store(door.admin(), *many)
    registry = Registry(door.exchange.database, door.exchange.record.codec)
    began = time.thread_time()
    learning, longest, last = asyncio.create_task(registry.sync()), 0.0, began
    while not learning.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    await learning
    assert len(registry.rows) == len(many) and longest < (last - began) / 2
