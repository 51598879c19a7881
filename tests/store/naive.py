"""A search engine too simple to be wrong: it walks the JSON of every resource for every query (R4 search.html).

It shares no code with the server; what it knows of the parameters stands in PARAMETERS.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Resource = dict[str, Any]

NAME = ["name.family", "name.given", "name.prefix", "name.suffix", "name.text"]
ADDRESS = ["address.line", "address.city", "address.state", "address.postalCode", "address.country"]
CODE, STATUS = ("token", ["code.coding"]), ("token", ["status"])
PATIENT, SUBJECT, ENCOUNTER = ("reference", ["patient"]), ("reference", ["subject"]), ("reference", ["encounter"])

# type -> parameter -> its kind, and where its values lie
PARAMETERS: dict[str, dict[str, tuple[str, list[str]]]] = {
    "Patient": {
        "_id": ("token", ["id"]), "_profile": ("uri", ["meta.profile"]), "identifier": ("token", ["identifier"]),
        "name": ("string", NAME), "family": ("string", ["name.family"]), "given": ("string", ["name.given"]),
        "address": ("string", ADDRESS), "address-city": ("string", ["address.city"]),
        "address-postalcode": ("string", ["address.postalCode"]), "gender": ("token", ["gender"]),
        "birthdate": ("date", ["birthDate"]), "death-date": ("date", ["deceasedDateTime"]),
        "language": ("token", ["communication.language.coding"]),
    },
    "Encounter": {
        "status": STATUS, "class": ("token", ["class"]), "type": ("token", ["type.coding"]), "patient": SUBJECT,
        "subject": SUBJECT, "date": ("date", ["period"]), "participant": ("reference", ["participant.individual"]),
        "service-provider": ("reference", ["serviceProvider"]), "location": ("reference", ["location.location"]),
        "reason-code": ("token", ["reasonCode.coding"]), "identifier": ("token", ["identifier"]),
    },
    "Condition": {
        "code": CODE, "clinical-status": ("token", ["clinicalStatus.coding"]), "category": ("token", ["category.coding"]),
        "onset-date": ("date", ["onsetDateTime"]), "recorded-date": ("date", ["recordedDate"]),
        "abatement-date": ("date", ["abatementDateTime"]), "encounter": ENCOUNTER, "patient": SUBJECT,
    },
    "Observation": {
        "code": CODE, "combo-code": ("token", ["code.coding", "component.code.coding"]), "status": STATUS,
        "category": ("token", ["category.coding"]), "date": ("date", ["effectiveDateTime"]), "patient": SUBJECT,
        "value-quantity": ("quantity", ["valueQuantity"]), "encounter": ENCOUNTER,
        "combo-value-quantity": ("quantity", ["valueQuantity", "component.valueQuantity"]),
        "value-concept": ("token", ["valueCodeableConcept.coding"]), "_lastUpdated": ("date", ["meta.lastUpdated"]),
    },
    "Procedure": {"code": CODE, "status": STATUS, "date": ("date", ["performedPeriod"]), "patient": SUBJECT},
    "MedicationRequest": {
        "code": ("token", ["medicationCodeableConcept.coding"]), "status": STATUS, "intent": ("token", ["intent"]),
        "authoredon": ("date", ["authoredOn"]), "requester": ("reference", ["requester"]),
        "medication": ("reference", ["medicationReference"]),
    },
    "DiagnosticReport": {
        "code": CODE, "category": ("token", ["category.coding"]), "result": ("reference", ["result"]), "patient": SUBJECT,
        "issued": ("date", ["issued"]), "date": ("date", ["effectiveDateTime"]), "performer": ("reference", ["performer"]),
    },
    "Immunization": {
        "vaccine-code": ("token", ["vaccineCode.coding"]), "date": ("date", ["occurrenceDateTime"]), "patient": PATIENT,
    },
    "Claim": {
        "use": ("token", ["use"]), "created": ("date", ["created"]), "patient": PATIENT,
        "provider": ("reference", ["provider"]),
    },
    "ExplanationOfBenefit": {
        "created": ("date", ["created"]), "claim": ("reference", ["claim"]), "patient": PATIENT,
        "care-team": ("reference", ["careTeam.provider"]),
    },
    "DocumentReference": {
        "type": ("token", ["type.coding"]), "status": STATUS, "date": ("date", ["date"]), "author": ("reference", ["author"]),
        "custodian": ("reference", ["custodian"]), "identifier": ("token", ["identifier"]), "patient": SUBJECT,
    },
    "CarePlan": {
        "date": ("date", ["period"]), "category": ("token", ["category.coding"]), "care-team": ("reference", ["careTeam"]),
    },
    "CareTeam": {"participant": ("reference", ["participant.member"]), "date": ("date", ["period"])},
    "Provenance": {
        "recorded": ("date", ["recorded"]), "target": ("reference", ["target"]), "agent": ("reference", ["agent.who"]),
    },
    "ImagingStudy": {"started": ("date", ["started"]), "modality": ("token", ["series.modality"])},
    "AllergyIntolerance": {"code": CODE, "criticality": ("token", ["criticality"])},
    "Organization": {
        "name": ("string", ["name"]), "identifier": ("token", ["identifier"]), "address-city": ("string", ["address.city"]),
    },
    "Practitioner": {
        "family": ("string", ["name.family"]), "gender": ("token", ["gender"]), "identifier": ("token", ["identifier"]),
    },
    "Location": {"name": ("string", ["name"]), "address-city": ("string", ["address.city"])},
}  # fmt: skip


def at(node: Any, path: str) -> Iterator[Any]:
    """The values that a dotted path leads to, through all lists."""
    if isinstance(node, list):
        for one in node:
            yield from at(one, path)
    elif not path:
        yield node
    elif isinstance(node, dict):
        name, _, rest = path.partition(".")
        yield from at(node.get(name, []), rest)


def meets(resource: Resource, name: str, text: str) -> bool:
    """Whether the resource meets `name=text`; `name` may carry a modifier, `text` alternatives."""
    name, _, modifier = name.partition(":")
    kind, _ = PARAMETERS[resource["resourceType"]][name]
    elements = values(resource, name)
    if modifier == "missing":
        return (not elements) is (text == "true")
    found = any(KINDS[kind](element, one, modifier) for element in elements for one in text.split(","))
    return found is not (modifier == "not")


def values(resource: Resource, name: str) -> list[Any]:
    """The elements that a parameter searches."""
    return [element for path in PARAMETERS[resource["resourceType"]][name][1] for element in at(resource, path)]


def matching(resources: Iterable[Resource], kind: str, pairs: Iterable[tuple[str, str]]) -> set[str]:
    """The ids of the resources of this type that meet all pairs."""
    wanted = list(pairs)
    return {one["id"] for one in resources if one["resourceType"] == kind and all(meets(one, *pair) for pair in wanted)}


def _token(element: Any, text: str, modifier: str) -> bool:
    if isinstance(element, str):
        return element == text
    system, bar, code = text.rpartition("|")
    own = element.get("code", element.get("value"))
    return code in ("", own) and (own is not None or bool(system)) and (not bar or element.get("system", "") == system)


def _string(element: str, text: str, modifier: str) -> bool:
    if modifier == "exact":
        return element == text
    plain, wanted = (" ".join(re.sub(r"[!-#%-*,-/:;?@\[-\]_`{}]", "", one.lower()).split()) for one in (element, text))
    return wanted in plain if modifier == "contains" else plain.startswith(wanted)


def _reference(element: Resource, text: str, modifier: str) -> bool:
    own = element.get("reference", "")
    return own == text if "/" in text else own.endswith(f"/{text}")


def _uri(element: str, text: str, modifier: str) -> bool:
    return element == text or (modifier == "below" and element.startswith(f"{text}/"))


def _date(element: Any, text: str, modifier: str) -> bool:
    prefix, wanted = (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)
    return COMPARED[prefix](*span(element), *span(wanted))


COMPARED: dict[str, Callable[[float, float, float, float], bool]] = {
    "eq": lambda s, e, low, high: low <= s and e <= high,
    "ne": lambda s, e, low, high: not (low <= s and e <= high),
    "gt": lambda s, e, low, high: e > high,
    "lt": lambda s, e, low, high: s < low,
    "ge": lambda s, e, low, high: e > high or (low <= s and e <= high),
    "le": lambda s, e, low, high: s < low or (low <= s and e <= high),
    "sa": lambda s, e, low, high: s > high,
    "eb": lambda s, e, low, high: e < low,
    "ap": lambda s, e, low, high: s <= high + _tenth(low, high) and e >= low - _tenth(low, high),
}
MOMENT = {"ms": 0}
"""Now, for what is approximate: to be set by who asks."""


def _tenth(low: float, high: float) -> float:
    now = MOMENT["ms"]
    return 0 if low <= now <= high else min(abs(now - low), abs(now - high)) // 10


def span(element: Any) -> tuple[float, float]:
    """First and last millisecond of a date, dateTime, instant or Period."""
    if isinstance(element, dict):
        start, end = element.get("start"), element.get("end")
        return (span(start)[0] if start else -math.inf, span(end)[1] if end else math.inf)
    if "T" not in element:
        parts = [int(part) for part in element.split("-")]
        year, month, day = [*parts, 1, 1][:3]
        start = datetime(year, month, day, tzinfo=UTC)
        return _ms(start), _ms(_next(start, len(parts))) - 1
    fraction = re.search(r"\.(\d+)", element)
    start = datetime.fromisoformat(element.replace(fraction[0], "") if fraction else element)
    if fraction is None:
        return _ms(start), _ms(start) + 999
    digits = fraction[1][:3]
    return _ms(start) + int(digits.ljust(3, "0")), _ms(start) + int(digits.ljust(3, "9"))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _next(start: datetime, parts: int) -> datetime:
    if parts == 3:
        return start + timedelta(days=1)
    return start.replace(year=start.year + (parts == 1 or start.month == 12), month=start.month % 12 + 1 if parts == 2 else 1)


def _quantity(element: Resource, text: str, modifier: str) -> bool:
    number, *unit = text.split("|")
    if "value" not in element or (unit and unit[0] != element.get("system")):
        return False
    codes = (element.get("code", ""), unit[1]) if unit else ("", "")
    (kind, worth), (wanted_kind, wanted_worth) = (UNITS.get(code, (code, "1")) for code in codes)
    if kind != wanted_kind:
        return False
    prefix, wanted = (number[:2], number[2:]) if number[:2].isalpha() else ("eq", number)
    value = Decimal(str(element["value"])) * Decimal(worth) / Decimal(wanted_worth)
    return MEASURED[prefix](value, Decimal(wanted))


# What Synthea's units of one kind are worth among each other.
UNITS = {
    "mm": ("length", "1"), "cm": ("length", "10"), "pg": ("mass", "1"), "kg": ("mass", "1e15"), "pg/mL": ("in a volume", "1"),
    "ng/mL": ("in a volume", "1e3"), "ug/L": ("in a volume", "1e3"), "ug/mL": ("in a volume", "1e6"),
    "mg/L": ("in a volume", "1e6"), "mg/dL": ("in a volume", "1e7"), "g/dL": ("in a volume", "1e10"), "%": ("none", "1"),
    "mg/g": ("none", "0.1"), "{score}": ("none", "100"), "{INR}": ("none", "100"), "{count}": ("none", "100"),
    "{T-score}": ("none", "100"), "10*3/uL": ("cells", "1"), "10*6/uL": ("cells", "1e3"), "U/L": ("activity", "1"),
    "kU/L": ("activity", "1e3"), "mL/min": ("flow", "1"), "mL/min/{1.73_m2}": ("flow", "1"),
}  # fmt: skip


def _about(value: Decimal, wanted: Decimal) -> bool:
    half = Decimal(5).scaleb(int(wanted.as_tuple().exponent) - 1)
    return wanted - half <= value < wanted + half


MEASURED: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "eq": _about,
    "ne": lambda value, wanted: not _about(value, wanted),
    "gt": lambda value, wanted: value > wanted,
    "lt": lambda value, wanted: value < wanted,
    "ge": lambda value, wanted: value >= wanted,
    "le": lambda value, wanted: value <= wanted,
}


def together(*parts: tuple[str, str]) -> Callable[[Any, str, str], bool]:
    """A composite parameter on its element: of each part its kind, and where its values lie from there."""

    def meets(element: Any, text: str, modifier: str) -> bool:
        return all(
            any(KINDS[kind](found, asked, "") for found in at(element, path))
            for (kind, path), asked in zip(parts, text.split("$"), strict=True)
        )

    return meets


KINDS: dict[str, Callable[[Any, str, str], bool]] = {
    "token": _token, "string": _string, "reference": _reference, "uri": _uri, "date": _date, "quantity": _quantity,
}  # fmt: skip
