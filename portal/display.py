"""How what a resource holds is shown to people: dates in Beijing time, words of codes, quantities."""

from datetime import datetime, timedelta
from typing import Any

from fhir_server.r4.dates import BEIJING, interval
from fhir_server.r4.references import literal
from portal.service import Resource

EPOCH, MS = datetime(1970, 1, 1, 8, tzinfo=BEIJING), timedelta(milliseconds=1)
FIRST, LAST = ((end.replace(tzinfo=BEIJING) - EPOCH) // MS for end in (datetime.min, datetime.max))


def beijing(ms: int) -> str:
    """A moment as people here write it: 2027-01-15T16:00:00+08:00; in the years 1 to 9999, beyond which no calendar goes."""
    return (EPOCH + min(max(ms, FIRST), LAST) * MS).isoformat(timespec="seconds")


def local(text: str | None) -> str | None:
    """A FHIR date as it is, a dateTime or instant in Beijing time; None for none."""
    return beijing(interval(text)[0]) if text and "T" in text else text or None


def first_date(resource: Resource, elements: tuple[str, ...]) -> str | None:
    """The first of these elements that is there, of a Period its start."""
    found = (resource.get(one) for one in elements)
    texts = (one.get("start") if isinstance(one, dict) else one for one in found)
    return local(next((one for one in texts if isinstance(one, str)), None))


def status(resource: Resource) -> str:
    """Its status; empty where only an extension says why there is none (R4 json.html#primitive)."""
    return str(resource.get("status", ""))


def words(concept: Any) -> str:
    """What a CodeableConcept, the first of several, or a plain text says."""
    if isinstance(concept, list):
        return next((said for one in concept if (said := words(one))), "")
    if isinstance(concept, str):
        return concept
    if not isinstance(concept, dict):
        return ""
    codings = concept.get("coding", ())
    displays = [one[name] for name in ("display", "code") for one in codings if one.get(name)]
    return str(concept.get("text") or next(iter(displays), ""))


def first_words(resource: Resource, elements: tuple[str, ...]) -> str:
    return next((said for one in elements if (said := words(resource.get(one)))), "")


def codes(concepts: Any) -> list[str]:
    """The codes of CodeableConcepts, in order."""
    return [coding["code"] for concept in concepts or () for coding in concept.get("coding", ()) if "code" in coding]


def number(value: Any) -> str:
    """A decimal as it was written."""
    return str(getattr(value, "text", value))


def quantity(value: Resource) -> tuple[str, str]:
    """(value with its comparator, unit)."""
    figure = number(value["value"]) if "value" in value else ""
    return value.get("comparator", "") + figure, str(value.get("unit") or value.get("code") or "")


def target(reference: Any, resource_type: str) -> str | None:
    """The id in a Reference to this type."""
    found = literal(reference.get("reference", "")) if isinstance(reference, dict) else None
    return found[1] if found and found[0] == resource_type else None
