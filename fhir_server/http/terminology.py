"""The operations of a terminology service (R4 terminology-service.html); what they say is worked out in its own room."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import (
    Values,
    coding,
    flag,
    number,
    of_resource,
    parameters,
    required,
    resource,
    single,
    text,
    texts,
)
from fhir_server.http.requests import parsed, resource_id
from fhir_server.http.service import Service
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import write
from fhir_server.record import reading
from fhir_server.record import terminology as stored
from fhir_server.terminology import expand as expanding
from fhir_server.terminology import lookup as looking_up
from fhir_server.terminology import translate as translating
from fhir_server.terminology import validate_code as validating
from fhir_server.terminology.library import Library, Name, needs
from fhir_server.terminology.published import concept_maps
from fhir_server.terminology.systems import System, system_of

Resource = dict[str, Any]

MAX_CODINGS = 50
MAX_FILTER = 200
EXPAND = (
    *("url", "valueSet", "valueSetVersion", "filter", "offset", "count", "includeDesignations", "includeDefinition"),
    *("activeOnly", "excludeNested", "displayLanguage"),
)
CODE = ("code", "display", "coding", "codeableConcept", "abstract", "displayLanguage")
IN_VALUE_SET = ("url", "valueSet", "valueSetVersion", "system", "systemVersion", *CODE)
IN_SYSTEM = ("url", "codeSystem", "version", *CODE)
LOOKUP = ("code", "system", "version", "coding", "displayLanguage", "property")
SUBSUMES = ("codeA", "codeB", "system", "version", "codingA", "codingB")
TRANSLATE = (
    *("url", "conceptMap", "conceptMapVersion", "code", "system", "version", "coding", "codeableConcept"),
    *("source", "target", "targetsystem", "reverse", "dependency"),
)


async def expand(service: Service, caller: Caller, request: Request) -> Response:
    """valueset-operation-expand.html"""
    values = await parameters(request, EXPAND, whole="valueSet")
    filtered = text(values, "filter") or ""
    if len(filtered) > MAX_FILTER:
        raise FhirError(403, "too-costly", f"at most {MAX_FILTER} characters", "filter")
    wanted = expanding.Wanted(
        filtered,
        number(values, "offset") or 0,
        number(values, "count"),
        flag(values, "includeDesignations"),
        flag(values, "includeDefinition"),
        flag(values, "activeOnly"),
        text(values, "displayLanguage"),
    )
    flag(values, "excludeNested")  # it is flat whichever is asked for
    library, value_set = await _value_set(service, caller, request, values, "expand")
    return await _answer(expanding.expand, library, value_set, wanted, instant(service.record.clock()))


async def validate_in_value_set(service: Service, caller: Caller, request: Request) -> Response:
    """valueset-operation-validate-code.html"""
    values = await parameters(request, IN_VALUE_SET, whole="valueSet")
    asked = _codes_with_systems(values, "systemVersion")
    library, value_set = await _value_set(service, caller, request, values, "validate-code")
    return await _answer(validating.in_value_set, library, value_set, asked)


async def validate_in_system(service: Service, caller: Caller, request: Request) -> Response:
    """codesystem-operation-validate-code.html"""
    values = await parameters(request, IN_SYSTEM, whole="codeSystem")
    given = await resource(values, "codeSystem", "CodeSystem")
    asked, url = _codes(values), text(values, "url")
    one, *more = asked.codings
    said = None if more or one.get("system", url) != url else one.get("version")
    canonical = _versioned(url, text(values, "version") or said)
    system = await _system(service, caller, request, "validate-code", canonical, given)
    return await _answer(validating.in_system, system, asked)


async def lookup(service: Service, caller: Caller, request: Request) -> Response:
    """codesystem-operation-lookup.html"""
    values = await parameters(request, LOOKUP)
    one = _single(values, "coding", "code", text(values, "system"))
    canonical = _versioned(one.get("system"), text(values, "version") or one.get("version"))
    system = await _system(service, caller, request, "lookup", canonical)
    return await _answer(looking_up.lookup, system, one["code"], text(values, "displayLanguage"), texts(values, "property"))


async def subsumes(service: Service, caller: Caller, request: Request) -> Response:
    """codesystem-operation-subsumes.html"""
    values = await parameters(request, SUBSUMES)
    one, other = (_single(values, f"coding{which}", f"code{which}", text(values, "system")) for which in "AB")
    version = text(values, "version") or one.get("version") or other.get("version")
    canonical = _versioned(one.get("system") or other.get("system"), version)
    system = await _system(service, caller, request, "subsumes", canonical)
    if {one.get("system", system.url), other.get("system", system.url)} != {system.url}:
        raise FhirError(422, "not-supported", "codes of two code systems cannot be compared here", "codingB")
    return await _answer(looking_up.subsumes, system, one["code"], other["code"])


async def translate(service: Service, caller: Caller, request: Request) -> Response:
    """conceptmap-operation-translate.html"""
    values = await parameters(request, TRANSLATE, whole="conceptMap")
    asked = translating.Asked(
        _codes_with_systems(values, "version").codings,
        text(values, "source"),
        text(values, "target"),
        text(values, "targetsystem"),
        flag(values, "reverse"),
        dict(_dependency(one) for one in values.get("dependency", ())),
    )
    library, maps = await _maps(service, caller, request, values, asked)
    return await _answer(translating.translate, library, maps, asked)


# --- what is asked about --------------------------------------------------------------------------------------------------


async def _value_set(service: Service, caller: Caller, request: Request, values: Values, name: str) -> tuple[Library, Resource]:
    """The value set in the path, in the request, or of a url, and the library it stands in."""
    given = await _given(service, caller, request, "ValueSet", await resource(values, "valueSet", "ValueSet"))
    if given is not None:
        return await _library(service, caller, request, name, needs(given)), given
    canonical = _versioned(required(values, "url"), text(values, "valueSetVersion"))
    assert canonical is not None
    library = await _library(service, caller, request, name, [("ValueSet", canonical)], canonical)
    return library, library.held("ValueSet", canonical)


async def _system(
    service: Service, caller: Caller, request: Request, name: str, canonical: str | None, sent: Resource | None = None
) -> System:
    """The code system in the path, in the request, or of a canonical."""
    given = await _given(service, caller, request, "CodeSystem", sent)
    if given is not None:
        await _library(service, caller, request, name, ())
        return await asyncio.to_thread(system_of, given)
    if canonical is None:
        raise FhirError(400, "required", "name the code system", "system" if name != "validate-code" else "url")
    library = await _library(service, caller, request, name, [("CodeSystem", canonical)], canonical)
    return await asyncio.to_thread(library.system, canonical)


async def _maps(
    service: Service, caller: Caller, request: Request, values: Values, asked: translating.Asked
) -> tuple[Library, Iterable[Resource]]:
    """The map in the path, in the request, of a url, or else every one that knows the system, but no experimental one."""
    given = await _given(service, caller, request, "ConceptMap", await resource(values, "conceptMap", "ConceptMap"))
    if given is not None:
        return await _library(service, caller, request, "translate", needs(given)), [given]
    canonical = _versioned(text(values, "url"), text(values, "conceptMapVersion"))
    if canonical:
        library = await _library(service, caller, request, "translate", [("ConceptMap", canonical)], canonical)
        return library, [library.held("ConceptMap", canonical)]
    systems = {one["system"] for one in asked.codings if "system" in one}
    parameter = "target-system" if asked.reverse else "source-system"
    found = [one for system in systems for one in await stored.concept_maps(service.record, caller, parameter, system)]
    every = [one for one in (*await asyncio.to_thread(concept_maps), *found) if not one.get("experimental")]
    return await _library(service, caller, request, "translate", [name for one in found for name in needs(one)]), every


async def _given(service: Service, caller: Caller, request: Request, kind: str, sent: Resource | None) -> Resource | None:
    """The resource in the path, as the caller may read it, else the one that was sent."""
    if "id" not in request.path_params:
        return sent
    found = await reading.read(service.record, caller, kind, resource_id(request))
    return await parsed(found.body or b"{}")


async def _library(
    service: Service, caller: Caller, request: Request, name: str, start: Iterable[Name], canonical: str = ""
) -> Library:
    path = "/".join(request.url.path.split("/")[-3 if "id" in request.path_params else -2 :])
    asked = f"{path}?url={canonical}" if canonical else path
    return await stored.library(service.record, caller, f"operation-{name}", asked, start)


# --- codes ----------------------------------------------------------------------------------------------------------------


def _codes(values: Values, system: str | None = None, version: str | None = None) -> validating.Asked:
    """One of code, coding and codeableConcept; `system` and `version` are of a code."""
    given = [name for name in ("code", "coding", "codeableConcept") if name in values]
    if len(given) != 1:
        raise FhirError(400, "required", "send one of code, coding and codeableConcept", "code")
    if given == ["codeableConcept"]:
        codings = _codings(single(values, "codeableConcept"))
    else:
        one = _single(values, "coding", "code", system)
        beside = {"display": text(values, "display"), **({"version": version} if "code" in values else {})}
        codings = [one | {name: value for name, value in beside.items() if value}]
    return validating.Asked(codings, flag(values, "abstract"), text(values, "displayLanguage"))


def _codes_with_systems(values: Values, versioned: str) -> validating.Asked:
    """The same; a coding without a system means nothing here, as long as there is another.

    `versioned`: the parameter with the version of the code's system.
    """
    asked = _codes(values, text(values, "system"), text(values, versioned))
    codings = [one for one in asked.codings if "system" in one]
    if not codings:
        raise FhirError(400, "required", "a code needs its system", "system")
    return replace(asked, codings=codings)


def _codings(concept: Any) -> list[Resource]:
    """The codings of a CodeableConcept that have a code."""
    given = concept.get("coding") if isinstance(concept, dict) else None
    given = [one for one in given if not isinstance(one, dict) or "code" in one] if isinstance(given, list) else ()
    if not given:
        raise FhirError(400, "invalid", "must be a CodeableConcept with codings", "codeableConcept")
    if len(given) > MAX_CODINGS:
        raise FhirError(403, "too-costly", f"at most {MAX_CODINGS} codings at a time", "codeableConcept")
    return [coding(one, "codeableConcept") for one in given]


def _single(values: Values, coded: str, code: str, system: str | None) -> Resource:
    """A Coding, or a code with the system given beside it."""
    if coded in values and code in values:
        raise FhirError(400, "invalid", f"send one of {code} and {coded}", coded)
    if coded in values:
        return coding(single(values, coded), coded)
    return {"code": required(values, code), **({"system": system} if system else {})}


def _dependency(parts: Any) -> tuple[str, frozenset[str]]:
    """element -> codes of its value, of a `dependency` parameter."""
    given = dict(of_resource({"resourceType": "Parameters", "parameter": parts}))
    if not isinstance(given.get("element"), str):
        raise FhirError(400, "invalid", "must have parts element and concept", "dependency")
    return given["element"], frozenset(one["code"] for one in _codings(given.get("concept")))


def _versioned(url: str | None, version: str | None) -> str | None:
    return f"{url}|{version}" if url and version and "|" not in url else url


async def _answer(work: Callable[..., Resource], *given: Any) -> Response:
    """Worked out beside the event loop: a large value set takes a while."""
    return fhir_response(write(await asyncio.to_thread(work, *given)))
