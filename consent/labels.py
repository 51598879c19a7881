"""Security labels of a resource, set at write: those it carries and those its codes earn (tables/sensitive-codes.toml)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from consent.codes import LEVELS, NORMAL, NOTHING, label_of, table

Prefixes = dict[str, frozenset[str]]
Lookup = Callable[[str], frozenset[str]]

_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def labels(resource: dict[str, Any]) -> frozenset[str]:
    """The labels of a resource: R and V of v3-Confidentiality, sensitivity codes of v3-ActCode; empty for normal data.

    Sources are meta.security, any other security label inside (DocumentReference.securityLabel, Composition.confidentiality)
    and every coding that the table of sensitive codes names. A Consent speaks *about* labels, so only its meta counts.
    """
    found = _carried(resource)
    about = resource.get("meta", {}) if resource.get("resourceType") == "Consent" else resource
    for node in _objects(about):
        if "code" in node:
            code = node["code"]
            if type(code) is str and (earned := _earned(node.get("system"), code)):
                found |= earned
    return frozenset(found)


def _objects(root: dict[str, Any]) -> list[dict[str, Any]]:
    """Every JSON object inside, itself included; the list grows while it is walked, which is twice as fast as a stack."""
    nodes = [root]
    push = nodes.append
    for node in nodes:
        for value in node.values():
            kind = type(value)
            if kind is str:
                continue
            if kind is dict:
                push(value)
            elif kind is list:
                for child in value:
                    if type(child) is dict:
                        push(child)
    return nodes


def _carried(resource: Mapping[str, Any]) -> set[str]:
    """Labels that need their place to be known for one: codings without a system, and Composition.confidentiality."""
    security = (resource.get("meta") or {}).get("security") or []
    found = {label for coding in security if (label := _above_normal(label_of(coding)))}
    if resource.get("resourceType") == "Composition" and "confidentiality" in resource:
        found |= _earned(_CONFIDENTIALITY, resource["confidentiality"])
    return found


def _above_normal(label: str | None) -> str | None:
    return None if label is None or LEVELS.get(label, 1) <= NORMAL else label


# Few: of 65,536, each somewhere in memory, what a table of 100,000 codes had taken did not go back.
@lru_cache(maxsize=4_096)
def _earned(system: str | None, code: str) -> frozenset[str]:
    label = _above_normal(label_of({"system": system, "code": code})) if system else None
    return frozenset((label,)) if label else _lookup(system)(code)


@lru_cache(maxsize=1_024)
def _lookup(system: str | None) -> Lookup:
    """How codes of a system are looked up: its own table, that of ICD-10 for its editions and for no system, else nothing."""
    if system is None:
        return _LOOKUPS["icd10"]
    return next((_LOOKUPS[name] for name, row in _TABLE.items() if _speaks(row, system)), _nothing)


def _speaks(row: Mapping[str, Any], system: str) -> bool:
    uri = system.lower()
    like = any(part in uri for part in row.get("uris_containing", ()))
    return system in row["uris"] or (like and not any(part in uri for part in row.get("uris_not_containing", ())))


def _nothing(code: str) -> frozenset[str]:
    return NOTHING


def _exact(rows: Prefixes) -> Lookup:
    return lambda code: rows.get(code, NOTHING)


def _by_prefix(rows: Prefixes) -> Lookup:
    lengths = sorted({len(prefix) for prefix in rows})

    def lookup(code: str) -> frozenset[str]:
        # A dagger and an asterisk code are written as one, B20.000+F02.4*: both count.
        parts = [_bare(part) for part in code.split("+")]
        return NOTHING.union(*(rows.get(part[:length], NOTHING) for part in parts for length in lengths))

    return lookup


def _bare(code: str) -> str:
    return code.strip().replace(".", "").upper()


def _rows(row: Mapping[str, Any]) -> Prefixes:
    """code -> labels, ranges expanded."""
    rows: dict[str, set[str]] = {}
    write = _bare if row["match"] == "prefix" else str
    for label, codes in row["labels"].items():
        for code in _expanded(codes, row["match"]):
            rows.setdefault(write(code), set()).add(label)
    return {code: frozenset(found) for code, found in rows.items()}


def _expanded(codes: Iterable[str], match: str) -> Iterator[str]:
    for code in codes:
        first, dash, last = code.partition("-")
        # LOINC codes have a dash of their own, so only prefix tables know ranges.
        yield from _range(_bare(first), _bare(last)) if dash and match == "prefix" else (code,)


def _range(first: str, last: str) -> Iterator[str]:
    """B20, B24 -> B20 B21 B22 B23 B24: same letter, same length."""
    if first[0] != last[0] or len(first) != len(last):
        raise ValueError(f"sensitive-codes.toml: {first}-{last} is no range; write its parts one by one")
    for number in range(int(first[1:]), int(last[1:]) + 1):
        yield f"{first[0]}{number:0{len(first) - 1}d}"


_TABLE = table("sensitive-codes.toml")
_MATCHES = {"exact": _exact, "prefix": _by_prefix}
_LOOKUPS: dict[str, Lookup] = {name: _MATCHES[row["match"]](_rows(row)) for name, row in _TABLE.items()}
