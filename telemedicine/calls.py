"""Who takes part in the call of an Appointment: its patient and its expert, while it is booked and not over; nobody else."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from consent.caller import Caller
from consent.scopes import allows
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import CONSULTING, actors, consultation_end
from fhir_server.record.consultations import acts_for, audited, kept
from fhir_server.record.writing import refusals_audited
from telemedicine.booking import absent, is_expert
from telemedicine.service import Telemedicine

OTHER = {"patient": "expert", "expert": "patient"}


@dataclass(frozen=True, slots=True)
class Turn:
    """The region's TURN servers, and the secret they share with us (coturn: use-auth-secret). `lifetime` in seconds."""

    secret: bytes
    urls: tuple[str, ...]
    lifetime: int = 600


async def party(service: Telemedicine, caller: Caller, appointment_id: str) -> str | None:
    """`patient` or `expert`, as the caller is to an Appointment that is booked; None for anybody else, and after its close."""
    current = await kept(service.record, "Appointment", appointment_id)
    if current is None or current["status"] not in CONSULTING or not allows(caller.scopes, "Appointment", "r"):
        return None
    if service.record.clock() > consultation_end(current):
        return None
    if is_expert(caller, current):
        return "expert"
    is_patient = caller.kind == "patient" and await acts_for(service.record, caller, actors(current, "Patient")[0])
    return "patient" if is_patient else None


async def admitted(service: Telemedicine, caller: Caller, interaction: str, appointment_id: str) -> str:
    """The caller's party in a call, with an audit entry; 404 for who is none."""
    record = service.record
    access = Access(caller, interaction, f"Appointment/{appointment_id}", record.clock())
    async with refusals_audited(record, access):
        found = await party(service, caller, appointment_id)
        if found is None:
            raise absent()
    await audited(record, access, "Appointment", appointment_id)
    return found


def room(service: Telemedicine, appointment_id: str) -> bytes:
    """The key of the call of an Appointment."""
    return service.record.codec.identity(f"call/{appointment_id}")


def ice_servers(turn: Turn, user: str, now: int) -> dict[str, Any]:
    """RTCIceServer with credentials that expire by themselves (TURN REST API: expiry:user, HMAC-SHA1); `now` in ms."""
    name = f"{now // 1000 + turn.lifetime}:{user}"
    password = base64.b64encode(hmac.digest(turn.secret, name.encode(), hashlib.sha1)).decode()
    return {"iceServers": [{"urls": list(turn.urls), "username": name, "credential": password}], "ttl": turn.lifetime}
