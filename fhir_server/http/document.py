"""Composition/$document (R4 composition-operation-document.html, documents.html)."""

from collections.abc import Sequence
from hashlib import sha256

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.bundles import entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.parameters import Values, flag, parameters, required, text
from fhir_server.http.read import version_headers
from fhir_server.http.requests import resource_id
from fhir_server.http.service import Service
from fhir_server.http.write import location
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import stored_name
from fhir_server.r4.references import literal
from fhir_server.record import document as gathering

PARAMETERS = ("id", "persist", "graph")


async def document(service: Service, caller: Caller, request: Request) -> Response:
    """The document; with `persist`, as it is stored. Its identifier is the same as long as its content is."""
    values = await parameters(request, PARAMETERS)
    persist = flag(values, "persist")
    if persist and request.method != "POST":
        raise FhirError(400, "not-supported", "persist=true changes what is stored: send it by POST", "persist")
    known = _known(service, request, values)
    parts = await gathering.document(service.record, caller, known, service.base_url, text(values, "graph"))
    made = _bundle(service, parts.bodies)
    if not persist:
        return fhir_response(made)
    written = await gathering.keep(service.record, caller, made, parts.labels, service.base_url)
    headers = version_headers(written.version, written.updated) | {"Location": location(service, written)}
    return fhir_response(written.body or b"", headers=headers)


def _known(service: Service, request: Request, values: Values) -> str:
    """The id in the path, or that which the parameter says."""
    if "id" not in request.path_params:
        return _id(service, required(values, "id"))
    known = resource_id(request)
    if "id" in values and _id(service, required(values, "id")) != known:
        raise FhirError(400, "invalid", "is another than that of the path: leave one out", "id")
    return known


def _id(service: Service, given: str) -> str:
    """The id parameter: an id, or a url of a Composition here."""
    target = literal(given.removeprefix(f"{service.base_url}/").removeprefix("/"))
    if "/" not in given:
        target = literal(f"Composition/{given}")
    if target is None or target[0] != "Composition" or "/_history/" in given:
        raise FhirError(400, "invalid", "must be the id of a Composition here, without a version", "id")
    return target[1]


def _bundle(service: Service, found: Sequence[bytes]) -> bytes:
    told = {
        "resourceType": "Bundle",
        "identifier": {"system": f"{service.base_url}/Bundle", "value": sha256(b"\n".join(found)).hexdigest()},
        "type": "document",
        "timestamp": instant(service.record.clock()),
    }
    made = b",".join(entry(one, fullUrl=f"{service.base_url}/{stored_name(one).decode()}") for one in found)  # bdl-8
    return orjson.dumps(told)[:-1] + b',"entry":[' + made + b"]}"
