"""Functions that evaluate an expression for each item of their input (N1 5.1 to 5.3, 5.9, 7): name -> builder of a closure."""

from collections.abc import Callable
from typing import Any

from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.values import ABSENT, Evaluator, Values, compare, key, single, truth


def _each(source: Evaluator, step: Evaluator, environment: Environment, this: Any) -> list[tuple[Any, Values]]:
    """(item, what the expression yields with it as $this and its place as $index)."""
    values, outer = source(this, environment), environment.index
    environment.spend(len(values))
    found = []
    for environment.index, item in enumerate(values):
        found.append((item, step(item, environment)))
    environment.index = outer
    return found


def _where(source: Evaluator, criterion: Evaluator) -> Evaluator:
    return lambda this, env: [item for item, found in _each(source, criterion, env, this) if truth(found)]


def _select(source: Evaluator, projection: Evaluator) -> Evaluator:
    def read(this: Any, environment: Environment) -> Values:
        found = [value for _, values in _each(source, projection, environment, this) for value in values]
        environment.spend(len(found))
        return found

    return read


def _all(source: Evaluator, criterion: Evaluator) -> Evaluator:
    return lambda this, env: [all(truth(found) for _, found in _each(source, criterion, env, this))]


def _exists(source: Evaluator, criterion: Evaluator | None = None) -> Evaluator:
    if criterion is None:
        return lambda this, env: [bool(source(this, env))]
    return lambda this, env: [any(truth(found) for _, found in _each(source, criterion, env, this))]


def _repeat(source: Evaluator, projection: Evaluator) -> Evaluator:
    def read(this: Any, environment: Environment) -> Values:
        seen: set[Any] = set()
        found: Values = []
        level = source(this, environment)
        while level:
            below = [value for item in level for value in projection(item, environment)]
            environment.spend(len(below) + 1)
            level = []
            for value in below:
                if key(value) not in seen:
                    seen.add(key(value))
                    level.append(value)
            found += level
        return found

    return read


def _aggregate(source: Evaluator, step: Evaluator, start: Evaluator | None = None) -> Evaluator:
    def read(this: Any, environment: Environment) -> Values:
        outer, environment.total = environment.total, start(this, environment) if start else []
        values, place = source(this, environment), environment.index
        environment.spend(len(values))
        for environment.index, item in enumerate(values):
            environment.total = step(item, environment)
        total, environment.total, environment.index = environment.total, outer, place
        return total

    return read


def _iif(source: Evaluator, criterion: Evaluator, then: Evaluator, otherwise: Evaluator | None = None) -> Evaluator:
    def read(this: Any, environment: Environment) -> Values:
        values = source(this, environment)
        if len(values) > 1:
            raise FhirPathError("iif takes at most one item")
        item = values[0] if values else ABSENT
        decision = single(criterion(item, environment))
        if decision not in (True, False, None):
            raise FhirPathError("the criterion of iif is a boolean")
        chosen = then if decision else otherwise
        return chosen(item, environment) if chosen else []

    return read


def _trace(source: Evaluator, name: Evaluator, projection: Evaluator | None = None) -> Evaluator:
    """Nothing is written: a log is no place for what an expression sees."""
    return source


def _sort(source: Evaluator, *by: Evaluator) -> Evaluator:
    def read(this: Any, environment: Environment) -> Values:
        values = source(this, environment)
        environment.spend(len(values) * max(1, len(values).bit_length()))
        for order in reversed(by or (lambda item, _: [item],)):
            values = sorted(values, key=lambda item: _Sortable(order(item, environment)))
        return values

    return read


class _Sortable:
    """An order of collections of one; what has no order stays where it is."""

    __slots__ = ("values",)

    def __init__(self, values: Values) -> None:
        self.values = values

    def __lt__(self, other: "_Sortable") -> bool:
        if not self.values or not other.values:
            return bool(other.values) and not self.values
        return (compare(self.values, other.values) or 0) < 0


ITERATIONS: dict[str, Callable[..., Evaluator]] = {
    "where": _where,
    "select": _select,
    "all": _all,
    "exists": _exists,
    "repeat": _repeat,
    "aggregate": _aggregate,
    "iif": _iif,
    "trace": _trace,
    "sort": _sort,
}
