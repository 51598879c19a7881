"""FHIRPath's operators on evaluated operands (N1 section 6): symbol -> function of two collections and the environment."""

from collections.abc import Callable
from decimal import Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any

from fhir_server.r4.fhirpath import quantities, temporal
from fhir_server.r4.fhirpath.environment import MAX_TEXT, Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.quantities import CALENDAR_UNITS, Quantity
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.values import Values, compare, distinct, equal, equivalent, is_number, key, single, truth

Operator = Callable[[Values, Values, Environment], Values]

TOO_LONG = "the expression makes a string that is too long"
# Beyond it an Integer overflows, which yields nothing (N1 6.6).
_LARGEST = 2**63 - 1
# UCUM's units that a date takes as the calendar's; a UCUM year and month have no place in it (N1 6.6.7).
_CALENDAR = {"s": "second", "ms": "millisecond", "min": "minute", "h": "hour", "d": "day", "wk": "week"}


def number(value: Any) -> Values:
    """A number as a collection; nothing where it is beyond what FHIRPath holds."""
    if value.__class__ is Decimal:
        return [value] if value.is_finite() else []
    return [value] if -_LARGEST <= value <= _LARGEST else []


def text(value: str) -> Values:
    """A string as a collection, bounded in size."""
    if len(value) > MAX_TEXT:
        raise FhirPathError(TOO_LONG)
    return [value]


def _arithmetic(calculate: Callable[[Any, Any], Any]) -> Operator:
    def operate(a: Values, b: Values, environment: Environment) -> Values:
        one, other = single(a), single(b)
        if one is None or other is None:
            return []
        environment.scan(one, other)
        try:
            found = calculate(one, other)
        except (DivisionByZero, InvalidOperation, Overflow, ZeroDivisionError):
            return []
        return number(found) if is_number(found) else text(found) if found.__class__ is str else [found]

    return operate


def _unfit() -> FhirPathError:
    return FhirPathError("the operator does not take these types of operands")


def _add(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return a + b
    if a.__class__ is str and b.__class__ is str:
        return a + b
    return _shifted(a, b, 1)


def _subtract(a: Any, b: Any) -> Any:
    return a - b if is_number(a) and is_number(b) else _shifted(a, b, -1)


def _shifted(a: Any, b: Any, sign: int) -> Any:
    if a.__class__ is Temporal and b.__class__ is Quantity:
        return temporal.add(a, sign * b.value, _calendar_unit(b))
    if a.__class__ is Quantity and b.__class__ is Quantity:
        left, right = quantities.measure(a), quantities.measure(b)
        if left.dimensions != right.dimensions:
            raise FhirPathError("these units do not add")
        return a._replace(value=a.value + sign * b.value * right.factor / left.factor)
    raise _unfit()


def _calendar_unit(quantity: Quantity) -> str:
    unit = CALENDAR_UNITS.get(quantity.unit) if quantity.calendar else _CALENDAR.get(quantity.unit)
    if unit is None:
        raise FhirPathError("a date takes years, months, weeks, days, hours, minutes, seconds or milliseconds")
    return unit


def _scaled(power: int, plain: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculate(a: Any, b: Any) -> Any:
        if is_number(a) and is_number(b):
            return plain(a, b)
        if a.__class__ is Quantity and is_number(b):
            return a._replace(value=plain(a.value, b))
        if is_number(a) and b.__class__ is Quantity and power > 0:
            return b._replace(value=a * b.value)
        if a.__class__ is Quantity and b.__class__ is Quantity:
            return quantities.product(a, b, power)
        raise _unfit()

    return calculate


def _whole(calculate: Callable[[Decimal, Decimal], Decimal], of_integers: bool) -> Callable[[Any, Any], Any]:
    def operate(a: Any, b: Any) -> Any:
        if not is_number(a) or not is_number(b):
            raise _unfit()
        found = calculate(Decimal(a), Decimal(b))
        return int(found) if of_integers or (a.__class__ is int and b.__class__ is int) else found

    return operate


def _ordered(test: Callable[[int], bool]) -> Operator:
    def operate(a: Values, b: Values, _: Environment) -> Values:
        order = compare(a, b)
        return [] if order is None else [test(order)]

    return operate


def _equals(wanted: bool) -> Operator:
    def operate(a: Values, b: Values, _: Environment) -> Values:
        found = equal(a, b)
        return [] if found is None else [found is wanted]

    return operate


def _equivalents(wanted: bool) -> Operator:
    def operate(a: Values, b: Values, environment: Environment) -> Values:
        environment.spend(len(a) * len(b))
        environment.scan(*a, *b)
        return [equivalent(a, b) is wanted]

    return operate


def _concatenate(a: Values, b: Values, environment: Environment) -> Values:
    one, other = single(a), single(b)
    environment.scan(one, other)
    if any(part is not None and part.__class__ is not str for part in (one, other)):
        raise _unfit()
    return text((one or "") + (other or ""))


def _in(a: Values, b: Values, environment: Environment) -> Values:
    if not a:
        return []
    wanted = key(a[0]) if len(a) == 1 else single(a)
    environment.spend(len(b))
    return [any(key(item) == wanted for item in b)]


def _union(a: Values, b: Values, environment: Environment) -> Values:
    environment.spend(len(a) + len(b))
    return distinct([*a, *b])


_TRUTH = (True, False, None)
_AND = {(a, b): False if False in (a, b) else None if None in (a, b) else True for a in _TRUTH for b in _TRUTH}
_OR = {(a, b): True if True in (a, b) else None if None in (a, b) else False for a in _TRUTH for b in _TRUTH}
_XOR = {(a, b): None if None in (a, b) else a is not b for a in _TRUTH for b in _TRUTH}
_IMPLIES = {(a, b): True if a is False or b is True else b if a is True else None for a in _TRUTH for b in _TRUTH}


def _logical(table: dict[tuple[bool | None, bool | None], bool | None]) -> Operator:
    answers = {operands: [] if answer is None else [answer] for operands, answer in table.items()}
    return lambda a, b, _: answers[truth(a), truth(b)][:]


def polarity(values: Values, symbol: str) -> Values:
    """+ or - in front of a number or quantity."""
    value = single(values)
    if value is None:
        return []
    if not is_number(value) and value.__class__ is not Quantity:
        raise _unfit()
    if symbol == "+":
        return [value]
    return [value._replace(value=-value.value) if value.__class__ is Quantity else -value]


OPERATORS: dict[str, Operator] = {
    "=": _equals(True),
    "!=": _equals(False),
    "~": _equivalents(True),
    "!~": _equivalents(False),
    "<": _ordered(lambda order: order < 0),
    "<=": _ordered(lambda order: order <= 0),
    ">": _ordered(lambda order: order > 0),
    ">=": _ordered(lambda order: order >= 0),
    "+": _arithmetic(_add),
    "-": _arithmetic(_subtract),
    "*": _arithmetic(_scaled(1, lambda a, b: a * b)),
    "/": _arithmetic(_scaled(-1, lambda a, b: Decimal(a) / Decimal(b))),
    "div": _arithmetic(_whole(lambda a, b: a // b, of_integers=True)),
    "mod": _arithmetic(_whole(lambda a, b: a % b, of_integers=False)),
    "&": _concatenate,
    "in": _in,
    "contains": lambda a, b, environment: _in(b, a, environment),
    "union": _union,
    "and": _logical(_AND),
    "or": _logical(_OR),
    "xor": _logical(_XOR),
    "implies": _logical(_IMPLIES),
}
"""Every operator evaluates both of its operands, save those that the compiler shortens."""

SHORTCUTS: dict[str, bool] = {"and": False, "or": True, "implies": False}
"""Operators that are decided by this left operand: `implies` then yields true."""
