"""Personal names of the region's cultures: as an ID card writes them and, of Uyghur and Kazakh names, in their own script."""

import random
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Name(NamedTuple):
    """`family` is empty where the culture has no family names, `script` where it writes in Chinese anyway."""

    family: str
    given: str
    script: str = ""


_HAN_FAMILY = "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭"
_HUI_FAMILY = "马 丁 哈 沙 白 撒 穆 纳"
_HAN_GIVEN = {"male": "伟 强 磊 军 洋 勇 建国 志明 文博 浩然", "female": "芳 娜 敏 静 丽 秀英 桂兰 晓燕 雨欣 梦琪"}

_UYGHUR = {
    "male": {
        "艾力": "ئەلى", "买买提": "مەمەت", "吐尔逊": "تۇرسۇن", "阿布都拉": "ئابدۇللا", "玉素甫": "يۈسۈپ",
        "库尔班": "قۇربان", "艾合买提": "ئەخمەت", "热合曼": "راخمان", "亚森": "ياسىن", "依明": "ئىمىن",
    },
    "female": {
        "阿依古丽": "ئايگۈل", "古丽娜尔": "گۈلنار", "热依汗": "رەيھان", "帕提古丽": "پاتىگۈل", "玛依拉": "مايىرا",
        "阿孜古丽": "ئازىگۈل", "迪丽努尔": "دىلنۇر", "茹仙古丽": "روشەنگۈل",
    },
}  # fmt: skip
_KAZAKH = {
    "male": {
        "叶尔兰": "ەرلان", "努尔兰": "نۇرلان", "哈那提": "قانات", "赛力克": "سەرىك", "木拉提": "مۇرات",
        "巴合提": "باقىت", "叶尔肯": "ەركىن", "阿德力": "ءادىل",
    },
    "female": {
        "阿依达娜": "ايدانا", "古丽扎提": "گۇلزات", "沙吾列": "ساۋلە", "努尔古丽": "نۇرگۇل", "加依娜": "جاينا",
        "阿勒玛": "الما",
    },
}  # fmt: skip
INTERPUNCT = "·"


def _with_family(families: str) -> Callable[[str, random.Random], Name]:
    return lambda gender, chance: Name(chance.choice(families.split()), chance.choice(_HAN_GIVEN[gender].split()))


def _with_fathers_name(own: Mapping[str, Mapping[str, str]]) -> Callable[[str, random.Random], Name]:
    def name(gender: str, chance: random.Random) -> Name:
        pairs = chance.choice(list(own[gender].items())), chance.choice(list(own["male"].items()))
        chinese, script = zip(*pairs, strict=True)
        return Name("", INTERPUNCT.join(chinese), " ".join(script))

    return name


CULTURES: Mapping[str, Callable[[str, random.Random], Name]] = {
    "uyghur": _with_fathers_name(_UYGHUR),
    "han": _with_family(_HAN_FAMILY),
    "kazakh": _with_fathers_name(_KAZAKH),
    "hui": _with_family(_HUI_FAMILY),
}
"""Culture -> a name for a gender, by chance."""
