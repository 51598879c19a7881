"""FHIRPath (N1 2.0.0, with what R4 and later drafts add) on parsed resources, compiled once to closures.

Nothing is fetched, nothing is logged. An expression is bounded in length, depth, steps and the size of strings it makes, so
that it may come from outside.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fhir_server.r4.fhirpath import paths
from fhir_server.r4.fhirpath.compiler import build, program, run
from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.syntax import Node, parse
from fhir_server.r4.fhirpath.values import Element, Evaluator, Values, resource

__all__ = ["Element", "Environment", "FhirPathError", "compile", "evaluate", "program", "reader", "run"]


def compile(expression: str, resource_type: str) -> Callable[[dict[str, Any]], list[Any]]:
    """A function from a parsed resource to the JSON values that a search parameter's expression selects; FhirPathError if
    it is none."""
    node = parse(expression, resource_type)
    return paths.plain(node) or reader(node)


def reader(node: Node, place: str = "") -> Callable[[dict[str, Any]], list[Any]]:
    """The same of a syntax tree, choice elements without their type among it; from an element of this type, if it is no
    resource."""
    return _values(build(node), place)


def evaluate(expression: str, value: dict[str, Any], now: datetime | None = None) -> Values:
    """The collection that an expression yields on a parsed resource: Elements and FHIRPath's own values."""
    start = resource(value)
    return run(program(expression), start, Environment(start, start, start, now))


def _values(evaluator: Evaluator, place: str) -> Callable[[dict[str, Any]], list[Any]]:
    def read(value: dict[str, Any]) -> list[Any]:
        start = Element(value, place) if place else resource(value)
        found = (
            item.value if item.__class__ is Element else item
            for item in run(evaluator, start, Environment(start, start, start))
        )
        return [item for item in found if item is not None]

    return read
