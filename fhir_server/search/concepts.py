"""Codes by their meaning (search.html#token :in, :not-in, :below, :above): what a value set or a code's hierarchy comes to."""

from collections.abc import Callable, Mapping

from fhir_server.r4.errors import FhirError
from fhir_server.terminology import sets
from fhir_server.terminology.chinese import ICD_9_CM_3, ICD_10
from fhir_server.terminology.library import Library
from fhir_server.terminology.members import Key

# Hospitals send Chinese codes under the international names. The categories are the same; the Chinese lists only go further.
HIERARCHIES = {
    "http://hl7.org/fhir/sid/icd-10": ICD_10,
    "http://hl7.org/fhir/sid/icd-9-cm": ICD_9_CM_3,
}


class NotHeld(ValueError):
    """It names what is not held, as far as was looked."""


def concepts(modifier: str, system: str, code: str, library: Library | None = None) -> frozenset[Key]:
    """(system, code) of all that is asked for; of :in and :not-in `code` is the value set's url.

    By what is shipped, or by a library that has stored definitions, too. ValueError says what cannot be told.
    """
    try:
        return CONCEPTS[modifier](system, code, library)
    except FhirError as error:
        advice = "see docs/terminology.md, or list the codes, commas between"
        if error.status == 404:
            raise NotHeld(f"names what the terminology here does not hold: {advice}") from None
        problem = "stands for too many codes" if error.status == 403 else "cannot be worked out here"
        raise ValueError(f"{problem}: {advice}") from None


def code_system(system: str) -> str:
    """The system whose hierarchy counts."""
    return HIERARCHIES.get(system, system)


Meaning = Callable[[str, str, Library | None], frozenset[Key]]
CONCEPTS: Mapping[str, Meaning] = {
    "in": lambda _, url, library: sets.members(url, library),
    "not-in": lambda _, url, library: sets.members(url, library),
    "below": lambda system, code, library: _of(system, sets.below(code_system(system), code, library)),
    "above": lambda system, code, library: _of(system, sets.above(code_system(system), code, library)),
}


def _of(system: str, codes: frozenset[str]) -> frozenset[Key]:
    return frozenset((system, code) for code in codes)
