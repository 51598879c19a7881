"""FHIRPath's Date, DateTime and Time: as precise as they are written (N1 5.1, 6.6; comparison 6.2, 6.1)."""

import calendar
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from fhir_server.r4.fhirpath.errors import FhirPathError

_DATE = r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
_CLOCK = r"(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?"
_DATE_TIME = re.compile(rf"{_DATE}(?:(T)(?:{_CLOCK}(Z|[+-]\d\d:\d\d)?)?)?", re.ASCII)
_TIME = re.compile(rf"T?{_CLOCK}", re.ASCII)

# Number of parts of a whole date and of a whole time of day; seconds and milliseconds are one part (N1 6.2).
_DAY, _MINUTE, _SECOND = 3, 5, 6
_LIMITS = ((1, 9999), (1, 12), (1, 31), (0, 23), (0, 59), (0, 60_999))
# The part each unit counts in, and for arithmetic on partial dates the coarser unit and how many make one (N1 6.6.7).
_PLACE = {"year": 1, "month": 2, "day": 3, "hour": 4, "minute": 5, "second": 6, "millisecond": 6}
_COARSER = {
    "millisecond": (1000, "second"), "second": (60, "minute"), "minute": (60, "hour"), "hour": (24, "day"),
    "day": (30, "month"), "month": (12, "year"),
}  # fmt: skip


class Temporal(NamedTuple):
    """`kind` Date, DateTime or Time; `parts` year, month, day, hour, minute, milliseconds of the minute, as far as given
    (of a Time from the hour on); `offset` in minutes; `text` as written."""

    kind: str
    parts: tuple[int, ...]
    offset: int | None
    text: str
    digits: int = 0
    """How many digits the fraction of the second was written with."""


def parse_temporal(text: str) -> Temporal:
    """A Date, DateTime or (with `T`) Time of FHIR or FHIRPath; FhirPathError if it is none or not in the calendar."""
    if text.startswith("T"):
        return parse_time(text)
    match = _DATE_TIME.fullmatch(text)
    if not match:
        raise FhirPathError("not a date or time")
    year, month, day, mark, hour, minute, second, fraction, zone = match.groups()
    parts = _parts((year, month, day, hour, minute), second, fraction)
    if any(not low <= part <= high for part, (low, high) in zip(parts, _LIMITS, strict=False)) or _no_such_day(parts):
        raise FhirPathError("no such date or time")
    return Temporal("DateTime" if mark else "Date", parts, _offset(zone), text, len(fraction or ""))


def parse_time(text: str) -> Temporal:
    """A Time, with or without its `T`."""
    match = _TIME.fullmatch(text)
    if not match:
        raise FhirPathError("not a time")
    hour, minute, second, fraction = match.groups()
    parts = _parts((hour, minute), second, fraction)
    if any(not low <= part <= high for part, (low, high) in zip(parts, _LIMITS[3:], strict=False)):
        raise FhirPathError("no such time")
    return Temporal("Time", parts, None, text.removeprefix("T"), len(fraction or ""))


def compare(a: Temporal, b: Temporal) -> int | None:
    """-1, 0 or 1; None where the precision of one does not decide. Without an offset, a time is taken as UTC."""
    left, right = aligned(a), aligned(b)
    shared = min(len(left), len(right))
    if left[:shared] != right[:shared]:
        return -1 if left[:shared] < right[:shared] else 1
    return 0 if len(left) == len(right) else None


def comparable(a: Temporal, b: Temporal) -> bool:
    """A Date is taken for a DateTime without time, a Time only compares to a Time."""
    return (a.kind == "Time") == (b.kind == "Time")


def add(value: Temporal, number: Decimal, unit: str) -> Temporal:
    """value + number units (N1 6.6.7): fractions of a unit count only below the second, days are clamped to the month."""
    if unit != "second":
        number = Decimal(int(number))
    if unit == "week":
        number, unit = number * 7, "day"
    given = len(value.parts) + (_DAY if value.kind == "Time" else 0)
    while _PLACE[unit] > given:
        many, unit = _COARSER[unit]
        number = Decimal(int(number / many))
    try:
        if unit in ("year", "month"):
            return _add_months(value, int(number) * (12 if unit == "year" else 1))
        return _add_time(value, number, unit)
    except (OverflowError, ValueError):
        raise FhirPathError("the date leaves the calendar") from None


def boundary(value: Temporal, digits: int, high: bool) -> Temporal | None:
    """The first or last moment of a partial value, to a precision in digits (8 a date, 17 a date and time, 9 a time)."""
    places = {4: 1, 6: 2, 8: 3, 10: 4, 12: 5, 17: 6} if value.kind != "Time" else {2: 1, 4: 2, 9: 3}
    if digits not in places:
        return None
    parts = list(value.parts[: places[digits]])
    limits = _LIMITS[3:] if value.kind == "Time" else _LIMITS
    while len(parts) < places[digits]:
        low, top = limits[len(parts)]
        if value.kind != "Time" and len(parts) == _DAY - 1:
            top = calendar.monthrange(parts[0], parts[1])[1]
        parts.append(min(top, 59_999) if high else low)
    timed = value.kind == "DateTime" and len(parts) > _DAY
    offset = value.offset if value.offset is not None or not timed else (-720 if high else 840)
    return render(value.kind, tuple(parts), offset, 3)


def precision(value: Temporal) -> int:
    """The number of digits that are written of it."""
    whole = (4, 6, 8, 10, 12, 14) if value.kind != "Time" else (2, 4, 6)
    return whole[len(value.parts) - 1] + value.digits


def moment(now: datetime) -> Temporal:
    """An instant as DateTime, to the millisecond."""
    return parse_temporal(now.astimezone(UTC).isoformat(timespec="milliseconds"))


def render(kind: str, parts: tuple[int, ...], offset: int | None, digits: int) -> Temporal:
    """A value made of parts, with its text."""
    clock = parts if kind == "Time" else parts[_DAY:]
    day = "" if kind == "Time" else "-".join(f"{part:0{width}}" for part, width in zip(parts, (4, 2, 2), strict=False))
    text = day + ("T" if kind == "DateTime" else "") + _clock(clock, digits)
    if offset is not None and clock:
        text += "Z" if offset == 0 else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    return Temporal(kind, parts, offset, text, digits if len(clock) == _SECOND - _DAY else 0)


def _clock(parts: tuple[int, ...], digits: int) -> str:
    text = ":".join(f"{part:02}" for part in parts[:2])
    if len(parts) < 3:
        return text
    seconds, ms = divmod(parts[2], 1000)
    return f"{text}:{seconds:02}" + (f".{ms:03}"[: 1 + max(digits, 3)] if digits or ms else "")


def _parts(coarse: tuple[str | None, ...], second: str | None, fraction: str | None) -> tuple[int, ...]:
    parts = [int(part) for part in coarse if part is not None]
    if second is not None:
        parts.append(int(second) * 1000 + int((fraction or "0")[:3].ljust(3, "0")))
    return tuple(parts)


def _no_such_day(parts: tuple[int, ...]) -> bool:
    return len(parts) >= _DAY and parts[2] > calendar.monthrange(parts[0], parts[1])[1]


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:])
    return -minutes if zone[0] == "-" else minutes


def aligned(value: Temporal) -> tuple[int, ...]:
    """The parts in UTC; a time without minutes is not moved, its offset says no more than its hour."""
    if not value.offset or len(value.parts) < _MINUTE:
        return value.parts
    year, month, day, hour, minute, *rest = value.parts
    try:
        moved = datetime(year, month, day, hour, minute) - timedelta(minutes=value.offset)
    except OverflowError:
        return value.parts
    return (moved.year, moved.month, moved.day, moved.hour, moved.minute, *rest)


def _add_months(value: Temporal, months: int) -> Temporal:
    if value.kind == "Time":
        raise FhirPathError("a time has no years and months")
    year, month = divmod(value.parts[0] * 12 + (value.parts[1] - 1 if len(value.parts) > 1 else 0) + months, 12)
    if not 1 <= year <= 9999:
        raise FhirPathError("the date leaves the calendar")
    parts = (year, month + 1, *value.parts[2:])[: len(value.parts)]
    if len(parts) >= _DAY:
        parts = (*parts[:2], min(parts[2], calendar.monthrange(year, month + 1)[1]), *parts[3:])
    return render(value.kind, parts, value.offset, value.digits)


def _add_time(value: Temporal, number: Decimal, unit: str) -> Temporal:
    step = timedelta(milliseconds=int(number * 1000)) if unit == "second" else timedelta(**{f"{unit}s": int(number)})
    parts = (2000, 1, 1, *value.parts) if value.kind == "Time" else value.parts
    year, month, day, hour, minute, ms = (*parts, *(0,) * (_SECOND - len(parts)))
    moved = datetime(year, month, day, hour, minute) + timedelta(milliseconds=ms) + step
    whole = (*moved.timetuple()[:5], moved.second * 1000 + moved.microsecond // 1000)[: len(parts)]
    return render(value.kind, whole[_DAY:] if value.kind == "Time" else whole, value.offset, value.digits)
