"""For search by code (R4 search.html#token: :in, :not-in, :above, :below): bounded sets of codes.

Of what this package ships; given a `library` (record/terminology.py makes one) also of what is stored and may be read.
"""

from collections.abc import Set
from functools import lru_cache
from typing import TypeVar

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.library import Library
from fhir_server.terminology.members import Key
from fhir_server.terminology.members import members as members_of

_One = TypeVar("_One", str, Key)

MAX_MEMBERS = 10_000


def members(value_set_url: str, library: Library | None = None) -> frozenset[Key]:
    """All (system, code) of a value set; 404 if it, or what it is made of, is not held; 403 `too-costly` above the bound."""
    return _published_members(value_set_url) if library is None else _members(value_set_url, library)


def below(system: str, code: str, library: Library | None = None) -> frozenset[str]:
    """The code and all that it subsumes (:below); 404 for a code system or code that is not held."""
    held = (library or Library()).system(system)
    return _bounded(held.below(known := _known(held.code(code))) | {known})


def above(system: str, code: str, library: Library | None = None) -> frozenset[str]:
    """The code and all that subsume it (:above)."""
    held = (library or Library()).system(system)
    return _bounded(held.above(known := _known(held.code(code))) | {known})


@lru_cache(maxsize=64)
def _published_members(value_set_url: str) -> frozenset[Key]:
    return _members(value_set_url, Library())


def _members(value_set_url: str, library: Library) -> frozenset[Key]:
    return _bounded(members_of(library, library.held("ValueSet", value_set_url)).keys())


def _known(code: str | None) -> str:
    if code is None:
        raise FhirError(404, "not-found", "the code system has no such code")
    return code


def _bounded(found: Set[_One]) -> frozenset[_One]:
    if len(found) > MAX_MEMBERS:
        raise FhirError(403, "too-costly", f"more than {MAX_MEMBERS} codes; name a narrower value set or code")
    return frozenset(found)
