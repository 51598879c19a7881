"""Codes of required value sets, where the package alone enumerates them (valueset.html#expansion)."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from fhir_server.r4.package import Package

Codes = frozenset[tuple[str, str]]
"""Pairs of code system and code."""

Expander = Callable[[str], Codes]

_HIERARCHY_FILTERS = {"is-a": True, "descendent-of": False}


class NotEnumerable(Exception):
    """The value set needs terminology outside the package, or a filter with no finite answer here."""


def expander(package: Package) -> Expander:
    """A cached function: canonical of a value set -> its Codes; raises NotEnumerable."""

    @cache
    def expand(canonical: str) -> Codes:
        value_set = package.get(canonical.split("|")[0])
        if not value_set or "compose" not in value_set:
            raise NotEnumerable(canonical)
        included = [_include(package, expand, part) for part in value_set["compose"]["include"]]
        excluded = [_include(package, expand, part) for part in value_set["compose"].get("exclude", ())]
        return frozenset().union(*included).difference(*excluded)

    return expand


def _include(package: Package, expand: Expander, part: dict[str, Any]) -> Codes:
    sets = [expand(canonical) for canonical in part.get("valueSet", ())]
    if "system" in part:
        sets.append(_system_codes(package, part))
    return frozenset.intersection(*sets)


def _system_codes(package: Package, part: dict[str, Any]) -> Codes:
    system = part["system"]
    if "concept" in part:
        return frozenset((system, concept["code"]) for concept in part["concept"])
    code_system = package.get(system)
    if not code_system or code_system.get("content") != "complete":
        raise NotEnumerable(system)
    concepts = dict(_concepts(code_system.get("concept", ()), ()))
    for rule in part.get("filter", ()):
        if rule["property"] != "concept" or rule["op"] not in _HIERARCHY_FILTERS:
            raise NotEnumerable(system)
        itself = _HIERARCHY_FILTERS[rule["op"]]
        concepts = {
            code: parents
            for code, parents in concepts.items()
            if rule["value"] in parents or (itself and code == rule["value"])
        }
    return frozenset((system, code) for code in concepts)


def _concepts(concepts: Any, parents: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(code, its ancestors), whether the hierarchy is nested or told by `subsumedBy` properties."""
    for concept in concepts:
        told = tuple(p["valueCode"] for p in concept.get("property", ()) if p["code"] == "subsumedBy")
        yield concept["code"], parents + told
        yield from _concepts(concept.get("concept", ()), (*parents, *told, concept["code"]))
