"""Reading a request: body within bounds, headers of FHIR's HTTP binding (R4 http.html)."""

import re
import zlib
from typing import Any, Literal

from starlette.requests import HTTPConnection, Request

from fhir_server.aside import LARGE, aside
from fhir_server.r4.definitions import KNOWN_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.r4.references import ID_PATTERN
from fhir_server.record.criteria import pairs_of
from fhir_server.record.patching import JSON_PATCH

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json"})
PATCH_TYPES = frozenset({JSON_PATCH, "application/fhir+json"})
PRESENTATION = frozenset({"_format", "_pretty"})
HARMLESS = frozenset({"_totalMethod", "_"})
"""What known clients add that changes no answer of ours: fhirpy counts with _totalMethod; `_` keeps browsers from caching."""
DEFAULTS = frozenset({("_summary", "false")})
"""What may stand in any request and says what is so anyway (http.html#parameters): HAPI's client has it as a setting."""
CODINGS = {"": 0, "identity": 0, "gzip": 32, "x-gzip": 32}
"""Content codings of what is sent (RFC 9110 8.4) -> how much longer it may be than it looks; 0: it is as it looks."""
GZIP = 31  # zlib's name for the format
FORM = "application/x-www-form-urlencoded"
MAX_FORM = 64 * 1024
COMING = "hie.body-is-coming"  # in the scope of a request, as are these
ROOM, TAKEN = "hie.room", "hie.room-taken"
Return = Literal["minimal", "representation", "OperationOutcome"]
RETURNS: dict[str, Return] = {
    "minimal": "minimal",
    "representation": "representation",
    "operationoutcome": "OperationOutcome",
}
OTHER_VERSION = re.compile(r'fhirversion="?(?!4\.0)', re.IGNORECASE)
"""The parameter of a media type that says which FHIR it is, where it is not R4 (http.html#version-parameter)."""


def header(request: HTTPConnection, name: bytes) -> str:
    """A header by its lower-case name, "" where it is not sent: each request asks, and Starlette's look-up raises to say no."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    return next((value.decode("latin-1") for known, value in headers if known == name), "")


async def body(request: Request, limit: int) -> bytes:
    """The whole body, unpacked; 413 where it is larger than `limit` bytes, packed or unpacked, and 415 for other codings."""
    coding = header(request, b"content-encoding").strip().lower()
    if coding not in CODINGS:
        raise FhirError(415, "not-supported", "Content-Encoding may be gzip, or is left out")
    sent = await _sent(request, limit)
    if not CODINGS[coding]:
        await _take_room(request, len(sent))
        return sent
    for most in dict.fromkeys((min(len(sent) * CODINGS[coding], limit), limit)):  # few need as much as all that is allowed
        await _take_room(request, most)
        unpacked = await aside(most, _unpacked, sent, most)
        if len(unpacked) <= most:
            _need_no_more(request, len(unpacked))
            return unpacked
    raise _too_large(limit)


async def _take_room(request: Request, size: int) -> None:
    """For a large one, until it is answered. An entry of a Bundle is in the room of the Bundle."""
    if size > LARGE and ROOM in request.scope:
        request.scope[ROOM].give(request.scope.pop(TAKEN, 0))
        request.scope[TAKEN] = await request.scope[ROOM].take(size)


def _need_no_more(request: Request, size: int) -> None:
    """Of what was taken for all that it might have become."""
    if (left := request.scope.get(TAKEN, 0) - size) > 0:
        request.scope[ROOM].give(left)
        request.scope[TAKEN] = size


def _unpacked(data: bytes, most: int) -> bytes:
    """Of gzip, of one member: no more than one byte more than `most`, which tells that it is larger."""
    unpacker = zlib.decompressobj(GZIP)
    try:
        made = unpacker.decompress(data, most + 1)
    except zlib.error:
        raise FhirError(400, "structure", "the body is no gzip, as Content-Encoding says") from None
    if len(made) <= most and (not unpacker.eof or unpacker.unused_data):
        raise FhirError(400, "structure", "the body is more or less than one member of gzip")
    return made


async def _sent(request: Request, limit: int) -> bytes:
    """The bytes as they come; 413 as soon as it is known that they are too many, whatever the headers say."""
    if int(request.headers.get("content-length") or 0) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    request.scope[COMING] = True
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    request.scope[COMING] = False
    return b"".join(chunks)


async def json_body(request: Request, limit: int) -> bytes:
    """A JSON body; 415 for any other content type."""
    require_type(request, JSON_TYPES)
    return await body(request, limit)


async def parsed(data: bytes) -> dict[str, Any]:
    """A resource that was sent, as `r4.json.read` reads it."""
    return await aside(len(data), read, data)


async def patch_body(request: Request, limit: int) -> tuple[str, bytes]:
    """A patch with its content type; 415 for one that is no format of patches (http.html#patch)."""
    kind = require_type(request, PATCH_TYPES)
    return kind, await body(request, limit)


async def form_pairs(request: Request) -> list[tuple[str, str]]:
    """The name-value pairs of a POSTed search, after those of its URL (search.html#get-post)."""
    require_type(request, frozenset({FORM}))
    return [*query_pairs(request), *_searching(pairs_of(_ascii(await body(request, MAX_FORM))))]


def query_pairs(request: Request) -> list[tuple[str, str]]:
    """The parameters of the URL, without those that only say how the answer looks (negotiation.py), and harmless ones."""
    return _searching(raw_pairs(request))


def if_none_exist(request: Request) -> str:
    """The criteria of a conditional create (http.html#ccreate), as a URL has them."""
    return _ascii(header(request, b"if-none-exist").encode("latin-1"))


def raw_pairs(request: Request) -> list[tuple[str, str]]:
    """All parameters of the URL."""
    return pairs_of(_ascii(request.scope["query_string"]))


def _searching(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] not in PRESENTATION and pair[0] not in HARMLESS and pair not in DEFAULTS]


def _ascii(query: bytes) -> str:
    if query.isascii():
        return query.decode()
    raise FhirError(400, "invalid", "the query is not percent-encoded")


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
    return preference(request, "handling") == "lenient"


def returned(request: Request, default: Return) -> Return:
    """What a write answers with (http.html#ops); a value that is none of FHIR's is passed over (RFC 7240 2)."""
    return RETURNS.get(preference(request, "return"), default)


def preference(request: Request, name: str) -> str:
    """The value of a preference, in lower case, "" where it is not stated; of several the first counts (RFC 7240 2)."""
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    stated = (value.decode("latin-1") for known, value in headers if known == b"prefer")
    for one in (part.partition(";")[0] for text in stated for part in text.split(",")):
        known, _, value = one.partition("=")
        if known.strip().lower() == name:
            return value.strip().strip('"').strip().lower()
    return ""


def require_type(request: Request, accepted: frozenset[str]) -> str:
    """The content type; 415 for one that is not accepted."""
    sent = request.headers.get("content-type", "")
    kind = sent.partition(";")[0].strip().lower()
    if kind not in accepted:
        raise FhirError(415, "not-supported", f"Content-Type must be {' or '.join(sorted(accepted))}")
    if OTHER_VERSION.search(sent):
        raise FhirError(415, "not-supported", "FHIR 4.0 is taken; leave out fhirVersion, or say 4.0")
    return kind


def _too_large(limit: int) -> FhirError:
    return FhirError(413, "too-long", f"the body is larger than {limit} bytes; send it in parts")
