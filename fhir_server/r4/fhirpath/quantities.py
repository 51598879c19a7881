"""FHIRPath's Quantity: comparing and multiplying (N1 5.1, 6.1, 6.6).

A unit that is not in the tables of ucum.py, or whose scale does not start at zero, only compares to itself.
"""

from collections import Counter
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from fhir_server.r4 import ucum

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
    powers = Counter(dict(left.dimensions))
    for name, exponent in right.dimensions:
        powers[name] += power * exponent
    one, other = a.value * left.factor, b.value * right.factor
    return Quantity(one * other if power > 0 else one / other, ucum.written(powers))


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
    factor, powers = ucum.reduced(unit or "1") or (1, {unit: 1})
    return Measure(Decimal(factor.numerator) / factor.denominator, tuple(sorted((name, n) for name, n in powers.items() if n)))
