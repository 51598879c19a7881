"""Compile the code systems, value sets and concept maps that this package ships.

    python -m fhir_server.terminology.generator hl7.fhir.r4.core-4.0.1.tgz icd10-cn.dat icd9cm3-cn.dat

writes tables/resources.zst: one line `TYPE <tab> URL <tab> JSON` for each resource, with what terminology services need of it.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from fhir_server.r4.package import Package, load
from fhir_server.terminology.chinese import CHINESE
from fhir_server.terminology.published import TABLE

Resource = dict[str, Any]

_COMMON = ("resourceType", "url", "version", "name", "title", "status", "language")
KEPT: dict[str, tuple[str, ...]] = {
    "CodeSystem": (*_COMMON, "valueSet", "content", "caseSensitive", "hierarchyMeaning", "property", "concept"),
    "ValueSet": (*_COMMON, "compose"),
    "ConceptMap": (*_COMMON, "experimental", "sourceUri", "sourceCanonical", "targetUri", "targetCanonical", "group"),
}
_EMPTY = ("not-present", "supplement")  # contents of code systems that say nothing of codes


def compile_table(package: Package, chinese: Iterable[Resource]) -> bytes:
    """The lines of the table, sorted, of the official package and of the Chinese lists."""
    resources = [*(_slim(one) for one in package.values() if one.get("content") not in _EMPTY), *chinese]
    kept = {(one["resourceType"], one["url"]): one for one in resources if one["resourceType"] in KEPT}
    implied = (_all_of(one) for (kind, _), one in kept.items() if kind == "CodeSystem" and "valueSet" in one)
    every = {(one["resourceType"], one["url"]): one for one in implied} | kept
    return "\n".join(_line(*key, resource) for key, resource in sorted(every.items(), key=lambda pair: pair[0])).encode()


def chinese_system(name: str, lines: Iterable[str]) -> Resource:
    """The CodeSystem of a list of `CODE <space> NAME` lines."""
    rows = (line.strip().partition(" ") for line in lines)
    return CHINESE[name] | {"concept": [{"code": code, "display": display.strip()} for code, _, display in rows if code]}


def _slim(resource: Resource) -> Resource:
    return {name: _plain(resource[name]) for name in KEPT.get(resource["resourceType"], _COMMON) if name in resource}


def _plain(value: Any) -> Any:
    """The value without ids, extensions, comments to designers and empty members."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items() if name not in ("id", "extension") and name[0] != "_"}
    return value


def _all_of(system: Resource) -> Resource:
    """The value set of all codes, which CodeSystem.valueSet names (codesystem-definitions.html#CodeSystem.valueSet)."""
    common: Resource = {name: system[name] for name in ("version", "name", "title", "status") if name in system}
    url = system["valueSet"].partition("|")[0]
    return {"resourceType": "ValueSet", "url": url, **common, "compose": {"include": [{"system": system["url"]}]}}


def _line(kind: str, url: str, resource: Resource) -> str:
    return f"{kind}\t{url}\t{json.dumps(resource, ensure_ascii=False, separators=(',', ':'))}"


def _systems(paths: Iterable[str]) -> Iterator[Resource]:
    for path in map(Path, paths):
        yield chinese_system(path.stem, path.read_text(encoding="utf-8").splitlines())


def main(package_path: str, *lists: str) -> None:
    lines = compile_table(load(Path(package_path)), _systems(lists))
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_bytes(zstandard.ZstdCompressor(level=19).compress(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
