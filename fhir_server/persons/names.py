"""Personal names of a region with several naming cultures: one text form always, parts only where there are such parts."""

import re

from fhir_server.search.text import INTERPUNCT

_DOTS = re.compile("[\u2022\u2027\u2219\u22c5\u30fb\uff65\u0387\u2e31\u25cf]")
_FULL_STOP = re.compile(r"(?<=[\u3400-\u9fff])\s*[.．]\s*(?=[\u3400-\u9fff])")
_AROUND = re.compile(rf"\s*{INTERPUNCT}\s*")
_HAN = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]+$")
_ARABIC = re.compile(r"[\u0600-\u06ff\ufb50-\ufdff\ufe70-\ufeff]")


def normal(name: str) -> str:
    """One interpunct (U+00B7) without spaces about it, and single spaces."""
    text = _FULL_STOP.sub(INTERPUNCT, _DOTS.sub(INTERPUNCT, name))
    return " ".join(_AROUND.sub(INTERPUNCT, text).split())


def han(name: str) -> bool:
    """Written in Han characters throughout."""
    return bool(_HAN.match(name))


def without_family(*parts: str) -> bool:
    """Uyghur and Kazakh names are a given name and the father's: no part of them is a family name."""
    return any(INTERPUNCT in part or _ARABIC.search(part) for part in parts)


def full(family: str, given: list[str]) -> str:
    """The name as it is written: family first and unspaced in Han characters, else given names first."""
    parts = [part for part in (*given, family) if part]
    if parts and all(han(part) for part in parts):
        return "".join((family, *given))
    return " ".join(parts)
