"""Issue 3.2: an account is bound to the one person who holds the card; whatever does not match, the answer is the same."""

import asyncio
import logging
from typing import Any

import httpx
import pytest

from fhir_server.record.binding import PER_ACCOUNT, PER_IDENTIFIER, account_key
from tests.gate.building import Resource, about, encounter, id_card, keep, observation, patient
from tests.portal.wechat import APPID
from tests.portal.world import (
    AYGUL,
    AYGUL_HEALTH_CARD,
    AYGUL_HOSPITAL_CARD,
    AYGUL_ID,
    BIND,
    LI,
    LI_ID,
    Region,
    data,
    problem,
)

DAY = 24 * 3_600_000
HEALTH_CARD = {"card": "health-card", "number": AYGUL_HEALTH_CARD, "idNumber": AYGUL_ID, "name": AYGUL}
HOSPITAL_CARD = {"card": "hospital-card", "number": AYGUL_HOSPITAL_CARD, "hospital": "a", "idNumber": AYGUL_ID, "name": AYGUL}
WRONG_CHECK = AYGUL_ID[:-1] + ("1" if AYGUL_ID[-1] != "1" else "2")

MISMATCHES: dict[str, Resource] = {
    "nobody has this number": BIND | {"number": id_card(9)},
    "the name of somebody else": BIND | {"name": LI},
    "part of the name": BIND | {"name": "阿依古丽"},
    "the number of somebody else": BIND | {"number": LI_ID},
    "a wrong check digit": BIND | {"number": WRONG_CHECK},
    "no number at all": BIND | {"number": "阿"},
    "the health card of nobody": HEALTH_CARD | {"number": "6501000099999999"},
    "a health card with another's ID number": HEALTH_CARD | {"idNumber": LI_ID},
    "a hospital card of another hospital": HOSPITAL_CARD | {"hospital": "b"},
    "a hospital card of no hospital": HOSPITAL_CARD | {"hospital": "nowhere"},
    "the hospital card of somebody else": HOSPITAL_CARD | {"number": "A-000999"},
    "somebody else's card, with their name": HOSPITAL_CARD | {"number": "A-000999", "name": LI},
    "the ID number as a hospital card": HOSPITAL_CARD | {"number": "x" + AYGUL_ID},
}


@pytest.mark.parametrize(
    "wanted",
    [
        BIND,
        BIND | {"name": " 阿依古丽．买买提 ", "number": " ".join(AYGUL_ID)},
        HEALTH_CARD,
        HOSPITAL_CARD,
    ],
    ids=["resident-id", "another interpunct, spaces", "health-card", "hospital-card"],
)
async def test_a_card_binds_its_person(shared: Region, wanted: Resource) -> None:
    """The whole person, at both hospitals; and unbound again, nobody."""
    app = await shared.bound("aygul", wanted)
    assert data(await app.get("/timeline"))["items"] == []
    assert (await shared.login("aygul"))["bound"] is True
    data(await app.delete("/bind"))
    assert problem(await app.get("/timeline")) == (403, "not-bound")
    shared.clock.now += DAY


async def test_every_mismatch_reads_the_same(shared: Region) -> None:
    """DESIGN 4: the answer tells nothing of what did not match, or whether there is such a person."""
    answers: dict[str, Any] = {}
    for number, (why, wanted) in enumerate(MISMATCHES.items()):
        shared.clock.now += DAY
        answer = await (await shared.logged_in(f"stranger-{number}")).post("/bind", json=wanted)
        assert problem(answer) == (404, "no-match"), why
        headers = {name: value for name, value in answer.headers.items() if name != "x-trace-id"}
        answers[why] = headers, answer.json() | {"traceId": ""}
    assert [why for why, told in answers.items() if told != answers["nobody has this number"]] == []
    assert AYGUL not in str(answers) and AYGUL_ID not in str(answers)


async def test_the_number_is_of_one_person_only(shared: Region) -> None:
    """Two persons with one number and one name (a doubt that a human has not settled): deny."""
    person = await shared.newcomer()
    assert (await admin(shared).post(f"/Patient/{person.b}/$unlink")).status_code == 204
    app = await shared.logged_in(person.account)
    for wanted in (person.resident_id, person.hospital_card):
        assert problem(await app.post("/bind", json=wanted)) == (404, "no-match")


async def test_nobody_logs_in_for_the_dead(shared: Region) -> None:
    person = await shared.newcomer()
    await keep(shared.world.b, person.patients[1] | {"deceasedDateTime": "2026-12-01"})
    app = await shared.logged_in("heir")
    assert problem(await app.post("/bind", json=person.resident_id)) == (404, "no-match")


async def test_a_person_is_bound_to_one_account(shared: Region) -> None:
    """Who knows a number and a name gets nothing once its owner has bound; the owner sees that somebody tried."""
    person = await shared.newcomer()
    owner, thief = await shared.own(person), await shared.logged_in("thief")
    refused = await thief.post("/bind", json=person.hospital_card)
    assert problem(refused) == (404, "no-match")
    assert problem(await thief.get("/timeline")) == (403, "not-bound")
    seen = data(await owner.get("/accesses"))["items"]
    binds = [(one["who"], one["allowed"]) for one in seen if one["what"] == "bind"]
    assert sorted(binds) == [("another-account", False), ("self", True)]
    data(await owner.delete("/bind"))
    data(await thief.post("/bind", json=person.hospital_card))


async def test_an_administrator_undoes_a_binding(shared: Region) -> None:
    """Whoever was first, the person proves at a desk who they are; in force from the next request."""
    person = await shared.newcomer()
    thief = await shared.bound("quick-thief", person.resident_id)
    for client, status in ((shared.world.a, 403), (shared.world.person(person.a), 403), (admin(shared), 204)):
        assert (await client.post(f"/Patient/{person.b}/$unbind")).status_code == status
    assert problem(await thief.get("/timeline")) == (403, "not-bound")
    owner = await shared.own(person)
    seen = data(await owner.get("/accesses", params={"others": "true"}))["items"]
    assert {(one["who"], one["what"]) for one in seen} >= {("another-account", "bind"), ("administrator", "unbind")}


async def test_an_account_is_bound_to_one_person(shared: Region) -> None:
    """Parallel binds of one account: exactly one; a bound account learns nothing about others."""
    person, other = await shared.newcomer(), await shared.newcomer()
    app = await shared.logged_in(person.account)
    wanted = [person.resident_id, person.hospital_card, other.resident_id, person.health_card]
    answers = await asyncio.gather(*(app.post("/bind", json=one) for one in wanted))
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    assert {problem(one) for one in answers if one.status_code != 200} == {(409, "bound-already")}
    assert problem(await app.post("/bind", json=other.resident_id | {"name": "x"})) == (409, "bound-already")


async def test_of_parallel_binds_to_one_person_one_wins(shared: Region) -> None:
    person = await shared.newcomer()
    apps = [await shared.logged_in(f"account-{number}") for number in range(6)]
    answers = await asyncio.gather(*(app.post("/bind", json=person.resident_id) for app in apps))
    assert sorted(one.status_code for one in answers) == [200, 404, 404, 404, 404, 404]
    open_ones = [(await app.get("/timeline")).status_code for app in apps]
    assert open_ones == [one.status_code if one.status_code == 200 else 403 for one in answers]


async def test_an_account_may_try_so_often(shared: Region) -> None:
    """Counted by the clock, the right answer too; it does not help to log in again, nor to try in parallel."""
    person = await shared.newcomer()
    apps = [await shared.logged_in("guesser") for _ in range(3)]
    guesses = [apps[n % 3].post("/bind", json=BIND | {"number": id_card(100 + n)}) for n in range(PER_ACCOUNT + 3)]
    answers = await asyncio.gather(*guesses)
    assert sorted(map(problem, answers)) == [(404, "no-match")] * PER_ACCOUNT + [(429, "too-many")] * 3
    refused = await apps[0].post("/bind", json=person.resident_id)
    assert problem(refused) == (429, "too-many")
    wait = int(refused.headers["retry-after"])
    assert 0 < wait <= 3600
    shared.clock.now += wait * 1000 - 1
    again = await shared.logged_in("guesser")
    assert problem(await again.post("/bind", json=person.resident_id)) == (429, "too-many")
    shared.clock.now += 1
    await shared.bound("guesser", person.resident_id)


async def test_a_number_may_be_tried_so_often(shared: Region) -> None:
    """Whoever tries, whether there is such a number or not: many accounts do not help to guess a name."""
    person = await shared.newcomer()
    shared.clock.now += DAY - shared.clock.now % DAY
    for number in (person.number, id_card(200)):
        answers: list[httpx.Response] = []
        for n in range(PER_IDENTIFIER + 2):
            app = await shared.logged_in(f"one-of-many-{number}-{n}")
            answers.append(await app.post("/bind", json=BIND | {"number": number, "name": f"名{n}"}))
        expected = [(404, "no-match")] * PER_IDENTIFIER + [(429, "too-many")] * 2
        assert [problem(one) for one in answers] == expected
    owner = await shared.logged_in(person.account)
    assert problem(await owner.post("/bind", json=person.resident_id)) == (429, "too-many")
    shared.clock.now += DAY
    await shared.own(person)


async def test_every_attempt_is_audited(shared: Region) -> None:
    """DESIGN 4: allowed or denied, naming whose number was given, before the answer; and nothing of it is in clear."""
    person = await shared.newcomer()
    app = await shared.logged_in(person.account)
    await app.post("/bind", json=person.resident_id | {"name": LI})
    await app.post("/bind", json=person.resident_id)
    await app.post("/bind", json=person.resident_id)
    record = shared.door.exchange.record
    rows = str([await record.database[name].find().to_list() for name in ("sessions", "bindings", "attempts")])
    assert [one for one in (person.a, person.b, person.number, person.account) if one in rows] == []
    await app.delete("/bind")
    account = account_key(record, f"wechat/{APPID}", person.account).hex()
    opened = [record.audit.open(one) | {"p": one["p"]} async for one in record.database["audit"].find()]
    entries = [one for one in opened if one["caller"]["id"] == f"portal/{account}"]
    keys = {record.codec.identity(f"Patient/{known}") for known in (person.a, person.b)}
    assert {(one["interaction"], one["outcome"], one.get("reason")): set(one["p"]) for one in entries} == {
        ("bind", "deny", "no one person is as claimed"): keys,
        ("bind", "permit", None): keys,
        ("bind", "refused", "409 conflict"): set(),
        ("unbind", "permit", None): keys,
    }


async def test_nothing_of_a_person_is_in_the_logs(shared: Region, caplog: pytest.LogCaptureFixture) -> None:
    """Bound, refused, looked at: method, first part of the path, status, time."""
    person = await shared.newcomer()
    with caplog.at_level(logging.DEBUG):
        app = await shared.own(person)
        for path in ("/timeline", "/accesses", "/consents", f"/reports/{person.a}", f"/timeline?hospital={person.a}"):
            await app.get(path)
        await app.post("/bind", json=person.hospital_card)
    told = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("hie"))
    secrets = (person.a, person.number, person.name, person.account, person.health_card["number"])
    assert "GET /portal 200" in told
    assert [one for one in secrets if one in told] == []


async def test_fields_must_fit_the_card(shared: Region) -> None:
    """422 names fields and no values; a request that is no attempt is not counted."""
    app = await shared.logged_in("somebody")
    wrong = [
        {},
        BIND | {"card": "passport"},
        BIND | {"idNumber": AYGUL_ID},
        BIND | {"hospital": "a"},
        {name: value for name, value in HEALTH_CARD.items() if name != "idNumber"},
        {name: value for name, value in HOSPITAL_CARD.items() if name != "hospital"},
        BIND | {"patient": "a-1"},
        BIND | {"name": ""},
        BIND | {"number": "1" * 65},
        BIND | {"number": 7},
    ]
    for one in wrong:
        answer = await app.post("/bind", json=one)
        assert problem(answer) == (422, "invalid"), one
        assert answer.json()["data"]["fields"] and AYGUL_ID not in answer.text
    assert len(wrong) > PER_ACCOUNT


async def test_a_binding_outlives_neither_erasure_nor_unlinking(shared: Region) -> None:
    """Unlinked, the account shows the Patient it was bound by; erased, nobody."""
    person = await shared.newcomer()
    app = await shared.bound(person.account, person.hospital_card)
    for known in (person.a, person.b):
        report = {"resourceType": "DiagnosticReport", "id": f"of-{known}", "status": "final", "code": {"text": "CT"}}
        await keep(shared.world.system(known[0]), report | about(known), observation(f"o-{known}", known))
    assert len(data(await app.get("/timeline"))["items"]) == 2
    assert (await admin(shared).post(f"/Patient/{person.b}/$unlink")).status_code == 204
    assert [one["reference"] for one in data(await app.get("/timeline"))["items"]] == [f"DiagnosticReport/of-{person.a}"]
    record = shared.door.exchange.record
    await record.codec.keys.erase([record.codec.identity(f"Patient/{person.a}")])
    assert problem(await app.get("/timeline")) == (403, "not-bound")
    assert problem(await app.post("/bind", json=person.hospital_card)) == (404, "no-match")
    data(await app.post("/bind", json=person.resident_id))
    assert [one["reference"] for one in data(await app.get("/timeline"))["items"]] == [f"DiagnosticReport/of-{person.b}"]


async def test_what_is_just_being_erased_is_a_matter_of_time(shared: Region) -> None:
    """Between a key and the rows that it sealed: 503 as over FHIR, and it was a 500"""
    person = await shared.newcomer()
    app = await shared.own(person)
    report = {"resourceType": "DiagnosticReport", "id": f"of-{person.b}", "status": "final", "code": {"text": "CT"}}
    await keep(shared.world.system(person.b[0]), report | about(person.b))
    record = shared.door.exchange.record
    await record.codec.keys.erase([record.codec.identity(f"Patient/{person.b}")])
    assert problem(await app.get("/timeline")) == (503, "unavailable")


async def test_who_was_taken_for_another_binds_once_they_are_told_apart(shared: Region) -> None:
    """A Patient written with another's number, corrected and unlinked: each has their own account and their own record."""
    person, other = await shared.newcomer(), await shared.newcomer()
    app = await shared.own(person)
    await keep(shared.world.a, patient("mistaken", person.number, person.name), encounter("of-mistaken", "mistaken"))
    data(await app.delete("/bind"))
    data(await app.post("/bind", json=person.hospital_card))
    assert len(data(await app.get("/timeline"))["items"]) == 1
    number = id_card(997)
    await keep(shared.world.a, patient("mistaken", number, "王五"))
    assert (await admin(shared).post("/Patient/mistaken/$unlink")).status_code == 204
    theirs = await shared.bound(other.account, {"card": "resident-id", "number": number, "name": "王五"})
    assert data(await app.get("/timeline"))["items"] == []
    assert [one["reference"] for one in data(await theirs.get("/timeline"))["items"]] == ["Encounter/of-mistaken"]
    late = await shared.logged_in("late")
    for card in (person.resident_id, {"card": "resident-id", "number": number, "name": "王五"}):
        assert problem(await late.post("/bind", json=card)) == (404, "no-match")


async def test_who_was_bound_by_a_mistaken_patient_binds_again_once_it_is_unlinked(shared: Region) -> None:
    """Both Patients had the number when the account was bound; afterwards it shows nothing of whose the other one is."""
    person = await shared.newcomer()
    first = f"0-{person.serial}"  # of several Patients who hold a card, the account is bound by the first
    await keep(shared.world.a, patient(first, person.number, person.name), encounter(f"of-{first}", first))
    app = await shared.own(person)
    await keep(shared.world.a, patient(first, id_card(996), "王五"))
    assert (await admin(shared).post(f"/Patient/{first}/$unlink")).status_code == 204
    assert problem(await app.get("/timeline")) == (403, "not-bound")
    data(await app.post("/bind", json=person.resident_id))
    assert data(await app.get("/timeline"))["items"] == []


def admin(region: Region) -> httpx.AsyncClient:
    return region.world.client("admin")
