"""The inbox: stored before anything else, once; done, failed, replayed; each patient's messages in order."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from adapters.hl7v2.ack import Ack
from adapters.hl7v2.convert import Converted
from adapters.hl7v2.updating import Update
from adapters.hospitals import Hospital
from adapters.inbox import Inbox, replay, resume, take
from fhir_server.r4.errors import FhirError, Issue
from tests.adapters.support import OPEN, SECRET, Store, converted, message, only

HOSPITALS = {OPEN.id: OPEN}


class Sink:
    """Keeps what is submitted; refuses while `refusal` is set; waits for `gate` when there is one."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, Any]] = []
        self.updates: list[dict[str, Update]] = []
        self.refusal: Exception | None = None
        self.gates: list[asyncio.Event] = []

    async def __call__(self, _: Hospital, made: Converted, once: bool) -> bool:
        if self.gates:
            await self.gates.pop(0).wait()
        if self.refusal:
            raise self.refusal
        self.bundles.append(made.bundle)
        self.updates.append(made.updates)
        return False

    def names(self) -> list[str]:
        patients = (entry["resource"] for bundle in self.bundles for entry in bundle["entry"])
        return [one["name"][0]["text"] for one in patients if one["resourceType"] == "Patient"]


def inbox() -> tuple[Inbox, Store, Sink]:
    store, sink = Store(), Sink()
    return Inbox(store, sink, SECRET), store, sink


def admit(name: str, number: str = "1001", control_id: str = "1") -> bytes:
    return message(f"PID|1||{number}^^^^MR||{name}^X", control_id=control_id)


async def test_done_and_listed_then_a_duplicate_is_acknowledged_without_work() -> None:
    box, store, sink = inbox()
    raw = message("PID|1||1001^^^^MR||A^B", "ZXX|1")
    assert await take(box, OPEN, raw) == await take(box, OPEN, raw) == Ack("AA")
    (entry,) = store.entries.values()
    assert (entry.state, entry.raw, entry.unmapped[-1], len(sink.bundles)) == ("done", raw, "ZXX-1", 1)


async def test_the_same_control_id_with_other_content_is_another_message() -> None:
    box, store, sink = inbox()
    await take(box, OPEN, admit("A"))
    await take(box, OPEN, admit("B"))
    assert len(store.entries) == len(sink.bundles) == 2


async def test_a_bad_message_stays_with_its_reason() -> None:
    box, store, sink = inbox()
    for raw in (message("PID|1", kind="MDM^T02"), b"not HL7", message("PID|1||\xff").replace(b"\xc3\xbf", b"\xff")):
        ack = await take(box, OPEN, raw)
        assert ack.code in ("AE", "AR") and ack.reason
    assert [entry.state for entry in store.entries.values()] == ["failed"] * 3 and not sink.bundles
    assert store.entries["0"].reason.startswith("message type not supported")


async def test_refused_by_the_record_then_replayed() -> None:
    box, store, sink = inbox()
    sink.refusal = FhirError(422, "business-rule", "is not allowed here", "Patient.link", [Issue("value", "nor this")])
    ack = await take(box, OPEN, admit("A"))
    assert (ack.code, ack.reason) == ("AE", "Patient.link: is not allowed here; nor this")
    sink.refusal = None
    assert await replay(box, HOSPITALS, "0") == Ack("AA") and store.entries["0"].state == "done"


async def test_sent_again_after_a_failure_is_tried_again() -> None:
    box, store, sink = inbox()
    sink.refusal = FhirError(503, "transient", "try later")
    assert (await take(box, OPEN, admit("A"))).code == "AE"
    sink.refusal = None
    assert await take(box, OPEN, admit("A")) == Ack("AA")
    assert len(store.entries) == 1


async def test_what_is_late_takes_no_newer_snapshots_place() -> None:
    """Replayed, or sent again after a failure: what a later message said stands, and the rest is kept: of the patient,
    too, of whom no message tells all."""
    old = message("PID|1||1001^^^^MR||OLD^X||19491231", "PV1|1|O" + "|" * 17 + "V1", "DG1|1||I10^x^I10")
    for again in (lambda box: replay(box, HOSPITALS, "0"), lambda box: take(box, OPEN, old)):
        box, store, sink = inbox()
        sink.refusal = FhirError(503, "transient", "try later")
        assert (await take(box, OPEN, old)).code == "AE"
        sink.refusal = None
        newer = message("PID|1||1001^^^^MR||NEW^X", "PV1|1|I" + "|" * 17 + "V1", control_id="2")
        assert await take(box, OPEN, newer) == Ack("AA")
        assert await take(box, OPEN, admit("OTHER", "2002", "3")) == Ack("AA")
        assert await again(box) == Ack("AA")
        changes = {name.partition("/")[0]: change for name, change in sink.updates[-1].items()}
        assert changes.keys() == {"Patient", "Encounter", "Condition"}
        stands = changes["Patient"](only(converted(newer), "Patient") | {"meta": {}})
        assert (stands["name"][0]["family"], stands["birthDate"]) == ("NEW", "1949-12-31")
        visit = changes["Encounter"](only(converted(newer), "Encounter") | {"meta": {}})
        assert (visit["class"]["code"], len(visit["diagnosis"])) == ("IMP", 1)
        assert store.entries["0"].notes[-1] == "Encounter: what a later message said stands"


async def test_what_a_result_said_in_passing_is_no_newer_snapshot() -> None:
    box, _, sink = inbox()
    sink.refusal = FhirError(503, "transient", "try later")
    await take(box, OPEN, admit("A"))
    sink.refusal = None
    result = message("PID|1||1001^^^^MR||A^X", "OBR|1||F1|C^x", kind="ORU^R01", control_id="2")
    assert await take(box, OPEN, result) == await replay(box, HOSPITALS, "0") == Ack("AA")
    assert "ifNoneMatch" not in sink.bundles[-1]["entry"][0]["request"]


async def test_of_an_erased_person_a_duplicate_is_acknowledged_and_nothing_is_tried_again() -> None:
    """Decision 26: what was acknowledged stays so, and does not bring the person back"""
    box, store, sink = inbox()
    await take(box, OPEN, admit("A"))
    store.entries["0"] = replace(store.entries["0"], state="erased", raw=b"")
    assert await take(box, OPEN, admit("A")) == Ack("AA")
    assert (await replay(box, HOSPITALS, "0")).code == "AR"
    assert store.entries["0"].state == "erased" and len(sink.bundles) == 1


async def test_an_unforeseen_error_quotes_nothing() -> None:
    box, store, sink = inbox()
    sink.refusal = KeyError("Zuleikha")
    ack = await take(box, OPEN, admit("Zuleikha"))
    assert ack.code == "AE" and "Zuleikha" not in ack.reason + store.entries["0"].reason


async def test_what_a_crash_left_is_processed_in_order() -> None:
    box, store, sink = inbox()
    for name in "AB":
        await store.put(OPEN.id, name, admit(name, control_id=name))
    assert await resume(box, HOSPITALS) == 2
    assert sink.names() == ["X A", "X B"] and {entry.state for entry in store.entries.values()} == {"done"}


async def test_a_message_that_cannot_be_finished_keeps_nobody_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    box, store, _ = inbox()
    for name in "AB":
        await store.put(OPEN.id, name, admit(name, control_id=name))
    done = store.done

    async def once(entry_id: str, unmapped: list[str], notes: list[str], /) -> None:
        if entry_id == "0":
            raise ValueError("too large")
        await done(entry_id, unmapped, notes)

    monkeypatch.setattr(store, "done", once)
    assert await resume(box, HOSPITALS) == 2
    assert [entry.state for entry in store.entries.values()] == ["failed", "done"]


async def test_a_hospital_that_is_gone_fails_its_entries() -> None:
    box, store, _ = inbox()
    await store.put("gone", "1", admit("A"))
    assert await resume(box, HOSPITALS) == 1 and store.entries["0"].state == "failed"


async def test_messages_of_one_patient_wait_for_each_other_and_others_do_not() -> None:
    box, _, sink = inbox()
    gate = asyncio.Event()
    sink.gates = [gate]
    first = asyncio.create_task(take(box, OPEN, admit("first")))
    second = asyncio.create_task(take(box, OPEN, admit("second", control_id="2")))
    other = asyncio.create_task(take(box, OPEN, admit("other", "2002", "3")))
    assert await other == Ack("AA") and not first.done() and not second.done()
    gate.set()
    assert tuple(await asyncio.gather(first, second)) == (Ack("AA"), Ack("AA"))
    assert sink.names() == ["X other", "X first", "X second"] and not box.turns._last


async def test_a_cancelled_message_lets_the_next_one_go_and_can_be_resumed() -> None:
    box, store, sink = inbox()
    sink.gates = [asyncio.Event()]
    first = asyncio.create_task(take(box, OPEN, admit("first")))
    second = asyncio.create_task(take(box, OPEN, admit("second", control_id="2")))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == Ack("AA")
    assert store.entries["0"].state == "received"
