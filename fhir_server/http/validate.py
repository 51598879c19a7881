"""$validate (R4 resource-operation-validate.html): 200 with an OperationOutcome, whether the resource is valid or not."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.outcomes import fhir_response, outcome_of
from fhir_server.http.parameters import Values, gathered, of_resource, single, text, texts
from fhir_server.http.requests import json_body, parsed, query_pairs, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError, Issue
from fhir_server.record.validating import INSTANCE_MODES, problems

MODES = ("", "create", *INSTANCE_MODES)
GOOD = Issue("informational", "no problem was found", severity="information")


async def validate(service: Service, caller: Caller, request: Request) -> Response:
    kind = resource_type(request)
    known = resource_id(request) if "id" in request.path_params else None
    values = _values(request, await parsed(await json_body(request, service.max_body)))
    mode = _mode(values, known)
    resource = single(values, "resource")
    if mode != "delete" and not isinstance(resource, dict):
        raise FhirError(400, "required", "send the resource, itself or as the parameter 'resource'", "resource")
    issues = await problems(service.record, caller, kind, known, resource, mode, texts(values, "profile"))
    return fhir_response(orjson.dumps(outcome_of(issues or [GOOD])))


def _values(request: Request, posted: dict[str, Any]) -> Values:
    """The body is the resource, or Parameters with it; a Parameters resource is validated as the parameter 'resource'."""
    wrapped = posted.get("resourceType") == "Parameters"
    pairs = of_resource(posted) if wrapped else [("resource", posted)]
    return gathered([*query_pairs(request), *pairs], ("resource", "mode", "profile"))


def _mode(values: Values, known: str | None) -> str:
    mode = text(values, "mode") or ""
    if mode not in MODES:
        raise FhirError(400, "not-supported", "modes are create, update and delete", "mode")
    if mode in INSTANCE_MODES and known is None:
        raise FhirError(400, "invalid", "update and delete are validated at TYPE/ID/$validate", "mode")
    return mode
