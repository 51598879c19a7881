"""Operations (R4 operations.html) as data: one entry gives the route and the line in the CapabilityStatement."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http import document, everything, meta, observations, terminology
from fhir_server.http.audit_events import audit_event
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import parameters, require_none, required, text
from fhir_server.http.reindex import reindex, reindex_status
from fhir_server.http.requests import resource_id
from fhir_server.http.service import Handler, Service
from fhir_server.http.validate import validate
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal
from fhir_server.record import access_log, binding, erasing, links
from fhir_server.record.glass import break_glass

MAX_PARAMETERS = 64 * 1024
EVERY_TYPE = "Resource"

Level = Literal["instance", "type", "system"]
Method = Literal["GET", "POST"]
LEVELS: tuple[Level, ...] = ("type", "instance")
METHODS: tuple[Method, ...] = ("GET", "POST")


@dataclass(frozen=True, slots=True)
class Operation:
    """`definition` is the canonical of R4's own operations; ours are described in docs/operations.md.

    Of `resource_type` EVERY_TYPE is what each type has. `takes` names the parameters that may stand in a URL, for the OpenAPI.
    """

    name: str
    level: Level
    resource_type: str
    method: Method
    handler: Handler
    definition: str
    takes: Sequence[str] = ()


async def _break_glass(service: Service, caller: Caller, request: Request) -> Response:
    reason = required(await parameters(request, ("reason",), MAX_PARAMETERS), "reason")
    until = await break_glass(service.record, caller, resource_id(request), reason)
    answer = {"resourceType": "Parameters", "parameter": [{"name": "until", "valueInstant": instant(until)}]}
    return fhir_response(orjson.dumps(answer))


async def _erase(service: Service, caller: Caller, request: Request) -> Response:
    """Without a confirmation: what would go, and the confirmation. With one: it goes (202)."""
    values = await parameters(request, ("confirmation", "reason"), MAX_PARAMETERS)
    known, confirmation = resource_id(request), text(values, "confirmation")
    if confirmation is not None:
        await erasing.erase(service.record, caller, known, confirmation, required(values, "reason"))
        return Response(None, 202)
    found, patients, token = await erasing.foresee(service.record, caller, known)
    counts = {"patients": patients, "resources": found.own, "shared": found.shared, "named-elsewhere": found.named}
    counts["messages"] = found.messages
    told: list[dict[str, Any]] = [{"name": name, "valueInteger": count} for name, count in counts.items()]
    told.append({"name": "confirmation", "valueString": token})
    return fhir_response(orjson.dumps({"resourceType": "Parameters", "parameter": told}))


async def _access_log(service: Service, caller: Caller, request: Request) -> Response:
    require_none(request)
    return _log(await access_log.of_patient(service.record, caller, resource_id(request)))


async def _broken_glass(service: Service, caller: Caller, request: Request) -> Response:
    require_none(request)
    return _log(await access_log.of_broken_glass(service.record, caller))


async def _link(service: Service, caller: Caller, request: Request) -> Response:
    target = literal(required(await parameters(request, ("other",), MAX_PARAMETERS), "other"))
    if target is None or target[0] != "Patient":
        raise FhirError(400, "invalid", "name the other Patient as Patient/ID", "Parameters.parameter[0]")
    await links.link(service.record, caller, resource_id(request), target[1])
    return Response(None, 204)


async def _unlink(service: Service, caller: Caller, request: Request) -> Response:
    require_none(request)
    await links.unlink(service.record, caller, resource_id(request))
    return Response(None, 204)


async def _unbind(service: Service, caller: Caller, request: Request) -> Response:
    require_none(request)
    await binding.release(service.record, caller, resource_id(request))
    return Response(None, 204)


async def _reviews(service: Service, caller: Caller, request: Request) -> Response:
    require_none(request)
    open_ones = await links.reviews(service.record, caller)
    told = [{"name": "review", "part": _review(one)} for one in open_ones]
    return fhir_response(orjson.dumps({"resourceType": "Parameters", **({"parameter": told} if told else {})}))


def official(
    resource_type: str,
    name: str,
    handler: Handler,
    levels: Sequence[Level] = LEVELS,
    methods: Sequence[Method] = METHODS,
    takes: Sequence[str] = (),
) -> Iterator[Operation]:
    """One of R4's own, at these levels and by these methods."""
    definition = f"http://hl7.org/fhir/OperationDefinition/{resource_type}-{name}"
    for level, method in product(levels, methods):
        yield Operation(name, level, resource_type, method, handler, definition, takes)


OPERATIONS = (
    *official("Patient", "everything", everything.of_patient, ("instance",), takes=everything.OF_PATIENT),
    *official("Encounter", "everything", everything.of_encounter, ("instance",), takes=everything.OF_ENCOUNTER),
    *official("ValueSet", "expand", terminology.expand, takes=terminology.EXPAND),
    *official("ValueSet", "validate-code", terminology.validate_in_value_set, takes=terminology.IN_VALUE_SET),
    *official("CodeSystem", "lookup", terminology.lookup, ("type",), takes=terminology.LOOKUP),
    *official("CodeSystem", "validate-code", terminology.validate_in_system, takes=terminology.IN_SYSTEM),
    *official("CodeSystem", "subsumes", terminology.subsumes, takes=terminology.SUBSUMES),
    *official("ConceptMap", "translate", terminology.translate, takes=terminology.TRANSLATE),
    *official(EVERY_TYPE, "validate", validate, methods=("POST",)),
    *official(EVERY_TYPE, "meta", meta.meta, ("instance",), ("GET",)),
    *official(EVERY_TYPE, "meta", meta.meta_in_use, ("type", "system"), ("GET",)),
    *official(EVERY_TYPE, "meta-add", meta.meta_add, ("instance",), ("POST",)),
    *official(EVERY_TYPE, "meta-delete", meta.meta_delete, ("instance",), ("POST",)),
    *official("Observation", "lastn", observations.lastn, ("type",), takes=observations.LASTN),
    *official("Observation", "stats", observations.stats, ("type",), takes=observations.STATS),
    *official("Composition", "document", document.document, takes=document.PARAMETERS),
    Operation("break-glass", "instance", "Patient", "POST", _break_glass, "urn:hie:operation:break-glass"),
    Operation("access-log", "instance", "Patient", "GET", _access_log, "urn:hie:operation:access-log"),
    Operation("broken-glass", "type", "Patient", "GET", _broken_glass, "urn:hie:operation:broken-glass"),
    Operation("link", "instance", "Patient", "POST", _link, "urn:hie:operation:link"),
    Operation("unlink", "instance", "Patient", "POST", _unlink, "urn:hie:operation:unlink"),
    Operation("unbind", "instance", "Patient", "POST", _unbind, "urn:hie:operation:unbind"),
    Operation("erase", "instance", "Patient", "POST", _erase, "urn:hie:operation:erase"),
    Operation("reindex", "type", "SearchParameter", "GET", reindex_status, "urn:hie:operation:reindex"),
    Operation("reindex", "type", "SearchParameter", "POST", reindex, "urn:hie:operation:reindex"),
    Operation("reviews", "type", "Patient", "GET", _reviews, "urn:hie:operation:reviews"),
)


def _log(accesses: list[dict[str, Any]]) -> Response:
    events = (entry(orjson.dumps(audit_event(one)), search={"mode": "match"}) for one in accesses)
    return fhir_response(bundle("searchset", events, total=len(accesses)))


def _review(one: dict[str, Any]) -> list[dict[str, Any]]:
    patients = [{"name": "patient", "valueReference": {"reference": patient}} for patient in one["patients"]]
    return [{"name": "reason", "valueString": one["reason"]}, {"name": "since", "valueInstant": instant(one["at"])}, *patients]
