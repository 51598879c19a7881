"""FHIRPath's Quantity and as much of UCUM as comparing and multiplying takes (N1 5.1, 6.1, 6.6; UCUM tables 1 to 4).

A unit that is not in the tables only compares to itself.
"""

import re
from decimal import Decimal
from functools import cache, lru_cache
from typing import NamedTuple

# A calendar's word -> its one name.
CALENDAR_UNITS = {
    word: name
    for name in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for word in (name, f"{name}s")
}
# Up to the week, a calendar's unit is UCUM's; a year and a month are not (N1 5.1).
_DEFINITE = {"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}
_LIKE = _DEFINITE | {"year": "a", "month": "mo"}

Dimensions = tuple[tuple[str, int], ...]


class Quantity(NamedTuple):
    """A number with a UCUM unit ("1" for none), or with a calendar's unit by its one name."""

    value: Decimal
    unit: str
    calendar: bool = False


class Measure(NamedTuple):
    """How many of the base units one is: a factor and exponents by base unit."""

    factor: Decimal
    dimensions: Dimensions


_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3, "u": -6,
    "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
# Metric units take prefixes. `1` has no dimension. Values are in terms of units above them.
_METRIC = {
    "m": "m", "s": "s", "g": "g", "rad": "rad", "K": "K", "C": "C", "cd": "cd", "mol": "6.02214076.10*23", "l": "dm3",
    "L": "dm3",
    "Hz": "s-1", "N": "kg.m/s2", "Pa": "N/m2", "J": "N.m", "W": "J/s", "A": "C/s", "V": "J/C", "bar": "100000.Pa",
    "t": "1000.kg",
    "cal": "4.184.J", "Gy": "J/kg", "Sv": "J/kg", "Bq": "s-1", "kat": "mol/s", "U": "umol/min", "eq": "mol", "osm": "mol",
    "m[Hg]": "133.322.kPa", "m[H2O]": "9.80665.kPa", "[iU]": "[iU]", "[IU]": "[iU]",
}  # fmt: skip
_PLAIN = {
    "min": "60.s", "h": "60.min", "d": "24.h", "wk": "7.d", "mo": "30.4375.d", "a": "365.25.d", "%": "10*-2", "[ppth]": "10*-3",
    "[ppm]": "10*-6", "[in_i]": "2.54.cm", "[ft_i]": "12.[in_i]", "[yd_i]": "3.[ft_i]", "[mi_i]": "5280.[ft_i]",
    "[lb_av]": "453.59237.g", "[oz_av]": "28.349523125.g", "[st_av]": "14.[lb_av]", "[gr]": "64.79891.mg",
    "[foz_us]": "29.5735295625.ml", "[pt_us]": "473.176473.ml", "[qt_us]": "946.352946.ml", "[gal_us]": "3785.411784.ml",
    "deg": "0.017453292519943295.rad",
}  # fmt: skip
_BASES = frozenset(("m", "s", "g", "rad", "K", "C", "cd", "[iU]"))

_FACTOR = re.compile(
    r"(?P<power>10[*^])(?P<of>[+-]?\d+)?|(?P<number>\d+(?:\.\d+)?)|(?P<unit>(?:[A-Za-z%]|\[[^\]\s]*\])+)(?P<exp>[+-]?\d+)?",
    re.ASCII,
)
_ANNOTATION = re.compile(r"\{[^{}]*\}")


def equal(a: Quantity, b: Quantity) -> bool | None:
    """Whether two quantities are the same; None where their units do not compare."""
    order = compare(a, b)
    return None if order is None else order == 0


def equivalent(a: Quantity, b: Quantity) -> bool:
    """The same to the precision of the less precise one; a calendar's year is like UCUM's."""
    left, right = _measure(_LIKE.get(a.unit, a.unit)), _measure(_LIKE.get(b.unit, b.unit))
    if left.dimensions != right.dimensions:
        return False
    other = b.value * right.factor / left.factor
    return round(a.value, digits := min(decimals(a.value), decimals(other))) == round(other, digits)


def compare(a: Quantity, b: Quantity) -> int | None:
    """-1, 0 or 1; None where the units do not compare."""
    left, right = measure(a), measure(b)
    if left.dimensions != right.dimensions:
        return None
    one, other = a.value * left.factor, b.value * right.factor
    return (one > other) - (one < other)


def product(a: Quantity, b: Quantity, power: int) -> Quantity:
    """a times b (power 1) or a by b (-1), in base units."""
    left, right = measure(a), measure(b)
    exponents = dict(left.dimensions)
    for name, exponent in right.dimensions:
        exponents[name] = exponents.get(name, 0) + power * exponent
    unit = ".".join(f"{name}{'' if exponent == 1 else exponent}" for name, exponent in sorted(exponents.items()) if exponent)
    one, other = a.value * left.factor, b.value * right.factor
    return Quantity(one * other if power > 0 else one / other, unit or "1")


def measure(quantity: Quantity) -> Measure:
    """The unit of a quantity in base units; a calendar's year and month have a dimension of their own."""
    if quantity.calendar and quantity.unit not in _DEFINITE:
        return Measure(Decimal(12 if quantity.unit == "year" else 1), (("calendar month", 1),))
    return _measure(_DEFINITE[quantity.unit] if quantity.calendar else quantity.unit)


def decimals(value: Decimal) -> int:
    """Digits behind the point, as written."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


@lru_cache(maxsize=1024)
def _measure(unit: str) -> Measure:
    text = _ANNOTATION.sub("", unit) or "1"
    try:
        return _product(text) if len(text) < 64 else Measure(Decimal(1), ((unit, 1),))
    except (ValueError, ArithmeticError):
        return Measure(Decimal(1), ((unit, 1),))


def _product(text: str) -> Measure:
    factor, exponents, position, sign = Decimal(1), dict[str, int](), 0, 1
    if text.startswith("/"):
        position, sign = 1, -1
    while True:
        match = _FACTOR.match(text, position)
        if not match:
            raise ValueError
        part = _part(match)
        factor *= part.factor**sign
        for name, exponent in part.dimensions:
            exponents[name] = exponents.get(name, 0) + sign * exponent
        position = match.end()
        if position == len(text):
            return Measure(factor, tuple(sorted((name, exponent) for name, exponent in exponents.items() if exponent)))
        if text[position] not in "./":
            raise ValueError
        sign = -1 if text[position] == "/" else 1
        position += 1


def _part(match: re.Match[str]) -> Measure:
    if match["number"]:
        return Measure(Decimal(match["number"]), ())
    if match["power"]:
        return Measure(Decimal(10) ** int(match["of"] or 1), ())
    atom, exponent = _atom(match["unit"]), int(match["exp"] or 1)
    return Measure(atom.factor**exponent, tuple((name, power * exponent) for name, power in atom.dimensions))


@cache
def _known(name: str) -> Measure | None:
    if name in _BASES:
        return Measure(Decimal(1), ((name, 1),))
    definition = _METRIC.get(name) or _PLAIN.get(name)
    return _product(definition) if definition else None


def _atom(name: str) -> Measure:
    known = _known(name)
    if known:
        return known
    for length in (2, 1):
        power = _PREFIXES.get(name[:length])
        below = _known(name[length:]) if power is not None and name[length:] in _METRIC else None
        if below and power is not None:
            return Measure(below.factor * Decimal(10) ** power, below.dimensions)
    raise ValueError
