"""What search compares of an element, by its datatype: tokens, strings, references, spans. Index and match both read this."""

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from fhir_server.r4 import dates, ucum
from fhir_server.r4.identifier_systems import found_by
from fhir_server.r4.json import Number
from fhir_server.r4.narrative import plain
from fhir_server.search.text import fold_token

# Datatypes whose tokens name their system; a system for any other is implied by the element.
CODED = frozenset({"Coding", "CodeableConcept", "Identifier"})
# What full text looks into: any of its words, anywhere.
FULL_TEXT = frozenset({"xhtml", "Content"})
# Datatypes whose tokens are compared without case and spaces.
FOLDED = frozenset({"string", "markdown", "ContactPoint"})
# Datatypes in which words stand beside codes.
WORDED = frozenset({"Coding", "CodeableConcept"})
# How what points at a contained resource begins.
CONTAINED = "#"
LONGEST_DISPLAY = 200  # characters; what is longer is no display
_TOLD = frozenset({"system", "code", "display"})
EARTH = 6_371_008.8  # mean radius, in metres
CURRENCIES = "urn:iso:std:iso:4217"


class Span(NamedTuple):
    """An ordered value as the closed interval it covers: ms for dates; a quantity has system and code, or a unit.

    With a `dimension` it is a quantity in the base units of UCUM, which stands beside the one that was written.
    """

    low: float
    high: float
    system: str = ""
    code: str = ""
    unit: str = ""
    dimension: str = ""


# (system, code); system "" where the element could name one and does not, None where its datatype has none to name; code ""
# where only the system is told.
Token = tuple[str | None, str]


def tokens(datatype: str, value: Any) -> list[Token]:
    """The tokens of an element (search.html#token)."""
    return _TOKENS[datatype](value)


def strings(datatype: str, value: Any) -> list[str]:
    """The strings of an element, as written: all parts of a HumanName or Address (search.html#string)."""
    return _STRINGS.get(datatype, _itself)(value)


def references(datatype: str, value: Any) -> list[str]:
    """What an element points at: `Type/id` or URL without version; a canonical with and without (search.html#reference)."""
    return _REFERENCES.get(datatype, _itself)(value)


def fragment(value: Any) -> str:
    """The id of the contained resource that an element points at; "" where it does not."""
    text = value.get("reference", "") if isinstance(value, dict) else value
    return text[1:] if isinstance(text, str) and text.startswith(CONTAINED) else ""


def spans(datatype: str, value: Any) -> list[Span]:
    """The ordered values of an element; none where it cannot be read as one (search.html#date, #number, #quantity)."""
    try:
        return _SPANS[datatype](value)
    except ValueError:
        return []


def metres_between(position: Mapping[str, Any], latitude: float, longitude: float) -> float:
    """The way along a great circle from a Location.position; endless from one that has none."""
    if "latitude" not in position or "longitude" not in position:
        return math.inf
    one, other = math.radians(position["latitude"]), math.radians(latitude)
    apart = math.radians(position["longitude"] - longitude)
    haversine = math.sin((one - other) / 2) ** 2 + math.cos(one) * math.cos(other) * math.sin(apart / 2) ** 2
    return 2 * EARTH * math.asin(min(1, math.sqrt(haversine)))


def literal(reference: str) -> str:
    """A literal reference without the version it may name."""
    return reference.partition("/_history/")[0]


def _itself(value: Any) -> list[str]:
    return [value] if value else []


def _coding(value: Mapping[str, Any]) -> list[Token]:
    system, code = value.get("system", ""), value.get("code", "")
    return [(system, code)] if system or code else []


def _concept(value: Mapping[str, Any]) -> list[Token]:
    codings = value.get("coding", ())
    return [(one.get("system", ""), one.get("code", "")) for one in codings if one.get("code") or one.get("system")]


def _identifier(value: Mapping[str, Any]) -> list[Token]:
    system, number = value.get("system", ""), value.get("value", "")
    return [found_by(system, number)] if system or number else []


def _contact(value: Mapping[str, Any]) -> list[Token]:
    return [(None, fold_token(value["value"]))] if value.get("value") else []


def _bare(value: str) -> list[Token]:
    return [(None, value)]


_TOKENS: dict[str, Callable[[Any], list[Token]]] = {
    "Coding": _coding,
    "CodeableConcept": _concept,
    "Identifier": _identifier,
    "ContactPoint": _contact,
    "boolean": lambda value: [(None, "true" if value else "false")],
    "string": lambda value: [(None, fold_token(value))],
    "markdown": lambda value: [(None, fold_token(value))],
    **dict.fromkeys(("code", "uri", "canonical", "id", "oid", "uuid"), _bare),
}


def _parts(names: tuple[str, ...], lists: tuple[str, ...]) -> Callable[[Mapping[str, Any]], list[str]]:
    def read(value: Mapping[str, Any]) -> list[str]:
        single = [value[name] for name in names if value.get(name)]
        return single + [part for name in lists for part in value.get(name, ()) if part]

    return read


def _contents(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from [plain(value)] if name == "div" and isinstance(value, str) else _contents(value)
    elif isinstance(node, list):
        for one in node:
            yield from _contents(one)
    elif isinstance(node, str):
        yield node


def texts(datatype: str, value: Any) -> list[str]:
    """What `:text` searches: the words that stand beside a code (search.html#modifiers)."""
    return _TEXTS[datatype](value) if datatype in _TEXTS else []


def has_texts(datatype: str) -> bool:
    """Whether there is anything in such an element for `:text` to search."""
    return datatype in _TEXTS


def displays(datatype: str, value: Mapping[str, Any]) -> tuple[list[tuple[str, str, str]], bool]:
    """The (system, code, display) of a coded element, and whether these are all the words that `:text` searches."""
    codings = value.get("coding", ()) if datatype == "CodeableConcept" else (value,)
    told = [(one["system"], one["code"], one["display"]) for one in codings if one.keys() >= _TOLD]
    told = [one for one in told if len(one[2]) <= LONGEST_DISPLAY]
    return told, {display for _, _, display in told}.issuperset(texts(datatype, value))


def _concept_texts(value: Mapping[str, Any]) -> list[str]:
    words = (value.get("text"), *(coding.get("display") for coding in value.get("coding", ())))
    return [one for one in words if one]


_TEXTS: dict[str, Callable[[Any], list[str]]] = {
    "CodeableConcept": _concept_texts,
    "Coding": _parts(("display",), ()),
    "Identifier": lambda value: _parts(("text",), ())(value.get("type", {})),
}
_STRINGS: dict[str, Callable[[Any], list[str]]] = {
    "xhtml": lambda value: [plain(value)],
    "Content": lambda value: [" ".join(_contents(value))],
    "HumanName": _parts(("text", "family"), ("given", "prefix", "suffix")),
    "Address": _parts(("text", "city", "district", "state", "postalCode", "country"), ("line",)),
}


def _reference(value: Mapping[str, Any]) -> list[str]:
    reference = value.get("reference")
    # A fragment points into the resource itself.
    return [literal(reference)] if reference and reference[0] != "#" else []


def _canonical(value: str) -> list[str]:
    bare = value.partition("|")[0]
    return [value] if bare == value else [value, bare]


def _resource(value: Mapping[str, Any]) -> list[str]:
    return [f"{value['resourceType']}/{value['id']}"] if value.get("id") else []


_REFERENCES: dict[str, Callable[[Any], list[str]]] = {
    "Reference": _reference,
    "canonical": _canonical,
    "Resource": _resource,
}


def _date(value: str) -> list[Span]:
    return [Span(*dates.interval(value))]


def _period(value: Mapping[str, Any]) -> list[Span]:
    found = dates.period(value)
    return [Span(*found)] if found else []


def _timing(value: Mapping[str, Any]) -> list[Span]:
    found = dates.timing(value)
    return [Span(*found)] if found else []


def _number(value: float) -> list[Span]:
    return [Span(float(value), float(value))]


# What a comparator says of the true value (valueset-quantity-comparator), as closed bounds.
_COMPARED: dict[str | None, Callable[[float], tuple[float, float]]] = {
    None: lambda value: (value, value),
    "<": lambda value: (-math.inf, math.nextafter(value, -math.inf)),
    "<=": lambda value: (-math.inf, value),
    ">=": lambda value: (value, math.inf),
    ">": lambda value: (math.nextafter(value, math.inf), math.inf),
}


def _quantity(value: Mapping[str, Any]) -> list[Span]:
    number = value.get("value")
    if number is None:
        return []
    compared = _COMPARED[value.get("comparator")]
    system, code = value.get("system", ""), value.get("code", "")
    written = Span(*compared(float(number)), system, code, value.get("unit", ""))
    unit = ucum.unit(code) if system == ucum.UCUM else None
    if unit is None:
        return [written]
    return [written, Span(*compared(unit.canonical(_exact(number))), dimension=unit.dimension)]


def _exact(number: float) -> Decimal:
    return Decimal(number.text if isinstance(number, Number) else repr(number))


def _money(value: Mapping[str, Any]) -> list[Span]:
    number, currency = value.get("value"), value.get("currency", "")
    return [] if number is None else [Span(float(number), float(number), CURRENCIES if currency else "", currency, currency)]


def _range(value: Mapping[str, Any]) -> list[Span]:
    low, high = ({span.dimension: span for span in _quantity(value.get(end) or {})} for end in ("low", "high"))
    # Both ends, where there are both, in the same dimension.
    dimensions = low.keys() & high.keys() if low and high else low.keys() | high.keys()
    return [_between(low.get(one), high.get(one)) for one in sorted(dimensions)]


def _between(low: Span | None, high: Span | None) -> Span:
    known = low or high or Span(0, 0)
    return known._replace(low=low.low if low else -math.inf, high=high.high if high else math.inf)


_SPANS: dict[str, Callable[[Any], list[Span]]] = {
    **dict.fromkeys(("date", "dateTime", "instant"), _date),
    "Period": _period,
    "Timing": _timing,
    **dict.fromkeys(("integer", "decimal", "positiveInt", "unsignedInt"), _number),
    **dict.fromkeys(("Quantity", "Age", "Duration", "Count", "Distance", "SimpleQuantity"), _quantity),
    "Money": _money,
    "Range": _range,
}
