"""ValueSet/$expand (R4 valueset-operation-expand.html)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.library import Library
from fhir_server.terminology.members import Key, Members, Resource, concept_of, members, shown
from fhir_server.terminology.systems import System, display, fold, is_abstract, is_inactive, names

MAX_CODES = 5_000

_TOLD = ("url", "version", "name", "title", "status")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of $expand; a text filter finds concepts in whose code and names all its words stand."""

    filter: str = ""
    offset: int = 0
    count: int | None = None
    designations: bool = False
    definition: bool = False
    active_only: bool = False
    language: str | None = None


def expand(library: Library, value_set: Resource, wanted: Wanted, now: str) -> Resource:
    """The ValueSet with a flat expansion; 403 `too-costly` for more than MAX_CODES in one answer. `now` is an instant."""
    found = members(library, value_set)
    systems = {url: library.find_system(url) for url in {url for url, _ in found}}
    keys = list(_filtered(found, systems, wanted))
    end = len(keys) if wanted.count is None else wanted.offset + wanted.count
    page = keys[wanted.offset : end]
    if len(page) > MAX_CODES:
        raise FhirError(
            403, "too-costly", f"{len(keys)} codes; ask for at most {MAX_CODES} at a time by count and offset, or use a filter"
        )
    expansion: Resource = {"timestamp": now, "total": len(keys)}
    if wanted.offset or wanted.count is not None:
        expansion["offset"] = wanted.offset
    if echoed := list(_echoed(wanted)):
        expansion["parameter"] = echoed
    if page:
        expansion["contains"] = [_contained(key, found[key], systems[key[0]], wanted) for key in page]
    told = value_set if wanted.definition else {name: value_set[name] for name in _TOLD if name in value_set}
    status = {"status": value_set.get("status", "unknown")}
    return {"resourceType": "ValueSet", **told, **status, "expansion": expansion}


def _filtered(found: Members, systems: dict[str, System | None], wanted: Wanted) -> Iterator[Key]:
    words = fold(wanted.filter).split()
    for key, said in found.items():
        system = systems[key[0]]
        if words and not _has_words(key[1], said, system, words):
            continue
        if not wanted.active_only or not is_inactive(concept_of(system, key[1])):
            yield key


def _has_words(code: str, said: Resource, system: System | None, words: list[str]) -> bool:
    known = system.texts.get(code, "") if system else fold(code)
    text = f"{known} {fold(' '.join(names(said)))}" if said else known
    return all(word in text for word in words)


def _contained(key: Key, said: Resource, system: System | None, wanted: Wanted) -> Resource:
    """One ValueSet.expansion.contains."""
    url, code = key
    concept = concept_of(system, code)
    told = shown(system, code, said)
    made: dict[str, Any] = {
        "system": url,
        "abstract": is_abstract(concept) or None,
        "inactive": is_inactive(concept) or None,
        "code": code,
        "display": display(told, wanted.language),
        "designation": told.get("designation") if wanted.designations else None,
    }
    return {name: value for name, value in made.items() if value is not None}


def _echoed(wanted: Wanted) -> Iterator[Resource]:
    """What shaped the expansion (ValueSet.expansion.parameter)."""
    given = {
        "filter": ("valueString", wanted.filter or None),
        "offset": ("valueInteger", wanted.offset or None),
        "count": ("valueInteger", wanted.count),
        "includeDesignations": ("valueBoolean", wanted.designations or None),
        "activeOnly": ("valueBoolean", wanted.active_only or None),
        "displayLanguage": ("valueCode", wanted.language),
    }
    yield from ({"name": name, kind: value} for name, (kind, value) in given.items() if value is not None)
