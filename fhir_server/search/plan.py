"""A clause -> what the index can say about it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.r4 import dates
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD, number
from fhir_server.search import values
from fhir_server.search.clauses import Clause
from fhir_server.search.compare import Test, tests
from fhir_server.search.elements import CODED, CONTAINED, FOLDED
from fhir_server.search.index import dimensional
from fhir_server.search.parameters import Path
from fhir_server.search.text import ALWAYS, fold_token, folded, longest_prefix


class RangeTest(NamedTuple):
    """A matching resource has an entry under `key` (with this unit, unless None) that passes all `tests`."""

    key: str
    unit: str | None
    tests: tuple[Test, ...]


class Lookup(NamedTuple):
    """A matching resource has ANY of the terms or meets ANY of the ranges; with neither, the index does not help.

    `exact`: that decides; otherwise it gives candidates, to be confirmed by `match.matches`.
    """

    terms: tuple[str, ...]
    ranges: tuple[RangeTest, ...]
    exact: bool


UNAIDED = Lookup((), (), False)

# Modifiers whose matches are not where the index looks: absence, negation, and parts of strings.
_UNAIDED_MODIFIERS = frozenset({"missing", "not", "not-in", "contains", "below", "above", "text", "identifier"})
MAX_TERMS = 1_000  # of concepts that the index is asked for; more are looked for in the bodies


def parts(clause: Clause) -> tuple[Clause, ...]:
    """Clauses that all must hold for this one to hold: of a composite one for each component, of any other just itself."""
    if clause.parameter.type != "composite":
        return (clause,)
    return tuple(
        Clause(component, None, tuple(value.parts[at] for value in clause.values if isinstance(value, values.Composite)))
        for at, component in enumerate(clause.parameter.components)
    )


def lookup(clause: Clause) -> Lookup:
    """How the index finds what a clause asks for; UNAIDED where it cannot (`_id` and `_lastUpdated` among them)."""
    return _remembered(clause) if clause.modifier is None and len(clause.values) == 1 else _lookup(clause)


@lru_cache(maxsize=4_096)
def _remembered(clause: Clause) -> Lookup:
    return _lookup(clause)


def _lookup(clause: Clause) -> Lookup:
    are_told = all(isinstance(value, values.Concepts | values.Canonical | values.Reference) for value in clause.values)
    by_meaning = are_told and clause.modifier != "not-in"
    if clause.modifier in _UNAIDED_MODIFIERS and not by_meaning:
        return UNAIDED
    found = [_one(path, value) for path in clause.parameter.paths for value in clause.values]
    # One alternative that the index cannot find hides matches, so it spoils the others.
    if UNAIDED in found:
        return UNAIDED
    return Lookup(
        tuple(dict.fromkeys(term for part in found for term in part.terms)),
        tuple(dict.fromkeys(test for part in found for test in part.ranges)),
        clause.modifier != "exact" and all(part.exact for part in found),
    )


def by_old_entries(clause: Clause) -> Lookup:
    """The same of strings and tokens, for a store whose resources may have been indexed by an earlier release."""
    shortened = tuple(dict.fromkeys(form for value in clause.values for form in _shortened(value)))
    found = lookup(replace(clause, values=(*shortened, *_as_typed(clause.values))))
    return found._replace(exact=found.exact and shortened == clause.values)


def _shortened(value: values.Value) -> Iterator[values.Value]:
    """With the punctuation that was indexed, too."""
    if not isinstance(value, values.String):
        yield value
        return
    for text in (value.text, folded(value.raw)):
        yield value._replace(text=longest_prefix(text, ALWAYS) or text)


def _as_typed(asked: Iterable[values.Value]) -> Iterator[values.Value]:
    """Numbers of ID cards with a small x, which was indexed as it came."""
    for value in asked:
        if isinstance(value, values.Token) and value.code and value.system in (None, RESIDENT_ID_CARD):
            small = f"{value.code[:-1]}x"
            if number(RESIDENT_ID_CARD, small) == value.code:
                yield value._replace(code=small)


def _one(path: Path, value: values.Value) -> Lookup:
    return _PLANS[type(value)](path, value) if path.key else UNAIDED


def _terms(path: Path, terms: tuple[str, ...], exact: bool = True) -> Lookup:
    return Lookup(terms, (), path.exact and exact)


def _token(path: Path, value: values.Token) -> Lookup:
    implied = path.datatype not in CODED and value.system in (None, "", path.system)
    if value.code is None:
        # The system of a code is implied by its element, not written in it: every value has it.
        return UNAIDED if implied else _terms(path, (f"{path.key}@{value.system}",))
    if value.system is None and path.datatype == "Identifier":
        return _numbers(path, value.code)
    if value.system is None or implied:
        return _terms(path, (f"{path.key}~{fold_token(value.code) if path.datatype in FOLDED else value.code}",))
    return _terms(path, (f"{path.key}={value.system}|{value.code}",))


def _concepts(path: Path, value: values.Concepts) -> Lookup:
    if len(value.members) > MAX_TERMS:
        return UNAIDED
    found = [_token(path, values.Token(system, code)) for system, code in sorted(value.members) if _may_have(path, system)]
    return _terms(path, tuple(term for one in found for term in one.terms)) if found else UNAIDED


def _may_have(path: Path, system: str) -> bool:
    return path.datatype in CODED or system == path.system


def _numbers(path: Path, code: str) -> Lookup:
    """Of identifiers of any system: what is an ID card's number is compared otherwise if it is one."""
    codes = dict.fromkeys((code, number(RESIDENT_ID_CARD, code)))
    return _terms(path, tuple(f"{path.key}~{one}" for one in codes), len(codes) == 1)


def _of_type(path: Path, value: values.OfType) -> Lookup:
    return _numbers(path, value.value)._replace(exact=False) if path.datatype == "Identifier" else _terms(path, (), False)


def _near(path: Path, value: values.Near) -> Lookup:
    return UNAIDED


def _string(path: Path, value: values.String) -> Lookup:
    prefix = longest_prefix(value.text)
    return _terms(path, (f"{path.key}^{prefix}",), prefix == value.text) if prefix else UNAIDED


def _reference(path: Path, value: values.Reference) -> Lookup:
    # What type a URL elsewhere is of may be told by Reference.type alone, which no term holds.
    typed = (f"{path.target}/", CONTAINED)
    certain = path.target is None or all(reference.startswith(typed) for reference in value.accepted)
    return _terms(path, tuple(f"{path.key}>{reference}" for reference in value.accepted), certain)


def _canonical(path: Path, value: values.Canonical) -> Lookup:
    return _terms(path, (f"{path.key}>{value.url}",), not value.version)


def _uri(path: Path, value: values.Uri) -> Lookup:
    return _terms(path, (f"{path.key}#{value.uri}",))


def _ordered(path: Path, value: values.Ordered) -> Lookup:
    if path.days:
        return _days(path, int(value.low), int(value.high)) if value.prefix == "eq" else UNAIDED
    if value.dimension:
        key = dimensional(path.key, value.dimension)
        return Lookup((), tuple(RangeTest(key, None, all_of) for all_of in tests(value)), path.exact)
    unit = f"{value.system}|{value.code}" if value.system and value.code else None
    exact = path.exact and (unit is not None or (value.system is None and value.code is None))
    return Lookup((), tuple(RangeTest(path.key, unit, all_of) for all_of in tests(value)), exact)


def _days(path: Path, low: int, high: int) -> Lookup:
    unit = dates.unit(low, high)
    return _terms(path, (f"{path.key}%{unit}",), dates.interval(unit) == (low, high)) if unit else UNAIDED


_PLANS: dict[type, Callable[[Path, Any], Lookup]] = {
    values.Token: _token,
    values.Concepts: _concepts,
    values.OfType: _of_type,
    values.Near: _near,
    values.String: _string,
    values.Reference: _reference,
    values.Canonical: _canonical,
    values.Uri: _uri,
    values.Ordered: _ordered,
}
