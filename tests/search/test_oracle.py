"""Matches against a naive oracle that walks the JSON its own way, for the most common parameters (R4 search.html)."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.search.match import matches
from fhir_server.search.query import parse
from tests.search.resources import Resource, by_type


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every object and value in a resource with the names that lead to it."""
    yield path, node
    if isinstance(node, dict):
        for name, below in node.items():
            yield from leaves(below, f"{path}/{name}")
    if isinstance(node, list):
        for below in node:
            yield from leaves(below, path)


def at(resource: Resource, *wanted: str) -> list[Any]:
    return [node for path, node in leaves(resource) if path in wanted and not isinstance(node, list)]


def coded(*wanted: str) -> Callable[[Resource, str], bool]:
    def oracle(resource: Resource, text: str) -> bool:
        system, bar, code = text.rpartition("|")
        return any(c.get("code") == code and (not bar or c.get("system", "") == system) for c in at(resource, *wanted))

    return oracle


def holds(*wanted: str) -> Callable[[Resource, str], bool]:
    return lambda resource, text: text in {value.split("/_history/")[0] for value in at(resource, *wanted)}


def starts(*wanted: str) -> Callable[[Resource, str], bool]:
    return lambda resource, text: any(value.lower().startswith(text.lower()) for value in at(resource, *wanted))


def seconds(text: str) -> tuple[datetime, datetime]:
    """First and last second of a day or a moment."""
    start = datetime.fromisoformat(re.sub(r"\.\d+", "", text))
    if len(text) == 10:
        return start.replace(tzinfo=UTC), start.replace(tzinfo=UTC) + timedelta(hours=23, minutes=59, seconds=59)
    return start, start


def since(period: str, *moments: str) -> Callable[[Resource, str], bool]:
    """On or after a day; a Period that has not ended lasts."""
    wanted = (*moments, f"{period}/start", f"{period}/end")

    def oracle(resource: Resource, text: str) -> bool:
        return any("end" not in lasting for lasting in at(resource, period)) or any(
            seconds(value)[0] >= seconds(text)[0] for value in at(resource, *wanted) if len(value) >= 10
        )

    return oracle


def measured(resource: Resource, text: str) -> bool:
    return any(quantity["value"] > float(text) for quantity in at(resource, "/valueQuantity") if "value" in quantity)


NAMES = ("/name/family", "/name/given", "/name/text", "/name/prefix")
NAIVE = [
    ("Observation", "code", "{}", coded("/code/coding"), ["http://loinc.org|8302-2", "8302-2", "|8302-2", "72166-2", "none"]),
    ("Observation", "combo-code", "{}", coded("/code/coding", "/component/code/coding"), ["http://loinc.org|8480-6", "8462-4"]),
    ("Observation", "category", "{}", coded("/category/coding"), ["laboratory", "vital-signs"]),
    ("Observation", "subject", "{}", holds("/subject/reference"), ["Patient/example", "Patient/f001", "Patient/none"]),
    ("Observation", "date", "ge{}", since("/effectivePeriod", "/effectiveDateTime"), ["2013-04-02", "2015-06-01"]),
    ("Observation", "value-quantity", "gt{}", measured, ["5.5", "100", "177.4"]),
    ("Condition", "code", "{}", coded("/code/coding"), ["44054006", "http://snomed.info/sct|39065001"]),
    ("Condition", "clinical-status", "{}", coded("/clinicalStatus/coding"), ["active", "resolved"]),
    ("Encounter", "status", "{}", holds("/status"), ["finished", "in-progress"]),
    ("Encounter", "date", "ge{}", since("/period"), ["2012-01-01", "2018-01-01"]),
    ("Patient", "name", "{}", starts(*NAMES), ["Chalmers", "pet", "duck", "Mr", "xx"]),
    ("Patient", "gender", "{}", holds("/gender"), ["male", "female"]),
    ("Patient", "family", "{}", starts("/name/family"), ["Donald", "D"]),
    ("Provenance", "target", "{}", holds("/target/reference"), ["Procedure/example"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "form", "oracle", "asked"), NAIVE, ids=[f"{kind}-{name}" for kind, name, *_ in NAIVE])
def test_agrees_with_an_oracle_that_walks_the_json(
    kind: str, name: str, form: str, oracle: Callable[[Resource, str], bool], asked: list[str]
) -> None:
    """search.html, for the most common parameters on the examples and Synthea"""
    for text in asked:
        [clause] = parse(kind, [(name, form.format(text))]).clauses
        for resource in by_type()[kind]:
            assert matches(clause, resource) == oracle(resource, text), (text, resource["id"])
