"""The parameters of an operation, from the URL or from a Parameters resource (R4 operations.html#request)."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request

from fhir_server.aside import aside
from fhir_server.http.requests import JSON_TYPES, body, parsed, query_pairs, require_type
from fhir_server.r4 import dates
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import Number
from fhir_server.r4.validation import validate
from fhir_server.search.clauses import shown

Values = Mapping[str, Sequence[Any]]
"""Name -> its values: texts from the URL, else JSON, a resource or a list of parts."""

MAX_PARAMETERS = 2 * 1024 * 1024


async def parameters(request: Request, known: Collection[str], limit: int = MAX_PARAMETERS, whole: str = "") -> Values:
    """400 for a parameter that the operation does not have here; `whole` as in `pairs`."""
    return gathered(await pairs(request, limit, whole), known)


async def pairs(request: Request, limit: int, whole: str = "") -> list[tuple[str, Any]]:
    """The (name, value) pairs of the URL, and of a Parameters resource that was POSTed.

    `whole`: the one parameter that is a resource, named as its type is; it may be POSTed itself (operations.html#request).
    """
    return [*query_pairs(request), *(await _posted(request, limit, whole) if request.method == "POST" else ())]


async def _posted(request: Request, limit: int, whole: str) -> list[tuple[str, Any]]:
    """None where nothing was sent, as R4's own example calls $everything (operations.html#request)."""
    content = await body(request, limit)
    if not content:
        return []
    require_type(request, JSON_TYPES)
    given = await parsed(content)
    is_whole = whole and str(given.get("resourceType")).lower() == whole.lower()
    return [(whole, given)] if is_whole else await aside(len(content), of_resource, given)


def require_none(request: Request) -> None:
    """400 for a parameter in the URL, of an operation that has none."""
    for name, _ in query_pairs(request):
        raise FhirError(400, "not-supported", f"parameter {shown(name)} is not taken here: leave it out")


def gathered(given: Iterable[tuple[str, Any]], known: Collection[str]) -> Values:
    """Name -> values."""
    found: dict[str, list[Any]] = {}
    for name, value in given:
        if name not in known:
            raise FhirError(400, "not-supported", f"parameters here are {', '.join(known)}", "Parameters.parameter.name")
        found.setdefault(name, []).append(value)
    return found


def of_resource(posted: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The (name, value) pairs of a Parameters resource."""
    given = posted.get("parameter", [])
    if posted.get("resourceType") != "Parameters" or not isinstance(given, list):
        raise FhirError(400, "structure", "send a Parameters resource", "Parameters")
    return [_pair(one) for one in given]


def _pair(one: Any) -> tuple[str, Any]:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        raise FhirError(400, "structure", "each parameter is an object with a name", "Parameters.parameter")
    values = [value for name, value in one.items() if name in ("resource", "part") or name.startswith("value")]
    if len(values) != 1:
        raise FhirError(400, "required", "each parameter needs one value, resource or part", "Parameters.parameter")
    return one["name"], values[0]


def single(values: Values, name: str, default: Any = None) -> Any:
    """The value of a parameter that is given once at most."""
    first, *more = values.get(name) or (default,)
    if more:
        raise FhirError(400, "invalid", "give this parameter once", name)
    return first


def text(values: Values, name: str) -> str | None:
    """A string, code, uri or canonical."""
    single(values, name)
    return next(iter(texts(values, name)), None)


def texts(values: Values, name: str) -> list[str]:
    given = list(values.get(name, ()))
    if not all(isinstance(one, str) and one for one in given):
        raise FhirError(400, "invalid", "must be a text", name)
    return given


def required(values: Values, name: str) -> str:
    found = text(values, name)
    if found is None:
        raise FhirError(400, "required", f"send the parameter '{name}'", name)
    return found


def flag(values: Values, name: str) -> bool:
    """A boolean, false where it is not given."""
    given = single(values, name, False)
    if isinstance(given, bool):
        return given
    if given not in ("true", "false"):
        raise FhirError(400, "invalid", "must be true or false", name)
    return bool(given == "true")


def number(values: Values, name: str, least: int = 0) -> int | None:
    """A whole number of at most nine digits."""
    given = str(single(values, name, ""))
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) >= least):
        raise FhirError(400, "invalid", f"must be a whole number from {least}", name)
    return int(given)


def interval(values: Values, name: str) -> dates.Interval | None:
    """A date or an instant as what it covers (ms)."""
    given = text(values, name)
    return None if given is None else covered(given, name)


def covered(date: str, name: str) -> dates.Interval:
    """A `+` that was not encoded arrives as a space, which no date has: HAPI's client sends `_since` so."""
    try:
        return dates.interval(date.replace(" ", "+"))
    except ValueError:
        problem = "must be a date such as 2026-01-14, or an instant such as 2026-01-14T10:00:00Z"
        raise FhirError(400, "invalid", problem, name) from None


def ordered(start: dates.Interval | None, end: dates.Interval | None, name: str) -> None:
    """400 where the end is before the start: nothing could be both."""
    if start and end and end[1] < start[0]:
        raise FhirError(400, "invalid", "ends before it starts", name)


def primitive(value: Any, name: str) -> str:
    """A primitive value as a URL has it; 400 for a Coding and the like, which criteria do not take."""
    if isinstance(value, dict | list):
        raise FhirError(400, "invalid", "must be a text, as in a search: system|code, Patient/ID, ge2026-01", name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.text if isinstance(value, Number) else str(value)


async def resource(values: Values, name: str, kind: str) -> dict[str, Any] | None:
    """A resource sent along, checked; None where there is none."""
    given = single(values, name)
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("resourceType") != kind:
        raise FhirError(400, "invalid", f"must be a {kind} resource", name)
    await asyncio.to_thread(validate, given)
    return given


def coding(given: Any, name: str) -> dict[str, Any]:
    """A Coding; in a URL it is written `system|code`, as a token is in a search."""
    if isinstance(given, str):
        system, _, code = given.rpartition("|")
        given = {"system": system, "code": code}
    made = {part: value for part, value in given.items() if value} if isinstance(given, dict) else {}
    if not all(isinstance(made.get(part, ""), str) for part in ("system", "version", "code", "display")) or "code" not in made:
        raise FhirError(400, "invalid", "must be a Coding with a code", name)
    return made
