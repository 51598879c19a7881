"""Issue 3.2: own consents (list, grant, withdraw), in force from the next request, and who looked."""

import asyncio
from collections import Counter

import httpx
import pytest

from portal.display import beijing
from tests.gate.building import Resource, consent, keep, observation, provision
from tests.gate.test_access import break_glass
from tests.portal.world import Person, Region, data, problem


def doctor(region: Region, practitioner: str = "li", organization: str = "b", **who: str) -> httpx.AsyncClient:
    return region.world.client("practitioner", practitioner=practitioner, organization=organization, **who)


async def met(region: Region) -> tuple[Person, httpx.AsyncClient]:
    """Somebody with a glucose value at hospital a, and their app."""
    person = await region.newcomer()
    await keep(region.world.a, observation(glucose(person), person.a))
    return person, await region.own(person)


def glucose(person: Person) -> str:
    return f"glucose-{person.serial}"


async def sees(client: httpx.AsyncClient, person: Person) -> bool:
    answer = await client.get(f"/Observation/{glucose(person)}")
    assert answer.status_code in (200, 404)
    return answer.status_code == 200


async def test_a_denial_is_in_force_on_the_next_request(shared: Region) -> None:
    """Deny a hospital; withdraw, and it sees again; the list keeps both."""
    person, app = await met(shared)
    looking = doctor(shared)
    assert await sees(looking, person)
    made = data(await app.post("/consents", json={"effect": "deny", "hospital": "b"}), 201)
    assert not await sees(looking, person) and await sees(doctor(shared, organization="a"), person)
    assert made["provisions"] == [
        {
            "effect": "deny",
            "effectText": "禁止",
            "hospitals": [{"id": "b", "name": "喀什和平医院"}],
            "practitioners": [],
            "purposes": [],
            "labels": [],
            "start": None,
            "end": None,
        }
    ]
    gone = data(await app.delete(f"/consents/{made['id']}"))
    assert await sees(looking, person)
    assert (gone["status"], gone["statusText"], gone["provisions"]) == ("inactive", "已撤回", made["provisions"])
    assert data(await app.get("/consents")) == {"items": [gone], "next": None}
    assert problem(await app.delete(f"/consents/{made['id']}")) == (409, "withdrawn-already")


async def test_a_practitioner_a_purpose_a_period(shared: Region) -> None:
    """consent/decision.py: an exception for one doctor overcomes a denial to all; days are days in Beijing."""
    person, app = await met(shared)
    data(await app.post("/consents", json={"effect": "deny"}))
    assert not await sees(doctor(shared), person) and not await sees(doctor(shared, "wang"), person)
    today = beijing(shared.clock.now)[:10]
    period = {"start": today, "end": today}
    granted = data(await app.post("/consents", json={"effect": "grant", "practitioner": "li", "purpose": "TREAT", **period}))
    (rule,) = granted["provisions"]
    assert (rule["start"], rule["end"]) == (f"{today}T00:00:00+08:00", f"{today}T23:59:59+08:00")
    assert rule["practitioners"] == [{"id": "li", "name": "李大夫"}]
    assert rule["purposes"] == [{"code": "TREAT", "text": "诊疗"}]
    assert await sees(doctor(shared), person) and not await sees(doctor(shared, "wang"), person)
    assert not await sees(doctor(shared, purpose="HRESCH"), person)
    shared.clock.now += 24 * 3_600_000
    assert not await sees(doctor(shared), person), "the day is over"


async def test_pages_of_consents(shared: Region) -> None:
    _, app = await met(shared)
    for purpose in ("HRESCH", "HPAYMT", "PUBHLTH"):
        data(await app.post("/consents", json={"effect": "deny", "purpose": purpose}))
    first = data(await app.get("/consents", params={"count": 2}))
    second = data(await app.get("/consents", params={"count": 2, "cursor": first["next"]}))
    assert len({one["id"] for one in (*first["items"], *second["items"])}) == 3 and second["next"] is None


async def test_what_a_hospital_recorded_is_shown_and_the_hospitals(shared: Region) -> None:
    """DESIGN 4: only the custodian changes a record; the patient records a consent of their own."""
    person, app = await met(shared)
    await keep(shared.world.a, consent("paper", person.a, provision("permit", actors=("Organization/b",))))
    (only,) = data(await app.get("/consents"))["items"]
    assert only["recordedBy"] == {"id": "a", "name": "天山人民医院"}
    assert problem(await app.delete("/consents/paper")) == (403, "recorded-by-hospital")


async def test_anothers_consent_is_not_there(shared: Region) -> None:
    (_, li), (_, app) = await met(shared), await met(shared)
    made = data(await li.post("/consents", json={"effect": "deny"}))
    assert data(await app.get("/consents"))["items"] == []
    for known in (made["id"], "nothing"):
        assert problem(await app.delete(f"/consents/{known}")) == (404, "not-found")
    assert data(await li.get("/consents"))["items"][0]["status"] == "active"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "effect"),
        ({"effect": "maybe"}, "effect"),
        ({"effect": "deny", "hospital": "nowhere"}, "hospital"),
        ({"effect": "deny", "practitioner": "nobody"}, "practitioner"),
        ({"effect": "deny", "hospital": "a/b"}, "hospital"),
        ({"effect": "deny", "hospital": "a", "practitioner": "li"}, "body"),
        ({"effect": "deny", "purpose": "FUN"}, "purpose"),
        ({"effect": "deny", "start": "2027-02-30"}, "start"),
        ({"effect": "deny", "start": "2027-02-02", "end": "2027-02-01"}, "body"),
        ({"effect": "deny", "patient": "a-2"}, "patient"),
    ],
)
async def test_a_consent_that_would_protect_nobody_is_refused(shared: Region, wrong: Resource, field: str) -> None:
    app = await shared.logged_in("aygul")
    if (await app.get("/consents")).status_code == 403:
        await shared.bound("aygul")
    answer = await app.post("/consents", json=wrong)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["data"] == {"fields": [field]}
    assert data(await app.get("/consents"))["items"] == []


async def test_parallel_withdrawals(shared: Region) -> None:
    """http.html#concurrency: exactly one, the others are told that it was withdrawn or is being changed."""
    _, app = await met(shared)
    made = data(await app.post("/consents", json={"effect": "deny"}))
    answers = await asyncio.gather(*(app.delete(f"/consents/{made['id']}") for _ in range(8)))
    assert {problem(one) for one in answers if one.status_code != 200} <= {(409, "withdrawn-already"), (409, "conflict")}
    assert len([one for one in answers if one.status_code == 200]) == 1


async def test_the_log_says_what_was_done_whatever_the_interaction(shared: Region) -> None:
    """R4 http.html: histories read, a patch and labels write; `other` would tell the person nothing."""
    person, app = await met(shared)
    known = f"/Observation/{glucose(person)}"
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": [label]}}]}
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    a, before = shared.world.a, await done(app)
    answers = [
        await a.patch(known, json=patch, headers={"Content-Type": "application/json-patch+json"}),
        await a.post(f"{known}/$meta-add", json=meta),
        await a.post(f"{known}/$meta-delete", json=meta),
        await a.get("/Observation/_history"),
        await a.get(f"{known}/_history"),
        await a.get(f"{known}/$meta"),
    ]
    assert {one.status_code for one in answers} == {200}
    assert await done(app) - before == {"read": 3, "write": 3}


async def done(app: httpx.AsyncClient) -> Counter[str]:
    """How often others did what, as the log has it."""
    return Counter(one["what"] for one in data(await app.get("/accesses", params={"others": "true"}))["items"])


async def test_the_log_shows_who_looked(shared: Region) -> None:
    """Doctor, hospital, purpose, allowed or denied, broken glass with its reason, oneself; Beijing time, newest first."""
    person, app = await met(shared)
    looking = doctor(shared)
    for step, act in enumerate(
        (
            looking.get(f"/Observation/{glucose(person)}"),
            looking.get(f"/Observation?patient={person.a}"),
            app.post("/consents", json={"effect": "deny", "hospital": "b"}),
            looking.get(f"/Observation/{glucose(person)}"),
            break_glass(looking, person.a),
            looking.get(f"/Observation/{glucose(person)}"),
        )
    ):
        shared.clock.now += 1000
        assert (await act).status_code in (200, 201, 404), step
    items = data(await app.get("/accesses", params={"others": "true"}))["items"]
    told = [(one["what"], one["allowed"], one["breakGlass"], one["reason"]) for one in items if one["who"] == "practitioner"]
    assert told == [
        ("read", True, True, None),
        ("break-glass", True, True, "unconscious, no relatives"),
        ("read", False, False, None),
        ("search", True, False, None),
        ("read", True, False, None),
    ]
    first = items[0]
    assert first["at"] == beijing(shared.clock.now)
    assert first["practitioner"] == {"id": "li", "name": "李大夫"}
    assert first["hospital"] == {"id": "b", "name": "喀什和平医院"}
    texts = ("whoText", "purposeText", "whatText", "typeText", "allowedText")
    assert [first[one] for one in texts] == ["医务人员", "诊疗", "查看", "检查结果", "已允许"]
    assert {one["who"] for one in items} == {"practitioner", "system"}, "the hospital wrote"
    everything = data(await app.get("/accesses", params={"count": 100}))["items"]
    assert {one["what"] for one in everything if one["who"] == "self"} == {"bind", "write", "read"}, "of the log"


async def test_pages_of_the_log(shared: Region) -> None:
    """Many accesses at one moment: none is twice, none is left out, and looking at the log does not lengthen it."""
    person, app = await met(shared)
    looking = doctor(shared)
    await asyncio.gather(*(looking.get(f"/Observation/{glucose(person)}") for _ in range(12)))
    await app.get("/timeline")
    whole = data(await app.get("/accesses", params={"count": 100, "others": "true"}))["items"]
    assert len(whole) == 12 + 3, "and three writes"
    count, cursor = 0, None
    while True:
        told: Resource = {"count": 4, "others": "true"} | ({"cursor": cursor} if cursor else {})
        page = data(await app.get("/accesses", params=told))
        count += len(page["items"])
        if (cursor := page["next"]) is None:
            break
    assert count == len(whole)


async def test_the_log_is_ones_own(shared: Region) -> None:
    (person, _), (_, li) = await met(shared), await met(shared)
    await doctor(shared).get(f"/Observation/{glucose(person)}")
    assert {one["who"] for one in data(await li.get("/accesses"))["items"]} == {"self", "system"}
