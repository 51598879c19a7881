"""The languages of the portal and their texts: one table a language (texts/*.toml), the best one by Accept-Language."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

TAGS = {"zh": "zh-Hans", "ug": "ug", "kk": "kk-Arab", "en": "en"}
"""Primary language subtag -> what we have of it (BCP 47). Kazakh is in the Arabic script, which people here write."""

RIGHT_TO_LEFT = frozenset(("ug", "kk-Arab"))
DEFAULT = "zh-Hans"
MAX_HEADER, MAX_RANGES = 1_000, 30


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language: section -> key -> text."""

    tag: str
    sections: Mapping[str, Mapping[str, str]]

    def text(self, section: str, key: str) -> str:
        """A text that every language has (a test holds it)."""
        return self.sections[section][key]

    def label(self, section: str, code: str, otherwise: str = "") -> str:
        """What a code from the data is called; `otherwise` where nobody has named it."""
        return self.sections[section].get(code, otherwise)

    @property
    def direction(self) -> str | None:
        """`rtl`, or None for the usual direction."""
        return "rtl" if self.tag in RIGHT_TO_LEFT else None


def _load(tag: str) -> Texts:
    return Texts(tag, tomllib.loads((files("portal") / "texts" / f"{tag}.toml").read_text(encoding="utf-8")))


LANGUAGES = {tag: _load(tag) for tag in TAGS.values()}


def chosen(header: str) -> Texts:
    """The language that Accept-Language wants most (RFC 9110 12.5.4; RFC 4647 3.4): zh-Hans where it wants none of ours."""
    wanted = sorted(_ranges(header[:MAX_HEADER]), key=lambda one: -one[1])
    refused = {name for name, quality in wanted if quality == 0}
    for name, quality in wanted:
        if quality > 0 and name in TAGS:
            return LANGUAGES[TAGS[name]]
        if quality > 0 and name == "*":
            return LANGUAGES[next((tag for name, tag in TAGS.items() if name not in refused), DEFAULT)]
    return LANGUAGES[DEFAULT]


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    """(primary subtag in lower case, quality) in the order given; what is malformed is passed over."""
    for part in header.split(",")[:MAX_RANGES]:
        tag, *parameters = (one.strip().lower() for one in part.split(";"))
        quality = _quality(parameters)
        if tag and quality is not None:
            yield tag.partition("-")[0], quality


def _quality(parameters: list[str]) -> float | None:
    if not parameters:
        return 1.0
    name, _, value = parameters[0].partition("=")
    known = (
        len(parameters) == 1 and name == "q" and len(value) <= 5 and value.replace(".", "", 1).isdecimal() and value.isascii()
    )
    quality = float(value) if known else -1.0
    return quality if 0 <= quality <= 1 else None
