"""For search by code (R4 search.html#token: :in, :not-in, :above, :below): sets of what this package ships."""

from functools import lru_cache
from typing import TypeVar

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.library import Library
from fhir_server.terminology.members import Key
from fhir_server.terminology.members import members as members_of

_One = TypeVar("_One", str, Key)

MAX_MEMBERS = 10_000


@lru_cache(maxsize=64)
def members(value_set_url: str) -> frozenset[Key]:
    """All (system, code) of a value set; 404 if it, or what it is made of, is not held; 403 `too-costly` above the bound."""
    library = Library()
    return _bounded(frozenset(members_of(library, library.held("ValueSet", value_set_url))))


def below(system: str, code: str) -> frozenset[str]:
    """The code and all that it subsumes (:below); 404 for a code system or code that is not held."""
    return _related(system, code, down=True)


def above(system: str, code: str) -> frozenset[str]:
    """The code and all that subsume it (:above)."""
    return _related(system, code, down=False)


def _related(url: str, given: str, down: bool) -> frozenset[str]:
    system = Library().system(url)
    code = system.code(given)
    if code is None:
        raise FhirError(404, "not-found", "the code system has no such code")
    return _bounded((system.below(code) if down else system.above(code)) | {code})


def _bounded(found: frozenset[_One]) -> frozenset[_One]:
    if len(found) > MAX_MEMBERS:
        raise FhirError(403, "too-costly", f"more than {MAX_MEMBERS} codes; name a narrower value set or code")
    return found
