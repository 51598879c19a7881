"""Find Potential Appointments (IHE ITI-115): free Slots of the experts that fit, soonest first.

A Slot says when an expert offers time; whether it is free is what the booked time in the database says. A proposed Appointment
is not stored: its id is the Slot's, so that it can be named to $hold and $book.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from consent.caller import Caller
from fhir_server.r4.dates import instant, interval
from fhir_server.r4.references import literal
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import EXPERT_ORGANIZATION, LONGEST_MS
from fhir_server.record.consultations import free, kept, kept_where
from fhir_server.record.gate import admit
from telemedicine.roster import Expert
from telemedicine.service import Telemedicine
from telemedicine.specialties import SNOMED

CONSIDERED = 2_000
HORIZON_MS = 30 * 24 * 3_600_000
MANY_SCHEDULES = 100
TELECONSULTATION = {"coding": [{"system": SNOMED, "code": "448337001", "display": "Telemedicine consultation with patient"}]}

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: codes and ids, empty for any; Slots that begin in [start, end), ms."""

    start: int
    end: int
    specialties: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    practitioners: frozenset[str] = frozenset()
    organizations: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Offer:
    """A time an expert offers: the Slot's id and specialty, start and end in ms."""

    slot: str
    specialty: list[Resource]
    expert: Expert
    start: int
    end: int

    @property
    def time(self) -> tuple[str, int, int]:
        return self.expert.id, self.start, self.end


async def find(service: Telemedicine, caller: Caller, wanted: Wanted, asked: str) -> list[Offer]:
    """The free times among the first CONSIDERED that fit, soonest first; `asked` as it came, for the audit."""
    record = service.record
    access = Access(caller, "operation-find", asked, record.clock())
    await admit(record, access, "Slot", "s")
    found = await offers(service, wanted, access.at)
    are_free = await free(record, (one.time for one in found), access.at)
    await record.audit.record(access.entry(extra={"found": sum(are_free)}))
    return [one for one, is_free in zip(found, are_free, strict=True) if is_free]


async def offers(service: Telemedicine, wanted: Wanted, now: int, limit: int = CONSIDERED) -> list[Offer]:
    """What fitting experts offer from now on, whether it is taken or not."""
    experts = {one.id: one for one in (await service.experts()).values() if _fits(one, wanted)}
    low, high = max(wanted.start, now), min(wanted.end, now + HORIZON_MS)
    if not experts or low >= high:
        return []

    return await kept_where(
        service.record, "Slot", _narrowing(experts, wanted), limit, lambda slot: offer(slot, experts), (low, high)
    )


async def offered(service: Telemedicine, slot_id: str) -> Offer | None:
    """The offer of one Slot; None if no expert offers it."""
    slot = await kept(service.record, "Slot", slot_id)
    return offer(slot, await service.experts()) if slot else None


def offer(slot: Resource, experts: Any) -> Offer | None:
    """A free Slot with its expert, whose Schedule has the same id; None if it is none of theirs, or none to be booked."""
    target = literal(slot["schedule"].get("reference", ""))
    expert = experts.get(target[1]) if target else None
    if expert is None or slot.get("status") != "free" or not {"start", "end"} <= slot.keys():
        return None
    start, end = _moment(slot["start"]), _moment(slot["end"])
    if not start < end <= start + LONGEST_MS:
        return None
    return Offer(slot["id"], _shared(orjson.dumps(slot.get("specialty", []))), expert, start, end)


@lru_cache(maxsize=4_096)  # the Slots of a day begin and end at the same few moments
def _moment(instant: str) -> int:
    return interval(instant)[0]


@lru_cache(maxsize=4_096)
def _shared(specialty: bytes) -> list[Resource]:
    """One list for all Slots that say the same."""
    found: list[Resource] = orjson.loads(specialty)
    return found


def proposal(one: Offer, patient: str | None) -> Resource:
    """The offer as a proposed Appointment (ITI-115 response)."""
    return {"resourceType": "Appointment", "id": one.slot, **appointment(one, "proposed", "needs-action", patient)}


def appointment(one: Offer, status: str, accepted: str, patient: str | None) -> Resource:
    """What an Appointment says of the time and of who takes part; `accepted` is everybody's participation status."""
    actors = [{"reference": f"Practitioner/{one.expert.id}", "display": one.expert.name}]
    actors += [{"reference": f"Patient/{patient}"}] if patient else []
    organization = {"reference": f"Organization/{one.expert.organization}"}
    return {
        "extension": [{"url": EXPERT_ORGANIZATION, "valueReference": organization}],
        "status": status,
        "serviceType": [TELECONSULTATION],
        **({"specialty": one.specialty} if one.specialty else {}),
        "start": instant(one.start),
        "end": instant(one.end),
        "minutesDuration": (one.end - one.start) // 60_000,
        "slot": [{"reference": f"Slot/{one.slot}"}],
        "participant": [{"actor": actor, "required": "required", "status": accepted} for actor in actors],
    }


def _fits(expert: Expert, wanted: Wanted) -> bool:
    return (
        _any(wanted.specialties, expert.specialties)
        and _any(wanted.languages, expert.languages)
        and _any(wanted.practitioners, (expert.id,))
        and _any(wanted.organizations, (expert.organization,))
    )


def _any(wanted: frozenset[str], have: Iterable[str]) -> bool:
    return not wanted or not wanted.isdisjoint(have)


def _narrowing(experts: Sequence[str] | dict[str, Expert], wanted: Wanted) -> list[tuple[str, str]]:
    """What keeps the search small: the Schedules of a few experts, else the specialty."""
    if len(experts) <= MANY_SCHEDULES:
        return [("schedule", ",".join(f"Schedule/{one}" for one in sorted(experts)))]
    return [("specialty", ",".join(f"{SNOMED}|{one}" for one in sorted(wanted.specialties)))] if wanted.specialties else []
