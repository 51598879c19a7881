"""The people of the demo region: who they are, whose mothers are known, and which institutions know whom."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from exchange.demo.names import CULTURES
from exchange.demo.people import Person, people

PEOPLE = 60
AS_OF = date(2025, 6, 30)
"""The last day that their records tell of."""
CLINIC, HOSPITAL_A, HOSPITAL_B = "clinic-c", "hospital-a", "hospital-b"
KNOWN_BY = {CLINIC: (0, 1, 2, 3, 4, 5), HOSPITAL_A: (0, 1, 3, 4), HOSPITAL_B: (0, 2, 3)}
"""Institution -> the sixths of the people it knows: all were born in the clinic's quarter, a third is known to all three."""


def residents() -> list[Person]:
    """The same 60 people every time, born from 1960 to 2023."""
    return people(PEOPLE, first=date(1960, 1, 1), last=date(2023, 12, 31))


def known(institution: str, everyone: Sequence[Person]) -> list[Person]:
    """The people whom an institution knows."""
    return [one for one in everyone if knows(institution, one)]


def knows(institution: str, person: Person) -> bool:
    """Whether it has ever seen this person."""
    return person.number % 6 in KNOWN_BY[institution]


def mother_of(child: Person, everyone: Sequence[Person]) -> Person:
    """A woman of the region of the same culture and the right age; where there is none, one that nobody else knows of."""
    fit = [one for one in everyone if one.culture == child.culture and one.gender == "female" and 20 <= _age(one, child) < 38]
    return fit[child.number % len(fit)] if fit else _stranger(child)


def newborn(child: Person, mother: Person) -> Person:
    """The child before it has a name of its own and an ID card."""
    name = f"{mother.name}之{'女' if child.gender == 'female' else '子'}"
    return replace(child, family="", given=name, script="", id_card="")


def age(person: Person, on: date) -> int:
    """Completed years of life."""
    return on.year - person.birth.year - ((on.month, on.day) < (person.birth.month, person.birth.day))


def _age(mother: Person, child: Person) -> int:
    return age(mother, child.birth)


def _stranger(child: Person) -> Person:
    chance = random.Random(child.number)
    name = CULTURES[child.culture]("female", chance)
    birth = child.birth - timedelta(days=chance.randrange(20 * 366, 38 * 365))
    return replace(child, **name._asdict(), gender="female", birth=birth, id_card="")
