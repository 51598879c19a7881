"""read and vread (R4 http.html#read, #vread)."""

from email.utils import formatdate

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.record import reading
from fhir_server.record.reading import Stored


async def read(service: Service, caller: Caller, request: Request) -> Response:
    return _answer(await reading.read(service.record, caller, resource_type(request), resource_id(request)))


async def vread(service: Service, caller: Caller, request: Request) -> Response:
    text = request.path_params["version"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FhirError(404, "not-found", "versions are whole numbers")
    kind, known = resource_type(request), resource_id(request)
    return _answer(await reading.vread(service.record, caller, kind, known, int(text)))


def version_headers(version: int, updated: int) -> dict[str, str]:
    """ETag and Last-Modified of one version; `updated` in ms."""
    return {"ETag": f'W/"{version}"', "Last-Modified": formatdate(updated / 1000, usegmt=True)}


def _answer(stored: Stored) -> Response:
    assert stored.body is not None
    return fhir_response(stored.body, headers=version_headers(stored.version, stored.updated))
