"""Telemedicine over HTTP: its FHIR operations, its rounds, its calls; composed over the open exchange."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Literal

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from consent.caller import Caller
from exchange.opening import Opened
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.operations import MAX_PARAMETERS, Operation
from fhir_server.http.outcomes import fhir_response, outcome
from fhir_server.http.requests import json_body, query_pairs, resource_id
from fhir_server.http.search import entries
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from telemedicine import operations, parameters, rounds
from telemedicine.closing import close
from telemedicine.parameters import Values
from telemedicine.roster import roster
from telemedicine.service import Telemedicine

IHE = "https://profiles.ihe.net/ITI/Scheduling/OperationDefinition/appointment-"
Handler = Callable[[Telemedicine, Service, Caller, Request], Awaitable[Response]]


def telemedicine_of(exchange: Opened) -> Telemedicine:
    """Telemedicine over an open exchange."""
    record, settings = exchange.record, exchange.settings
    return Telemedicine(record, roster(record), settings.hold_minutes * 60_000)


def fhir_operations(telemedicine: Telemedicine) -> tuple[Operation, ...]:
    """The operations of IHE ITI Scheduling, and $close."""
    return tuple(
        Operation(name, level, "Appointment", method, partial(handler, telemedicine), definition)
        for name, level, method, handler, definition in OPERATIONS
    )


async def run_round(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    """POST /telemedicine/rounds"""
    return JSONResponse(asdict(await rounds.run(telemedicine, caller)))


async def _find(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    total, proposals = await operations.propose(telemedicine, caller, await _values(request, parameters.FIND))
    found = [entry(orjson.dumps(one), fullUrl=f"{service.base_url}/Appointment/{one['id']}", search=MATCH) for one in proposals]
    return fhir_response(bundle("searchset", found, total=total))


async def _hold(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    values = await _values(request, parameters.HOLD)
    return await _answer(service, operations.hold(telemedicine, caller, values))


async def _book(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    values = await _values(request, parameters.BOOK)
    return await _answer(service, operations.book(telemedicine, caller, values))


async def _close(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    opinion = parameters.text(await _values(request, ("opinion",)), "opinion")
    written = await close(telemedicine, caller, resource_id(request), opinion)
    return fhir_response(_bundle(service, written))


async def _answer(service: Service, done: Awaitable[bytes]) -> Response:
    """One Appointment in a Bundle; what cannot be had is an OperationOutcome in a Bundle (ITI-117, Message Semantics)."""
    try:
        return fhir_response(_bundle(service, [await done]))
    except FhirError as error:
        if error.status != 409:
            raise
        told = entry(orjson.dumps(outcome(error)), search={"mode": "outcome"})
        return fhir_response(bundle("searchset", [told], total=0), 409)


def _bundle(service: Service, written: Iterable[bytes]) -> bytes:
    found = list(written)
    return bundle("searchset", entries(service, found, "match"), total=len(found))


async def _values(request: Request, known: tuple[str, ...]) -> Values:
    if request.method == "GET":
        return parameters.of_query(query_pairs(request), known)
    return parameters.of_resource(read(await json_body(request, MAX_PARAMETERS)), known)


MATCH = {"mode": "match"}
OPERATIONS: tuple[tuple[str, Literal["instance", "type"], Literal["GET", "POST"], Handler, str], ...] = (
    ("find", "type", "POST", _find, f"{IHE}find"),
    ("find", "type", "GET", _find, f"{IHE}find"),
    ("hold", "type", "POST", _hold, f"{IHE}hold"),
    ("book", "type", "POST", _book, f"{IHE}book"),
    ("close", "instance", "POST", _close, "urn:hie:operation:close"),
)
