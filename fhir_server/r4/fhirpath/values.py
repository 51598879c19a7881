"""What an expression works on: elements of a resource, and FHIRPath's own values (bool, int, Decimal, str, Temporal, Quantity).

Equality, equivalence and order are of N1 6.1 and 6.2.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson

from fhir_server.r4.elements import UNKNOWN, choices, fields, is_kind_of, is_resource
from fhir_server.r4.fhirpath import quantities, temporal
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.quantities import Quantity
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.json import Number
from fhir_server.r4.ucum import UCUM


class Element:
    """An element: its JSON value (None where only extensions are given), its type, what `_name` holds beside it, and where it
    stands: under `key` of the JSON object `holder`, at `index` if that is an array."""

    __slots__ = ("holder", "index", "key", "more", "type", "value")

    def __init__(
        self, value: Any, type: str, more: Any = None, holder: Any = None, key: str = "", index: int | None = None
    ) -> None:
        self.value = value
        self.type = type
        self.more = more
        self.holder = holder
        self.key = key
        self.index = index


Values = list[Any]
Evaluator = Callable[[Any, Any], Values]
"""A compiled expression: ($this, Environment) -> collection."""

ABSENT: Any = object()
"""$this where there is none."""


def resource(value: dict[str, Any]) -> Element:
    """A parsed resource as the element an expression starts from."""
    return Element(value, value["resourceType"])


def child(item: Any, name: str) -> Values:
    """The elements of that name below an item; a choice goes by its name without the type."""
    if item.__class__ is not Element:
        return []
    node = item.value if type(item.value) is dict else item.more
    if type(node) is not dict:
        return []
    if name in node or f"_{name}" in node:
        return _boxed(node, name, fields(item.type).get(name, UNKNOWN).type)
    for key in choices(item.type).get(name, ()):
        if key in node or f"_{key}" in node:
            return _boxed(node, key, fields(item.type)[key].type)
    return []


def typed_child(item: Any, name: str, key: str, type_name: str) -> Values:
    """The elements of that name that are of one type; of a choice the one under `key`, such as `valueQuantity`."""
    if item.__class__ is Element and type(item.value) is dict and (key in item.value or f"_{key}" in item.value):
        return _boxed(item.value, key, type_name)
    return [found for found in child(item, name) if is_exactly(found.type, type_name)]


def is_exactly(kind: str, wanted: str) -> bool:
    """Whether a type is another, or one that is abstract stands for it."""
    return kind == wanted or (wanted in ABSTRACT and is_kind_of(kind, wanted))


ABSTRACT = frozenset(("Element", "BackboneElement", "Resource", "DomainResource"))


def children(item: Any) -> Values:
    """All elements directly below an item, in the order of the JSON."""
    if item.__class__ is not Element:
        return []
    node = item.value if type(item.value) is dict else item.more
    if type(node) is not dict:
        return []
    names = dict.fromkeys(name.removeprefix("_") for name in node if name != "resourceType")
    known = fields(item.type)
    return [found for name in names for found in _boxed(node, name, known.get(name, UNKNOWN).type)]


def _boxed(node: dict[str, Any], key: str, kind: str) -> Values:
    value, more = node.get(key), node.get("_" + key)
    if type(value) is not list and type(more) is not list:
        return [_element(value, kind, more, node, key, None)]
    values, mores = value or (), more or ()
    count = max(len(values), len(mores))
    found = []
    for index in range(count):
        one = values[index] if index < len(values) else None
        beside = mores[index] if index < len(mores) else None
        if one is not None or beside is not None:
            found.append(_element(one, kind, beside, node, key, index))
    return found


def _element(value: Any, kind: str, more: Any, holder: Any, key: str, index: int | None) -> Element:
    if type(value) is dict and "resourceType" in value and (kind in ("Resource", "") or is_resource(kind)):
        kind = value["resourceType"]
    return Element(value, kind, more, holder, key, index)


# --- FHIR's values as FHIRPath's -----------------------------------------------------------------------------------------


def system(item: Any) -> Any:
    """The value of an item in FHIRPath's own types; an element that has none, such as a HumanName, as it is."""
    if item.__class__ is not Element:
        return item
    value = item.value
    kind = type(value)
    if kind is str:
        convert = _TEMPORAL.get(item.type)
        return convert(value) if convert else value
    if kind is bool:
        return value
    if kind is int:
        return Decimal(value) if item.type == "decimal" else value
    if isinstance(value, float):
        return decimal(value)
    return _quantity(value, item) if kind is dict and item.type in _QUANTITIES else item


def decimal(value: float) -> Decimal:
    """A decimal as it was written."""
    return Decimal(value.text) if isinstance(value, Number) else Decimal(repr(value))


def _quantity(value: dict[str, Any], item: Element) -> Any:
    number = value.get("value")
    if not isinstance(number, (int, float)) or "comparator" in value:
        return item
    coded = value.get("system") == UCUM and value.get("code")
    return Quantity(Decimal(number) if isinstance(number, int) else decimal(number), coded or value.get("unit") or "1")


_QUANTITIES = frozenset(("Quantity", "Age", "Duration", "Distance", "Count", "SimpleQuantity", "MoneyQuantity"))


def _date_time(text: str) -> Any:
    found = temporal.parse_temporal(text)
    return found if found.kind == "DateTime" else found._replace(kind="DateTime")


_TEMPORAL: dict[str, Callable[[str], Any]] = {
    "date": temporal.parse_temporal,
    "dateTime": _date_time,
    "instant": _date_time,
    "time": temporal.parse_time,
}


def is_number(value: Any) -> bool:
    return value.__class__ is int or value.__class__ is Decimal


def has_value(item: Any) -> bool:
    """Whether an item is a primitive with a value."""
    return item.__class__ is not Element or (item.value is not None and type(item.value) is not dict)


def single(values: Values) -> Any:
    """The one item of a collection in FHIRPath's types, None of an empty one; FhirPathError of several (N1 4.5)."""
    if not values:
        return None
    if len(values) > 1:
        raise FhirPathError("one item is expected here, there are several")
    return system(values[0])


def truth(values: Values) -> bool | None:
    """A collection as a boolean: None if empty, a single item that is no boolean counts as true (N1 4.5)."""
    value = single(values)
    return value if value is None or value is True or value is False else True


# --- equality ------------------------------------------------------------------------------------------------------------


def key(item: Any) -> Any:
    """What is the same for equal items and can be hashed."""
    value = system(item)
    kind = value.__class__
    if kind is bool:
        return ("boolean", value)
    if kind is Temporal:
        return (value.kind == "Time", temporal.aligned(value))
    if kind is Quantity:
        measured = quantities.measure(value)
        return ("quantity", value.value * measured.factor, measured.dimensions)
    if kind is Element:
        return orjson.dumps([value.value, value.more], option=orjson.OPT_SORT_KEYS, default=float)
    return value


def equal(a: Values, b: Values) -> bool | None:
    """a = b (N1 6.1.1): None where either is empty or precision does not decide."""
    if not a or not b:
        return None
    if len(a) != len(b):
        return False
    found = [_equal(one, other) for one, other in zip(a, b, strict=True)]
    return False if False in found else None if None in found else True


def _equal(one: Any, other: Any) -> bool | None:
    a, b = system(one), system(other)
    if a.__class__ is Temporal and b.__class__ is Temporal and temporal.comparable(a, b):
        order = temporal.compare(a, b)
        return None if order is None else order == 0
    if a.__class__ is Quantity or b.__class__ is Quantity:
        a, b = _as_quantity(a), _as_quantity(b)
        return quantities.equal(a, b) if a.__class__ is Quantity and b.__class__ is Quantity else False
    if a.__class__ is Temporal and b.__class__ is str:
        return bool(a.text == b)
    if b.__class__ is Temporal and a.__class__ is str:
        return bool(b.text == a)
    return bool(key(a) == key(b))


def _as_quantity(value: Any) -> Any:
    return Quantity(Decimal(value), "1") if is_number(value) else value


def equivalent(a: Values, b: Values) -> bool:
    """a ~ b (N1 6.1.2): in any order, strings without case and spacing, numbers and units to the lesser precision."""
    if len(a) != len(b):
        return False
    left = list(b)
    for one in a:
        match = next((index for index, other in enumerate(left) if _equivalent(one, other)), None)
        if match is None:
            return False
        del left[match]
    return True


def _equivalent(one: Any, other: Any) -> bool:
    a, b = system(one), system(other)
    if a.__class__ is str and b.__class__ is str:
        return " ".join(a.casefold().split()) == " ".join(b.casefold().split())
    if is_number(a) and is_number(b):
        return quantities.equivalent(_as_quantity(a), _as_quantity(b))
    if a.__class__ is Quantity or b.__class__ is Quantity:
        a, b = _as_quantity(a), _as_quantity(b)
        return a.__class__ is Quantity and b.__class__ is Quantity and quantities.equivalent(a, b)
    return _equal(a, b) is True


def compare(a: Values, b: Values) -> int | None:
    """-1, 0 or 1; None where either is empty or undecided; FhirPathError for what has no order (N1 6.2)."""
    one, other = single(a), single(b)
    if one is None or other is None or _has_none(one) or _has_none(other):
        return None
    if one.__class__ is Quantity or other.__class__ is Quantity:
        one, other = _as_quantity(one), _as_quantity(other)
    if one.__class__ is Temporal and other.__class__ is Temporal and temporal.comparable(one, other):
        return temporal.compare(one, other)
    if one.__class__ is Quantity and other.__class__ is Quantity:
        return quantities.compare(one, other)
    if (is_number(one) and is_number(other)) or (one.__class__ is str and other.__class__ is str):
        return (one > other) - (one < other)
    raise FhirPathError("these two have no order: numbers, strings, dates, times and quantities compare with their like")


def _has_none(value: Any) -> bool:
    return value.__class__ is Element and (value.value is None or value.type in _QUANTITIES)


def distinct(values: Iterable[Any]) -> Values:
    """Without repetitions, the first of each."""
    found: dict[Any, Any] = {}
    for item in values:
        found.setdefault(key(item), item)
    return list(found.values())
