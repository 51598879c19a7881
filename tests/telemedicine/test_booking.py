"""Issue 3.1: $find, $hold, $book over HTTP (IHE ITI-115 to 118), and what the expert sees from booking to close."""

import asyncio
from typing import Any

import orjson

from fhir_server.r4.dates import instant, interval
from tests.telemedicine.world import (
    DAY,
    HOUR,
    NOW,
    World,
    call,
    expert_of,
    find,
    found,
    hospital_of,
    named,
    one,
    parameters,
    put,
)


async def test_find_proposes_free_times(region: World) -> None:
    """ITI-115: proposed Appointments by specialty and language, soonest first, `total` beside `_count`."""
    answer = await find(region.patient, specialty="http://snomed.info/sct|394579002", language="zh", _count="3")
    proposals = found(answer)
    assert answer.json()["total"] > 3 == len(proposals)
    assert {one["status"] for one in proposals} == {"proposed"}
    assert [one["start"] for one in proposals] == sorted(one["start"] for one in proposals)
    codes = {coding["code"] for one in proposals for concept in one["specialty"] for coding in concept["coding"]}
    assert "394579002" in codes
    assert all(one["start"] >= "2027-01-15T08:00" for one in proposals)
    (only,) = {expert_of(one) for one in await region.offers(practitioner=f"Practitioner/{expert_of(proposals[0])}")}
    assert only == expert_of(proposals[0])


async def test_who_is_no_expert_any_more_is_not_proposed_whatever_the_clock_said(region: World) -> None:
    """A clock that was a day ahead when the experts were looked up, and is put right: they are looked up again"""
    region.clock.now += DAY
    known = expert_of((await region.offers())[0])
    region.clock.now -= DAY
    role = (await region.service.get(f"/PractitionerRole/{known}")).json()
    await put(region.service, role | {"active": False})
    assert known not in {expert_of(one) for one in await region.offers()}


async def test_find_asks_for_what_it_knows(region: World) -> None:
    assert (await region.patient.get("/Appointment/$find")).status_code == 400
    assert (await find(region.patient, timing="x")).status_code == 400
    assert (await find(region.patient, practitioner="Patient/1")).status_code == 400


async def test_parameters_of_the_url_and_of_the_body_are_read_together(region: World) -> None:
    """operations.html#request: those of the URL of a POST count; what is unknown is refused wherever it stands"""
    nothing: dict[str, Any] = {"resourceType": "Parameters"}
    until = {"name": "end", "valueDateTime": instant(NOW + 2 * DAY)}
    asked: dict[str, Any] = {"params": {"start": instant(NOW), "_count": "1"}, "json": nothing | {"parameter": [until]}}
    by_url = await region.patient.post("/Appointment/$find", **asked)
    assert by_url.json()["total"] > 1 == len(found(by_url))
    slot = named((await region.offers())[0])
    for operation in ("$find", "$hold", "$book", "1/$close"):
        for url, body in (("?timing=MARK", nothing), ("", parameters(timing="MARK"))):
            refused = await region.patient.post(f"/Appointment/{operation}{url}", json=body)
            assert (refused.status_code, "parameters here are" in refused.text, "MARK" in refused.text) == (400, True, False)
    assert (await region.patient.post(f"/Appointment/$hold?appointment-reference={slot}", json=nothing)).status_code == 200


async def test_hold_keeps_a_time_until_the_clock_says_otherwise(region: World) -> None:
    """ITI-116: pending; not found nor booked by others while it lasts; free when it is over, with nobody sweeping up."""
    slot = (await region.offers())[-1]
    held = one(await call(region.patient, "$hold", appointment_reference=named(slot)))
    assert (held["status"], held["id"] != slot["id"]) == ("pending", True)
    assert slot["id"] not in [one["id"] for one in await region.offers()]
    wanted = {"appointment_reference": named(slot), "patient_reference": "Patient/b-1"}
    refused = await call(region.b, "$book", **wanted)
    assert refused.status_code == 409
    assert [entry["resource"]["resourceType"] for entry in refused.json()["entry"]] == ["OperationOutcome"]
    region.clock.now += 15 * 60_000
    assert slot["id"] in [one["id"] for one in await region.offers()]
    assert (await call(region.patient, "$book", appointment_reference=named(held))).status_code == 409
    assert one(await call(region.b, "$book", **wanted))["status"] == "booked"


async def test_hold_then_book_then_move_then_cancel(region: World) -> None:
    """ITI-117: book also modifies and cancels; ITI-118: existing appointments are a search."""
    first, second = (await region.offers())[:2]
    held = one(await call(region.patient, "$hold", appointment_reference=named(first)))
    booked = one(await call(region.patient, "$book", appointment_reference=named(held)))
    assert (booked["id"], booked["status"], len(booked["extension"])) == (held["id"], "booked", 1)
    moved = one(await call(region.patient, "$book", appointment_resource=booked | {"slot": second["slot"]}))
    assert (moved["id"], moved["status"], moved["slot"]) == (held["id"], "booked", second["slot"])
    free = [one["id"] for one in await region.offers()]
    assert (first["id"] in free, second["id"] in free) == (True, False)
    existing = found(await region.patient.get("/Appointment", params={"patient": "Patient/a-1", "status": "booked"}))
    assert [one["id"] for one in existing] == [held["id"]]
    gone = one(await call(region.patient, "$book", appointment_resource=moved | {"status": "cancelled"}))
    assert gone["status"] == "cancelled"
    assert second["id"] in [one["id"] for one in await region.offers()]
    assert (await call(region.patient, "$book", appointment_resource=moved | {"status": "cancelled"})).status_code == 409


async def test_a_hidden_patient_is_booked_for_like_one_who_is_not_there(region: World) -> None:
    """Non-interference: not even at the Patient's keeper does a booking tell a doctor what a read would not."""
    doctor, slot = region.doctor("dr-a", "a"), named((await region.offers())[0])
    assert (await doctor.get("/Patient/a-1")).status_code == 404
    for operation in ("$hold", "$book"):
        answers = [
            await call(doctor, operation, appointment_reference=slot, patient_reference=f"Patient/{known}")
            for known in ("a-1", "nobody")
        ]
        assert [one.status_code for one in answers] == [404, 404]
        assert answers[0].content == answers[1].content


async def test_a_slot_without_specialty_can_be_booked(region: World) -> None:
    """R4 Slot.specialty is optional, and an element is absent rather than empty."""
    offered = (await region.offers())[0]["slot"][0]["reference"]
    slot = (await region.service.get(f"/{offered}")).json()
    await put(region.service, {name: value for name, value in slot.items() if name != "specialty"})
    known = {"appointment_reference": offered.replace("Slot/", "Appointment/")}
    assert "specialty" not in one(await call(region.patient, "$book", **known))


async def test_who_may_arrange_a_consultation(region: World) -> None:
    """The person, or the hospital that keeps the Patient; nobody else, and nobody learns whether there is such a Patient."""
    slot = (await region.offers())[0]
    for client, patient in ((region.b, "a-1"), (region.b, "nobody"), (region.patient, "b-1"), (region.expert(slot), "a-1")):
        answer = await call(client, "$book", appointment_reference=named(slot), patient_reference=f"Patient/{patient}")
        assert answer.status_code == 404, answer.text
    booked = one(await call(region.a, "$book", appointment_reference=named(slot), patient_reference="Patient/a-1"))
    for client in (region.b, region.person("b-1")):
        answer = await call(client, "$book", appointment_resource=booked | {"status": "cancelled"})
        assert answer.status_code == 404
    assert (
        one(await call(region.patient, "$book", appointment_resource=booked | {"status": "cancelled"}))["status"] == "cancelled"
    )


async def test_nobody_is_their_own_expert(region: World) -> None:
    """Not one's own hospital: a consultation must not open a record to those who ask for it."""
    slot = (await region.offers())[0]
    own = region.system(hospital_of(slot))
    await put(own, {"resourceType": "Patient", "id": "own-1", "name": [{"text": "x"}]})
    answer = await call(own, "$book", appointment_reference=named(slot), patient_reference="Patient/own-1")
    assert answer.status_code == 409
    assert answer.json()["entry"][0]["resource"]["issue"][0]["code"] == "business-rule"


async def test_only_book_takes_an_experts_time(region: World) -> None:
    """Overlap is impossible whatever is written: plain FHIR cannot book an expert, nor change what is booked."""
    slot = (await region.offers())[0]
    plain = {**slot, "id": "a-x", "status": "booked"}
    assert (await region.a.put("/Appointment/a-x", json=plain)).status_code == 403
    booked = one(await call(region.a, "$book", appointment_reference=named(slot), patient_reference="Patient/a-1"))
    assert (await region.a.put(f"/{named(booked)}", json=booked)).status_code == 403
    await region.a.delete(f"/{named(booked)}")
    assert (await region.patient.get(f"/{named(booked)}")).json() == booked
    local = {**plain, "participant": [{"actor": {"reference": "Practitioner/a-li"}, "status": "accepted"}]}
    assert (await region.a.put("/Appointment/a-x", json=local)).status_code == 201


async def test_the_expert_sees_the_record_from_booking_to_close(region: World) -> None:
    """Issue 3.1: and not a moment longer. Closing writes Encounter (virtual) and Composition into the record."""
    await put(
        region.a, {"resourceType": "Condition", "id": "a-c", "subject": {"reference": "Patient/a-1"}, "code": {"text": "x"}}
    )
    slot = (await region.offers())[0]
    expert, other = region.expert(slot), region.doctor(expert_of(slot), "b")

    async def sees() -> tuple[int, int]:
        return (await expert.get("/Condition/a-c")).status_code, (await other.get("/Condition/a-c")).status_code

    held = one(await call(region.patient, "$hold", appointment_reference=named(slot)))
    assert await sees() == (404, 404)
    booked = one(await call(region.patient, "$book", appointment_reference=named(held)))
    assert await sees() == (200, 404)
    assert (await call(region.patient, f"{booked['id']}/$close", opinion="x")).status_code == 403
    assert (await call(other, f"{booked['id']}/$close", opinion="x")).status_code == 404
    assert (await call(expert, f"{booked['id']}/$close", opinion=" ")).status_code == 400
    done = await call(expert, f"{booked['id']}/$close", opinion="建议手术 <b>&\n随访")
    fulfilled, encounter, composition = found(done)
    assert await sees() == (404, 404)
    assert (fulfilled["status"], encounter["class"]["code"], composition["status"]) == ("fulfilled", "VR", "final")
    assert encounter["appointment"] == [{"reference": named(booked)}]
    assert composition["encounter"] == {"reference": f"Encounter/{encounter['id']}"}
    assert "<p>建议手术 &lt;b&gt;&amp;</p><p>随访</p>" in composition["section"][0]["text"]["div"]
    own = found(await region.patient.get("/Composition", params={"patient": "Patient/a-1"}))
    assert [one["id"] for one in own] == [composition["id"]]
    assert (await call(expert, f"{booked['id']}/$close", opinion="again")).status_code == 409


async def test_cancelling_closes_the_record(region: World) -> None:
    """The grant goes in the transaction that cancels, whoever of the two parties does."""
    slot = (await region.offers())[0]
    booked = one(await call(region.patient, "$book", appointment_reference=named(slot)))
    expert = region.expert(slot)
    assert (await expert.get("/Patient/a-1")).status_code == 200
    assert one(await call(expert, "$book", appointment_resource=booked | {"status": "cancelled"}))["status"] == "cancelled"
    assert (await expert.get("/Patient/a-1")).status_code == 404


async def test_moving_to_another_expert_moves_the_sight(region: World) -> None:
    offers = await region.offers()
    first, second = offers[0], next(one for one in offers if expert_of(one) != expert_of(offers[0]))
    booked = one(await call(region.patient, "$book", appointment_reference=named(first)))
    one(await call(region.patient, "$book", appointment_resource=booked | {"slot": second["slot"]}))
    assert (await region.expert(first).get("/Patient/a-1")).status_code == 404
    assert (await region.expert(second).get("/Patient/a-1")).status_code == 200


async def test_a_consultation_that_nobody_closes_ends_by_the_clock(region: World) -> None:
    slot = (await region.offers())[0]
    one(await call(region.patient, "$book", appointment_reference=named(slot)))
    assert (await region.expert(slot).get("/Patient/a-1")).status_code == 200
    region.clock.now = NOW + 3 * DAY
    assert (await region.expert(slot).get("/Patient/a-1")).status_code == 404


async def test_each_leaves_an_audit_event(region: World) -> None:
    """The patient's own log names who arranged, who looked, who closed; refusals are kept as well."""
    slot = (await region.offers())[0]
    held = one(await call(region.a, "$hold", appointment_reference=named(slot), patient_reference="Patient/a-1"))
    one(await call(region.a, "$book", appointment_reference=named(held)))
    await call(region.expert(slot), f"{held['id']}/$close", opinion="x")
    events = found(await region.patient.get("/Patient/a-1/$access-log"))
    subtypes = [[code["code"] for code in event["subtype"]] for event in events]
    assert ["operation-hold", "ITI-116"] in subtypes and ["operation-book", "ITI-117"] in subtypes
    closing = next(event for event in events if event["subtype"][0]["code"] == "operation-close")
    assert closing["agent"][0]["who"] == {"reference": f"Practitioner/{expert_of(slot)}"}
    entries = [one async for one in region.door.exchange.database["audit"].find()]
    asked = [region.door.exchange.record.audit.open(one)["interaction"] for one in entries]
    assert "operation-find" in asked


async def test_a_thousand_bookings_of_one_slot_end_in_exactly_one(region: World) -> None:
    """Issue 3.1: overlapping appointments are impossible in the database; everybody else gets a 409."""
    slot = (await region.offers())[0]
    wanted = {"appointment_reference": named(slot), "patient_reference": "Patient/a-1"}
    connections = asyncio.Semaphore(100)  # as many as the client has; more would only wait in it

    async def book() -> int:
        async with connections:
            return (await call(region.a, "$book", **wanted)).status_code

    statuses = await asyncio.gather(*(book() for _ in range(1_000)))
    assert sorted(set(statuses)) == [200, 409]
    assert statuses.count(200) == 1
    booked = found(await region.patient.get("/Appointment", params={"patient": "Patient/a-1"}))
    assert len(booked) == 1


async def test_slots_that_overlap_cannot_both_be_booked(region: World) -> None:
    """Whatever the Slots say: time is what is unique, not Slots."""
    slot = (await region.offers())[0]
    stored = (await region.a.get(f"/Slot/{slot['id']}")).json()
    longer = instant(interval(slot["end"])[0] + HOUR)
    await put(region.service, {**stored, "id": "overlap", "end": longer})
    one(await call(region.patient, "$book", appointment_reference=named(slot)))
    clash = await call(region.a, "$book", appointment_reference="Appointment/overlap", patient_reference="Patient/a-2")
    assert clash.status_code == 409


async def test_a_slot_that_is_withdrawn_or_no_time_is_not_booked(region: World) -> None:
    """R4 Slot.status: only `free` is offered, to who knew of it before, too; nor what is longer than an Appointment may be."""
    wanted, other = (await region.offers())[:2]
    slot = (await region.service.get(f"/Slot/{wanted['id']}")).json()
    booked = one(await call(region.patient, "$book", appointment_reference=named(other)))
    changes = [{"status": status} for status in ("busy", "busy-unavailable", "busy-tentative", "entered-in-error")]
    for change in (*changes, {"end": instant(NOW + 9 * HOUR)}, {"end": slot["start"]}, {"schedule": {"display": "?"}}):
        await put(region.service, slot | change)
        assert wanted["id"] not in [one["id"] for one in await region.offers()]
        for operation in ("$hold", "$book"):
            assert (await call(region.patient, operation, appointment_reference=named(wanted))).status_code == 404, change
        moved = await call(region.patient, "$book", appointment_resource=booked | {"slot": wanted["slot"]})
        assert moved.status_code == 404, change
    await put(region.service, slot)
    assert one(await call(region.patient, "$book", appointment_reference=named(wanted)))["status"] == "booked"


async def test_an_appointment_of_others_is_an_id_that_nothing_has(region: World) -> None:
    """Decision 1: $book answers byte for byte as for an id that nobody has used."""
    slots = await region.offers()
    theirs = one(await call(region.patient, "$book", appointment_reference=named(slots[0])))
    free = {"resourceType": "Appointment", "status": "booked", "slot": slots[1]["slot"]}
    asked: list[dict[str, Any]] = [
        {"appointment_reference": "Appointment/ID"},
        {"appointment_reference": "Appointment/ID", "patient_reference": "Patient/b-1"},
        {"appointment_resource": free | {"id": "ID"}},
        {"appointment_resource": free | {"id": "ID", "status": "cancelled"}, "patient_reference": "Patient/b-1"},
        {"appointment_resource": free | {"id": "ID", "slot": theirs["slot"]}, "patient_reference": "Patient/b-1"},
    ]
    for client in (region.b, region.system("c"), region.doctor("nobody", "b")):
        for values in asked:
            body = orjson.dumps(parameters(**values)).decode()
            answers = [
                await client.post("/Appointment/$book", content=body.replace("ID", known)) for known in (theirs["id"], "0" * 32)
            ]
            assert (answers[0].status_code, answers[0].text) == (answers[1].status_code, answers[1].text)
            assert answers[0].status_code in (400, 404, 409)
    (mine,) = found(await region.patient.get("/Appointment", params={"patient": "Patient/a-1"}))
    assert mine["meta"] == theirs["meta"]
