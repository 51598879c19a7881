"""Reading a request: body within bounds, headers of FHIR's HTTP binding (R4 http.html)."""

from starlette.requests import Request

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import ID_PATTERN
from fhir_server.record.criteria import pairs_of
from fhir_server.record.patching import JSON_PATCH

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json"})
PATCH_TYPES = frozenset({JSON_PATCH, "application/fhir+json"})
FORM = "application/x-www-form-urlencoded"
KNOWN_TYPES = frozenset(RESOURCE_TYPES)


async def body(request: Request, limit: int) -> bytes:
    """The whole body; 413 as soon as it is known to be larger than `limit` bytes, whatever the headers say."""
    if int(request.headers.get("content-length") or 0) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def json_body(request: Request, limit: int) -> bytes:
    """A JSON body; 415 for any other content type."""
    _require_type(request, JSON_TYPES)
    return await body(request, limit)


async def patch_body(request: Request, limit: int) -> tuple[str, bytes]:
    """A patch with its content type; 415 for one that is no format of patches (http.html#patch)."""
    kind = _require_type(request, PATCH_TYPES)
    return kind, await body(request, limit)


async def form_pairs(request: Request, limit: int) -> list[tuple[str, str]]:
    """The name-value pairs of a POSTed search, after those of its URL (search.html#get-post)."""
    _require_type(request, frozenset({FORM}))
    return [*query_pairs(request), *pairs_of(_ascii(await body(request, limit)))]


def query_pairs(request: Request) -> list[tuple[str, str]]:
    """The parameters of the URL, without `_format`, which changes nothing here: JSON is the only format."""
    pairs = pairs_of(_ascii(request.scope["query_string"]))
    return [(name, value) for name, value in pairs if name != "_format" or _is_json(value)]


def _ascii(query: bytes) -> str:
    if query.isascii():
        return query.decode()
    raise FhirError(400, "invalid", "the query is not percent-encoded")


def _is_json(value: str) -> bool:
    """False for a JSON `_format`, so that it is dropped; any other format is refused."""
    if "json" in value:
        return False
    raise FhirError(406, "not-supported", "only application/fhir+json is offered")


def resource_type(request: Request) -> str:
    """The type in the path; 404 for what R4 does not define."""
    name: str = request.path_params["type"]
    if name not in KNOWN_TYPES:
        raise FhirError(404, "not-supported", "R4 4.0.1 defines no such resource type")
    return name


def resource_id(request: Request) -> str:
    """The id in the path; nothing can have an id that is none, so that is a 404."""
    text: str = request.path_params["id"]
    if not ID_PATTERN.fullmatch(text):
        raise FhirError(404, "not-found", "ids are 1 to 64 letters, digits, '-' and '.'")
    return text


def lenient(request: Request) -> bool:
    """Whether unknown search parameters are to be ignored (search.html#errors)."""
    return "handling=lenient" in request.headers.get("prefer", "").replace(" ", "")


def _require_type(request: Request, accepted: frozenset[str]) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in accepted:
        raise FhirError(415, "not-supported", f"Content-Type must be {' or '.join(sorted(accepted))}")
    return kind


def _too_large(limit: int) -> FhirError:
    return FhirError(413, "too-long", f"the body is larger than {limit} bytes; send it in parts")
