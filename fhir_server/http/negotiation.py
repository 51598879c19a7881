"""How an answer is presented: JSON by `Accept` or `_format` (R4 http.html#mime-type), `_pretty` (http.html#parameters)."""

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.aside import aside
from fhir_server.http.binary import is_content_asked
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import OTHER_VERSION, header, raw_pairs
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import pretty

PRETTY_LIMIT = 1024 * 1024  # bytes; beyond, nobody reads it, and indenting would hold up the others


def require_json(request: Request) -> None:
    """406 where the caller takes no JSON. `_format` wins over Accept; a '+' that was not encoded arrives as a space."""
    if is_content_asked(request):
        return
    accept = header(request, b"accept")
    if b"_format=" in request.scope["query_string"]:
        accept = next((value for name, value in raw_pairs(request) if name == "_format"), accept)
    if accept and not any(_is_offered(kind) for kind in accept.split(",")):
        raise FhirError(406, "not-supported", "only application/fhir+json is offered, of FHIR 4.0")


def _is_offered(kind: str) -> bool:
    return ("json" in kind or "*" in kind) and not OTHER_VERSION.search(kind)


async def presented(request: Request, answer: Response) -> Response:
    """The answer as it was asked for: indented where `_pretty=true`."""
    is_asked = b"_pretty=true" in request.scope["query_string"]
    body = bytes(getattr(answer, "body", b""))  # a streamed answer has none
    if not is_asked or not body or len(body) > PRETTY_LIMIT:
        return answer
    headers = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    return fhir_response(await aside(len(body), pretty, body), answer.status_code, headers)
