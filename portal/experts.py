"""Find an expert who is free: by specialty, language, days ahead."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from fhir_server.r4.dates import interval
from portal.asking import Own, Patient
from portal.display import beijing, target
from portal.envelope import Coded, Envelope, Model
from portal.looking import Named, named
from portal.requests import Asked, Id
from portal.routing import OF_PATIENT, routes
from portal.service import Expert, Resource

router = routes("consultations")

DAY_MS = 24 * 3_600_000
CONSIDERED = 1_000
TIMES = 8


class Wanted(Asked):
    specialty: Annotated[str | None, Field(pattern=r"^[0-9]{1,18}$", description="SNOMED CT, as in c80-practice-codes")] = None
    language: Literal["zh", "ug", "kk", "en"] | None = None
    expert: Annotated[Id | None, Field(description="only this one, with all free times")] = None
    days: Annotated[int, Field(ge=1, le=14, description="how many days ahead")] = 7
    count: Annotated[int, Field(ge=1, le=50, description="how many experts, soonest first")] = 20


class Time(Model):
    slot: Annotated[str, Field(description="book it with this")]
    start: Annotated[str, Field(description="Beijing time")]
    end: str


class Free(Model):
    id: str
    name: str
    hospital: Named
    specialties: list[Coded]
    languages: list[Coded]
    times: Annotated[
        list[Time], Field(description=f"soonest first; the first {TIMES} where not just this expert was asked for")
    ]


class Experts(Model):
    items: list[Free]


@router.get("/experts", responses=OF_PATIENT)
async def experts(own: Patient, wanted: Annotated[Wanted, Query()]) -> Envelope[Experts]:
    """Experts with free times, the soonest first."""
    now = own.portal.record.clock()
    asked: dict[str, Sequence[str]] = {
        "start": [beijing(now)],
        "end": [beijing(now + wanted.days * DAY_MS)],
        "_count": [str(CONSIDERED)],
        **{name: [value] for name, value in (("specialty", wanted.specialty), ("language", wanted.language)) if value},
        **({"practitioner": [f"Practitioner/{wanted.expert}"]} if wanted.expert else {}),
    }
    _, proposals = await own.portal.consultations.propose(own.caller, asked)
    free = _by_expert(proposals)
    known = await own.portal.consultations.experts()
    shown = [(known[one], times) for one, times in free.items() if one in known][: wanted.count]
    hospitals = await named(own, "Organization", {one.organization for one, _ in shown})
    most = CONSIDERED if wanted.expert else TIMES
    return own.answer(Experts(items=[_shown(own, one, hospitals, times[:most]) for one, times in shown]))


def _by_expert(proposals: list[Resource]) -> dict[str, list[Time]]:
    """The free times of each, in the order of the proposals: soonest first."""
    free: dict[str, list[Time]] = {}
    for one in proposals:
        expert = next(known for each in one["participant"] if (known := target(each["actor"], "Practitioner")))
        start, end = (beijing(interval(one[side])[0]) for side in ("start", "end"))
        free.setdefault(expert, []).append(Time(slot=one["id"], start=start, end=end))
    return free


def _shown(own: Own, expert: Expert, hospitals: dict[str, Named], times: list[Time]) -> Free:
    return Free(
        id=expert.id,
        name=expert.name,
        hospital=hospitals[expert.organization],
        specialties=[Coded(code=one, text=own.texts.label("specialty", one, one)) for one in sorted(expert.specialties)],
        languages=[Coded(code=one, text=own.texts.label("language", one, one)) for one in sorted(expert.languages)],
        times=times,
    )
