"""The ASGI application: FHIR API, token endpoint, patient portal, health; one FastAPI app over one open exchange."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange import clients
from exchange.consultations import fhir_operations, telemedicine_of
from exchange.consultations import routes as telemedicine_routes
from exchange.issuing import token_key
from exchange.opening import Opened
from exchange.passing import is_passing
from exchange.portal import PATH as PORTAL_PATH
from exchange.portal import portal_of
from fhir_server.http.oauth import smart_configuration, token_endpoint
from fhir_server.http.routes import api, described
from fhir_server.http.service import Service
from fhir_server.http.tokens import verifier
from fhir_server.store.assertions import remember

TOKEN_PATH = "/oauth2/token"
COMPRESSED_FROM, COMPRESSION = 1024, 5  # bytes; level of gzip
GZIP = re.compile(rb"gzip\s*(?:,|$|;(?!\s*q=0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)
"""Accept-Encoding of who takes it: a weight of 0 says no (RFC 9110 12.5.3)."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = ("ETag", "Location", "Content-Location", "Last-Modified", "Retry-After", "WWW-Authenticate")
log = logging.getLogger("hie.access")


def create_app(exchange: Opened, base_url: str) -> ASGIApp:
    """The application; `base_url` is the FHIR base as clients see it, http://host:port/fhir."""
    base_path = urlsplit(base_url).path
    token_url = base_url.removesuffix(base_path) + TOKEN_PATH
    settings, record = exchange.settings, exchange.record
    key = token_key(settings)
    verify = verifier(key)
    service = Service(
        record=record,
        authenticate=lambda token: verify(token, record.clock()),
        base_url=base_url,
        max_body=settings.max_body,
        is_unavailable=is_passing,
        answer_seconds=settings.answer_seconds,
    )
    registered = clients.load(settings.region)
    seen = remember(exchange.database, record.codec)
    telemedicine = telemedicine_of(exchange)
    app = FastAPI(title="hie", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.add_route(TOKEN_PATH, token_endpoint(registered, key, record.clock, seen, token_url, settings.token_lifetime), ["POST"])
    app.add_route(f"{base_path}/.well-known/smart-configuration", smart_configuration(token_url), ["GET"])
    app.add_route("/health", _health, ["GET"])
    app.add_route("/openapi.json", _openapi(described(base_url, fhir_operations(telemedicine))), ["GET"])
    app.router.routes.extend(telemedicine_routes(telemedicine, service, exchange))
    app.mount(PORTAL_PATH, portal_of(exchange, telemedicine))
    served = _split(base_path, api(service, base_path, token_url, fhir_operations(telemedicine)), app)
    packed = GZipMiddleware(served, COMPRESSED_FROM, COMPRESSION)
    whole, short = (_for_browsers(one, settings.cors_origins) for one in (served, packed))
    return AccessLog(_straight(served, whole, short))


def _for_browsers(served: ASGIApp, origins: str) -> ASGIApp:
    """CORS without credentials: what a page may do, it does with a token that it was given."""
    return CORSMiddleware(
        served,
        allow_origins=[origin.strip() for origin in origins.split(",")],
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=EXPOSED,
    )


def _straight(served: ASGIApp, whole: ASGIApp, short: ASGIApp) -> ASGIApp:
    """Past CORS (`whole`) and compression (`short`) for who has no use for them: a tenth of the time of a read. No cache keeps
    answers.

    Who hangs up in the middle of a request is not there to be answered, and that is no error of ours.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = served
        for name, value in scope.get("headers", ()):
            if name == b"accept-encoding" and GZIP.search(value):
                chosen = short
            elif name == b"origin" and chosen is served:
                chosen = whole
        with suppress(ClientDisconnect):
            await chosen(scope, receive, send)

    return application


def _split(base_path: str, fhir: ASGIApp, rest: ASGIApp) -> ASGIApp:
    """FHIR goes to the FHIR API; everything else, the SMART configuration under its base included, to FastAPI."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_fhir = scope["type"] == "http" and (path == base_path or path.startswith(f"{base_path}/"))
        await (fhir if is_fhir and "/.well-known/" not in path else rest)(scope, receive, send)

    return application


def _openapi(document: dict[str, Any]) -> Callable[[Request], Awaitable[Response]]:
    """What the FHIR API takes; like /metadata it says nothing of anybody."""
    written = orjson.dumps(document)

    async def respond(request: Request) -> Response:
        return Response(written, media_type="application/json")

    return respond


async def _health(request: Request) -> Response:
    """Alive; says nothing else to strangers."""
    return JSONResponse({"status": "ok"})


class AccessLog:
    """One line a request: method, first part of the path, status, time. Never all of it: ids and searches are a person's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            taken = (time.perf_counter() - began) * 1000
            log.info("%s /%s %d %.1f ms", scope["method"], scope["path"].split("/")[1], status, taken)
