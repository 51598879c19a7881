"""Observation/$lastn and $stats (R4 observation-operation-lastn.html, observation-operation-stats.html), within one person."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.bundles import bundle
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import (
    Values,
    coding,
    covered,
    flag,
    number,
    ordered,
    pairs,
    parameters,
    primitive,
    required,
    single,
    texts,
)
from fhir_server.http.search import entries
from fhir_server.http.service import Service
from fhir_server.r4.dates import DAY, instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import Number, read, write
from fhir_server.r4.lastn import effective, latest
from fhir_server.r4.references import literal
from fhir_server.r4.statistics import STATISTICS, regression, statistic
from fhir_server.r4.ucum import UCUM
from fhir_server.record.matches import matches

Resource = dict[str, Any]
Pairs = Sequence[tuple[str, str]]

SUBJECTS = frozenset(("patient", "subject", "subject:Patient"))
MAX_LASTN = 64 * 1024
LASTN = ("patient", "subject", "code", "category", "date", "max")
STATS = ("subject", "code", "system", "coding", "duration", "period", "statistic", "include", "limit")
MAX_CODES = 20
OTHERS = ("total-count", "regression")
SYNONYMS = {"max": "maximum", "min": "minimum"}  # as the operation's own table has them
STATISTIC = "http://terminology.hl7.org/CodeSystem/observation-statistics"
ABSENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-applicable"}]}


async def lastn(service: Service, caller: Caller, request: Request) -> Response:
    """The newest `max` (default 1) of each code that the other parameters, a search, leave."""
    given = [(name, primitive(value, name)) for name, value in await pairs(request, MAX_LASTN)]
    most = number({"max": [value for name, value in given if name == "max"]}, "max", 1) or 1
    asked = [(name, value) for name, value in given if name != "max"]
    _require_bounds(asked)
    place = f"Observation/$lastn?{urlencode(given)}"
    bodies = await matches(service.record, caller, "Observation", asked, place, service.base_url)
    found = [bodies[one] for one in latest([read(body) for body in bodies], most)]
    links = [{"relation": "self", "url": f"{service.base_url}/{place}"}]
    return fhir_response(bundle("searchset", entries(service, found, "match"), links, len(found)))


def _require_bounds(pairs: Pairs) -> None:
    """R4: a subject, and a category or a code."""
    subjects = [value for name, value in pairs if name in SUBJECTS]
    if len(subjects) != 1 or "," in subjects[0]:
        raise FhirError(400, "required", "name one Patient: patient=ID or subject=Patient/ID", "patient")
    if not any(name.startswith("category") or "code" in name.partition(":")[0] for name, _ in pairs):
        raise FhirError(400, "required", "name a category or a code", "category")


# --- $stats ---------------------------------------------------------------------------------------------------------------


async def stats(service: Service, caller: Caller, request: Request) -> Response:
    """An Observation of statistics for each code; with `include` also what they are made of, at most `limit`."""
    values = await parameters(request, STATS)
    subject, codes, wanted = _subject(service, values), _codes(values), _statistics(values)
    bounds, most = _bounds(values, service.record.clock()), number(values, "limit", 1)
    made, sources = [], []
    for code in codes:
        token = "|".join((code["system"], code["code"]))
        sought = [("subject", f"Patient/{subject}"), ("code", _escaped(token)), *(("date", how + at) for how, at in bounds)]
        asked = f"Observation/$stats?{urlencode(sought)}"
        bodies = await matches(service.record, caller, "Observation", sought, asked, service.base_url)
        counted = [one for one in map(read, bodies) if _counts(one)]
        made.append(_made(subject, code, wanted, counted, bounds))
        sources += counted
    shown = sources[:most] if flag(values, "include") else []
    given = [("statistics", made), ("source", shown)]
    parameter = [{"name": name, "resource": one} for name, several in given for one in several]
    return fhir_response(write({"resourceType": "Parameters", "parameter": parameter}))


def _subject(service: Service, values: Values) -> str:
    """The id of the Patient."""
    target = literal(required(values, "subject").removeprefix(f"{service.base_url}/"))
    if target is None or target[0] != "Patient":
        raise FhirError(400, "invalid", "must be a Patient of this server: Patient/ID", "subject")
    return target[1]


def _codes(values: Values) -> list[Resource]:
    given = [coding(one, "coding") for one in values.get("coding", ())]
    given += [{"system": required(values, "system"), "code": one} for one in texts(values, "code")]
    if not given or len(given) > MAX_CODES or any("system" not in one for one in given):
        raise FhirError(400, "required", f"name one to {MAX_CODES} codes with their system: code and system, or coding", "code")
    return given


def _statistics(values: Values) -> list[str]:
    given = [part.strip() for one in texts(values, "statistic") for part in one.split(",")]
    wanted = [SYNONYMS.get(one, one) for one in given]
    if not wanted or any(one not in (*STATISTICS, *OTHERS) for one in wanted):
        raise FhirError(400, "not-supported", f"statistics here are {', '.join((*STATISTICS, *OTHERS))}", "statistic")
    return list(dict.fromkeys(wanted))


def _bounds(values: Values, now: int) -> list[tuple[str, str]]:
    """The time asked for as (prefix, date): the last `duration` hours, or a period."""
    duration, period = single(values, "duration"), single(values, "period", {})
    if duration is not None and period:
        raise FhirError(400, "invalid", "give a duration or a period", "period")
    if duration is not None:
        return [("ge", instant(now - _hours(duration))), ("le", instant(now))]
    if not isinstance(period, dict):
        raise FhirError(400, "invalid", "must be a Period", "period")
    start, end = (covered(str(period[name]), "period") if name in period else None for name in ("start", "end"))
    ordered(start, end, "period")
    return [(how, str(period[name])) for how, name in (("ge", "start"), ("le", "end")) if name in period]


def _hours(given: Any) -> int:
    """Hours in ms, up to a million."""
    try:
        hours = float(given)
    except (TypeError, ValueError):
        hours = -1
    if not 0 < hours <= 1_000_000:
        raise FhirError(400, "invalid", "must be a positive number of hours", "duration")
    return int(hours * 3_600_000)


def _escaped(token: str) -> str:
    return token.replace("\\", "\\\\").replace(",", "\\,").replace("$", "\\$")


def _counts(one: Resource) -> bool:
    """Whether it is a measurement at all: entered in error, or modified in a way nobody here understands, it is not."""
    return one.get("status") != "entered-in-error" and "modifierExtension" not in one


def _quantity(one: Resource) -> Resource | None:
    """A valid result: a value with a UCUM unit, and not only a bound such as `<5`."""
    quantity = one.get("valueQuantity", {})
    is_valid = quantity.get("system") == UCUM and "code" in quantity and "value" in quantity and "comparator" not in quantity
    return quantity if is_valid else None


def _made(subject: str, code: Resource, wanted: Sequence[str], found: Sequence[Resource], bounds: Pairs) -> Resource:
    measured = [(effective(one), quantity) for one in found if (quantity := _quantity(one))]
    quantities = [quantity for _, quantity in measured]
    units = {one["code"] for one in quantities}
    if len(units) > 1:
        raise FhirError(422, "business-rule", "measurements in different units; they are not converted here", "code")
    numbers = [Decimal(value.text if isinstance(value := one["value"], Number) else str(value)) for one in quantities]
    period: Resource = {{"ge": "start", "le": "end"}[how]: at for how, at in bounds}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [code]},
        "subject": {"reference": f"Patient/{subject}"},
        **({"effectivePeriod": period} if period else {}),
        "component": list(_components(wanted, numbers, [moment for moment, _ in measured], len(found), next(iter(units), "1"))),
    }


def _components(
    wanted: Sequence[str], numbers: Sequence[Decimal], moments: Sequence[float], total: int, unit: str
) -> Iterator[Resource]:
    for name in wanted:
        if name == "regression":
            yield from _regression(moments, numbers, unit)
            continue
        value, power = (Decimal(total), 0) if name == "total-count" else (statistic(name, numbers), STATISTICS[name][1])
        written = {0: "1", 1: unit, 2: f"({unit})2"}[power]
        told = {"dataAbsentReason": ABSENT} if value is None else {"valueQuantity": _measured(value, written)}
        yield {"code": {"coding": [{"system": STATISTIC, "code": name}]}, **told}


def _regression(moments: Sequence[float], numbers: Sequence[Decimal], unit: str) -> Iterator[Resource]:
    """Two components under the one code, told apart by its text: per day, and at the moment of the first measurement."""
    dated = [(moment, number) for moment, number in zip(moments, numbers, strict=True) if moment > float("-inf")]
    first = min((moment for moment, _ in dated), default=0)
    found = regression([(moment - first) / DAY for moment, _ in dated], [number for _, number in dated])
    for at, (text, written) in enumerate((("gradient", f"({unit})/d"), ("intercept", unit))):
        told = {"dataAbsentReason": ABSENT} if found is None else {"valueQuantity": _measured(found[at], written)}
        yield {"code": {"coding": [{"system": STATISTIC, "code": "regression"}], "text": text}, **told}


def _measured(value: Decimal, unit: str) -> Resource:
    return {"value": Number(f"{value.normalize():f}"), "unit": unit, "system": UCUM, "code": unit}
