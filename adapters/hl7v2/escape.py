"""Escape sequences (HL7 v2.5.1 chapter 2.7)."""

import re
from functools import lru_cache
from typing import NamedTuple

from adapters.hl7v2.charset import printable


class Delimiters(NamedTuple):
    """MSH-1 and the characters of MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


STANDARD = Delimiters()
_LINE = re.compile(r"\.(br|sp\d*|ce)$")
_LAYOUT = re.compile(r"\.(in|ti|fi|nf|sk)[+-]?\d*$|[HN]$|Z")
_HEX = re.compile(r"X((?:[0-9A-Fa-f]{2})+)$")


@lru_cache(maxsize=64)
def _sequence(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}([^{mark}]*){mark}")


def unescape(text: str, delimiters: Delimiters = STANDARD, charset: str = "utf-8") -> str:
    """The text meant. Layout commands vanish or become line breaks; a sequence nobody knows stays as it is written."""
    if delimiters.escape not in text:
        return text
    return _sequence(delimiters.escape).sub(lambda found: _meaning(found[1], found[0], delimiters, charset), text)


def _meaning(command: str, written: str, delimiters: Delimiters, charset: str) -> str:
    literal = {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repetition,
        "E": delimiters.escape,
        "T": delimiters.subcomponent,
    }
    if command in literal:
        return literal[command]
    if _LINE.match(command):
        return "\n"
    if _LAYOUT.match(command):
        return ""
    digits = _HEX.match(command)
    try:
        return printable(bytes.fromhex(digits[1]).decode(charset)) if digits else written
    except UnicodeDecodeError:
        return written


def escape(text: str, delimiters: Delimiters = STANDARD) -> str:
    """The inverse of `unescape`: what may stand inside a subcomponent. Line breaks become `.br`."""
    mark = delimiters.escape
    table: dict[str, str | int | None] = {
        delimiters.field: f"{mark}F{mark}",
        delimiters.component: f"{mark}S{mark}",
        delimiters.repetition: f"{mark}R{mark}",
        mark: f"{mark}E{mark}",
        delimiters.subcomponent: f"{mark}T{mark}",
        "\r": f"{mark}.br{mark}",
        "\n": f"{mark}.br{mark}",
    }
    return text.replace("\r\n", "\n").translate(str.maketrans(table))
