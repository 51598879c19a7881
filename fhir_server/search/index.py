"""A resource -> its index entries: terms for equality, ranges for order, the clinical date. The store hashes the names.

Signs between a path and a value keep the kinds of term apart: `=` system|code, `~` code alone, `@` system alone, `^` prefix,
`>` reference (`>#`: to something contained), `#` URI, `%` year, month or day, `"` words that stand beside no code, `<` a loose
clinical date, `&` a pair.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from fhir_server.r4 import dates
from fhir_server.r4.fhirpath import syntax
from fhir_server.search import elements
from fhir_server.search.pairs import pairs
from fhir_server.search.parameters import KNOWN, Parameter, Path, paths, standard
from fhir_server.search.text import normalise, prefixes


class Range(NamedTuple):
    """An ordered value under a path's key: ms for dates; `unit` is `system|code` of a quantity that has one."""

    key: str
    low: float
    high: float
    unit: str | None


class Display(NamedTuple):
    """Words that stand beside a code, whose term is `code`; `path` is the term of what has words that stand beside none."""

    path: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Entries:
    """What the store keeps of a resource to find it by; `counted`: terms whose totals are kept; `date` in ms."""

    terms: set[str]
    counted: list[str]
    ranges: list[Range]
    date: int | None
    displays: set[Display]


# The parameter that says when care happened, best first.
_CLINICAL = (
    "date", "onset-date", "effective-time", "effective", "event-date", "occurrence", "whenhandedover", "started", "collected",
    "authoredon", "authored-on", "authored", "sent", "recorded-date", "created", "issued", "period", "recorded", "timestamp",
)  # fmt: skip
# MedicationRequest.date is when doses are planned.
_CLINICAL_FIRST = {"MedicationRequest": ("authoredon",)}

SPAN = 366 * 24 * 3600 * 1000  # ms: a time of care that takes longer is loose
# What a counted term has between path and value, by datatype.
_COUNTED = {"CodeableConcept": "=", "Coding": "=", "code": "~", "boolean": "~"}


class _Found(NamedTuple):
    terms: set[str]
    ranges: list[Range]
    displays: set[Display]


_Add = Callable[[list[Any], _Found], None]


def index(resource: dict[str, Any]) -> Entries:
    """The entries of a parsed resource; contained resources have none but that they are referred to."""
    program = _program(resource["resourceType"])
    found = _Found({program.resource_type}, [], set())
    for path, add in program.always:
        add(path.extract(resource), found)
    steps = program.steps
    for name in resource:
        for path, add in steps.get(name, ()):
            add(path.extract(resource), found)
    for kind, path in KNOWN.get().entries.get(program.resource_type, ()):
        _adder(kind, path)(path.extract(resource), found)
    counted = [program.resource_type, *(term for term in found.terms if term.startswith(program.counted))]
    date = _date(program.dates, found.ranges)
    if any(entry.key in program.leading and _is_loose(entry, date) for entry in found.ranges):
        found.terms.add(loose(program.resource_type))
    measured = ((entry.key, entry.low, entry.high) for entry in found.ranges)
    found.terms.update([*pairs(program.resource_type, found.terms, measured, loose(program.resource_type))])
    return Entries(found.terms, counted, found.ranges, date, found.displays)


def loose(resource_type: str) -> str:
    """The term of a resource whose clinical date does not tell all of when it was: an end alone, a long time, several times."""
    return f"{resource_type}<"


def _is_loose(entry: Range, date: int | None) -> bool:
    return entry.low != date or entry.high - entry.low > SPAN


def has_words(path: Path) -> str:
    """The term of what has words under this path that stand beside no code."""
    return f'{path.key}"'


def is_counted(resource_type: str, term: str) -> bool:
    """Whether totals are kept of the resources with this term: there are few such terms, and each is common."""
    return term == resource_type or term.startswith(_program(resource_type).counted)


def clinical_date(resource_type: str, parameter: Parameter) -> bool:
    """Whether sorting by this parameter is sorting by the clinical date: the type has no other source of it."""
    return leads(resource_type, parameter) and len(_program(resource_type).dates) == len(parameter.paths)


def leads(resource_type: str, parameter: Parameter) -> bool:
    """Whether the clinical date is this parameter's, wherever a resource has one: it is the best source of its type."""
    keys = {path.key for path in parameter.paths if not path.days}
    return set(_program(resource_type).dates[: len(parameter.paths)]) == keys


def care_dates(resource_type: str) -> tuple[str, ...]:
    """The keys of the dates that say when care happened, best first; none for a type that bears only other dates."""
    return _date_keys(resource_type, _care_parameters(resource_type))


def dimensional(key: str, dimension: str) -> str:
    """The key of quantities in base units: only those of one dimension are compared."""
    return f"{key} {dimension}"


def precisions(low: int, high: int) -> list[str]:
    """The year, month and day that an interval lies in, as far as it lies in one: [`1974`, `1974-12`, `1974-12-25`]."""
    finest = dates.unit(low, high)
    return [finest[:length] for length in (4, 7, 10) if length <= len(finest)]


class _Program(NamedTuple):
    resource_type: str
    steps: dict[str, list[tuple[Path, _Add]]]
    always: list[tuple[Path, _Add]]
    dates: tuple[str, ...]
    leading: frozenset[str]  # those of the dates that are of the best parameter
    counted: tuple[str, ...]  # how counted terms begin


@cache
def _program(resource_type: str) -> _Program:
    """The paths to index, under the JSON properties they start from, so that what a resource lacks costs nothing."""
    steps: dict[str, list[tuple[Path, _Add]]] = {}
    always: list[tuple[Path, _Add]] = []
    for kind, path in paths(resource_type):
        head = syntax.head(syntax.parse(path.expression, resource_type))
        (always if head is None else steps.setdefault(head, [])).append((path, _adder(kind, path)))
    dated = _dated(resource_type)
    leading = frozenset(_date_keys(resource_type, dated[:1]))
    return _Program(resource_type, steps, always, _date_keys(resource_type, dated), leading, tuple(_counted(resource_type)))


def _counted(resource_type: str) -> Iterable[str]:
    """Codes of the resource as a whole: what it is, its category and its status."""
    for kind, path in paths(resource_type):
        if kind == "token" and path.datatype in _COUNTED and "." not in path.expression.replace(".ofType(", ""):
            yield f"{path.key}{_COUNTED[path.datatype]}"


def _dated(resource_type: str) -> list[str]:
    """The parameters that the clinical date is of: the dates of care; of a type with none of them, its other dates."""
    others = [name for name, parameter in standard(resource_type).items() if parameter.type == "date"]
    return _care_parameters(resource_type) or others


def _care_parameters(resource_type: str) -> list[str]:
    """The parameters above that the type has, best first."""
    known = standard(resource_type)
    names = (*_CLINICAL_FIRST.get(resource_type, ()), *_CLINICAL)
    return [name for name in names if name in known and known[name].type == "date"]


def _date_keys(resource_type: str, names: Iterable[str]) -> tuple[str, ...]:
    paths = (path for name in names for path in standard(resource_type)[name].paths)
    return tuple(dict.fromkeys(path.key for path in paths if path.indexed))


def _date(keys: Iterable[str], ranges: list[Range]) -> int | None:
    starts = {entry.key: dates.start(entry.low, entry.high) for entry in reversed(ranges)}
    return next((start for key in keys if (start := starts.get(key)) is not None), None)


@lru_cache(maxsize=16_384)
def _adder(kind: str, path: Path) -> _Add:
    return _days(path) if path.days else _ADDERS[kind](path)


def _tokens(path: Path) -> _Add:
    datatype, alone, full, system_only = path.datatype, f"{path.key}~", f"{path.key}=", f"{path.key}@"

    def add(values: list[Any], found: _Found) -> None:
        for value in values:
            for system, code in elements.tokens(datatype, value):
                if code:
                    found.terms.add(alone + code)
                if code and system is not None:
                    found.terms.add(f"{full}{system}|{code}")
                if system:
                    found.terms.add(system_only + system)
        if datatype in elements.WORDED:
            _add_displays(path, values, found)

    return add


def _add_displays(path: Path, values: list[Any], found: _Found) -> None:
    worded = has_words(path)
    for value in values:
        told, are_all = elements.displays(path.datatype, value)
        found.displays.update(Display(worded, f"{path.key}={system}|{code}", display) for system, code, display in told)
        if not are_all:
            found.terms.add(worded)


def _strings(path: Path) -> _Add:
    def add(values: list[Any], found: _Found) -> None:
        for value in values:
            for text in elements.strings(path.datatype, value):
                found.terms.update(f"{path.key}^{prefix}" for prefix in prefixes(normalise(text)))

    return add


def _references(path: Path) -> _Add:
    start, datatype = f"{path.key}>", path.datatype

    def add(values: list[Any], found: _Found) -> None:
        for value in values:
            named = elements.references(datatype, value)
            for reference in named:
                found.terms.add(start + reference)
            if not named and elements.fragment(value):
                found.terms.add(start + elements.CONTAINED)

    return add


def _uris(path: Path) -> _Add:
    def add(values: list[Any], found: _Found) -> None:
        for value in values:
            for uri in elements.references(path.datatype, value):
                found.terms.add(f"{path.key}#{uri}")

    return add


def _spans(path: Path) -> _Add:
    key, datatype = path.key, path.datatype

    def add(values: list[Any], found: _Found) -> None:
        for value in values:
            for span in elements.spans(datatype, value):
                if span.dimension:
                    found.ranges.append(Range(dimensional(key, span.dimension), span.low, span.high, None))
                else:
                    unit = f"{span.system}|{span.code}" if span.code or span.system else None
                    found.ranges.append(Range(key, span.low, span.high, unit))

    return add


def _days(path: Path) -> _Add:
    def add(values: list[Any], found: _Found) -> None:
        for value in values:
            for span in elements.spans(path.datatype, value):
                found.terms.update(f"{path.key}%{precision}" for precision in precisions(int(span.low), int(span.high)))

    return add


_ADDERS: dict[str, Callable[[Path], _Add]] = {
    "token": _tokens,
    "string": _strings,
    "reference": _references,
    "uri": _uris,
    **dict.fromkeys(("date", "number", "quantity"), _spans),
}
