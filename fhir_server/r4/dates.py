"""FHIR dates as closed intervals [low, high] of milliseconds since 1970-01-01T00:00Z.

A partial date means the whole of what it leaves out (R4 search.html#date): 2013-01 is 1 January 00:00 to 31 January
23:59:59.999. A date or time without an offset is taken as UTC, so that an interval never depends on where the server stands.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

# Beyond every date FHIR can write, and exact as a double: the open ends of a Period.
EARLIEST = -(2**53)
LATEST = 2**53

DAY = 86_400_000
BEIJING = timezone(timedelta(hours=8))
"""The time in which people here read and write (DESIGN 5)."""
_EPOCH = date(1970, 1, 1).toordinal()
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:\.(\d{1,9}))?)?(?:Z|([+-])(0\d|1[0-4]):([0-5]\d))?",
    re.ASCII,
)
_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)

Interval = tuple[int, int]


def interval(text: str) -> Interval:
    """The [low, high] of a date, dateTime or instant in ms since the epoch; ValueError if it is none."""
    match = _DATE_TIME.fullmatch(text)
    if match:
        return _moment(*match.groups())
    match = _PARTIAL.fullmatch(text)
    if not match:
        raise ValueError("not a FHIR date")
    return _days(*match.groups())


def period(value: Mapping[str, Any]) -> Interval | None:
    """The [low, high] of a Period; a missing end is open, a Period without a start and end is None."""
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return None
    low = EARLIEST if start is None else interval(start)[0]
    high = LATEST if end is None else interval(end)[1]
    return (low, high) if low <= high else (high, low)


def timing(value: Mapping[str, Any]) -> Interval | None:
    """The outer limits of a Timing: its events and repeat.boundsPeriod (search.html#date); None without either."""
    bounds = value.get("repeat", {}).get("boundsPeriod")
    outer = period(bounds) if bounds else None
    found = [*_intervals(value.get("event", ())), *([outer] if outer else [])]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def start(low: float, high: float) -> int | None:
    """Where an interval stands in an order (search.html#sort): at its start or, where that is not known, at its end."""
    return next((int(end) for end in (low, high) if EARLIEST < end < LATEST), None)


def unit(low: int, high: int) -> str:
    """The finest of year, month, day (as `1974`, `1974-12`, `1974-12-25`, UTC) that holds the interval; "" if none does."""
    if low < _midnight(1, 1, 1) or high > _midnight(9999, 12, 31) + DAY - 1:
        return ""
    first, last = _date(low).isoformat(), _date(high).isoformat()
    return next((first[:length] for length in (10, 7, 4) if first[:length] == last[:length]), "")


def _intervals(texts: Iterable[str | None]) -> list[Interval]:
    return [interval(text) for text in texts if text]


def _date(ms: int) -> date:
    return date.fromordinal(ms // DAY + _EPOCH)


def _midnight(year: int, month: int, day: int) -> int:
    return (date(year, month, day).toordinal() - _EPOCH) * DAY


def _days(year: str, month: str | None, day: str | None) -> Interval:
    y, m, d = int(year), int(month or 1), int(day or 1)
    low = _midnight(y, m, d)
    if day:
        return low, low + DAY - 1
    if not month:
        return low, _midnight(y, 12, 31) + DAY - 1
    # The last day of month m is the day before the first of the next; December ends with the year.
    return low, (_midnight(y, 12, 31) + DAY if m == 12 else _midnight(y, m + 1, 1)) - 1


def _moment(
    year: str, month: str, day: str, hour: str, minute: str, second: str | None, fraction: str | None,
    sign: str | None, offset_hour: str | None, offset_minute: str | None,
) -> Interval:  # fmt: skip
    low = _midnight(int(year), int(month), int(day)) + (int(hour) * 60 + int(minute)) * 60_000
    if sign:
        offset = (int(offset_hour or 0) * 60 + int(offset_minute or 0)) * 60_000
        low += offset if sign == "-" else -offset
    if second is None:
        return low, low + 59_999
    low += int(second) * 1000
    if fraction is None:
        return low, low + 999
    return low + int(fraction[:3].ljust(3, "0")), low + int(fraction[:3].ljust(3, "9"))


def instant(moment: int) -> str:
    """A moment in ms as a FHIR instant, UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
