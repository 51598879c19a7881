"""Which Patients are one person: a verified identity number decides, name and birth date guard it (deterministic, IHE PIX).

A conflict is never resolved here: it goes to a review list, for a human.
"""

import unicodedata
from collections.abc import Callable
from typing import Any

from fhir_server.persons import idcard
from fhir_server.persons.names import normal
from fhir_server.r4.identifier_systems import HEALTH_CARD, RESIDENT_ID_CARD, found_by
from fhir_server.record.context import Identity, Match

MAX_IDENTIFIERS = 20

VERIFIED: dict[str, Callable[[str], bool]] = {
    RESIDENT_ID_CARD: idcard.valid,
    HEALTH_CARD: lambda number: len(number) >= 8 and number.isalnum(),
}


def identifiers(patient: dict[str, Any]) -> list[str]:
    """`system|value` of the identifiers that tell who somebody is: ID cards with a right check digit, health cards."""
    named = (one for one in patient.get("identifier", ())[:MAX_IDENTIFIERS] if one.get("use") != "old")
    numbers = (found_by(one.get("system", ""), one.get("value", "")) for one in named)
    found = [f"{system}|{number}" for system, number in numbers if system in VERIFIED and VERIFIED[system](number)]
    return sorted(set(found))


def match(patient: dict[str, Any], candidates: list[tuple[bytes, dict[str, Any]]]) -> Match:
    """Candidates are Patients found by a shared identifier hash: each is checked again on the identifier itself."""
    own = set(identifiers(patient))
    same: list[bytes] = []
    review: list[bytes] = []
    reasons: list[str] = []
    for key, other in candidates:
        if own.isdisjoint(identifiers(other)):
            continue
        problem = doubt(patient, other)
        if problem:
            review.append(key)
            reasons.append(problem)
        else:
            same.append(key)
    return Match(tuple(same), tuple(review), "; ".join(sorted(set(reasons))))


def doubt(patient: dict[str, Any], other: dict[str, Any]) -> str:
    """Why two Patients with one identity number may yet be two people; empty when nothing speaks against it."""
    if not patient.get("birthDate") or not other.get("birthDate"):
        return "a birth date is missing"
    if patient["birthDate"] != other["birthDate"]:
        return "same identity number, but the birth dates differ"
    names, others = names_of(patient), names_of(other)
    if not names or not others:
        return "a name is missing"
    return "" if names & others else "same identity number, but the names differ"


def names_of(patient: dict[str, Any]) -> set[str]:
    """The names of a Patient as they compare: whole, without case, spaces or accents."""
    return {folded for name in patient.get("name", ()) if (folded := _folded(_whole(name)))}


def _whole(name: dict[str, Any]) -> str:
    return name.get("text") or "".join((name.get("family", ""), *name.get("given", ())))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", normal(text)).casefold()
    return "".join(one for one in plain if one.isalnum())


IDENTITY = Identity(identifiers, match)
