"""The lives of the demo's people, as institutions tell them in HL7 v2: birth, vaccinations and child care from the clinic,
illnesses from the hospitals."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, NamedTuple

from adapters.hospitals import Hospital
from exchange.demo.illnesses import (
    AT_BIRTH,
    AT_ONE_YEAR,
    BCG,
    BIRTH,
    BY_CODE,
    CHECK_UP,
    DELIVERY,
    GROWTH,
    ILLNESSES,
    IMMUNISED_SINCE,
    SENSITIVE,
    VACCINATIONS,
    Illness,
)
from exchange.demo.messages import LABS, Diagnosis, Lab, Visit, adt_of, oru
from exchange.demo.people import Person
from exchange.demo.residents import AS_OF, CLINIC, KNOWN_BY, age, known, knows, mother_of, newborn
from fhir_server.r4.dates import BEIJING

_DAY = timedelta(days=1)
_REMEMBERED = 30 * 365  # days that the hospitals' records go back
_SENSITIVE_SHARE = 0.15
_SEED = 15


class Event(NamedTuple):
    """A message and when it is sent; its control id is given when all are in order."""

    sent: datetime
    message: Callable[[str], bytes]


def messages(hospital: Hospital, everyone: Sequence[Person]) -> list[bytes]:
    """What an institution sent about the people it knows until AS_OF, in the order of time."""
    told = _childhood if hospital.id == CLINIC else _illnesses
    events = [event for person in known(hospital.id, everyone) for event in told(hospital, person, everyone)]
    events = sorted((one for one in events if one.sent.date() <= AS_OF), key=lambda one: one.sent)
    return [one.message(f"{hospital.id}-{number:04d}") for number, one in enumerate(events, 1)]


# --- the clinic ---


def _childhood(clinic: Hospital, child: Person, everyone: Sequence[Person]) -> Iterator[Event]:
    chance = random.Random(f"clinic/{child.number}")
    mother = mother_of(child, everyone)
    yield from _birth(clinic, child, mother, _at(child.birth, chance))
    if mother in everyone:
        stay = _visit(chance, DELIVERY, child.birth, number=f"D{child.number:04d}")
        yield from _stay(clinic, mother, stay._replace(ward="产科"))
    for dose in VACCINATIONS if child.birth.year >= IMMUNISED_SINCE else ():
        yield _outpatient(clinic, child, _call(chance, child, dose.days, dose.reason)._replace(procedures=(dose.dose,)))
    check = _call(chance, child, 365, CHECK_UP)
    yield _outpatient(clinic, child, check)
    yield _results(clinic, child, check.at, AT_ONE_YEAR, panel=GROWTH)


def _birth(clinic: Hospital, child: Person, mother: Person, at: datetime) -> Iterator[Event]:
    """Admitted without a name, measured, vaccinated, sent home; a month on comes the name and the ID card's number."""
    unnamed = newborn(child, mother)
    stay = Visit("B0001", at, None, True, "产科", (BIRTH,))
    ended = stay._replace(until=at + 2 * _DAY, procedures=(BCG,) if child.birth.year >= IMMUNISED_SINCE else ())
    yield _event(clinic, unnamed, "A01", stay, at, mother)
    yield _results(clinic, unnamed, at + timedelta(minutes=10), AT_BIRTH, panel=GROWTH)
    yield _event(clinic, unnamed, "A03", ended, at + 2 * _DAY, mother)
    yield _event(clinic, child, "A08", ended, at + 30 * _DAY, mother)


def _call(chance: random.Random, child: Person, days: int, reason: Diagnosis) -> Visit:
    """Half an hour at the clinic, so many days after birth."""
    at = _at(child.birth + days * _DAY, chance)
    return Visit(f"Z{days:04d}", at, at + timedelta(minutes=30), ward="儿童保健科", diagnoses=(reason,))


# --- the hospitals ---


def _illnesses(hospital: Hospital, person: Person, everyone: Sequence[Person]) -> Iterator[Event]:
    """Those that brought the person to this hospital: the hospitals that know somebody take turns."""
    going = [name for name in KNOWN_BY if name != CLINIC and knows(name, person)]
    for number, (day, illness) in enumerate(illnesses_of(person)):
        if going[number % len(going)] != hospital.id:
            continue
        chance = random.Random(f"{person.number}/{number}")
        visit = _visit(chance, illness, day, number=f"V{number + 1:04d}")
        yield from _stay(hospital, person, visit) if illness.inpatient else (_outpatient(hospital, person, visit),)
        tested = dict.fromkeys((*(BY_CODE[code] for code in illness.leaning), *chance.sample(LABS, 3)))
        yield _results(hospital, person, visit.at + timedelta(hours=1), tuple(tested), leaning=illness.leaning)


def illnesses_of(person: Person) -> list[tuple[date, Illness]]:
    """What a person had, by date; nobody lies in hospital twice for the same."""
    chance = random.Random(f"{_SEED}/illnesses/{person.number}")
    lived = (AS_OF - person.birth).days
    days = range(max(365, lived - _REMEMBERED), lived - 10)
    had: list[tuple[date, Illness]] = []
    for days_old in sorted(chance.sample(days, chance.randint(2, 5))):
        day = person.birth + days_old * _DAY
        before = [one for _, one in had if one.inpatient]
        fit = _fit(SENSITIVE, person, day) if chance.random() < _SENSITIVE_SHARE else []
        had.append((day, chance.choice(fit or [one for one in _fit(ILLNESSES, person, day) if one not in before])))
    return had


def _fit(illnesses: Sequence[Illness], person: Person, day: date) -> list[Illness]:
    """What somebody of this age and sex may have."""
    years = age(person, day)
    return [one for one in illnesses if one.youngest <= years <= one.oldest and one.sex in ("", person.gender)]


def _visit(chance: random.Random, illness: Illness, day: date, number: str) -> Visit:
    at = _at(day, chance)
    lasting = timedelta(days=chance.randint(2, 6)) if illness.inpatient else timedelta(hours=3)
    return Visit(number, at, at + lasting, illness.inpatient, "", (illness.diagnosis,), illness.procedures)


# --- messages ---


def _stay(hospital: Hospital, person: Person, visit: Visit) -> Iterator[Event]:
    """Admission, and discharge."""
    assert visit.until is not None
    yield _event(hospital, person, "A01", visit._replace(until=None, procedures=()), visit.at)
    yield _event(hospital, person, "A03", visit, visit.until)


def _outpatient(hospital: Hospital, person: Person, visit: Visit) -> Event:
    """A registration; it is told when the visit is over."""
    return _event(hospital, person, "A04", visit, visit.at)


def _event(hospital: Hospital, person: Person, event: str, visit: Visit, sent: datetime, mother: Person | None = None) -> Event:
    return Event(sent, partial(adt_of, hospital, person, event, visit=visit, sent=sent, mother=mother))


def _results(hospital: Hospital, person: Person, at: datetime, labs: Sequence[Lab], **more: Any) -> Event:
    return Event(at, partial(oru, hospital, person, labs=labs, at=at, **more))


def _at(day: date, chance: random.Random) -> datetime:
    """Some time of a working day."""
    return datetime.combine(day, time(chance.randint(8, 16), chance.randrange(60)), BEIJING)
