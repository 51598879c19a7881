"""Codes by their meaning (search.html#token: :in, :not-in, :below, :above): what a value set, or a code's hierarchy, comes to.

The value sets and code systems are those that the terminology room ships; stored ones do not count in searches.
"""

from collections.abc import Callable, Mapping

from fhir_server.r4.errors import FhirError
from fhir_server.terminology import sets
from fhir_server.terminology.chinese import ICD_9_CM_3, ICD_10
from fhir_server.terminology.members import Key

# Hospitals send Chinese codes under the international names. The categories are the same; the Chinese lists only go further.
HIERARCHIES = {
    "http://hl7.org/fhir/sid/icd-10": ICD_10,
    "http://hl7.org/fhir/sid/icd-9-cm": ICD_9_CM_3,
}


def concepts(modifier: str, system: str | None, code: str) -> frozenset[Key]:
    """(system, code) of all that is asked for; of :in and :not-in `code` is the value set's url. ValueError: not held."""
    try:
        return CONCEPTS[modifier](system or "", code)
    except FhirError as error:
        problem = "stands for too many codes" if error.status == 403 else "names what the terminology here does not hold"
        raise ValueError(f"{problem}: see docs/terminology.md, or list the codes, commas between") from None


CONCEPTS: Mapping[str, Callable[[str, str], frozenset[Key]]] = {
    "in": lambda _, url: sets.members(url),
    "not-in": lambda _, url: sets.members(url),
    "below": lambda system, code: frozenset((system, one) for one in sets.below(HIERARCHIES.get(system, system), code)),
    "above": lambda system, code: frozenset((system, one) for one in sets.above(HIERARCHIES.get(system, system), code)),
}
