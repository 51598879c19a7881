"""FHIRPath's functions on evaluated collections (N1 5.1, 5.3, 5.8, 5.9; R4 fhirpath.html#functions).

`FUNCTIONS`: name -> function(environment, input, *arguments), each a collection. What takes an expression for each item
(where, select, all ...) is in iteration.py; strings, numbers and conversions have tables of their own.
"""

from collections.abc import Callable
from decimal import Decimal
from inspect import signature
from typing import Any

from fhir_server.r4 import narrative
from fhir_server.r4.elements import is_kind_of, is_type
from fhir_server.r4.fhirpath import quantities, temporal
from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.quantities import Quantity
from fhir_server.r4.fhirpath.references import resolve
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.values import (
    Element,
    Values,
    child,
    children,
    distinct,
    has_value,
    is_exactly,
    is_number,
    key,
    single,
    system,
    truth,
)

Function = Callable[..., Values]

_DEFINITIONS = "http://hl7.org/fhir/StructureDefinition/"
_MOST_DIGITS = 31


def descendants(environment: Environment, values: Values) -> Values:
    """Every element below, level by level."""
    found: Values = []
    level = values
    while level:
        level = [below for item in level for below in children(item)]
        environment.spend(len(level))
        found += level
    return found


def extensions(values: Values, url: str) -> Values:
    """The extensions of that URL."""
    return [
        found for item in values for found in child(item, "extension")
        if type(found.value) is dict and found.value.get("url") == url
    ]  # fmt: skip


def _all_boolean(wanted: bool, every: bool) -> Function:
    def function(_: Environment, values: Values) -> Values:
        found = [single([item]) for item in values]
        if any(item is not True and item is not False for item in found):
            raise FhirPathError("this function takes booleans")
        return [all(item is wanted for item in found) if every else any(item is wanted for item in found)]

    return function


def _subset(environment: Environment, values: Values, others: Values) -> Values:
    environment.spend(len(values) + len(others))
    return [{key(item) for item in values} <= {key(item) for item in others}]


def _kept(inside: bool, once: bool) -> Function:
    def function(_: Environment, values: Values, others: Values) -> Values:
        keys = {key(item) for item in others}
        found = [item for item in values if (key(item) in keys) is inside]
        return distinct(found) if once else found

    return function


def _count(argument: Values) -> int:
    value = single(argument)
    if value.__class__ is not int:
        raise FhirPathError("this function takes an integer")
    return int(value)


def _not(_: Environment, values: Values) -> Values:
    value = truth(values)
    return [] if value is None else [not value]


def _single(_: Environment, values: Values) -> Values:
    if len(values) > 1:
        raise FhirPathError("single() finds several items")
    return values


def _type(_: Environment, values: Values) -> Values:
    return [Element(dict(zip(("namespace", "name"), type_of(item), strict=True)), "SimpleTypeInfo") for item in values]


def type_of(item: Any) -> tuple[str, str]:
    """Namespace and name of an item's type."""
    if item.__class__ is Element and item.type:
        return "FHIR", "BackboneElement" if "." in item.type else item.type
    item = system(item)
    names = {bool: "Boolean", int: "Integer", Decimal: "Decimal", str: "String", Quantity: "Quantity"}
    return "System", item.kind if item.__class__ is Temporal else names.get(item.__class__, "Any")


def is_of(item: Any, name: str, exactly: bool = False) -> bool:
    """Whether an item is of a type or one that specialises it; `exactly` only lets abstract types stand for others."""
    space, _, short = name.rpartition(".")
    namespace, own = type_of(item)
    if namespace == "System":
        return space != "FHIR" and own == short
    if space == "System" or not is_type(short):
        return False
    return is_exactly(own, short) if exactly else is_kind_of(own, short)


def check_type(name: str) -> None:
    """FhirPathError for what is no type of FHIR or FHIRPath."""
    short = name.rpartition(".")[2]
    if not is_type(short) and short not in _SYSTEM:
        raise FhirPathError(f"{name} is not a type")


def check_arguments(name: str, function: Function, count: int) -> None:
    """FhirPathError for a call with too few or too many arguments."""
    try:
        signature(function).bind(None, None, *range(count))
    except TypeError:
        raise FhirPathError(f"{name}() does not take {count} arguments") from None


_SYSTEM = frozenset(("Boolean", "Integer", "Decimal", "String", "Quantity", "Date", "DateTime", "Time", "Any"))


def _conforms_to(_: Environment, values: Values, url: Values) -> Values:
    name = str(single(url)).removeprefix(_DEFINITIONS)
    if not is_type(name):
        raise FhirPathError("conformsTo knows the types of R4, no profiles")
    return [is_of(item, name) for item in values]


def _extension(_: Environment, values: Values, url: Values) -> Values:
    wanted = single(url)
    return [] if wanted is None else extensions(values, wanted)


def _html_checks(_: Environment, values: Values) -> Values:
    return [item.__class__ is Element and narrative.problem(item.value) is None for item in values]


def _comparable(_: Environment, values: Values, others: Values) -> Values:
    one, other = single(values), single(others)
    if one.__class__ is not Quantity or other.__class__ is not Quantity:
        return []
    return [quantities.measure(one).dimensions == quantities.measure(other).dimensions]


def _boundary(high: bool) -> Function:
    def function(_: Environment, values: Values, precision: Values = ()) -> Values:  # type: ignore[assignment]
        value = single(values)
        digits = _count(precision) if precision else None
        if value is None:
            return []
        if value.__class__ is Temporal:
            whole = {"Date": 8, "DateTime": 17, "Time": 9}[value.kind]
            found = temporal.boundary(value, digits or whole, high)
            return [] if found is None else [found]
        if value.__class__ is Quantity:
            return [value._replace(value=edge) for edge in _edge(value.value, digits, high)]
        return _edge(Decimal(value), digits, high) if is_number(value) else []

    return function


def _edge(value: Decimal, digits: int | None, high: bool) -> list[Decimal]:
    places = 8 if digits is None else digits
    if not 0 <= places <= _MOST_DIGITS:
        return []
    half = Decimal(5).scaleb(-quantities.decimals(value) - 1)
    edge = value + half if high else value - half
    return [edge.quantize(Decimal(1).scaleb(-places), rounding="ROUND_CEILING" if high else "ROUND_FLOOR")]


def _precision(_: Environment, values: Values) -> Values:
    value = single(values)
    if value.__class__ is Temporal:
        return [temporal.precision(value)]
    return [quantities.decimals(Decimal(value))] if is_number(value) else []


def _now(part: Callable[[Temporal], Temporal]) -> Function:
    def function(environment: Environment, _: Values) -> Values:
        if environment.now is None:
            raise FhirPathError("the time is not known here")
        return [part(temporal.moment(environment.now))]

    return function


def _defined(_: Environment, values: Values) -> Values:
    return [len(values) == 1 and has_value(values[0])]


FUNCTIONS: dict[str, Function] = {
    "empty": lambda _, values: [not values],
    "count": lambda _, values: [len(values)],
    "not": _not,
    "allTrue": _all_boolean(True, every=True),
    "anyTrue": _all_boolean(True, every=False),
    "allFalse": _all_boolean(False, every=True),
    "anyFalse": _all_boolean(False, every=False),
    "subsetOf": _subset,
    "supersetOf": lambda environment, values, others: _subset(environment, others, values),
    "distinct": lambda _, values: distinct(values),
    "isDistinct": lambda _, values: [len({key(item) for item in values}) == len(values)],
    "single": _single,
    "first": lambda _, values: values[:1],
    "last": lambda _, values: values[-1:],
    "tail": lambda _, values: values[1:],
    "skip": lambda _, values, count: values[max(0, _count(count)) :],
    "take": lambda _, values, count: values[: max(0, _count(count))],
    "intersect": _kept(inside=True, once=True),
    "exclude": _kept(inside=False, once=False),
    "union": lambda _, values, others: distinct([*values, *others]),
    "combine": lambda _, values, others: [*values, *others],
    "children": lambda _, values: [below for item in values for below in children(item)],
    "descendants": descendants,
    "type": _type,
    "conformsTo": _conforms_to,
    "extension": _extension,
    "hasExtension": lambda environment, values, url: [bool(_extension(environment, values, url))],
    "hasValue": _defined,
    "getValue": lambda _, values: [single(values)] if len(values) == 1 and has_value(values[0]) else [],
    "resolve": resolve,
    "htmlChecks": _html_checks,
    "comparable": _comparable,
    "lowBoundary": _boundary(high=False),
    "highBoundary": _boundary(high=True),
    "precision": _precision,
    "now": _now(lambda moment: moment),
    "today": _now(lambda moment: temporal.parse_temporal(moment.text[:10])),
    "timeOfDay": _now(lambda moment: temporal.parse_time(moment.text[11:23])),
}
