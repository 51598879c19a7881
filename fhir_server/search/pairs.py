"""Terms of two conditions that are asked together: what a record says (its code) of whom, and how much of it was measured.

Each such pair is one look into the index, where one condition alone brings up a whole life, or a code's values of a region.
No other term begins with `&`, so that no code that is asked for can be taken for a pair.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from math import frexp, inf
from typing import NamedTuple

from fhir_server.search.compare import Test
from fhir_server.search.parameters import standard

TO_PATIENT = ">Patient/"  # after the path, in the term of a reference to one
_WHAT, _WHO, _HOW_MUCH = ("code", "vaccine-code"), ("patient", "subject"), ("value-quantity",)
STEPS, OCTAVES = 64, 64  # the fine buckets of each octave, and octaves on each side of 1 that are told apart
WIDTHS = {"": 1, "~": 16, "~~": 256}  # how many fine buckets one of each level holds, by the sign of the level


class Pairable(NamedTuple):
    """How terms of a type begin that have pairs: those of its code, and of its patient; and how keys of what it measures do,
    as it was written and in base units."""

    codes: tuple[str, ...]
    patients: tuple[str, ...]
    measured: tuple[str, ...]


@cache
def pairable(resource_type: str) -> Pairable:
    codes = tuple(f"{key}=" for key in _keys(resource_type, _WHAT, "token"))
    patients = tuple(f"{key}{TO_PATIENT}" for key in _keys(resource_type, _WHO, "reference"))
    return Pairable(codes, patients, _keys(resource_type, _HOW_MUCH, "quantity"))


def codes_of(resource_type: str, terms: Iterable[str]) -> list[str]:
    """Those of the terms that are of codes with pairs; what has the sign of a reference in it would be taken for one."""
    codes = pairable(resource_type).codes
    return [term for term in terms if term.startswith(codes) and TO_PATIENT not in term]


def both(one: str, other: str) -> str:
    """The term of two terms: of a code or a loose date, and a reference to a Patient or a code."""
    return f"&{one}&{other}"


def of_quantity(code: str, key: str, bucket: str) -> str:
    """The term of a code and a bucket of ordered values under this key."""
    return f"&{code}&{key}[{bucket}"


def pairs(resource_type: str, terms: Collection[str], ranges: Iterable[tuple[str, float, float]], loose: str) -> Iterator[str]:
    """All pairs of a resource: of its terms, of its ranges (key, low, high); `loose` is paired with its codes and patients."""
    _, patients, measured = pairable(resource_type)
    coded = codes_of(resource_type, terms)
    said = [*coded, loose] if loose in terms else coded
    if said and patients:
        yield from (both(one, term) for term in terms if term.startswith(patients) for one in said)
    if loose in terms:
        yield from (both(loose, code) for code in coded)
    if coded and measured:
        yield from (
            of_quantity(code, key, bucket)
            for key, low, high in ranges
            if key.startswith(measured)
            for bucket in {*buckets(low), *buckets(high)}
            for code in coded
        )


def buckets(value: float) -> list[str]:
    """The bucket of each level that a number lies in."""
    at = _place(value)
    return [f"{sign}{at // width}" for sign, width in WIDTHS.items()]


def covering(low: float, high: float) -> list[str]:
    """Buckets that together hold every number from low to high, and few others: the wider the further from the ends."""
    return _covering(_place(low), _place(high), list(WIDTHS.items()))


def _covering(first: int, last: int, levels: Sequence[tuple[str, int]]) -> list[str]:
    """The same of fine buckets, by the number of the first and of the last."""
    if first > last:
        return []
    *finer, (sign, width) = levels
    whole = range(-(-first // width), (last + 1) // width)
    if not whole:
        return _covering(first, last, finer)
    below, above = whole.start * width - 1, whole.stop * width
    return [*_covering(first, below, finer), *(f"{sign}{at}" for at in whole), *_covering(above, last, finer)]


def bounds(all_of: Sequence[Test]) -> tuple[float, float]:
    """Between which numbers one end of what passes the tests lies: the end that this says more of."""
    least = {"low": -inf, "high": -inf}
    most = {"low": inf, "high": inf}
    for side, how, bound in all_of:
        # a low end is never above the high one
        for end in (("low", "high") if side == "low" else ("high",)) if how in ("gt", "gte") else ():
            least[end] = max(least[end], bound)
        for end in (("low", "high") if side == "high" else ("low",)) if how in ("lt", "lte") else ():
            most[end] = min(most[end], bound)
    return min(((least[end], most[end]) for end in ("low", "high")), key=lambda one: _place(one[1]) - _place(one[0]))


def _place(value: float) -> int:
    """Where a number stands in the order of fine buckets; the outermost ones are without end."""
    size = abs(value)
    if size < 2.0**-OCTAVES:
        return 0
    if size >= 2.0**OCTAVES:
        place = 2 * OCTAVES * STEPS
    else:
        mantissa, exponent = frexp(size)  # mantissa from 0.5 to below 1
        place = (exponent - 1 + OCTAVES) * STEPS + int((mantissa - 0.5) * 2 * STEPS)
    return place if value > 0 else -place


def _keys(resource_type: str, names: Iterable[str], kind: str) -> tuple[str, ...]:
    known = standard(resource_type)
    found = (path.key for name in names if name in known and known[name].type == kind for path in known[name].paths)
    return tuple(dict.fromkeys(key for key in found if key))
