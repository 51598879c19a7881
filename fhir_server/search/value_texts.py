"""The value of a search parameter as text -> what it asks for, by the parameter's type (search.html#2.21.1.4 on)."""

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

from fhir_server.r4 import dates, ucum
from fhir_server.r4.identifier_systems import found_by
from fhir_server.search import full_text
from fhir_server.search.concepts import CONCEPTS, NotHeld, concepts
from fhir_server.search.elements import FULL_TEXT, literal
from fhir_server.search.escaping import split, unescape
from fhir_server.search.parameters import Parameter, is_canonical
from fhir_server.search.text import folded, normalise
from fhir_server.search.values import (
    Around,
    Canonical,
    Composite,
    Concepts,
    MimeType,
    Missing,
    Near,
    OfType,
    Ordered,
    Reference,
    String,
    Token,
    Unheld,
    Uri,
    Value,
    Within,
)

MIME_TYPES = "urn:ietf:bcp:13"
MOST_PARTS = 4  # of a place with its distance
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

_PREFIXED = re.compile(r"([a-z]{2})(.*)", re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d{1,40})(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", re.ASCII)
_URI = re.compile(r"\S+")


def parse(parameter: Parameter, modifier: str | None, text: str, base_url: str) -> Value:
    """One value, still escaped; ValueError says what is wrong with it, without quoting it."""
    if modifier in ("below", "above") and parameter.type == "reference":
        return _levels(parameter, str(modifier), text, base_url)
    if modifier == "below" and any(path.system == MIME_TYPES for path in parameter.paths):
        return MimeType(unescape(text).lower())
    if modifier in CONCEPTS and parameter.type == "token":
        return _concepts(str(modifier), text, base_url)
    if modifier in _MODIFIED:
        return _MODIFIED[modifier](text)
    if any(path.datatype in FULL_TEXT for path in parameter.paths):
        return _full_text(text)
    if parameter.type == "composite":
        return _composite(parameter, text, base_url)
    if parameter.type == "reference":
        return _reference(parameter, modifier, unescape(text), base_url)
    return _PARSERS[parameter.type](text)


def with_version(text: str) -> Composite:
    """`url|version` of a resource itself, for `parameters.versioned`."""
    url, version = _versioned(text)
    if not version:
        raise ValueError("is not [url]|[version], as another one is")
    return Composite((_uri(url), Token(None, version)))


def _concepts(modifier: str, text: str, base_url: str) -> Concepts | Unheld:
    system, code = ("", _local(unescape(text), base_url)) if modifier in ("in", "not-in") else _token(text)
    if not code or (modifier in ("below", "above") and not system):
        raise ValueError("is not [system]|[code]")
    try:
        return Concepts(text, concepts(modifier, system or "", code))
    except NotHeld:
        return Unheld(modifier, text, system or "", code)


def _versioned(text: str) -> tuple[str, str]:
    url, *version = (unescape(part) for part in split(text, "|"))
    if not url or len(version) > 1:
        raise ValueError("is not [url] or [url]|[version]")
    return url, "".join(version)


def _missing(text: str) -> Missing:
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return Missing(text == "true")


def _parts(text: str) -> list[str]:
    """What stands between `|`, as it is meant; what has more parts than any kind of value has is none, and stays as it is."""
    parts = split(text, "|")
    return [unescape(part) for part in parts] if len(parts) <= MOST_PARTS else parts


def _composite(parameter: Parameter, text: str, base_url: str) -> Composite:
    texts = split(text, "$")
    if len(texts) != len(parameter.components) or not all(texts):
        raise ValueError(f"is not {'$'.join(f'[{one.name}]' for one in parameter.components)}")
    return Composite(tuple(parse(one, None, part, base_url) for one, part in zip(parameter.components, texts, strict=True)))


def _of_type(text: str) -> OfType:
    parts = _parts(text)
    if len(parts) != 3 or not all(parts):
        raise ValueError("is not [type system]|[type code]|[identifier]")
    return OfType(*parts)


def _near(text: str) -> Near:
    """Location.near (location.html#search); without a distance, within 10 km."""
    parts = _parts(text)
    unit = ucum.unit(parts[3] if len(parts) > 3 and parts[3] else "km")
    if len(parts) not in (2, 3, 4) or unit is None or unit.dimension != "m":
        raise ValueError("is not [latitude]|[longitude]|[distance]|[units], the units being of length, such as km")
    latitude, longitude = float(_decimal(parts[0])), float(_decimal(parts[1]))
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError("is not a latitude from -90 to 90 and a longitude from -180 to 180")
    return Near(latitude, longitude, unit.canonical(_decimal(parts[2] if len(parts) > 2 and parts[2] else "10")))


def _token(text: str) -> Token:
    parts = _parts(text)
    if len(parts) > 2 or not any(parts):
        raise ValueError("is not [code], [system]|[code], |[code] or [system]|")
    if len(parts) == 1:
        return Token(None, parts[0])
    system, code = found_by(*parts)
    return Token(system, code or None)


def _string(text: str) -> String:
    raw = unescape(text)
    if not normalise(raw):
        raise ValueError("is empty")
    return String(raw, normalise(raw))


def _full_text(text: str) -> String:
    raw = unescape(text)
    full_text.asked(folded(raw))
    return String(raw, folded(raw))


def _uri(text: str) -> Uri:
    uri = unescape(text)
    if not _URI.fullmatch(uri):
        raise ValueError("is not a URI")
    return Uri(uri)


def _reference(parameter: Parameter, modifier: str | None, text: str, base_url: str) -> Reference:
    reference = literal(_local(text, base_url))
    targets = (modifier,) if modifier else parameter.targets
    relative = _RELATIVE.fullmatch(reference)
    if relative:
        return _relative(relative[1], reference, targets)
    if _ID.fullmatch(reference):
        return Reference(tuple(f"{target}/{reference}" for target in targets))
    if not _ABSOLUTE.fullmatch(reference):
        raise ValueError("is not [id], [type]/[id] or a URL")
    return Reference((reference,))


def _levels(parameter: Parameter, modifier: str, text: str, base_url: str) -> Canonical | Within:
    if is_canonical(parameter):
        return Canonical(*_versioned(text))
    return Within(modifier, _reference(parameter, None, unescape(text), base_url).accepted)


def _local(url: str, base_url: str) -> str:
    """The relative form of a URL of this server."""
    return url.removeprefix(base_url.rstrip("/") + "/") if base_url else url


def _relative(resource_type: str, reference: str, targets: Sequence[str]) -> Reference:
    if resource_type not in targets:
        raise ValueError("is of a resource type that the parameter cannot refer to")
    return Reference((reference,))


def _prefixed(text: str) -> tuple[str, str]:
    found = _PREFIXED.fullmatch(text)
    if not found:
        return "eq", text
    if found[1] not in PREFIXES:
        raise ValueError(f"has an unknown prefix; known are {', '.join(PREFIXES)}")
    return found[1], found[2]


def _date(text: str) -> Ordered | Around:
    prefix, body = _prefixed(unescape(text))
    try:
        low, high = dates.interval(body)
    except ValueError:
        problem = "is not a date such as 2013, 2013-01, 2013-01-14 or 2013-01-14T10:00:00+08:00 (in a URL + is written %2B)"
        raise ValueError(problem) from None
    return Around(low, high) if prefix == "ap" else Ordered(prefix, low, high)


def _number(text: str) -> Ordered:
    prefix, body = _prefixed(unescape(text))
    return Ordered(prefix, *_bounds(prefix, body))


def _quantity(text: str) -> Ordered:
    parts = _parts(text)
    if len(parts) not in (1, 3):
        raise ValueError("is not [number], [number]|[system]|[code] or [number]||[code]")
    prefix, body = _prefixed(parts[0])
    unit = ucum.unit(parts[2]) if len(parts) == 3 and parts[1] == ucum.UCUM else None
    if unit:
        return Ordered(prefix, *_bounds(prefix, body, unit.canonical), dimension=unit.dimension)
    low, high = _bounds(prefix, body)
    if len(parts) == 1:
        return Ordered(prefix, low, high)
    return Ordered(prefix, low, high, parts[1] or None, parts[2] or None)


def _bounds(prefix: str, text: str, scale: Callable[[Decimal], float] = float) -> tuple[float, float]:
    """The closed interval a number means under a prefix: by its written precision for eq and ne, 10 % around it for ap."""
    number = _decimal(text)
    if prefix in ("eq", "ne"):
        return _precision(number, scale)
    if prefix == "ap":
        low, high = _precision(number, scale)
        return min(low, scale(number - abs(number) / 10)), max(high, scale(number + abs(number) / 10))
    return scale(number), scale(number)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text) if _NUMBER.fullmatch(text) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not math.isfinite(float(number)):
        raise ValueError("is not a number")
    return number


def _precision(number: Decimal, scale: Callable[[Decimal], float]) -> tuple[float, float]:
    """100 is [99.5, 100.5), 100.00 is [99.995, 100.005), 1e2 is [50, 150) (search.html#number); always the number itself, also
    where it has more digits than a float can tell apart."""
    half = Decimal(5).scaleb(int(number.as_tuple().exponent) - 1)
    return scale(number - half), max(scale(number), math.nextafter(scale(number + half), -math.inf))


_PARSERS: dict[str, Callable[[str], Value]] = {
    "token": _token,
    "string": _string,
    "uri": _uri,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "special": _near,
}
_MODIFIED: dict[str | None, Callable[[str], Value]] = {
    "missing": _missing,
    "text": _string,
    "of-type": _of_type,
    "identifier": _token,
}
