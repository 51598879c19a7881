"""A consultation far away: an expert is found, booked, met, and forgets the record when it is over."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

from exchange.demo.story.consenting import consent
from exchange.demo.story.sharing import result
from exchange.demo.story.stage import Resource, Role, Stage, beijing, expect, found, parameters, practitioner
from fhir_server.r4.dates import instant
from telemedicine.experts import SLOTS_IN_SHIFT, load
from telemedicine.specialties import SNOMED, SPECIALTIES

EXPERTS, DAYS = 48, 3
CARDIOLOGY = "394579002"
REASON = "high blood pressure in spite of three medicines"
OPINION = "Add spironolactone 25 mg a day; check potassium in one week."
PATIENCE = 20  # seconds for a message of the call


async def find(stage: Stage) -> None:
    """Experts who speak the patient's language, and their free times."""
    await load(stage.up.exchange.record, EXPERTS, DAYS)
    stage.say(f"  {EXPERTS} experts offer {EXPERTS * DAYS * 2 * SLOTS_IN_SHIFT} times of half an hour, in {DAYS} days")
    now = stage.up.exchange.record.clock()
    wanted = {
        "start": instant(now),
        "end": instant(now + timedelta(days=2) // timedelta(milliseconds=1)),
        "specialty": f"{SNOMED}|{CARDIOLOGY}",
        "language": "ug",
    }
    proposals = await stage.ask(stage.own, f"GET /Appointment/$find?{urlencode(wanted)}")
    offers = found(proposals)
    expect("whether there are free times", True, bool(offers))
    who = dict.fromkeys(display(one) for one in offers)
    stage.tell(f"{SPECIALTIES[CARDIOLOGY]}, Uyghur: {proposals['total']} free times of {', '.join(who)}")
    stage.appointment = offers[0]


async def book(stage: Stage) -> None:
    """The record is closed to everybody; booking opens it to one expert."""
    nobody = consent(stage, "deny", id=stage.denial["id"])
    await stage.ask(stage.own, f"PUT /Consent/{stage.denial['id']}", body=nobody, note="nobody may see anything")
    await stage.ask(stage.expert, f"GET /Patient/{stage.patient}", 404)
    chosen = parameters(appointment_reference=f"Appointment/{stage.appointment['id']}", comment=REASON)
    (stage.appointment,) = found(await stage.ask(stage.own, "POST /Appointment/$book", body=chosen))
    expect("the Appointment's status", "booked", stage.appointment["status"])
    stage.tell(f"{display(stage.appointment)}, {beijing(stage.appointment['start'])}")
    await stage.ask(stage.expert, f"GET /Patient/{stage.patient}")
    results = found(await stage.ask(stage.expert, f"GET /Observation?patient=Patient/{stage.patient}&_sort=-date&_count=1"))
    expect("how many results the expert reads", 1, len(results))
    stage.tell(result(results[0]))


async def meet(stage: Stage) -> None:
    """Both come to the call: who was there first makes the offer, the other answers."""
    async with _joined(stage, stage.own) as patient, _joined(stage, stage.expert) as expert:
        await _hears(stage, "Patient", patient, "joined")
        await _says(stage, "Patient", patient, "offer")
        await _hears(stage, "Expert", expert, "offer")
        await _says(stage, "Expert", expert, "answer")
        await _hears(stage, "Patient", patient, "answer")


async def close(stage: Stage) -> None:
    """The expert's opinion is in the record, and the record closed to the expert, in the same instant."""
    ended = parameters(opinion=OPINION)
    written = found(await stage.ask(stage.expert, f"POST /Appointment/{stage.appointment['id']}/$close", body=ended))
    expect("what the close writes", ["Appointment", "Encounter", "Composition"], [one["resourceType"] for one in written])
    await stage.ask(stage.expert, f"GET /Patient/{stage.patient}", 404)
    (opinion,) = found(await stage.ask(stage.own, f"GET /Composition?patient=Patient/{stage.patient}"))
    expect("whether the patient reads the opinion", True, OPINION in opinion["section"][0]["text"]["div"])
    stage.tell(f"“{OPINION}”")


def display(appointment: Resource) -> str:
    """The expert's name."""
    known = f"Practitioner/{practitioner(appointment)}"
    return next(one["actor"]["display"] for one in appointment["participant"] if one["actor"]["reference"] == known)


@asynccontextmanager
async def _joined(stage: Stage, role: Role) -> AsyncIterator[ClientConnection]:
    path = f"/telemedicine/appointments/{stage.appointment['id']}/signal"
    url = stage.up.url.removesuffix("/fhir").replace("http", "ws", 1) + path
    async with connect(url, additional_headers={"Authorization": f"Bearer {stage.token(role)}"}, proxy=None) as socket:
        yield socket


async def _says(stage: Stage, name: str, socket: ClientConnection, kind: str) -> None:
    await socket.send(json.dumps({"type": kind, "sdp": "v=0"}))
    stage.say(f"  {name:<9}says {kind}")


async def _hears(stage: Stage, name: str, socket: ClientConnection, kind: str) -> None:
    async with asyncio.timeout(PATIENCE):
        expect(f"what the {name.lower()} hears", kind, json.loads(await socket.recv())["type"])
    stage.say(f"  {name:<9}hears {kind}")
