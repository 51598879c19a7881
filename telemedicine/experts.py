"""Synthetic experts: Practitioner, PractitionerRole, HealthcareService, Schedule and Slots, the same for the same number.

Written with PUT under ids of their own, so that loading them again changes nothing; a Slot that is there stays as it is.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from fhir_server.r4.dates import BEIJING
from fhir_server.record.bookings import TELEMEDICINE
from fhir_server.record.consultations import SYSTEM
from fhir_server.record.context import Record
from fhir_server.record.operations import Operation
from fhir_server.record.writing import transact
from telemedicine.specialties import LANGUAGE_SYSTEM, LANGUAGES, SPECIALTIES, coding

EXPERTS = 4_200
HOSPITALS = 60
SLOT = timedelta(minutes=30)
SLOTS_IN_SHIFT = 4
SHIFTS = ((time(9), time(15)), (time(10), time(16)), (time(11), time(19)), (time(8), time(20)))
EXPERT_ROLE = {"system": "urn:hie:CodeSystem:role", "code": "remote-expert", "display": "Remote expert"}
COMMUNICATION = "http://hl7.org/fhir/5.0/StructureDefinition/extension-PractitionerRole.communication"
"""PractitionerRole.communication of R5, as R4 carries it."""

_FAMILY = (
    "王",
    "李",
    "张",
    "刘",
    "陈",
    "杨",
    "赵",
    "黄",
    "周",
    "吴",
    "徐",
    "孙",
    "马",
    "朱",
    "胡",
    "郭",
    "何",
    "林",
    "高",
    "罗",
)
_GIVEN = (
    "明",
    "华",
    "建平",
    "海燕",
    "志强",
    "丽娟",
    "晓东",
    "雪梅",
    "国栋",
    "玉兰",
    "文斌",
    "秀兰",
    "永刚",
    "春燕",
    "振宇",
    "淑芬",
)
_WITHOUT_FAMILY = ("艾尔肯·买买提", "古丽娜尔·阿布都拉", "努尔兰·哈那提", "阿依古丽·热合曼", "叶尔兰·巴合提", "热依汗·吐尔逊")
_PER_TRANSACTION = 8

Resource = dict[str, Any]


def hospital_id(number: int) -> str:
    return f"expert-hospital-{number % HOSPITALS + 1:02d}"


def expert_id(number: int) -> str:
    return f"expert-{number + 1:04d}"


def directory() -> Iterator[Resource]:
    """The telemedicine service, and the hospitals that experts work in."""
    yield {"resourceType": "Organization", "id": TELEMEDICINE, "active": True, "name": "远程医疗协作中心"}
    for number in range(HOSPITALS):
        name = f"协作医院第{number + 1}号"
        yield {"resourceType": "Organization", "id": hospital_id(number), "active": True, "name": name}


def expert(number: int) -> list[Resource]:
    """An expert's Practitioner, PractitionerRole, HealthcareService and Schedule."""
    chance = random.Random(number)
    known, name = expert_id(number), _name(chance)
    codes = [list(SPECIALTIES)[number % len(SPECIALTIES)], *chance.sample(list(SPECIALTIES), chance.choice((0, 0, 1)))]
    specialty = [{"coding": [coding(code)]} for code in dict.fromkeys(codes)]
    communication = [_language(code) for code in _languages(chance)]
    who = {"reference": f"Practitioner/{known}", "display": name["text"]}
    organization = {"reference": f"Organization/{hospital_id(chance.randrange(HOSPITALS))}"}
    service = {"reference": f"HealthcareService/{known}"}
    common = {"id": known, "active": True}
    return [
        {"resourceType": "Practitioner", **common, "name": [name], "communication": communication},
        {
            "resourceType": "PractitionerRole",
            **common,
            "extension": [{"url": COMMUNICATION, "valueCodeableConcept": one} for one in communication],
            "practitioner": who,
            "organization": organization,
            "code": [{"coding": [EXPERT_ROLE]}],
            "specialty": specialty,
            "healthcareService": [service],
            "availableTime": [_available(start) for start in _shifts(number)],
        },
        {
            "resourceType": "HealthcareService",
            **common,
            "providedBy": organization,
            "specialty": specialty,
            "communication": communication,
            "appointmentRequired": True,
        },
        {"resourceType": "Schedule", **common, "specialty": specialty, "actor": [who, service]},
    ]


def slots(number: int, first: date, days: int, specialty: list[Resource]) -> Iterator[Resource]:
    """The free Slots of an expert on `days` days from `first`, half an hour each, in Beijing time."""
    for day in (first + timedelta(days=ahead) for ahead in range(days)):
        for shift in _shifts(number):
            begin = datetime.combine(day, shift, BEIJING)
            for start in (begin + SLOT * position for position in range(SLOTS_IN_SHIFT)):
                yield {
                    "resourceType": "Slot",
                    "id": f"{expert_id(number)}-{start:%Y%m%dT%H%M}",
                    "specialty": specialty,
                    "schedule": {"reference": f"Schedule/{expert_id(number)}"},
                    "status": "free",
                    "start": start.isoformat(),
                    "end": (start + SLOT).isoformat(),
                }


async def load(record: Record, count: int, days: int, progress: Callable[[int], Any] = lambda written: None) -> int:
    """Write the directory, `count` experts and their Slots of the coming days; returns how many resources those are."""
    await _put(record, list(directory()))
    first = datetime.fromtimestamp(record.clock() / 1000, UTC).astimezone(BEIJING).date()
    total = 0
    for begin in range(0, count, _PER_TRANSACTION):
        numbers = range(begin, min(begin + _PER_TRANSACTION, count))
        resources = [one for number in numbers for one in _everything(number, first, days)]
        await _put(record, resources)
        total += len(resources)
        progress(len(numbers))
    return total


def _everything(number: int, first: date, days: int) -> Iterator[Resource]:
    made = expert(number)
    yield from made
    yield from slots(number, first, days, made[1]["specialty"])


async def _put(record: Record, resources: Sequence[Resource]) -> None:
    await transact(record, SYSTEM, [_put_of(one) for one in resources])


def _put_of(one: Resource) -> Operation:
    return Operation("update", one["resourceType"], one["id"], one, create_only=one["resourceType"] == "Slot")


def _name(chance: random.Random) -> Resource:
    if chance.random() < 0.3:
        return {"text": chance.choice(_WITHOUT_FAMILY)}
    family, given = chance.choice(_FAMILY), chance.choice(_GIVEN)
    return {"text": family + given, "family": family, "given": [given]}


def _languages(chance: random.Random) -> list[str]:
    return ["zh", *(code for code, share in (("ug", 0.35), ("kk", 0.15), ("en", 0.25)) if chance.random() < share)]


def _language(code: str) -> Resource:
    return {"coding": [{"system": LANGUAGE_SYSTEM, "code": code}], "text": LANGUAGES[code]}


def _shifts(number: int) -> tuple[time, time]:
    return SHIFTS[number % len(SHIFTS)]


def _available(start: time) -> Resource:
    end = (datetime.combine(date.min, start) + SLOT * SLOTS_IN_SHIFT).time()
    return {"availableStartTime": start.isoformat(), "availableEndTime": end.isoformat()}
