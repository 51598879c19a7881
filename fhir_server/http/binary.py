"""Binary by its content (R4 binary.html, Serving Binary Resources using the RESTful API).

Whoever reads one and does not ask for FHIR gets what it holds; what is sent as anything but FHIR or JSON is what it is to hold.
"""

import re
from base64 import b64decode, b64encode
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.aside import aside
from fhir_server.http.outcomes import NO_STORE
from fhir_server.http.requests import JSON_TYPES, body, header
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read_stored

_READ = re.compile(r"(?:.*/)?Binary/[A-Za-z0-9.-]{1,64}(?:/_history/[0-9]+)?")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?: ?;[ -~]*[!-~])?", re.ASCII)
_UNKNOWN = "application/octet-stream"
SECURITY_CONTEXT = "X-Security-Context"
"""The header that tells whom, or which resource, the content is treated like: Binary.securityContext."""
_AS_DATA = {
    # Not as a page of ours: what somebody stored as HTML would run with the rights of who opens it.
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


def is_content_asked(request: Request) -> bool:
    """Whether a read asks for what a Binary holds; how FHIR is to look (`_format`, `_summary`) is asked of FHIR."""
    scope = request.scope
    if not _READ.fullmatch(scope["path"]) or scope["method"] not in ("GET", "HEAD") or scope["query_string"]:
        return False
    accept = header(request, b"accept").lower()
    return "json" not in accept and "fhir" not in accept


async def content(resource: bytes, headers: dict[str, str]) -> Response:
    """What the Binary holds, under the content type that it states."""
    binary = await aside(len(resource), read_stored, resource)
    kind, context = binary.get("contentType", ""), binary.get("securityContext", {}).get("reference", "")
    data = await aside(len(resource), b64decode, binary.get("data", ""))
    more = {SECURITY_CONTEXT: context} if context.isascii() and context.isprintable() and context else {}
    stated = kind if _MEDIA_TYPE.fullmatch(kind) else _UNKNOWN
    return Response(data, 200, NO_STORE | _AS_DATA | more | headers | {"Content-Type": stated})


async def sent(request: Request, limit: int) -> dict[str, Any] | None:
    """The Binary that a body of another type than JSON is; None where it is JSON, and FHIR. 415 without a type, and for XML
    of FHIR, which may be the resource itself."""
    stated = header(request, b"content-type").strip()
    kind = stated.partition(";")[0].strip().lower()
    if kind in JSON_TYPES:
        return None
    if not _MEDIA_TYPE.fullmatch(stated) or "fhir" in kind:
        raise FhirError(415, "not-supported", "Content-Type says what the content is; FHIR is taken as application/fhir+json")
    data = await body(request, limit)
    made: dict[str, Any] = {"resourceType": "Binary", "contentType": stated}
    if "id" in request.path_params:
        made["id"] = request.path_params["id"]
    if context := header(request, SECURITY_CONTEXT.lower().encode()):
        made["securityContext"] = {"reference": context}
    return made | ({"data": (await aside(len(data), b64encode, data)).decode()} if data else {})
