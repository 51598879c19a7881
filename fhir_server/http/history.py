"""history of an instance, a type and the system (R4 http.html#history): every version the caller may see, newest first."""

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import covered, interval, number
from fhir_server.http.read import subset_of
from fhir_server.http.requests import query_pairs, resource_id, resource_type
from fhir_server.http.search import PAGE_PARAMETER
from fhir_server.http.service import Service
from fhir_server.r4.dates import EARLIEST, LATEST, Interval, instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.summaries import Subset
from fhir_server.record import histories
from fhir_server.record.histories import Version, Wanted
from fhir_server.record.paging import follow, link

PAGE, MAX_COUNT = 50, 1000
ANY = "Basic"  # stands for all types where no type is asked for: which summaries there are is the same
PARTS = frozenset({"_summary", "_elements"})
TAKEN = frozenset({"_since", "_at", "_count"}) | PARTS
BOUNDS: dict[str, Callable[[int, int], Interval]] = {
    "eq": lambda low, high: (low, high),
    "ge": lambda low, high: (low, LATEST),
    "gt": lambda low, high: (high + 1, LATEST),
    "le": lambda low, high: (EARLIEST, high),
    "lt": lambda low, high: (EARLIEST, low - 1),
}
"""Prefix -> the period that `_at` is then about (search.html#prefix)."""


async def history(service: Service, caller: Caller, request: Request) -> Response:
    return await _history(service, caller, request, resource_type(request), resource_id(request))


async def history_type(service: Service, caller: Caller, request: Request) -> Response:
    return await _history(service, caller, request, resource_type(request), None)


async def history_system(service: Service, caller: Caller, request: Request) -> Response:
    return await _history(service, caller, request, None, None)


async def _history(service: Service, caller: Caller, request: Request, kind: str | None, known: str | None) -> Response:
    pairs, cursor = query_pairs(request), None
    asked = pairs
    if pairs and pairs[0][0] == PAGE_PARAMETER:
        pairs, cursor = follow(service.record.page_key, caller, pairs[0][1])
    wanted, subset = _wanted(kind, pairs), subset_of(kind or ANY, [pair for pair in pairs if pair[0] in PARTS])
    if kind and known:
        versions, after = await histories.history(service.record, caller, kind, known, wanted, cursor)
    else:
        versions, after = await histories.histories(service.record, caller, kind, wanted, cursor)
    url = "/".join(part for part in (service.base_url, kind, known, "_history") if part)
    links = [{"relation": "self", "url": f"{url}?{urlencode(asked)}" if asked else url}]
    if after:
        token = link(service.record.page_key, caller, pairs, after)
        links.append({"relation": "next", "url": f"{url}?{PAGE_PARAMETER}={token}"})
    total = None if after or cursor else len(versions)
    size = sum(len(one.stored.body or b"") for one in versions) if subset else 0
    told = (_entry(service, one, subset) for one in versions)
    return fhir_response(await aside(size, bundle, "history", told, links, total))


def _wanted(kind: str | None, pairs: Sequence[tuple[str, str]]) -> Wanted:
    """400 for what R4's histories do not take: they have one order, newest first."""
    values: dict[str, list[str]] = {name: [text for known, text in pairs if known == name] for name, _ in pairs}
    known = TAKEN if kind else TAKEN - {"_elements"}
    if not values.keys() <= known or any(len(given) > 1 for name, given in values.items() if name != "_at"):
        problem = f"a history takes {', '.join(sorted(known))}, each once but for _at; it is sorted newest first"
        raise FhirError(400, "not-supported", problem)
    count, since = number(values, "_count", least=1), interval(values, "_since")
    return Wanted(min(count or PAGE, MAX_COUNT), since and since[0], _at(values.get("_at", ())))


def _at(given: Sequence[str]) -> Interval | None:
    """The period in which a version was current, that of all that is said."""
    if not given:
        return None
    starts, ends = zip(*map(_period, given), strict=True)
    if max(starts) > min(ends):
        raise FhirError(400, "invalid", "the times exclude each other", "_at")
    return max(starts), min(ends)


def _period(text: str) -> Interval:
    """That of a date with a prefix as in a search: HAPI's client sends `ge` and `le`."""
    prefix, date = (text[:2], text[2:]) if text[:2] in BOUNDS else ("eq", text)
    return BOUNDS[prefix](*covered(date, "_at"))


def _entry(service: Service, version: Version, subset: Subset | None) -> bytes:
    name, stored = f"{version.resource_type}/{version.id}", version.stored
    method = "DELETE" if stored.body is None else "PUT" if stored.version > 1 or stored.made else "POST"
    status = "201" if stored.made else {"DELETE": "204", "PUT": "200", "POST": "201"}[method]
    return entry(
        subset.of(stored.body) if subset and stored.body else stored.body,
        fullUrl=f"{service.base_url}/{name}",
        request={"method": method, "url": name if method != "POST" else version.resource_type},
        response={"status": status, "etag": f'W/"{stored.version}"', "lastModified": instant(stored.updated)},
    )
