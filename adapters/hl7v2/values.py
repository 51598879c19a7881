"""OBX-5 by its type in OBX-2 -> Observation.value[x] (v2-to-FHIR OBX map)."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from adapters.hl7v2 import codes, datatypes, times
from adapters.hl7v2.building import Build, Resource, compact
from adapters.hl7v2.parse import Repetition
from fhir_server.r4.json import Number

Value = tuple[str, Any] | None
Unit = Resource

_NUMBER = re.compile(r"([+-]?)0*(\d+)?(?:\.(\d*))?([eE][+-]?\d{1,2})?$", re.ASCII)
_COMPARED = re.compile(r"\s*(<=|>=|<|>|≤|≥)\s*(\S+)$")
_RANGE = re.compile(r"\s*(\d[\d.]*)\s*(?:-|--|~|–|—|～)\s*(\d[\d.]*)\s*$", re.ASCII)
_COMPARATORS = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "≤": "<=", "≥": ">="}
_PLAIN = ("", "=", *_COMPARATORS)
_LONGEST = 40
_WITH_UNIT = re.compile(r"\s*[<>≤≥=~+-]*\s*\d")


def number(text: str) -> Number | int | None:
    """NM -> decimal, as precise as written (`4.10` stays `4.10`). None if it is no number."""
    found = _NUMBER.match(text) if len(text) <= _LONGEST else None
    if not found or not (found[2] or found[3] or text.strip("+-.").startswith("0")):
        return None
    sign, whole, fraction, power = found.groups(default="")
    plain = f"{'-' if sign == '-' else ''}{whole or '0'}"
    return Number(f"{plain}{'.' if fraction else ''}{fraction}{power}") if fraction or power else int(plain)


def unit(rep: Repetition, build: Build) -> Unit:
    """OBX-6 -> the unit of a Quantity: as written, and as a code where its system is known."""
    system = build.hospital.code_system(rep[3]) if rep[1] and rep[3] else None
    return compact(unit=rep[2] or rep[1], system=system, code=rep[1] if system else None)


def quantity(text: str, of: Unit, comparator: str = "") -> Resource | None:
    """A Quantity of written number, comparator and unit."""
    value = number(text)
    return {"value": value, **compact(comparator=_COMPARATORS.get(comparator)), **of} if value is not None else None


def reference_range(text: str, of: Unit) -> Resource:
    """OBX-7 -> referenceRange: always the text; low and high where it is plainly one."""
    between, beyond = _RANGE.match(text), _COMPARED.match(text)
    if between:
        return compact(low=quantity(between[1], of), high=quantity(between[2], of), text=text)
    limit = quantity(beyond[2], of) if beyond else None
    return compact(**{"high" if beyond and beyond[1] in "<=≤" else "low": limit}, text=text)


def value(rep: Repetition, kind: str, of: Unit, build: Build) -> Value:
    """Name of the `value[x]` element and the value; what cannot be read as its type is kept as a string."""
    found = _CONVERTERS.get(kind, _string)(rep, of, build)
    if found is None and rep:
        build.note(f"{rep.path}: not of the type in OBX-2; kept as text")
        return _string(rep, of, build)
    return found


def attachment(rep: Repetition, kind: str, title: str) -> Resource | None:
    """ED and RP -> Attachment."""
    content = codes.MIME_SUBTYPES.get(rep[4 if kind == "RP" else 3].upper()) or _mime(rep, kind)
    if kind == "RP":
        return compact(contentType=content, url=rep[1], title=title) if rep[1] else None
    data = _base64(rep[5], rep[4])
    return compact(contentType=content, data=data, title=title) if data else None


def _numeric(rep: Repetition, of: Unit, _: Build) -> Value:
    return _number(rep[1], of)


def _number(text: str, of: Unit) -> Value:
    compared = _COMPARED.match(text)
    made = quantity(compared[2], of, compared[1]) if compared else quantity(text, of)
    return ("valueQuantity", made) if made else None


def _structured(rep: Repetition, of: Unit, _: Build) -> Value:
    comparator, low, separator, high = rep[1], rep[2], rep[3], rep[4]
    if separator in (":", "/") and comparator in _PLAIN:
        numerator, denominator = quantity(low, of, comparator), quantity(high, of)
        return ("valueRatio", {"numerator": numerator, "denominator": denominator}) if numerator and denominator else None
    if separator == "-" and high and comparator in ("", "="):
        return _range(low, high, of)
    if separator or high or comparator not in _PLAIN:
        return "valueString", " ".join(filter(None, (comparator, low, separator, high, of.get("unit"))))
    made = quantity(low, of, comparator)
    return ("valueQuantity", made) if made else None


def _range(low: str, high: str, of: Unit) -> Value:
    """None where an end that is given cannot be read: half a range would be another."""
    ends = [(name, quantity(text, of)) for name, text in (("low", low), ("high", high)) if text]
    return ("valueRange", dict(ends)) if ends and all(made for _, made in ends) else None


def _as(element: str, convert: Callable[[Repetition, Build], Any]) -> Callable[[Repetition, Unit, Build], Value]:
    def converted(rep: Repetition, _: Unit, build: Build) -> Value:
        made = convert(rep, build)
        return (element, made) if made is not None else None

    return converted


def _string(rep: Repetition, of: Unit, _: Build) -> Value:
    """Many laboratories send every result as text: a number keeps the unit that OBX-6 gives it."""
    text = rep.text()
    if of and (measured := _number(text, of)):
        return measured
    unit = f" {of['unit']}" if of and _WITH_UNIT.match(text) and not text.endswith(of["unit"]) else ""
    return ("valueString", text + unit) if text else None


def _moment(rep: Repetition, build: Build) -> str | None:
    return times.date_time(rep[1], build.zone)


def _joined(rep: Repetition, _: Build) -> str | None:
    return "-".join(filter(None, (rep[1], rep[2]))) or None


def _number_range(rep: Repetition, of: Unit, _: Build) -> Value:
    return _range(rep[1], rep[2], of)


def _dates(rep: Repetition, build: Build) -> Resource | None:
    made = datatypes.period(rep, build) or {}
    return made if made and len(made) == sum(bool(rep[n]) for n in (1, 2)) else None


_CONVERTERS: dict[str, Callable[[Repetition, Unit, Build], Value]] = {
    "NM": _numeric,
    "SN": _structured,
    "NR": _number_range,
    "VR": _as("valueString", _joined),
    "TM": _as("valueTime", lambda rep, _: times.time(rep[1])),
    "DR": _as("valuePeriod", _dates),
    **dict.fromkeys(("CE", "CWE", "CF", "CNE", "IS"), _as("valueCodeableConcept", datatypes.codeable)),
    **dict.fromkeys(("DT", "TS", "DTM"), _as("valueDateTime", _moment)),
}


def _mime(rep: Repetition, kind: str) -> str | None:
    major, minor = (rep[3], rep[4]) if kind == "RP" else (rep[2], rep[3])
    top = codes.MIME_TYPES.get(major.upper(), major.lower())
    whole = f"{top}/{minor.lower()}"
    return whole if re.fullmatch(r"(application|audio|image|text|video|multipart)/[\w.+-]+", whole, re.ASCII) else None


def _base64(data: str, encoding: str) -> str | None:
    kind = encoding.lower()
    try:
        if kind == "base64":
            return base64.b64encode(base64.b64decode("".join(data.split()), validate=True)).decode() or None
        return base64.b64encode(bytes.fromhex(data) if kind == "hex" else data.encode()).decode() or None
    except (binascii.Error, ValueError):
        return None
