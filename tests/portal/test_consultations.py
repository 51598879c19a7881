"""Issue 3.2: find and book an expert; the closed consultation is in the timeline. Over telemedicine's own operations."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from telemedicine.experts import load
from tests.gate.building import keep, observation
from tests.portal import world
from tests.portal.world import LI, LI_ID, Region, data, problem
from tests.telemedicine.world import call

EXPERTS = 24
CARDIOLOGY = "394579002"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Region]:
    """A region with experts, in which nothing is permitted by default: what an expert sees is what the consultation opens."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    folder = tmp_path_factory.mktemp("clinic")
    async with world.region(mongodb_uri, name, folder, default_policy="break-glass-only") as made:
        await load(made.door.exchange.record, EXPERTS, 2)
        await keep(made.world.a, observation("glucose", "a-1"))
        yield made
    async with AsyncMongoClient[dict[str, object]](mongodb_uri) as client:
        await client.drop_database(name)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def aygul(clinic: Region) -> httpx.AsyncClient:
    return await clinic.bound("aygul")


async def test_experts_by_specialty_language_and_days(aygul: httpx.AsyncClient) -> None:
    """Soonest first; names of hospital, specialty and language for people; times in Beijing time."""
    every = data(await aygul.get("/experts", params={"days": 2, "count": 50}))["items"]
    first = [one["times"][0]["start"] for one in every]
    assert first == sorted(first) and all(one >= "2027-01-15T16:00" and one.endswith("+08:00") for one in first)
    hearts = data(await aygul.get("/experts", params={"specialty": CARDIOLOGY, "days": 2}))["items"]
    assert hearts and all({"code": CARDIOLOGY, "text": "心血管内科"} in one["specialties"] for one in hearts)
    uyghur = data(await aygul.get("/experts", params={"language": "ug", "days": 2, "count": 50}))["items"]
    assert 0 < len(uyghur) < len(every)
    assert all({"code": "ug", "text": "维吾尔语"} in one["languages"] for one in uyghur)
    assert all(one["hospital"]["name"].startswith("协作医院") for one in every)
    (only,) = data(await aygul.get("/experts", params={"expert": every[0]["id"], "days": 2}))["items"]
    assert (only["id"], len(only["times"]) >= len(every[0]["times"])) == (every[0]["id"], True)
    assert data(await aygul.get("/experts", params={"specialty": "1"})) == {"items": []}


async def test_book_see_cancel(clinic: Region, aygul: httpx.AsyncClient) -> None:
    """The expert sees the record from booking to cancelling; the slot is taken meanwhile, and free again."""
    free = data(await aygul.get("/experts", params={"days": 2}))["items"][-1]
    slot = free["times"][-1]
    booked = data(await aygul.post("/appointments", json={"slot": slot["slot"], "reason": "胸闷"}), 201)
    assert booked | {"id": "", "specialties": []} == {
        "id": "",
        "status": "booked",
        "statusText": "已预约",
        "start": slot["start"],
        "end": slot["end"],
        "expert": {"id": free["id"], "name": free["name"]},
        "hospital": free["hospital"],
        "specialties": [],
        "reason": "胸闷",
        "cancellable": True,
    }
    assert problem(await aygul.post("/appointments", json={"slot": slot["slot"]})) == (409, "conflict")
    assert booked in data(await aygul.get("/appointments"))["items"]
    expert = clinic.world.doctor(free["id"], free["hospital"]["id"])
    assert (await expert.get("/Observation/glucose")).status_code == 200
    gone = data(await aygul.delete(f"/appointments/{booked['id']}"))
    assert (gone["status"], gone["statusText"], gone["cancellable"]) == ("cancelled", "已取消", False)
    assert (await expert.get("/Observation/glucose")).status_code == 404
    assert problem(await aygul.delete(f"/appointments/{booked['id']}")) == (409, "conflict")
    data(await aygul.post("/appointments", json={"slot": slot["slot"]}), 201)


async def test_a_held_time_is_confirmed(clinic: Region, aygul: httpx.AsyncClient) -> None:
    """What a pairing round, or the hospital, holds for a patient is among the appointments, pending."""
    slot = data(await aygul.get("/experts", params={"days": 2}))["items"][1]["times"][0]["slot"]
    wanted = {"appointment_reference": f"Appointment/{slot}", "patient_reference": "Patient/a-1"}
    assert (await call(clinic.world.a, "$hold", **wanted)).status_code == 200
    (held,) = [one for one in data(await aygul.get("/appointments"))["items"] if one["status"] == "pending"]
    assert data(await aygul.post("/appointments", json={"appointment": held["id"]}), 201)["status"] == "booked"
    assert problem(await aygul.post("/appointments", json={"appointment": held["id"]})) == (409, "conflict")


async def test_the_closed_consultation_is_in_the_timeline(clinic: Region, aygul: httpx.AsyncClient) -> None:
    """Encounter and Composition; and in the log what the expert looked at, and the close."""
    free = data(await aygul.get("/experts", params={"days": 2}))["items"][2]
    booked = data(await aygul.post("/appointments", json={"slot": free["times"][0]["slot"]}), 201)
    expert = clinic.world.doctor(free["id"], free["hospital"]["id"])
    assert (await expert.get("/Observation/glucose")).status_code == 200
    opinion = {"resourceType": "Parameters", "parameter": [{"name": "opinion", "valueString": "继续服药\n一天一次 <5 mg"}]}
    assert (await expert.post(f"/Appointment/{booked['id']}/$close", json=opinion)).status_code == 200
    items = data(await aygul.get("/timeline"))["items"]
    told = [(one["typeText"], one["title"], one["hospital"]["id"]) for one in items]
    assert sorted(told) == [("病历文书", "远程会诊意见", "telemedicine"), ("远程会诊", "远程会诊", "telemedicine")]
    composition = next(one["reference"] for one in items if one["type"] == "Composition").partition("/")[2]
    read = data(await aygul.get(f"/documents/{composition}"))
    assert (read["title"], read["authors"]) == ("远程会诊意见", [free["name"]])
    assert read["sections"] == [{"title": "会诊意见", "text": "继续服药\n一天一次 <5 mg"}]
    log = data(await aygul.get("/accesses", params={"others": "true"}))["items"]
    by_expert = [(one["what"], one["hospital"]) for one in log if (one["practitioner"] or {}).get("id") == free["id"]]
    assert {what for what, _ in by_expert} >= {"read", "consultation"}
    assert all(hospital == free["hospital"] for _, hospital in by_expert)


async def test_of_parallel_bookings_one_wins(clinic: Region, aygul: httpx.AsyncClient) -> None:
    slot = data(await aygul.get("/experts", params={"days": 2}))["items"][-2]["times"][0]["slot"]
    li = await clinic.bound("li", {"card": "resident-id", "number": LI_ID, "name": LI})
    answers = await asyncio.gather(*(app.post("/appointments", json={"slot": slot}) for app in (aygul, li) for _ in range(6)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 11
    winner, loser = (aygul, li) if answers.index(next(one for one in answers if one.status_code == 201)) < 6 else (li, aygul)
    known = data(next(one for one in answers if one.status_code == 201))["id"]
    assert known in [one["id"] for one in data(await winner.get("/appointments"))["items"]]
    assert known not in [one["id"] for one in data(await loser.get("/appointments"))["items"]]
    assert problem(await loser.delete(f"/appointments/{known}")) == (404, "not-found")
    data(await winner.delete(f"/appointments/{known}"))


@pytest.mark.parametrize("wrong", [{}, {"slot": "a", "appointment": "b"}, {"slot": "a/b"}, {"slot": "a", "patient": "a-2"}])
async def test_a_booking_names_one_time(aygul: httpx.AsyncClient, wrong: dict[str, str]) -> None:
    assert problem(await aygul.post("/appointments", json=wrong)) == (422, "invalid")


async def test_no_such_time(aygul: httpx.AsyncClient) -> None:
    for wanted in ({"slot": "none"}, {"appointment": "none"}):
        assert problem(await aygul.post("/appointments", json=wanted)) == (404, "not-found")
    assert problem(await aygul.delete("/appointments/none")) == (404, "not-found")
