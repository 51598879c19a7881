"""The prefixes of search.html#prefix as comparisons on the low and high end of a stored value; plan and match share them."""

import operator
from collections.abc import Callable, Iterable

from fhir_server.search.elements import Span
from fhir_server.search.values import Ordered

# ("low" or "high" end of the stored value, "lt" "lte" "gt" "gte", bound)
Test = tuple[str, str, float]

# For each prefix the alternatives, of which one must hold: which end, how, against which end of the value asked for.
_ALTERNATIVES: dict[str, tuple[tuple[tuple[str, str, str], ...], ...]] = {
    "eq": ((("low", "gte", "low"), ("high", "lte", "high")),),
    "ne": ((("low", "lt", "low"),), (("high", "gt", "high"),)),
    "gt": ((("high", "gt", "high"),),),
    "lt": ((("low", "lt", "low"),),),
    "ge": ((("high", "gt", "high"),), (("low", "gte", "low"),)),
    "le": ((("low", "lt", "low"),), (("high", "lte", "high"),)),
    "sa": ((("low", "gt", "high"),),),
    "eb": ((("high", "lt", "low"),),),
    "ap": ((("low", "lte", "high"), ("high", "gte", "low")),),
}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def tests(value: Ordered) -> tuple[tuple[Test, ...], ...]:
    """Alternatives of tests on a stored (low, high): it meets the value if all tests of any alternative hold."""
    bounds = {"low": value.low, "high": value.high}
    return tuple(tuple((side, how, bounds[end]) for side, how, end in all_of) for all_of in _ALTERNATIVES[value.prefix])


def meets(span: Span, alternatives: Iterable[Iterable[Test]]) -> bool:
    """Whether a stored value passes all tests of any alternative."""
    ends = {"low": span.low, "high": span.high}
    return any(all(_OPERATORS[how](ends[side], bound) for side, how, bound in all_of) for all_of in alternatives)


def unit_matches(span: Span, value: Ordered) -> bool:
    """Whether the unit is what is asked for: `||mg` a code or a unit, with a system that code (search.html#quantity).

    A unit of UCUM is any of its dimension: both are in base units.
    """
    if value.dimension or span.dimension:
        return value.dimension == span.dimension
    if value.system is not None:
        return span.system == value.system and value.code in (None, span.code)
    return value.code is None or value.code in (span.code, span.unit)
