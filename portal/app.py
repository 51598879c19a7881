"""The portal's application: its routes, and an envelope about every answer, whoever gives it."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fhir_server.r4.errors import FhirError
from portal import accesses, appointments, binding, consents, documents, experts, login, reports, timeline
from portal.envelope import Envelope, Fields, refusal
from portal.errors import STATUSES, PortalError, of_record
from portal.frame import Frame
from portal.service import Portal

ROUTERS = (login, binding, timeline, reports, documents, consents, accesses, experts, appointments)
ALWAYS: dict[int | str, dict[str, Any]] = {
    400: {"model": Envelope[None], "description": "Not a request that can be read, or a cursor that is not yours"},
    413: {"model": Envelope[None], "description": "The body is larger than 16 KB"},
    422: {
        "model": Envelope[Fields],
        "description": "A field is missing, unknown or not as described; `data.fields` names them",
    },
    500: {"model": Envelope[None], "description": "Something went wrong here; tell us the traceId"},
}


def create_portal(portal: Portal) -> FastAPI:
    """The application, to be mounted under /portal/patient."""
    app = FastAPI(
        title="Patient portal",
        version="1",
        description="What a patients' mini-program talks to. docs/portal.md tells the flow.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=ALWAYS,
        exception_handlers={
            PortalError: _refused,
            FhirError: _refused_by_record,
            RequestValidationError: _invalid,
            HTTPException: _not_served,
        },
    )
    app.state.portal = portal
    for room in ROUTERS:
        app.include_router(room.router)
    app.add_middleware(Frame, portal=portal)
    return app


async def _refused(request: Request, error: Any) -> Response:
    return refusal(request.state.texts, request.state.trace, error)


async def _refused_by_record(request: Request, error: Any) -> Response:
    return await _refused(request, of_record(error))


async def _invalid(request: Request, error: Any) -> Response:
    """Which fields; never their values, which FastAPI would quote."""
    fields = sorted({".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]) for one in error.errors()})
    return await _refused(request, PortalError(422, "invalid", {"fields": fields}))


async def _not_served(request: Request, error: Any) -> Response:
    """No such path or method, or a body that is no JSON."""
    return await _refused(request, PortalError(error.status_code, STATUSES.get(error.status_code, "bad-request")))
