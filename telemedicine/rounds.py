"""A round: open requests are paired with experts, each pair gets a hold on the expert's next free time, and the reason is kept.

The reason is a Task (R4 task.html): the resource that says what becomes of a request. It focuses on the ServiceRequest, is
owned by the expert, and its output tells what matched, what it earned and cost, and which Appointment came of it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from consent.caller import Caller
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.bookings import HELD_UNTIL, TELEMEDICINE
from fhir_server.record.consultations import SYSTEM, busy, cells, practitioner_key
from fhir_server.record.operations import Operation
from fhir_server.record.writing import commit, refusals_audited
from telemedicine.booking import new
from telemedicine.finding import Offer, Resource, Wanted, offers
from telemedicine.pairing import Expert, Pair, pair
from telemedicine.requests import Open, open_requests, task_id
from telemedicine.service import Telemedicine

AHEAD_MS = 24 * 3_600_000
MANY_SLOTS = 200_000
AT_ONCE = 64
REASON = "urn:hie:CodeSystem:pairing-reason"


@dataclass(frozen=True, slots=True)
class Round:
    """What came of a round: requests that were open, pairs that were found, times that are held now."""

    open: int
    paired: int
    held: int


async def run(service: Telemedicine, caller: Caller) -> Round:
    """One round, for the telemedicine service only: 403 for anybody else."""
    record = service.record
    access = Access(caller, "operation-round", "telemedicine/rounds", record.clock())
    async with refusals_audited(record, access):
        if caller.kind != "system" or caller.organization != TELEMEDICINE:
            raise FhirError(403, "forbidden", "only the telemedicine service runs rounds")
    waiting, times, pairs = await decide(service, access.at)
    held = await _hold_all(service, access, waiting, _placed(pairs, times))
    done = Round(len(waiting), len(pairs), held)
    await record.audit.record(access.entry(extra={"open": done.open, "paired": done.paired, "held": done.held}))
    return done


async def decide(service: Telemedicine, now: int) -> tuple[dict[str, Open], dict[Expert, list[Offer]], list[Pair]]:
    """What a round decides, before anything is held: the open requests, the experts' free times, the pairs."""
    waiting, times = await asyncio.gather(_waiting(service, now), _free_times(service, now))
    return waiting, times, await asyncio.to_thread(pair, [one.request for one in waiting.values()], list(times), now)


async def _waiting(service: Telemedicine, now: int) -> dict[str, Open]:
    return {one.request.id: one async for one in open_requests(service.record, now)}


async def _free_times(service: Telemedicine, now: int) -> dict[Expert, list[Offer]]:
    """Each expert who has room in the coming day: the consultations ahead, and the free times in order."""
    taken = await busy(service.record, now)
    by_expert: dict[str, list[Offer]] = defaultdict(list)
    for one in await offers(service, Wanted(now, now + AHEAD_MS), now, MANY_SLOTS):
        by_expert[one.expert.id].append(one)
    found: dict[Expert, list[Offer]] = {}
    for known, times in by_expert.items():
        own = taken.get(practitioner_key(service.record, known), {})
        if left := [one for one in times if own.keys().isdisjoint(cells(one.start, one.end))]:
            found[_loaded(left, len(set(own.values())))] = left
    return found


def _loaded(times: list[Offer], load: int) -> Expert:
    known = times[0].expert
    return Expert(known.id, known.specialties, known.languages, known.organization, load, len(times))


def _placed(pairs: Sequence[Pair], times: Mapping[Expert, Sequence[Offer]]) -> Iterator[tuple[Pair, Offer]]:
    """The most pressing request of each expert gets the first free time."""
    left = {expert.id: iter(offered) for expert, offered in times.items()}
    return ((one, next(left[one.expert])) for one in pairs)


async def _hold_all(
    service: Telemedicine, access: Access, waiting: Mapping[str, Open], placed: Iterator[tuple[Pair, Offer]]
) -> int:
    """Hold the times, AT_ONCE at a time; how many could be held. Where somebody was faster, the request waits on."""
    held = 0

    async def work() -> None:
        nonlocal held
        for one, offer in placed:
            is_held = await _hold(service, access, waiting[one.request], one, offer)
            held += is_held

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return held


async def _hold(service: Telemedicine, access: Access, wanted: Open, found: Pair, offer: Offer) -> bool:
    until = instant(access.at + service.hold_ms)
    request = {"reference": f"ServiceRequest/{found.request}"}
    more = {"status": "pending", "extension": [{"url": HELD_UNTIL, "valueInstant": until}], "basedOn": [request]}
    held = new(service, offer, wanted.patient, more)
    known = task_id(service.record, found.request)
    task = {"resourceType": "Task", "id": known, **_task(wanted, found, request, held.id, access.at, until)}
    own = Access(access.caller, "operation-hold", f"Appointment/{held.id}", access.at)
    try:
        await commit(service.record, own, SYSTEM, [held, Operation("update", "Task", known, task)])
    except FhirError as error:
        if error.status != 409:
            raise
        return False
    return True


def _task(wanted: Open, found: Pair, request: Resource, appointment: str, now: int, until: str) -> Resource:
    reasons: list[tuple[str, Resource]] = [
        ("specialty", {"valueCode": found.specialty}),
        ("language", {"valueCode": found.language}),
        ("urgency", {"valueCode": found.urgency}),
        ("load", {"valueInteger": found.load}),
        ("wait-minutes", {"valueInteger": found.wait}),
        ("reward", {"valueInteger": found.reward}),
        ("cost", {"valueInteger": found.cost}),
        ("appointment", {"valueReference": {"reference": f"Appointment/{appointment}"}}),
    ]
    return {
        "status": "requested",
        "intent": "order",
        "code": {"coding": [{"system": REASON, "code": "pairing"}]},
        "focus": request,
        "for": {"reference": f"Patient/{wanted.patient}"},
        "authoredOn": instant(now),
        "requester": {"reference": f"Organization/{TELEMEDICINE}"},
        "owner": {"reference": f"Practitioner/{found.expert}"},
        "restriction": {"period": {"end": until}},
        "output": [{"type": {"coding": [{"system": REASON, "code": code}]}, **value} for code, value in reasons],
    }
