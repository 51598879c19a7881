"""Issue 3.3: `hie demo` tells the story of the region with real traffic; each step's facts, asked at the door afterwards."""

import asyncio
import sys
import unicodedata
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from exchange.demo.residents import residents
from exchange.demo.seed import shares
from exchange.demo.story.consenting import DEPRESSION, REASON
from exchange.demo.story.consulting import OPINION
from exchange.demo.story.stage import DOCTOR_A, DOCTOR_B, HEROINE, HIS_A, OFFICER, Role, found
from exchange.issuing import token_for
from exchange.serving import Served, served
from exchange.settings import Settings
from exchange.telling import STEPS, tell
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD

PATIENCE = 180
CARD = residents()[HEROINE].id_card


@dataclass(frozen=True, slots=True)
class Told:
    """What `hie demo` printed and how it ended; its exchange, served again, and the heroine's Patient at hospital A."""

    output: str
    code: int
    up: Served
    patient: str

    async def ask(self, role: Role, path: str) -> httpx.Response:
        return await asked(self.up, role, path)

    async def log(self) -> list[dict[str, Any]]:
        """Her access log."""
        return found((await self.ask(self.own, f"/Patient/{self.patient}/$access-log")).json())

    @property
    def own(self) -> Role:
        return Role("Patient", "patient", {"patient": self.patient})

    async def consultation(self) -> dict[str, Any]:
        """Her Appointment."""
        (one,) = found((await self.ask(self.own, f"/Appointment?patient=Patient/{self.patient}")).json())
        return one


async def asked(up: Served, role: Role, path: str) -> httpx.Response:
    token = token_for(up.exchange.settings, role.kind, **role.claims)
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.get(up.url + path, headers={"Authorization": f"Bearer {token}"})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    """`hie demo` as a stranger runs it, once; then its data folder served again."""
    data = tmp_path_factory.mktemp("demo") / "data"
    command = (sys.executable, "-m", "exchange.cli", "demo", "--data", str(data))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    async with served(Settings(data=data, port=0, mllp_port=0), asyncio.Event()) as up:
        yield Told(output.decode(), process.returncode or 0, up, await heroine(up))


async def heroine(up: Served) -> str:
    """The id of her Patient at hospital A, as its own HIS finds it."""
    patients = found((await asked(up, HIS_A, f"/Patient?identifier={RESIDENT_ID_CARD}|{CARD}")).json())
    return str(next(one["id"] for one in patients if one["id"].startswith("hospital-a-")))


async def test_every_step_comes_out_and_fits_a_terminal(told: Told) -> None:
    assert told.code == 0, told.output
    lines = told.output.splitlines()
    assert all(any(line.endswith(title) for line in lines) for title, _ in STEPS)
    assert lines[-1] == "Every step came out as told."
    assert len([line for line in lines if line]) <= 80
    assert max(map(columns, lines)) <= 80, max(lines, key=columns)


def columns(line: str) -> int:
    """How wide a line is where Chinese characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)


async def test_three_institutions_sent_everything(told: Told) -> None:
    """Each message is committed and nothing of it is unmapped."""
    inbox = await told.up.exchange.inbox.newest(limit=10_000)
    assert Counter(one.sender for one in inbox) == {name: len(messages) for name, messages in shares().items()}
    assert {(one.state, tuple(one.unmapped), tuple(one.notes)) for one in inbox} == {("done", (), ())}


async def test_one_identity_for_each_person(told: Told) -> None:
    """60 people: 20 known to all three institutions, 30 to two, 10 to the clinic alone; none is up for review."""
    persons = await told.up.exchange.database["persons"].find().to_list()
    linked = Counter(len(one["patients"]) for one in persons if len(one["patients"]) > 1)
    assert linked == {2: 30, 3: 20}
    assert await told.up.exchange.database["reviews"].count_documents({}) == 0


async def test_a_doctor_elsewhere_read_the_whole_life(told: Told) -> None:
    events = [event for event in await told.log() if who(event) == "Practitioner/dr-b"]
    assert {"search-type", "operation-everything"} <= {what(event) for event in events if event["outcome"] == "0"}


async def test_the_sensitive_diagnosis_is_hidden_from_others(told: Told) -> None:
    """Hospital A's own copy, and hers; to a doctor of hospital A it reads as absent like to any other."""
    (kept,) = found((await told.ask(HIS_A, f"/Condition?patient=Patient/{told.patient}&code={DEPRESSION}")).json())
    assert (await told.ask(DOCTOR_A, f"/Condition/{kept['id']}")).status_code == 404
    assert (await told.ask(told.own, f"/Condition/{kept['id']}")).status_code == 200


async def test_the_permit_was_withdrawn(told: Told) -> None:
    """Of the Condition, by Dr B: denied, permitted by Consent, denied after she withdrew it, permitted by break-glass."""
    reads = [event for event in reversed(await told.log()) if who(event) == "Practitioner/dr-b" and what(event) == "read"]
    conditions = [one["outcome"] for one in reads if asked_for(one).startswith("Condition/")]
    assert conditions == ["4", "0", "4", "0"]


async def test_the_denial_stands(told: Told) -> None:
    """In the end nobody may see anything; nor may Dr A any more."""
    (consent,) = found((await told.ask(told.own, f"/Consent?patient=Patient/{told.patient}")).json())
    assert consent["provision"] == {"type": "deny"} and consent["meta"]["versionId"] == "2"
    assert (await told.ask(DOCTOR_A, f"/Patient/{told.patient}")).status_code == 404
    assert (await told.ask(DOCTOR_A, f"/Observation?patient=Patient/{told.patient}")).json()["total"] == 0


async def test_the_broken_glass_is_known_to_her_and_to_the_officer(told: Told) -> None:
    """The reason is in both lists; until its time is over, Dr B still reads."""
    (hers,) = [event for event in await told.log() if what(event) == "break-glass"]
    (reported,) = found((await told.ask(OFFICER, "/Patient/$broken-glass")).json())
    assert hers["outcomeDesc"] == reported["outcomeDesc"] == REASON
    assert (await told.ask(DOCTOR_B, f"/Patient/{told.patient}")).status_code == 200


async def test_the_expert_saw_the_record_only_while_it_was_theirs(told: Told) -> None:
    """Absent before the booking, read, met, closed; absent the next moment, and still."""
    appointment = await told.consultation()
    reference = next(
        one["actor"]["reference"] for one in appointment["participant"] if "Practitioner" in one["actor"]["reference"]
    )
    seen = [(what(one), one["outcome"]) for one in reversed(await told.log()) if who(one) == reference]
    assert seen == [
        ("read", "4"),
        ("read", "0"),
        ("search-type", "0"),
        ("operation-signal", "0"),
        ("operation-close", "0"),
        ("read", "4"),
    ]
    hospital = appointment["extension"][0]["valueReference"]["reference"].partition("/")[2]
    expert = Role("Expert", "practitioner", {"practitioner": reference.partition("/")[2], "organization": hospital})
    assert (await told.ask(expert, f"/Patient/{told.patient}")).status_code == 404


async def test_the_opinion_is_in_her_record(told: Told) -> None:
    """Appointment fulfilled, Encounter virtual, Composition with the opinion."""
    assert (await told.consultation())["status"] == "fulfilled"
    (opinion,) = found((await told.ask(told.own, f"/Composition?patient=Patient/{told.patient}")).json())
    assert OPINION in opinion["section"][0]["text"]["div"]
    encounter = (await told.ask(told.own, f"/{opinion['encounter']['reference']}")).json()
    assert (encounter["class"]["code"], encounter["status"]) == ("VR", "finished")


async def test_both_were_in_the_call(told: Told) -> None:
    joined = {who(event) for event in await told.log() if what(event) == "operation-signal"}
    assert {one.partition("/")[0] for one in joined} == {"Practitioner", "Patient"}


async def test_the_log_is_whole(told: Told) -> None:
    assert [line async for line in told.up.exchange.record.audit.verify()] == []


async def test_a_step_that_does_not_come_out_stops_the_story(told: Told) -> None:
    """With the glass broken Dr B sees the sensitive diagnosis: the third step says what was expected and what was seen."""
    lines: list[str] = []
    assert await tell(told.up, STEPS[1:4], lines.append) == 1
    assert lines[-1].strip().startswith("NOT as told. Dr B: GET /Condition/")
    assert lines[-1].endswith("expected 404, seen 200")
    assert not any(STEPS[3][0] in line for line in lines)


async def test_the_story_needs_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    command = (sys.executable, "-m", "exchange.cli", "demo", "--data", str(tmp_path))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    _, said = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2 and b"is in use" in said


def who(event: dict[str, Any]) -> str:
    return str(event["agent"][0]["who"].get("reference"))


def what(event: dict[str, Any]) -> str:
    return str(event["subtype"][0]["code"])


def asked_for(event: dict[str, Any]) -> str:
    return str(event["entity"][0]["what"]["display"])
