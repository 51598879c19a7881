"""What messages change of a Patient that stands, beside what the hospital wrote by FHIR: over real MLLP into a real store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters import mllp
from adapters.hl7v2.convert import patient_ids
from adapters.hl7v2.parse import parse
from adapters.inbox import resume, take
from exchange.intake import inbox_of
from exchange.settings import DEMO_REGION
from tests import serving
from tests.adapters.support import message, segment
from tests.exchange import test_intake
from tests.exchange.test_intake import CARD, HOSPITALS, PERSON, A, accepted, listening
from tests.serving import Door, Watch

Resource = dict[str, Any]
region = test_intake.region


async def test_a_change_leaves_what_it_does_not_tell(region: tuple[Door, int]) -> None:
    """v2.5.1 2.5.3.4: an A08 with a number and a telephone; what the hospital wrote by FHIR and its labels stand, too.

    The card stands, and with it who the person is, until PID-19 says that there is none.
    """
    door, port = region
    hospital, number = door.system("hospital-a"), {3: "7^^^^MR"}
    more = {5: "Li^Si", 7: "19490101", 8: "F", 11: "1 Road", 13: "111", 19: PERSON.id_card}
    whole = message(segment("PID", number | more), segment("PD1", {12: "Y"}), kind="ADT^A28")
    assert accepted(await mllp.send("127.0.0.1", port, whole))
    before = await the_one(hospital, "Patient") | {"active": True}
    assert (await hospital.put(f"/Patient/{before['id']}", json=before)).status_code == 200
    assert accepted(await mllp.send("127.0.0.1", port, message(segment("PID", number | {13: "222"}), kind="ADT^A08")))
    after = (await hospital.get(f"/Patient/{before['id']}")).json()
    assert after["meta"].pop("versionId") == "3"
    assert before["telecom"][0]["value"] == "111" and after["telecom"][0]["value"] == "222"
    for one in (before, after):
        del one["telecom"], one["meta"]["lastUpdated"]
    del before["meta"]["versionId"]
    assert after == before
    assert (await hospital.get("/Patient", params={"identifier": f"{CARD}|{PERSON.id_card}"})).json()["total"] == 1
    none = message(segment("PID", number | {19: '""'}), kind="ADT^A08", control_id="2")
    assert accepted(await mllp.send("127.0.0.1", port, none))
    assert (await hospital.get("/Patient", params={"identifier": f"{CARD}|{PERSON.id_card}"})).json()["total"] == 0


async def test_changes_at_once_lose_nothing_of_each_other(region: tuple[Door, int]) -> None:
    """Two processes with a message each about one patient: each changes what stands when it commits."""
    door, _ = region
    told = {5: "Li^Si", 7: "19490101", 8: "F", 11: "1 Road", 13: "111"}
    pids = (segment("PID", {3: "7^^^^MR", field: value}) for field, value in told.items())
    acks = await asyncio.gather(*(take(inbox_of(door.exchange), A, message(one, kind="ADT^A08")) for one in pids))
    assert [ack.code for ack in acks] == ["AA"] * len(told)
    found = await the_one(door.system("hospital-a"), "Patient")
    assert {"name", "birthDate", "gender", "address", "telecom"} <= found.keys()
    assert found["meta"]["versionId"] == "5"


async def _changed(door: Door, port: int, said: Resource, *segments: str, field: dict[int, str]) -> Resource:
    """The Patient after an A08 with a field, over what the hospital had said of it by FHIR."""
    hospital, number = door.system("hospital-a"), {3: "7^^^^MR"}
    whole = message(segment("PID", number | {5: "Li^Si", 13: "111"}), kind="ADT^A28")
    assert accepted(await mllp.send("127.0.0.1", port, whole))
    stands = await the_one(hospital, "Patient") | said
    assert (await hospital.put(f"/Patient/{stands['id']}", json=stands)).status_code == 200
    assert accepted(await mllp.send("127.0.0.1", port, message(segment("PID", number | field), *segments, kind="ADT^A08")))
    return dict((await hospital.get(f"/Patient/{stands['id']}")).json())


async def test_a_change_takes_what_was_contained_for_its_sake_along(region: tuple[Door, int]) -> None:
    """dom-3: else the message would be refused for ever"""
    said = {"contained": [{"resourceType": "Practitioner", "id": "gp"}], "generalPractitioner": [{"reference": "#gp"}]}
    patient = await _changed(*region, said, segment("PD1", {4: "77^Jones^Amy"}), field={})
    assert "contained" not in patient
    assert [one["display"] for one in patient["generalPractitioner"]] == ["Amy Jones"]


@pytest.mark.parametrize(("telephone", "claims"), [("222", ["urn:p:reachable"]), ('""', None)])
async def test_a_change_that_breaks_a_profile_ends_the_claim(
    region: tuple[Door, int], telephone: str, claims: list[str] | None
) -> None:
    """A message knows of no profiles, and is not refused for one that somebody claimed before it."""
    elements = [{"id": "Patient", "path": "Patient"}, {"id": "Patient.telecom", "path": "Patient.telecom", "min": 1}]
    profile = {
        "resourceType": "StructureDefinition", "id": "reachable", "url": "urn:p:reachable", "name": "R", "status": "active",
        "kind": "resource", "abstract": False, "type": "Patient", "derivation": "constraint",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient", "differential": {"element": elements},
    }  # fmt: skip
    assert (await region[0].admin().put("/StructureDefinition/reachable", json=profile)).status_code == 201
    patient = await _changed(*region, {"meta": {"profile": ["urn:p:reachable"]}}, field={13: telephone})
    assert patient["meta"].get("profile") == claims


async def test_what_is_late_tells_what_newer_messages_did_not(region: tuple[Door, int]) -> None:
    """No message tells all of a patient: of a late one the address is new, and the telephone is not."""
    door, _ = region
    number, telephones = {3: "7^^^^MR"}, ("222", "333")
    late = message(segment("PID", number | {11: "1 Road", 13: "111"}), kind="ADT^A08")
    box, known = inbox_of(door.exchange), patient_ids(parse(late, A.charset), A, inbox_of(door.exchange).secret)
    await door.exchange.inbox.put(A.id, "1", late, known)
    for control_id, telephone in enumerate(telephones, 2):
        newer = message(segment("PID", number | {13: telephone}), kind="ADT^A08", control_id=str(control_id))
        assert (await take(box, A, newer)).code == "AA"
    assert await resume(box, HOSPITALS) == 1
    found = await the_one(door.system("hospital-a"), "Patient")
    assert [one["value"] for one in found["telecom"]] == ["333"]
    assert [one["text"] for one in found["address"]] == ["1 Road"]


def _telephone(number: str) -> bytes:
    return message(segment("PID", {3: "7^^^^MR", 13: number}), kind="ADT^A08", control_id=number)


async def _telephones(door: Door) -> list[str]:
    found = await the_one(door.system("hospital-a"), "Patient")
    return [one["value"] for one in found["telecom"]]


@asynccontextmanager
async def _refusing(door: Door, *collections: str) -> AsyncIterator[None]:
    """The store takes messages in, and refuses what is to be written to these."""
    allowed = {"inbox": {"state": "received"}, "resources": {"t": -1}}
    for one in collections:
        await door.exchange.database.database.command("collMod", one, validator=allowed[one])
    try:
        yield
    finally:
        for one in collections:
            await door.exchange.database.database.command("collMod", one, validator={})


async def test_what_is_in_doubt_and_sent_again_takes_no_newer_messages_place(region: tuple[Door, int]) -> None:
    """AR since the store went away, which could not even say that the message failed; its hospital goes on to the next first"""
    door, port = region
    late, newer = map(_telephone, ("111", "222"))
    async with _refusing(door, "inbox", "resources"):
        (reply,) = await mllp.send("127.0.0.1", port, late)
    assert b"MSA|AR|" in reply
    assert accepted(await mllp.send("127.0.0.1", port, [newer, late]))
    assert await _telephones(door) == ["222"]


async def test_what_was_applied_and_never_acknowledged_stands_over_what_is_older(region: tuple[Door, int]) -> None:
    """Of two messages the first failed, the second was committed and nobody could say so: both are sent again, in order"""
    door, port = region
    older, newer = map(_telephone, ("111", "222"))
    async with _refusing(door, "inbox", "resources"):
        assert not accepted(await mllp.send("127.0.0.1", port, [older]))
    async with _refusing(door, "inbox"):
        assert not accepted(await mllp.send("127.0.0.1", port, [newer]))
    assert await _telephones(door) == ["222"]
    assert accepted(await mllp.send("127.0.0.1", port, [older, newer]))
    assert await _telephones(door) == ["222"]


@pytest.mark.parametrize("hours", [-1, 0], ids=["set back", "at the same moment"])
async def test_which_message_is_newer_no_clock_says(mongodb_uri: str, database: str, tmp_path: Path, hours: int) -> None:
    """The clock is set back after a message failed, or is that of another process: the one that came after it is newer"""
    watch = Watch()
    async with (
        serving.door(mongodb_uri, database, tmp_path, now=watch, region=DEMO_REGION) as door,
        listening(door, HOSPITALS) as port,
    ):
        late, newer, newest = map(_telephone, ("111", "222", "333"))
        moment = watch.stop()
        async with _refusing(door, "resources"):
            (reply,) = await mllp.send("127.0.0.1", port, late)
        assert b"MSA|AE|" in reply
        for number, one in enumerate((newer, newest), 1):
            watch.stands = moment + number * hours * 3_600_000
            assert accepted(await mllp.send("127.0.0.1", port, [one]))
        assert accepted(await mllp.send("127.0.0.1", port, [late]))
        assert await _telephones(door) == ["333"]


async def test_a_sparse_discharge_leaves_the_visit_and_who_may_see_it(region: tuple[Door, int]) -> None:
    """An A03 of a few fields; what the diagnosis was protected by (DG1-18), and what was written by FHIR, stand."""
    door, port = region
    hospital, doctor, pid = door.system("hospital-a"), door.doctor("dr-b", "hospital-b"), segment("PID", {3: "7^^^^MR"})
    admitted = segment("PV1", {2: "I", 3: "Ward^1", 7: "11^At", 19: "V1", 44: "20240501"})
    code = {3: "F20^Schizophrenia^I10"}
    assert accepted(await mllp.send("127.0.0.1", port, message(pid, admitted, segment("DG1", code | {18: "Y"}))))
    condition = await the_one(hospital, "Condition") | {"note": [{"text": "written by FHIR"}]}
    assert (await hospital.put(f"/Condition/{condition['id']}", json=condition)).status_code == 200
    ended = segment("PV1", {19: "V1", 45: "20240503"})
    assert accepted(
        await mllp.send("127.0.0.1", port, message(pid, ended, segment("DG1", code), kind="ADT^A03", control_id="2"))
    )
    visit = await the_one(hospital, "Encounter")
    assert (visit["status"], visit["class"]["code"], visit["period"]) == (
        "finished", "IMP", {"start": "2024-05-01", "end": "2024-05-03"},
    )  # fmt: skip
    assert visit["location"] and visit["participant"] and visit["diagnosis"]
    after = (await hospital.get(f"/Condition/{condition['id']}")).json()
    assert (after["note"], after["meta"]["security"]) == (condition["note"], condition["meta"]["security"])
    assert (await doctor.get("/Encounter")).json()["total"] == 1
    assert (await doctor.get("/Condition")).json()["total"] == 0


async def test_a_visit_number_and_a_cover_that_are_used_again(region: tuple[Door, int]) -> None:
    """per-1: a visit that starts after the end that stands was refused for ever"""
    door, port = region
    pid = segment("PID", {3: "7^^^^MR"})
    for year in ("2024", "2025"):
        visit = {19: "V1", 44: f"{year}0501"}
        begun = segment("PV1", {2: "I"} | visit), segment("IN1", {2: "P", 3: "C", 4: "Fund", 12: f"{year}0101"})
        ended = segment("PV1", visit | {45: f"{year}0503"}), segment("IN1", {2: "P", 3: "C", 4: "Fund", 13: f"{year}1231"})
        assert accepted(await mllp.send("127.0.0.1", port, message(pid, *begun)))
        assert accepted(await mllp.send("127.0.0.1", port, message(pid, *ended, kind="ADT^A03")))
    hospital = door.system("hospital-a")
    assert (await the_one(hospital, "Encounter"))["period"] == {"start": "2025-05-01", "end": "2025-05-03"}
    assert (await the_one(hospital, "Coverage"))["period"] == {"start": "2025-01-01", "end": "2025-12-31"}


@pytest.mark.parametrize(("asked", "is_protected"), [("", True), ("N", False)])
async def test_what_was_deleted_and_is_told_again_is_protected_again(
    region: tuple[Door, int], asked: str, is_protected: bool
) -> None:
    """The hospital deletes a Condition by FHIR, and its next A08 has the DG1 still, without DG1-18"""
    door, port = region
    hospital, pid, visit = door.system("hospital-a"), segment("PID", {3: "7^^^^MR"}), segment("PV1", {2: "I", 19: "V1"})
    code = {3: "I10^Hypertension^I10"}
    assert accepted(await mllp.send("127.0.0.1", port, message(pid, visit, segment("DG1", code | {18: "Y"}))))
    found = await the_one(hospital, "Condition")
    assert (await hospital.delete(f"/Condition/{found['id']}")).status_code == 204
    again = message(pid, visit, segment("DG1", code | {18: asked}), kind="ADT^A08", control_id="2")
    assert accepted(await mllp.send("127.0.0.1", port, again))
    found = await the_one(hospital, "Condition")
    assert ("security" in found["meta"]) == is_protected
    assert (await door.doctor("dr-b", "hospital-b").get("/Condition")).json()["total"] == (0 if is_protected else 1)


async def test_what_was_deleted_and_is_only_named_again_is_protected_again(region: tuple[Door, int]) -> None:
    """The hospital deletes a Patient and a visit by FHIR; an ORU naming both makes them again, and says nothing of labels"""
    door, port = region
    hospital = door.system("hospital-a")
    pid, visit = segment("PID", {3: "7^^^^MR"}), segment("PV1", {2: "I", 19: "V1"})
    protected = message(pid, segment("PD1", {12: "Y"}), visit, segment("PV2", {22: "Y"}))
    assert accepted(await mllp.send("127.0.0.1", port, protected))
    names = [f"{kind}/{(await the_one(hospital, kind))['id']}" for kind in ("Encounter", "Patient")]
    for name in names:
        assert (await hospital.delete(f"/{name}")).status_code == 204
    result = segment("OBR", {4: "GLU^Glucose^99L"}), segment("OBX", {2: "NM", 3: "GLU^Glucose^99L", 5: "5", 11: "F"})
    assert accepted(await mllp.send("127.0.0.1", port, message(pid, visit, *result, kind="ORU^R01", control_id="2")))
    for name in names:
        assert (await hospital.get(f"/{name}")).json()["meta"]["security"][0]["code"] == "R", name


async def the_one(client: httpx.AsyncClient, kind: str) -> Resource:
    """The one resource of a type that there is."""
    (entry,) = (await client.get(f"/{kind}")).json()["entry"]
    return dict(entry["resource"])
