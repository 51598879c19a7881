"""One report in detail: what was measured, against which limits."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from fhir_server.r4.json import read
from fhir_server.record import reading
from portal.asking import Own, Patient
from portal.display import codes, first_date, number, quantity, status, target, words
from portal.envelope import Envelope, Model
from portal.looking import Named, by_id, named
from portal.requests import ID
from portal.routing import OF_PATIENT, refuses, routes
from portal.service import Resource

router = routes("record")


class Result(Model):
    name: str
    value: str
    unit: str
    referenceRange: Annotated[str, Field(description="empty where the laboratory gives none", examples=["3.9–6.1"])]
    flag: Annotated[str, Field(description="v3-ObservationInterpretation: H, L, N ...; empty without one")]
    flagText: str
    date: str | None


class Report(Model):
    id: str
    title: str
    status: str
    statusText: str
    date: str | None
    issued: str | None
    hospital: Named
    conclusion: str
    results: list[Result]


@router.get("/reports/{id}", responses=OF_PATIENT | refuses(404))
async def report(own: Patient, id: Annotated[str, Path(pattern=ID)]) -> Envelope[Report]:
    """A DiagnosticReport with its Observations. Another person's is a 404, as is one that does not exist."""
    stored = await reading.read(own.portal.record, own.caller, "DiagnosticReport", id)
    found = read(stored.body or b"")
    known = await by_id(own, "Observation", _results(found))
    grouped = await by_id(own, "Observation", (one for each in known.values() for one in _members(each) if one not in known))
    hospitals = await named(own, "Organization", [stored.custodian])
    ordered = [known[one] for one in _results(found) if one in known] + list(grouped.values())
    return own.answer(
        Report(
            id=id,
            title=words(found["code"]),
            status=status(found),
            statusText=own.texts.label("status", status(found), status(found)),
            date=first_date(found, ("effectiveDateTime", "effectivePeriod")),
            issued=first_date(found, ("issued",)),
            hospital=hospitals[stored.custodian],
            conclusion=found.get("conclusion", ""),
            results=[one for each in ordered for one in _shown(own, each)],
        )
    )


def _results(found: Resource) -> list[str]:
    return [one for each in found.get("result", ()) if (one := target(each, "Observation"))]


def _members(observation: Resource) -> list[str]:
    return [one for each in observation.get("hasMember", ()) if (one := target(each, "Observation"))]


def _shown(own: Own, observation: Resource) -> Iterator[Result]:
    """A line for the Observation, if it has a value, and one for each of its components."""
    date = first_date(observation, ("effectiveDateTime", "effectivePeriod", "issued"))
    parts = [observation] if not observation.get("component") or _value(observation)[0] else []
    for part in (*parts, *observation.get("component", ())):
        value, unit = _value(part)
        flag = next(iter(codes(part.get("interpretation"))), "")
        yield Result(
            name=words(part["code"]),
            value=value or words(part.get("dataAbsentReason")),
            unit=unit,
            referenceRange="; ".join(_limits(one) for one in part.get("referenceRange", ())),
            flag=flag,
            flagText=own.texts.label("flag", flag, words(part.get("interpretation"))),
            date=date,
        )


def _value(part: Resource) -> tuple[str, str]:
    """value[x] as (value, unit) (R4 observation.html)."""
    given = next(((name, value) for name, value in part.items() if name.startswith("value")), None)
    return VALUES.get(given[0], _plain)(given[1]) if given else ("", "")


def _plain(value: Any) -> tuple[str, str]:
    return (words(value) if isinstance(value, dict) else str(value).lower() if isinstance(value, bool) else number(value)), ""


def _ends(low: Resource | None, high: Resource | None) -> tuple[str, str]:
    (lower, unit), (upper, other) = quantity(low or {}), quantity(high or {})
    return f"{lower}–{upper}" if lower and upper else f"≥{lower}" if lower else f"≤{upper}" if upper else "", unit or other


def _ratio(value: Resource) -> tuple[str, str]:
    return ":".join(" ".join(quantity(value.get(end, {}))).strip() for end in ("numerator", "denominator")), ""


def _limits(one: Resource) -> str:
    """A text where the laboratory wrote one, else from low to high."""
    return str(one.get("text") or _ends(one.get("low"), one.get("high"))[0])


VALUES: dict[str, Callable[[Any], tuple[str, str]]] = {
    "valueQuantity": quantity,
    "valueRange": lambda value: _ends(value.get("low"), value.get("high")),
    "valueRatio": _ratio,
    "valueDateTime": lambda value: (first_date({"at": value}, ("at",)) or "", ""),
}
