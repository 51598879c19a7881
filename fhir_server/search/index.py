"""A resource -> its index entries: terms for equality, ranges for order, the clinical date. The store hashes the names.

Signs between a path and a value keep the kinds of term apart: `=` system|code, `~` code alone, `@` system alone, `^` prefix,
`>` reference, `#` URI, `%` year, month or day.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

from fhir_server.r4 import dates
from fhir_server.r4.fhirpath import syntax
from fhir_server.search import elements
from fhir_server.search.parameters import KNOWN, Parameter, Path, paths, standard
from fhir_server.search.text import normalise, prefixes


class Range(NamedTuple):
    """An ordered value under a path's key: ms for dates; `unit` is `system|code` of a quantity that has one."""

    key: str
    low: float
    high: float
    unit: str | None


@dataclass(frozen=True, slots=True)
class Entries:
    """What the store keeps of a resource to find it by; `date` is its clinical date in ms since the epoch."""

    terms: set[str]
    ranges: list[Range]
    date: int | None


# The parameter that says when care happened, best first.
_CLINICAL = (
    "date", "onset-date", "effective-time", "effective", "event-date", "occurrence", "whenhandedover", "started", "collected",
    "authoredon", "authored-on", "authored", "sent", "recorded-date", "created", "issued", "period", "recorded", "timestamp",
)  # fmt: skip
# MedicationRequest.date is when doses are planned.
_CLINICAL_FIRST = {"MedicationRequest": ("authoredon",)}

_Add = Callable[[list[Any], set[str], list[Range]], None]


def index(resource: dict[str, Any]) -> Entries:
    """The entries of a parsed resource; contained resources have none."""
    program = _program(resource["resourceType"])
    terms: set[str] = {program.resource_type}
    ranges: list[Range] = []
    for path, add in program.always:
        add(path.extract(resource), terms, ranges)
    steps = program.steps
    for name in resource:
        for path, add in steps.get(name, ()):
            add(path.extract(resource), terms, ranges)
    for kind, path in KNOWN.get().entries.get(program.resource_type, ()):
        _adder(kind, path)(path.extract(resource), terms, ranges)
    return Entries(terms, ranges, _date(program.dates, ranges))


def clinical_date(resource_type: str, parameter: Parameter) -> bool:
    """Whether sorting by this parameter is sorting by the clinical date: the type has no other source of it."""
    return set(_program(resource_type).dates) == {path.key for path in parameter.paths}


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


@cache
def _program(resource_type: str) -> _Program:
    """The paths to index, under the JSON properties they start from, so that what a resource lacks costs nothing."""
    steps: dict[str, list[tuple[Path, _Add]]] = {}
    always: list[tuple[Path, _Add]] = []
    for kind, path in paths(resource_type):
        head = syntax.head(syntax.parse(path.expression, resource_type))
        (always if head is None else steps.setdefault(head, [])).append((path, _adder(kind, path)))
    return _Program(resource_type, steps, always, tuple(_clinical(resource_type)))


def _clinical(resource_type: str) -> Iterable[str]:
    """The keys of the parameters above that the type has, best first; of a type with none of them, those of its other dates."""
    found = {name: p for name, p in standard(resource_type).items() if p.type == "date"}
    known = [name for name in (*_CLINICAL_FIRST.get(resource_type, ()), *_CLINICAL) if name in found]
    return dict.fromkeys(path.key for name in known or found for path in found[name].paths if path.indexed)


def _date(keys: Iterable[str], ranges: list[Range]) -> int | None:
    starts = {entry.key: _start(entry) for entry in reversed(ranges)}
    return next((start for key in keys if (start := starts.get(key)) is not None), None)


def _start(entry: Range) -> int | None:
    known = (end for end in (entry.low, entry.high) if dates.EARLIEST < end < dates.LATEST)
    return next((int(end) for end in known), None)


@lru_cache(maxsize=16_384)
def _adder(kind: str, path: Path) -> _Add:
    return _days(path) if path.days else _ADDERS[kind](path)


def _tokens(path: Path) -> _Add:
    datatype, alone, full, system_only = path.datatype, f"{path.key}~", f"{path.key}=", f"{path.key}@"

    def add(values: list[Any], terms: set[str], ranges: list[Range]) -> None:
        for value in values:
            for system, code in elements.tokens(datatype, value):
                terms.add(alone + code)
                if system is not None:
                    terms.add(f"{full}{system}|{code}")
                if system:
                    terms.add(system_only + system)

    return add


def _strings(path: Path) -> _Add:
    def add(values: list[Any], terms: set[str], ranges: list[Range]) -> None:
        for value in values:
            for text in elements.strings(path.datatype, value):
                terms.update(f"{path.key}^{prefix}" for prefix in prefixes(normalise(text)))

    return add


def _references(path: Path) -> _Add:
    start, datatype = f"{path.key}>", path.datatype

    def add(values: list[Any], terms: set[str], ranges: list[Range]) -> None:
        for value in values:
            for reference in elements.references(datatype, value):
                terms.add(start + reference)

    return add


def _uris(path: Path) -> _Add:
    def add(values: list[Any], terms: set[str], ranges: list[Range]) -> None:
        for value in values:
            for uri in elements.references(path.datatype, value):
                terms.add(f"{path.key}#{uri}")

    return add


def _spans(path: Path) -> _Add:
    key, datatype = path.key, path.datatype

    def add(values: list[Any], terms: set[str], ranges: list[Range]) -> None:
        for value in values:
            for span in elements.spans(datatype, value):
                if span.dimension:
                    ranges.append(Range(dimensional(key, span.dimension), span.low, span.high, None))
                else:
                    unit = f"{span.system}|{span.code}" if span.code or span.system else None
                    ranges.append(Range(key, span.low, span.high, unit))

    return add


def _days(path: Path) -> _Add:
    def add(values: list[Any], terms: set[str], ranges: list[Range]) -> None:
        for value in values:
            for span in elements.spans(path.datatype, value):
                terms.update(f"{path.key}%{precision}" for precision in precisions(int(span.low), int(span.high)))

    return add


_ADDERS: dict[str, Callable[[Path], _Add]] = {
    "token": _tokens,
    "string": _strings,
    "reference": _references,
    "uri": _uris,
    **dict.fromkeys(("date", "number", "quantity"), _spans),
}
