"""Hospitals push, doctors read: HL7 v2 over real MLLP into a real store, out again as FHIR."""

import argparse
import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio

from adapters import hospitals, mllp
from adapters.hl7v2 import codes
from adapters.hl7v2.convert import Converted
from adapters.hospitals import Hospital
from adapters.inbox import replay, resume, take
from exchange import inboxes
from exchange.demo.messages import DIAGNOSES, LABS, adt, oru, story
from exchange.demo.people import people
from exchange.intake import inbox_of
from exchange.serving import served
from exchange.settings import DEMO_REGION
from fhir_server.r4.json import read
from fhir_server.store.documents import TYPE_NUMBER, body
from tests import serving
from tests.adapters.support import message, segment
from tests.fixtures import FIXTURES
from tests.serving import Door
from tests.store.test_erasing import erased, foreseen, is_done, until

HOSPITALS = hospitals.load(DEMO_REGION)
A, B = HOSPITALS["hospital-a"], HOSPITALS["hospital-b"]
PERSON = people(1)[0]
ANYTHING = Hospital("anywhere", "sends what the fixtures hold", ("*",), peers=("127.0.0.1/32",))
CARD = "urn:oid:2.16.156.10011.1.3"


@asynccontextmanager
async def listening(door: Door, known: dict[str, Hospital]) -> AsyncIterator[int]:
    """The MLLP listener of this exchange; gives its port."""
    inbox = inbox_of(door.exchange)
    server = await mllp.serve("127.0.0.1", 0, lambda hospital, raw: take(inbox, hospital, raw), known)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(loop_scope="session")
async def region(mongodb_uri: str, database: str, tmp_path: Path) -> AsyncIterator[tuple[Door, int]]:
    async with serving.door(mongodb_uri, database, tmp_path, region=DEMO_REGION) as door, listening(door, HOSPITALS) as port:
        yield door, port


def accepted(replies: list[bytes]) -> bool:
    return all(b"MSA|AA|" in reply for reply in replies)


async def test_a_doctor_reads_what_another_hospital_sent(region: tuple[Door, int]) -> None:
    """From ADT^A01 in GB18030 and ORU^R01 to a search, across hospitals, by whoever's Patient."""
    door, port = region
    sent = [adt(A, PERSON, "A01", "1", DIAGNOSES[:1]), oru(A, PERSON, "2", LABS[:3]), adt(B, PERSON, "A04", "1")]
    assert accepted(await mllp.send("127.0.0.1", port, sent))
    doctor = door.doctor("dr-b", "hospital-b")
    patients = (await doctor.get("/Patient", params={"identifier": f"{CARD}|{PERSON.id_card}"})).json()
    ids = {entry["resource"]["id"].rsplit("-", 1)[0]: entry["resource"]["id"] for entry in patients["entry"]}
    assert set(ids) == {"hospital-a", "hospital-b"}
    for known in ids.values():
        found = (await doctor.get("/Observation", params={"patient": known, "code": f"http://loinc.org|{LABS[0].code}"})).json()
        assert found["total"] == 1
        assert found["entry"][0]["resource"]["subject"] == {"reference": f"Patient/{ids['hospital-a']}"}
    named = (await doctor.get("/Patient", params={"name": (PERSON.family + PERSON.given)[:2]})).json()
    assert named["total"] == 2


async def test_the_same_message_twice_changes_nothing(region: tuple[Door, int]) -> None:
    """Deduplicated by sender, MSH-10 and content; and idempotent even when processed again."""
    door, port = region
    message = adt(A, PERSON, "A01", "1", DIAGNOSES)
    assert accepted(await mllp.send("127.0.0.1", port, [message, message]))
    entries = await door.exchange.inbox.newest()
    assert [(one.state, one.attempts) for one in entries] == [("done", 1)]
    before = await door.exchange.database["resources"].find().to_list()
    assert (await replay(inbox_of(door.exchange), HOSPITALS, entries[0].id)).code == "AA"
    assert await door.exchange.database["resources"].find().to_list() == before
    assert await door.exchange.database["history"].count_documents({}) == 0


async def test_a_correction_of_one_result_leaves_the_others(region: tuple[Door, int]) -> None:
    """v2.5.1 7.4.2.11: C replaces what has the same observation ID and sub-ID, D deletes it"""
    door, port = region
    hospital = door.system("hospital-a")

    def panel(*obx: str) -> bytes:
        rows = (f"OBX|1|NM|{one}" for one in obx)
        return message("PID|1||7^^^^MR", f"OBR|1||F1|LAB|||20260101{'|' * 18}C", *rows, kind="ORU^R01")

    async def listed() -> tuple[str, list[str]]:
        (report,) = (await hospital.get("/DiagnosticReport")).json()["entry"]
        found = [(await hospital.get(f"/{one['reference']}")).json() for one in report["resource"].get("result", ())]
        values = [f"{one['code']['coding'][0]['code']} {one['valueQuantity']['value']}" for one in found]
        return report["resource"]["meta"]["versionId"], values

    sent = panel("NA||140||||||F", "K||4||||||F", "CL||101||||||F")
    assert accepted(await mllp.send("127.0.0.1", port, [sent]))
    assert await listed() == ("1", ["NA 140", "K 4", "CL 101"])
    assert accepted(await mllp.send("127.0.0.1", port, [panel("K||5||||||C")]))
    assert await listed() == ("1", ["NA 140", "K 5", "CL 101"])
    assert accepted(await mllp.send("127.0.0.1", port, [panel("NA||140||||||D", "MG||1||||||F")]))
    assert await listed() == ("2", ["K 5", "CL 101", "MG 1"])


async def test_a_correction_without_labels_leaves_those_that_there_were(region: tuple[Door, int]) -> None:
    """ORC-28 (v2.5.1 4.5.1.28): what is absent says nothing, so an HIV result stays one; the same again makes no version"""
    door, port = region
    hospital = door.system("hospital-a")
    for control, order, value in (("1", f"ORC|RE{'|' * 27}HIV", "1"), ("2", "ORC|RE", "2"), ("3", "ORC|RE", "2")):
        segments = ("PID|1||7^^^^MR", order, "OBR|1||F1|LAB|||20260101", f"OBX|1|NM|X||{value}||||||F")
        assert accepted(await mllp.send("127.0.0.1", port, [message(*segments, kind="ORU^R01", control_id=control)]))
    for kind, version in (("Observation", "2"), ("DiagnosticReport", "1"), ("ServiceRequest", "1")):
        (entry,) = (await hospital.get(f"/{kind}")).json()["entry"]
        told = entry["resource"]["meta"]
        assert ([one["code"] for one in told["security"]], told["versionId"]) == (["HIV"], version)


async def test_what_becomes_final_as_it_was_sent_keeps_its_value(region: tuple[Door, int]) -> None:
    """v2.5.1 table 0085: U, the status changes to final without the result being sent again"""
    door, port = region
    for control, row in (("1", "K||4|mmol/L|3.5-5.1|N|||P"), ("2", "K||||||||U"), ("3", "K||||||||U")):
        report = f"OBR|1||F1|LAB|||20260101{'|' * 18}{row[-1].replace('U', 'F')}"
        segments = ("PID|1||7^^^^MR", report, f"OBX|1|NM|{row}", "NTE|1||repeated")
        assert accepted(await mllp.send("127.0.0.1", port, [message(*segments, kind="ORU^R01", control_id=control)]))
    (entry,) = (await door.system("hospital-a").get("/Observation")).json()["entry"]
    told = entry["resource"]
    assert (told["status"], told["valueQuantity"]["value"], told["meta"]["versionId"]) == ("final", 4, "2")
    assert "referenceRange" in told and "interpretation" in told and len(told["note"]) == 1


async def test_a_merge_asks_an_administrator(region: tuple[Door, int]) -> None:
    """v2.5.1 3.3.40: nothing moves, and once they are linked both numbers lead to all. What is settled is asked no more."""
    door, port = region
    admin, merge = door.admin(), message(segment("PID", {3: "1^^^^MR"}), "MRG|2^^^^MR", kind="ADT^A40", control_id="m")
    sent = [message(segment("PID", {3: f"{n}^^^^MR", 5: f"Li^{n}"}), control_id=str(n)) for n in (1, 2)]
    assert accepted(await mllp.send("127.0.0.1", port, [merge.replace(b"|m|", b"|early|"), *sent, merge]))
    patients = [one["resource"]["id"] for one in (await door.system("hospital-a").get("/Patient")).json()["entry"]]
    (asked,) = (await admin.get("/Patient/$reviews")).json()["parameter"]
    named = {part["valueReference"]["reference"] for part in asked["part"] if "valueReference" in part}
    assert named == {f"Patient/{one}" for one in patients}
    first, second = patients
    other = {"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": f"Patient/{second}"}]}
    assert (await admin.post(f"/Patient/{first}/$link", json=other)).status_code == 204
    assert accepted(await mllp.send("127.0.0.1", port, [merge.replace(b"|m|", b"|again|")]))
    assert "parameter" not in (await admin.get("/Patient/$reviews")).json()
    assert (await admin.post(f"/Patient/{second}/$unlink")).status_code == 204
    assert accepted(await mllp.send("127.0.0.1", port, [merge.replace(b"|m|", b"|apart|")]))
    assert "parameter" not in (await admin.get("/Patient/$reviews")).json()


async def test_a_bad_message_gets_ae_stays_visible_and_can_be_replayed(region: tuple[Door, int]) -> None:
    """AE with a reason that names the field, not its value; nothing is written."""
    door, port = region
    bad = b"\r".join(one for one in adt(A, PERSON, "A01", "9").split(b"\r") if not one.startswith(b"PID"))
    (reply,) = await mllp.send("127.0.0.1", port, bad)
    assert b"MSA|AE|9" in reply
    assert b"PID" in reply
    (entry,) = await door.exchange.inbox.newest("failed")
    assert entry.raw == bad and entry.reason
    assert await door.exchange.database["resources"].count_documents({}) == 0
    assert (await replay(inbox_of(door.exchange), HOSPITALS, entry.id)).code == "AE"


async def test_a_message_of_a_million_parts_is_taken_in_and_the_first_that_have_no_mapping_are_listed(
    region: tuple[Door, int],
) -> None:
    """The list was larger than a document may be: what was committed was refused, and the exchange did not start any more"""
    door, port = region
    sent = [message(f"PID|1||7^^^^MR||x{one * 700_000}", control_id=one[1]) for one in ("^x", "&y")]
    assert accepted(await mllp.send("127.0.0.1", port, sent))
    found = await door.exchange.inbox.newest()
    assert [(one.state, len(one.unmapped)) for one in found] == [("done", 1_000)] * 2


async def test_a_message_that_cannot_be_kept_says_so_and_takes_no_other_with_it(region: tuple[Door, int]) -> None:
    """Messages that come together are stored by one command: one larger than a document made it fail for all"""
    _, port = region
    noise = random.Random(1).randbytes(15_000_000).translate(None, b"\x0b\x1c\r\n")
    sent = [adt(A, PERSON, "A04", "1"), message("PID|1||7^^^^MR", control_id="2") + b"ZZZ|" + noise, adt(A, PERSON, "A08", "3")]
    before, between, after = await mllp.send("127.0.0.1", port, sent)
    assert accepted([before, after])
    assert b"MSA|AR|2|the message is larger than" in between


async def test_what_a_crash_left_is_taken_up_again(region: tuple[Door, int]) -> None:
    """Stored before anything else: a message that was received and not finished is processed at the next start."""
    door, _ = region
    await door.exchange.inbox.put("hospital-a", "1", adt(A, PERSON, "A04", "1"))
    assert await resume(inbox_of(door.exchange), HOSPITALS) == 1
    assert [one.state for one in await door.exchange.inbox.newest()] == ["done"]
    assert (await door.doctor("d", "hospital-b").get("/Patient")).json()["total"] == 1


async def test_what_a_crash_left_comes_before_what_is_newer(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """A hospital that goes on sending while the exchange starts: its newer message about a patient is the one that stands"""
    async with serving.door(mongodb_uri, database, tmp_path, region=DEMO_REGION) as door:
        await door.exchange.inbox.put("hospital-a", "1", adt(A, PERSON, "A04", "1"))
        settings = replace(door.exchange.settings, port=0)
    with held_port() as port:
        sending = asyncio.create_task(sent(port, adt(A, replace(PERSON, birth=date(1960, 5, 1)), "A08", "2")))
        async with served(replace(settings, mllp_port=port), asyncio.Event()) as up:
            assert accepted(await sending)
            patients = await up.exchange.database["resources"].find({"t": TYPE_NUMBER["Patient"]}).to_list()
            assert [read(body(up.exchange.record.codec, one))["birthDate"] for one in patients] == ["1960-05-01"]


@contextmanager
def held_port() -> Iterator[int]:
    """A port at which nobody listens yet, and which nobody else is given until then: bound, as who listens there may, too."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def sent(port: int, message: bytes) -> list[bytes]:
    """The answer to a message that is sent as soon as somebody listens."""
    while True:
        try:
            return await mllp.send("127.0.0.1", port, [message])
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


async def test_what_is_sent_again_to_another_process_is_applied_once(region: tuple[Door, int]) -> None:
    """A hospital that lost its connection sends again while the first process is still at work on the same message."""
    door, _ = region
    released = asyncio.Event()
    swift = inbox_of(door.exchange)

    async def slowly(hospital: Hospital, converted: Converted, once: bool) -> bool:
        await released.wait()
        return await swift.submit(hospital, converted, once)

    first, second = (adt(A, replace(PERSON, phone=phone), "A08", phone) for phone in ("00011111111", "00022222222"))
    late = asyncio.create_task(take(replace(inbox_of(door.exchange), submit=slowly), A, first))
    assert [(await take(swift, A, one)).code for one in (first, second)] == ["AA", "AA"]
    released.set()
    assert (await late).code == "AA"
    answer = await door.system("hospital-a").get(f"/Patient/{await _patient(door)}")
    assert (answer.headers["etag"], answer.json()["telecom"][0]["value"]) == ('W/"2"', "00022222222")
    assert [one.state for one in await door.exchange.inbox.newest()] == ["done", "done"]


async def test_all_that_failed_is_replayed_from_the_oldest_on(
    region: tuple[Door, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`hie inbox replay` after what was wrong was put right: the newest of two snapshots is the one that stands."""
    door, port = region
    moved = replace(PERSON, phone="00099999999")
    sent = [adt(A, one, "A08", str(number)).replace(b"ADT^A08", b"ADT^A99") for number, one in enumerate((PERSON, moved))]
    assert not accepted(await mllp.send("127.0.0.1", port, sent))
    monkeypatch.setitem(codes.EVENTS, "A99", None)
    monkeypatch.setattr(codes, "DEMOGRAPHIC_EVENTS", {"A99"})
    ended = await inboxes.ACTIONS["replay"](door.exchange, argparse.Namespace(ids=[], limit=1))
    assert (ended, capsys.readouterr().out.count("AA")) == (0, 2)
    (patient,) = (await door.doctor("d", "hospital-b").get("/Patient")).json()["entry"]
    assert patient["resource"]["telecom"][0]["value"] == moved.phone != PERSON.phone


async def test_a_message_that_could_not_be_read_is_its_patients_once_it_can(region: tuple[Door, int]) -> None:
    """Decision 26: replayed after the hospital's charset was put right, it is found with the person, and goes with them."""
    door, port = region
    known = {**HOSPITALS, "hospital-a": replace(A, charset="gb18030")}
    raw = adt(known["hospital-a"], PERSON, "A04", "1").replace(b"GB 18030-2000", b"")
    assert not accepted(await mllp.send("127.0.0.1", port, [raw]))
    (entry,) = await door.exchange.inbox.newest("failed")
    assert (await replay(inbox_of(door.exchange), known, entry.id)).code == "AA"
    assert (await foreseen(door.admin(), await _patient(door)))["messages"] == 1
    assert (await door.exchange.inbox.get(entry.id)).raw == raw


async def test_two_hospitals_at_once_end_with_one_person(region: tuple[Door, int]) -> None:
    """Linked by ID card, whatever the order and however close: 20 people sent by both at the same time."""
    door, port = region
    everyone = people(20)
    await asyncio.gather(
        *(mllp.send("127.0.0.1", port, [adt(one, person, "A04", str(person.number)) for person in everyone]) for one in (A, B))
    )
    persons = await door.exchange.database["persons"].find().to_list()
    assert sorted(len(person["patients"]) for person in persons) == [2] * 20


async def test_many_connections_with_pipelined_stories(region: tuple[Door, int]) -> None:
    """Every message of 12 people's stories, from both hospitals, three connections each, is acknowledged and kept."""
    door, port = region
    shares = [list(story(one, people(12)[start::3])) for one in (A, B) for start in range(3)]
    replies = await asyncio.gather(*(mllp.send("127.0.0.1", port, share) for share in shares))
    assert all(accepted(one) for one in replies)
    assert await door.exchange.database["inbox"].count_documents({"state": "done"}) == sum(map(len, shares))


async def test_messages_of_an_erased_person_go_with_them(region: tuple[Door, int]) -> None:
    """Decision 26: a duplicate is acknowledged and brings nothing back; what was never acknowledged, or is new, begins anew"""
    door, port = region
    other = people(2)[1]
    first, second = adt(A, PERSON, "A01", "1", DIAGNOSES[:1]), oru(B, PERSON, "2", LABS[:3])
    others = adt(A, other, "A01", "3")
    bad = adt(A, PERSON, "A01", "4").replace(b"ADT^A01", b"ADT^A99")
    assert accepted(await mllp.send("127.0.0.1", port, [first, second, others]))
    assert not accepted(await mllp.send("127.0.0.1", port, [bad]))
    known, messages = await _patient(door), door.exchange.database["inbox"]
    sealed = await messages.find({"raw": {"$exists": True}}).to_list()
    told = await foreseen(door.admin(), known)
    assert (told["patients"], told["messages"]) == (2, 3)
    assert await erased(door.admin(), told["confirmation"], known) == 202
    await until(lambda: is_done(door))
    left = sorted((one.state, one.raw) for one in await door.exchange.inbox.newest())
    assert left == [("done", others), ("erased", b""), ("erased", b"")]
    assert await messages.count_documents({"raw": {"$exists": True}}) == 1
    await messages.delete_many({})
    await messages.insert_many(sealed)  # out of a backup: it cannot be read there, either
    assert {(one.state, one.raw) for one in await door.exchange.inbox.newest()} == {("done", others), ("erased", b"")}
    assert accepted(await mllp.send("127.0.0.1", port, [first, second]))
    assert (await door.doctor("d", "hospital-b").get("/Patient")).json()["total"] == 1
    assert not accepted(await mllp.send("127.0.0.1", port, [bad]))
    assert accepted(await mllp.send("127.0.0.1", port, [adt(A, PERSON, "A04", "5")]))
    assert await _patient(door) == known
    assert (await door.system("hospital-a").get(f"/Patient/{known}")).headers["etag"] == 'W/"1"'


async def _patient(door: Door) -> str:
    """The id of PERSON at hospital A."""
    found = await door.system("hospital-a").get("/Patient", params={"identifier": f"{CARD}|{PERSON.id_card}"})
    return str(next(one["resource"]["id"] for one in found.json()["entry"] if one["resource"]["id"].startswith("hospital-a")))


def _fixture_messages() -> list[Path]:
    found = [*(FIXTURES / "hl7v2").rglob("*.hl7"), *(FIXTURES / "hl7v2" / "general" / "messages").iterdir()]
    return sorted({path for path in found if path.is_file() and _kind(path) in ("ADT", "ORU")})


def _kind(path: Path) -> str:
    head = path.read_bytes().replace(b"\n", b"\r").split(b"\r")[0].split(b"|")
    return head[8].split(b"^")[0].decode("ascii", "replace") if len(head) > 8 else ""


def test_there_are_fixture_messages() -> None:
    assert len(_fixture_messages()) > 60


async def test_all_adt_and_oru_messages_of_the_fixtures_are_taken_in(door: Door) -> None:
    """Each is committed and acknowledged; a field is mapped, or it stands in the inbox as unmapped."""
    async with listening(door, {ANYTHING.id: ANYTHING}) as port:
        messages = [_framed(path) for path in _fixture_messages()]
        replies = await mllp.send("127.0.0.1", port, messages)
    assert [reply for reply in replies if b"MSA|AA|" not in reply] == []
    entries = await door.exchange.inbox.newest(limit=1000)
    assert {one.raw for one in entries} == set(messages)
    assert any(one.unmapped for one in entries)


def _framed(path: Path) -> bytes:
    return path.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip(b"\r\x0b\x1c")
