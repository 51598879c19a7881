"""Functional lists (R4 lists in search.html#list): no List is kept, what is current is told by each record's own status."""

from fhir_server.search.clauses import error

_CERTAIN = ("verification-status:not", "refuted,entered-in-error")
_ALLERGIES = (("clinical-status", "active"), _CERTAIN)

CURRENT: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "$current-problems": {"Condition": (("clinical-status", "active,recurrence,relapse"), _CERTAIN)},
    "$current-allergies": {"AllergyIntolerance": _ALLERGIES},
    "$current-drug-allergies": {"AllergyIntolerance": (*_ALLERGIES, ("category", "medication"))},
    "$current-medications": dict.fromkeys(("MedicationStatement", "MedicationRequest"), (("status", "active"),)),
}
"""By list and type, the criteria that say that a record is on it."""


def current(resource_type: str, name: str, text: str) -> tuple[tuple[str, str], ...]:
    """The criteria of the functional list `text`; 400 for one that is not known, or has nothing of this type."""
    of_types = CURRENT.get(text)
    if of_types is None:
        raise error(name, f"is no functional list that is known here: {', '.join(CURRENT)}", "not-supported")
    if resource_type not in of_types:
        raise error(name, f"is a list of {' and '.join(of_types)}: search there", "not-supported")
    return of_types[resource_type]
