"""Whether a value set has a code, for bindings of profiles (terminologies.html#strength): asked often, so worked out once."""

from collections.abc import Callable, Collection
from functools import lru_cache

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.library import Library
from fhir_server.terminology.members import Key, members
from fhir_server.terminology.sets import MAX_MEMBERS

KEPT = 64  # value sets whose codes are kept
_UNTOLD = (403, 404, 422)


def tester(library: Library) -> Callable[[str, str | None, str], bool | None]:
    """(value set, system or None for any, code) -> whether it has the code; None where that cannot be told here."""

    @lru_cache(maxsize=KEPT)
    def codes(value_set: str) -> tuple[frozenset[Key], frozenset[str]] | None:
        found = _told(library, value_set)
        return None if found is None or len(found) > MAX_MEMBERS else (frozenset(found), frozenset(code for _, code in found))

    def has_code(value_set: str, system: str | None, code: str) -> bool | None:
        known = codes(value_set)
        if known:
            return code in known[1] if system is None else (system, code) in known[0]
        if system is None:
            return None
        found = _told(library, value_set, (system, code))
        return None if found is None else bool(found)

    return has_code


def _told(library: Library, value_set: str, only: Key | None = None) -> Collection[Key] | None:
    try:
        return members(library, library.held("ValueSet", value_set), only).keys()
    except FhirError as error:
        if error.status not in _UNTOLD:
            raise
        return None
