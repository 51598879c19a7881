"""FHIRPath's conversions (N1 5.5) and functions on numbers (N1 5.7): name -> function of an input collection."""

import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any

from fhir_server.r4.fhirpath import temporal
from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.functions import Function
from fhir_server.r4.fhirpath.operators import number
from fhir_server.r4.fhirpath.quantities import CALENDAR_UNITS, Quantity
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.values import Values, is_number, single

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,400}(?:\.\d{1,400})?", re.ASCII)
_QUANTITY = re.compile(r"([+-]?\d{1,400}(?:\.\d{1,400})?)\s*(?:'([^']+)'|([A-Za-z]+))?", re.ASCII)
_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0"))


def _boolean(value: Any) -> Any:
    if value.__class__ is bool:
        return value
    if is_number(value):
        return {0: False, 1: True}.get(value)
    word = value.lower() if value.__class__ is str else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _integer(value: Any) -> Any:
    if value.__class__ is str:
        return int(value) if _INTEGER.fullmatch(value) else None
    return int(value) if value.__class__ in (bool, int) else None


def _decimal(value: Any) -> Any:
    if value.__class__ is str:
        return Decimal(value) if _DECIMAL.fullmatch(value) else None
    return Decimal(value) if value.__class__ in (bool, int, Decimal) else None


def _string(value: Any) -> Any:
    if value.__class__ is bool:
        return str(value).lower()
    if value.__class__ is Temporal:
        return value.text
    if value.__class__ is Quantity:
        return _quantity_text(value)
    if value.__class__ is Decimal:
        return f"{value:f}"
    return str(value) if value.__class__ in (int, str) else None


def _quantity_text(value: Quantity) -> str:
    if not value.calendar:
        return f"{value.value:f} '{value.unit}'"
    return f"{value.value:f} {value.unit}" + ("" if value.value == 1 else "s")


def _quantity(value: Any) -> Any:
    if value.__class__ is Quantity:
        return value
    if value.__class__ in (bool, int, Decimal):
        return Quantity(Decimal(value), "1")
    found = _QUANTITY.fullmatch(value) if value.__class__ is str else None
    if not found:
        return None
    amount, unit, word = found.groups()
    if word:
        return Quantity(Decimal(amount), CALENDAR_UNITS[word], calendar=True) if word in CALENDAR_UNITS else None
    return Quantity(Decimal(amount), unit or "1")


def _temporal(kind: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if value.__class__ is str:
            try:
                value = temporal.parse_time(value) if kind == "Time" else temporal.parse_temporal(value)
            except FhirPathError:
                return None
        return _as_kind(value, kind) if value.__class__ is Temporal else None

    return convert


def _as_kind(value: Temporal, kind: str) -> Temporal | None:
    if (value.kind == "Time") != (kind == "Time"):
        return None
    if kind == "Date":
        return temporal.render("Date", value.parts[:3], None, 0)
    return value._replace(kind=kind)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "Boolean": _boolean,
    "Integer": _integer,
    "Decimal": _decimal,
    "String": _string,
    "Quantity": _quantity,
    "Date": _temporal("Date"),
    "DateTime": _temporal("DateTime"),
    "Time": _temporal("Time"),
}


def _converted(convert: Callable[[Any], Any], answer: Callable[[Any], Values]) -> Function:
    def function(_: Environment, values: Values, __: Values = ()) -> Values:  # type: ignore[assignment]
        value = single(values)
        return [] if value is None else answer(convert(value))

    return function


def _itself(found: Any) -> Values:
    return [] if found is None else [found]


# --- numbers -------------------------------------------------------------------------------------------------------------


def _round(value: Decimal, digits: int = 0) -> Any:
    if not 0 <= digits <= 28:
        raise FhirPathError("round takes 0 to 28 digits")
    return value.quantize(Decimal(1).scaleb(-digits), rounding="ROUND_HALF_UP")


def _power(value: Decimal, exponent: Any) -> Any:
    return None if value < 0 and exponent != int(exponent) else value ** Decimal(exponent)


# Name -> calculation on Decimals, what becomes of an integer or decimal, and how many arguments there may be.
_NUMBERS: dict[str, tuple[Callable[..., Any], str, tuple[int, ...]]] = {
    "abs": (abs, "kept", (0,)),
    "ceiling": (lambda value: value.to_integral_value("ROUND_CEILING"), "integer", (0,)),
    "floor": (lambda value: value.to_integral_value("ROUND_FLOOR"), "integer", (0,)),
    "truncate": (lambda value: value.to_integral_value("ROUND_DOWN"), "integer", (0,)),
    "round": (_round, "decimal", (0, 1)),
    "exp": (lambda value: value.exp(), "decimal", (0,)),
    "ln": (lambda value: value.ln() if value > 0 else None, "decimal", (0,)),
    "log": (lambda value, base: value.ln() / Decimal(base).ln() if value > 0 and base > 0 else None, "decimal", (1,)),
    "power": (_power, "kept", (1,)),
    "sqrt": (lambda value: value.sqrt() if value >= 0 else None, "decimal", (0,)),
}


def _calculated(name: str, calculate: Callable[..., Any], result: str, counts: tuple[int, ...]) -> Function:
    def function(_: Environment, values: Values, *arguments: Values) -> Values:
        if len(arguments) not in counts:
            raise FhirPathError(f"{name}() does not take {len(arguments)} arguments")
        value, *others = (single(operand) for operand in (values, *arguments))
        if value is None or None in others:
            return []
        amount = value.value if value.__class__ is Quantity else value
        if not is_number(amount) or not all(is_number(other) for other in others):
            raise FhirPathError("this function takes numbers")
        try:
            found = calculate(Decimal(amount), *others)
        except DecimalException:
            return []
        if found is None or not found.is_finite():
            return []
        if value.__class__ is Quantity:
            return [value._replace(value=found)]
        whole = result == "integer" or (result == "kept" and amount.__class__ is int and found == found.to_integral_value())
        return number(int(found)) if whole and abs(found) < 10**19 else [found]

    return function


FUNCTIONS: dict[str, Function] = {
    **{f"to{name}": _converted(convert, _itself) for name, convert in _CONVERSIONS.items()},
    **{f"convertsTo{name}": _converted(convert, lambda found: [found is not None]) for name, convert in _CONVERSIONS.items()},
    **{name: _calculated(name, *known) for name, known in _NUMBERS.items()},
}
