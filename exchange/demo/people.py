"""Synthetic people of a region with several naming cultures. Their ID-card numbers use division codes that GB/T 2260
assigns to no place (659991 ...), so that none can be a real person's."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from fhir_server.persons.idcard import check_character

UNASSIGNED_DIVISIONS = ("659991", "659992", "659993", "659994", "659995", "659996", "659997", "659998", "659999")

_HAN_FAMILY = "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭"
_HUI_FAMILY = "马 丁 哈 沙 白 撒 穆 纳"
_HAN_GIVEN = {"male": "伟 强 磊 军 洋 勇 建国 志明 文博 浩然", "female": "芳 娜 敏 静 丽 秀英 桂兰 晓燕 雨欣 梦琪"}
_UYGHUR_MALE = "艾力 买买提 吐尔逊 阿布都拉 玉素甫 库尔班 艾合买提 热合曼 亚森 伊力哈木"
_UYGHUR_FEMALE = "阿依古丽 古丽娜尔 热依汗 帕提古丽 玛依拉 阿孜古丽 迪丽努尔 茹仙古丽"
_KAZAKH_MALE = "叶尔兰 努尔兰 哈那提 赛力克 木拉提 巴合提 叶尔肯 阿德力"
_KAZAKH_FEMALE = "阿依达娜 古丽扎提 沙吾列 努尔古丽 加依娜 阿勒玛"
_CITIES = (
    ("乌鲁木齐市", ("天山区", "沙依巴克区", "新市区", "水磨沟区"), "830000"),
    ("喀什地区", ("喀什市", "疏附县", "莎车县"), "844000"),
    ("伊犁哈萨克自治州", ("伊宁市", "霍城县", "昭苏县"), "835000"),
    ("和田地区", ("和田市", "墨玉县", "于田县"), "848000"),
    ("昌吉回族自治州", ("昌吉市", "奇台县"), "831100"),
)
_DAYS = 32_000
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
    """`family` is empty where the culture has no family names; `gender` is FHIR's; `id_card` has 18 characters."""

    number: int
    culture: str
    family: str
    given: str
    gender: str
    birth: date
    id_card: str
    phone: str
    address: Address


def people(n: int, seed: int = 1) -> list[Person]:
    """`n` people, the same for the same seed, no two with the same ID card."""
    chance = random.Random(seed)
    return [_person(number, chance) for number in range(n)]


def id_card(division: str, birth: date, sequence: int) -> str:
    """A number of GB 11643; an odd sequence is a man's."""
    first = f"{division}{birth:%Y%m%d}{sequence:03d}"
    return first + check_character(first)


def _person(number: int, chance: random.Random) -> Person:
    culture = chance.choices(tuple(_NAMES), weights=(45, 40, 10, 5))[0]
    gender = chance.choice(("male", "female"))
    family, given = _NAMES[culture](gender, chance)
    # Birth date and sequence come from the number, by a step that has no factor in common with the days: no card twice.
    birth = date(1935, 1, 1) + timedelta(days=number * 7919 % _DAYS)
    sequence = 2 * (number // _DAYS % 499) + (1 if gender == "male" else 2)
    division = UNASSIGNED_DIVISIONS[number % len(UNASSIGNED_DIVISIONS)]
    return Person(
        number=number,
        culture=culture,
        family=family,
        given=given,
        gender=gender,
        birth=birth,
        id_card=id_card(division, birth, sequence),
        phone=f"000{chance.randrange(10**8):08d}",
        address=_address(chance),
    )


def _address(chance: random.Random) -> Address:
    city, districts, postcode = chance.choice(_CITIES)
    street = f"{chance.choice(_STREETS)}{chance.randrange(1, 400)}号{chance.randrange(1, 30)}号楼"
    return Address(city, chance.choice(districts), street, postcode)


def _han(gender: str, chance: random.Random) -> tuple[str, str]:
    return chance.choice(_HAN_FAMILY.split()), chance.choice(_HAN_GIVEN[gender].split())


def _hui(gender: str, chance: random.Random) -> tuple[str, str]:
    return chance.choice(_HUI_FAMILY.split()), chance.choice(_HAN_GIVEN[gender].split())


def _uyghur(gender: str, chance: random.Random) -> tuple[str, str]:
    own = _UYGHUR_MALE if gender == "male" else _UYGHUR_FEMALE
    return "", f"{chance.choice(own.split())}·{chance.choice(_UYGHUR_MALE.split())}"


def _kazakh(gender: str, chance: random.Random) -> tuple[str, str]:
    own = _KAZAKH_MALE if gender == "male" else _KAZAKH_FEMALE
    return "", f"{chance.choice(own.split())}·{chance.choice(_KAZAKH_MALE.split())}"


_NAMES: dict[str, Callable[[str, random.Random], tuple[str, str]]] = {
    "uyghur": _uyghur,
    "han": _han,
    "kazakh": _kazakh,
    "hui": _hui,
}
