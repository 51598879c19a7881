"""DTM, DT and TM of HL7 v2 -> FHIR dateTime, date, instant and time (same precision, never more)."""

import re
from datetime import datetime
from functools import lru_cache

_DTM = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?P<fraction>\.\d{1,9})?)?)?)?)?)?(?P<zone>[+-]\d{4})?$",
    re.ASCII,
)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?", re.ASCII)
_TM = re.compile(r"(\d\d)(\d\d)?(?:(\d\d)(\.\d{1,9})?)?(?:[+-]\d{4})?$", re.ASCII)
ZONE = re.compile(r"[+-](?:0\d|1[0-3]):[0-5]\d$|\+14:00$", re.ASCII)


@lru_cache(maxsize=1024)  # the times of one message, and of one day, are mostly the same
def date_time(text: str, zone: str) -> str | None:
    """DTM -> dateTime; `zone` (such as `+08:00`) where a time has no offset of its own. None if it is no date."""
    found = _fields(text)
    if found is None:
        return None
    if found["hour"] is None:
        return "-".join(part for part in (found["year"], found["month"], found["day"]) if part)
    offset = _offset(found["zone"], zone)
    clock = f"{found['hour']}:{found['minute'] or '00'}:{found['second'] or '00'}{found['fraction'] or ''}"
    return f"{found['year']}-{found['month']}-{found['day']}T{clock}{offset}" if offset else None


def date(text: str) -> str | None:
    """The day, month or year of a DTM or DT."""
    found = _fields(text)
    return "-".join(part for part in (found["year"], found["month"], found["day"]) if part) if found else None


def instant(text: str, zone: str) -> str | None:
    """DTM -> instant, which needs seconds: a coarser one is None."""
    value = date_time(text, zone)
    found = _fields(text)
    return value if found and found["second"] else None


def time(text: str) -> str | None:
    """TM -> time; its offset, if any, has no place in FHIR."""
    found = _TM.match(text)
    if not found or int(found[1]) > 23 or int(found[2] or 0) > 59 or int(found[3] or 0) > 59:
        return None
    return f"{found[1]}:{found[2] or '00'}:{found[3] or '00'}{found[4] or ''}"


def _fields(text: str) -> dict[str, str | None] | None:
    # Many systems write 2024-05-01 08:30:00 where the standard wants 20240501083000.
    if text[4:5] == "-" and (iso := _ISO.match(text)):
        text = "".join(part or "" for part in iso.groups()) + text[iso.end() :]
    found = _DTM.match(text)
    if not found:
        return None
    parts = found.groupdict()
    try:
        datetime(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1), *_clock(parts))
    except ValueError:
        return None
    return parts


def _clock(parts: dict[str, str | None]) -> tuple[int, int, int]:
    return int(parts["hour"] or 0), int(parts["minute"] or 0), int(parts["second"] or 0)


def _offset(own: str | None, default: str) -> str | None:
    offset = f"{own[:3]}:{own[3:]}" if own else default
    return offset if ZONE.match(offset) else None
