"""Telemedicine over HTTP and WebSocket: its FHIR operations, its rounds, its calls; composed over the open exchange."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from consent.caller import Caller
from exchange.opening import Opened
from exchange.settings import Settings
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.operations import MAX_PARAMETERS, Operation
from fhir_server.http.outcomes import fhir_response, outcome
from fhir_server.http.parameters import parameters
from fhir_server.http.requests import resource_id
from fhir_server.http.search import entries
from fhir_server.http.service import Service, bearer, endpoint
from fhir_server.r4.errors import FhirError
from fhir_server.store.signals import Crowded, Signals
from telemedicine import operations, rounds
from telemedicine.calls import Turn, admitted, ice_servers
from telemedicine.closing import close
from telemedicine.parameters import BOOK, FIND, HOLD, text
from telemedicine.roster import roster
from telemedicine.service import Telemedicine
from telemedicine.signalling import signal

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


def routes(telemedicine: Telemedicine, service: Service, exchange: Opened) -> list[BaseRoute]:
    """What is not FHIR: rounds, and the calls of Appointments."""
    calls = "/telemedicine/appointments/{id}"
    relay, turn = Signals(exchange.database, exchange.record.codec), _turn(exchange.settings)
    return [
        Route("/telemedicine/rounds", endpoint(service, partial(_run_round, telemedicine)), methods=["POST"]),
        Route(f"{calls}/turn", endpoint(service, partial(_ice_servers, telemedicine, turn)), methods=["GET"]),
        Route("/telemedicine/openapi.json", _openapi, methods=["GET"]),
        WebSocketRoute(f"{calls}/signal", partial(_signal, telemedicine, service, relay)),
    ]


def _turn(settings: Settings) -> Turn | None:
    if settings.turn_secret is None or settings.turn_urls is None:
        return None
    return Turn(settings.turn_secret.encode(), tuple(one.strip() for one in settings.turn_urls.split(",")))


async def _openapi(request: Request) -> Response:
    """What these routes are, for whoever asks."""
    return Response(OPENAPI.read_bytes(), media_type="application/json")


async def _ice_servers(
    telemedicine: Telemedicine, turn: Turn | None, service: Service, caller: Caller, request: Request
) -> Response:
    """Short-lived TURN credentials for a party of this appointment."""
    known = resource_id(request)
    own = await admitted(telemedicine, caller, "operation-turn", known)
    if turn is None:
        raise FhirError(404, "not-supported", "this region has no TURN server; connect directly")
    user = telemedicine.record.codec.identity(f"turn/{own}/{known}").hex()
    return JSONResponse(ice_servers(turn, user, telemedicine.record.clock()))


async def _signal(telemedicine: Telemedicine, service: Service, relay: Signals, socket: WebSocket) -> None:
    """The signalling of a call; refused before it is accepted, with a 403 that is the same for every id."""
    offered = [one.strip() for one in socket.headers.get("sec-websocket-protocol", "").split(",")]
    try:
        caller = service.authenticate(_token(socket, offered))
        own = await admitted(telemedicine, caller, "operation-signal", socket.path_params["id"])
    except FhirError:
        await socket.close()
        return
    subprotocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
    try:
        await signal(telemedicine, relay, caller, own, socket.path_params["id"], socket, subprotocol)
    except Crowded:  # which is known before it is accepted
        await socket.close()


def _token(socket: WebSocket, offered: list[str]) -> str:
    """The token of the Authorization header or, from a browser, which cannot set one, of the subprotocol `bearer.TOKEN`."""
    hidden = next((one.removeprefix(BEARER) for one in offered if one.startswith(BEARER)), None)
    return hidden or bearer(socket)


async def _run_round(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    """One pairing round, now."""
    return JSONResponse(asdict(await rounds.run(telemedicine, caller)))


async def _find(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    total, proposals = await operations.propose(telemedicine, caller, await parameters(request, FIND, MAX_PARAMETERS))
    found = [entry(orjson.dumps(one), fullUrl=f"{service.base_url}/Appointment/{one['id']}", search=MATCH) for one in proposals]
    return fhir_response(bundle("searchset", found, total=total))


async def _hold(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    values = await parameters(request, HOLD, MAX_PARAMETERS)
    return await _answer(service, operations.hold(telemedicine, caller, values))


async def _book(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    values = await parameters(request, BOOK, MAX_PARAMETERS)
    return await _answer(service, operations.book(telemedicine, caller, values))


async def _close(telemedicine: Telemedicine, service: Service, caller: Caller, request: Request) -> Response:
    opinion = text(await parameters(request, ("opinion",), MAX_PARAMETERS), "opinion")
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


OPENAPI = Path(operations.__file__).parent / "openapi.json"
SUBPROTOCOL, BEARER = "hie.signal", "bearer."
MATCH = {"mode": "match"}
OPERATIONS: tuple[tuple[str, Literal["instance", "type"], Literal["GET", "POST"], Handler, str], ...] = (
    ("find", "type", "POST", _find, f"{IHE}find"),
    ("find", "type", "GET", _find, f"{IHE}find"),
    ("hold", "type", "POST", _hold, f"{IHE}hold"),
    ("book", "type", "POST", _book, f"{IHE}book"),
    ("close", "instance", "POST", _close, "urn:hie:operation:close"),
)
