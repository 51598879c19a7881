"""Synthetic people of a region with several naming cultures. Their ID-card numbers use division codes that GB/T 2260
assigns to no place (659991 ...), so that none can be a real person's."""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from math import gcd

from exchange.demo.names import CULTURES
from fhir_server.persons.idcard import check_character

UNASSIGNED_DIVISIONS = ("659991", "659992", "659993", "659994", "659995", "659996", "659997", "659998", "659999")

_CITIES = (
    ("乌鲁木齐市", ("天山区", "沙依巴克区", "新市区", "水磨沟区"), "830000"),
    ("喀什地区", ("喀什市", "疏附县", "莎车县"), "844000"),
    ("伊犁哈萨克自治州", ("伊宁市", "霍城县", "昭苏县"), "835000"),
    ("和田地区", ("和田市", "墨玉县", "于田县"), "848000"),
    ("昌吉回族自治州", ("昌吉市", "奇台县"), "831100"),
)
_FIRST, _LAST = date(1935, 1, 1), date(2022, 8, 10)
_GOLDEN = 0.618  # steps of this share of a range spread over it, however many are taken
_STREETS = ("团结路", "解放北路", "人民西路", "友好南路", "迎宾路", "幸福巷")


@dataclass(frozen=True, slots=True)
class Address:
    """A Xinjiang address from the prefecture down."""

    city: str
    district: str
    street: str
    postcode: str


@dataclass(frozen=True, slots=True)
class Person:
    """`family` is empty where the culture has no family names; `script` is the name in its own script, where that is not
    Chinese; `gender` is FHIR's; `id_card` has 18 characters, or none before it is given out."""

    number: int
    culture: str
    family: str
    given: str
    script: str
    gender: str
    birth: date
    id_card: str
    phone: str
    address: Address

    @property
    def name(self) -> str:
        """As an ID card writes it."""
        return self.family + self.given


def people(n: int, seed: int = 1, first: date = _FIRST, last: date = _LAST) -> list[Person]:
    """`n` people born from `first` to `last`, the same for the same arguments, no two with the same ID card."""
    chance = random.Random(seed)
    days = (last - first).days + 1
    return [_person(number, first, days, chance) for number in range(n)]


def id_card(division: str, birth: date, sequence: int) -> str:
    """A number of GB 11643; an odd sequence is a man's."""
    first = f"{division}{birth:%Y%m%d}{sequence:03d}"
    return first + check_character(first)


def _person(number: int, first: date, days: int, chance: random.Random) -> Person:
    culture = chance.choices(tuple(CULTURES), weights=(40, 45, 10, 5))[0]
    gender = chance.choice(("male", "female"))
    name = CULTURES[culture](gender, chance)
    # Birth date and sequence come from the number, by a step that has no factor in common with the days: no card twice.
    birth = first + timedelta(days=number * _step(days) % days)
    sequence = 2 * (number // days % 499) + (1 if gender == "male" else 2)
    division = UNASSIGNED_DIVISIONS[number % len(UNASSIGNED_DIVISIONS)]
    return Person(
        number=number,
        culture=culture,
        **name._asdict(),
        gender=gender,
        birth=birth,
        id_card=id_card(division, birth, sequence),
        phone=f"000{chance.randrange(10**8):08d}",
        address=_address(chance),
    )


def _step(days: int) -> int:
    step = int(days * _GOLDEN)
    while gcd(step, days) > 1:
        step += 1
    return step


def _address(chance: random.Random) -> Address:
    city, districts, postcode = chance.choice(_CITIES)
    street = f"{chance.choice(_STREETS)}{chance.randrange(1, 400)}号{chance.randrange(1, 30)}号楼"
    return Address(city, chance.choice(districts), street, postcode)
