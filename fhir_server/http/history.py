"""Instance history (R4 http.html#history): every version the caller may see, newest first."""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import fhir_response
from fhir_server.http.requests import query_pairs, resource_id, resource_type
from fhir_server.http.service import Service
from fhir_server.r4.errors import FhirError
from fhir_server.record import reading
from fhir_server.record.reading import Stored


async def history(service: Service, caller: Caller, request: Request) -> Response:
    if query_pairs(request):
        raise FhirError(400, "not-supported", "history takes no parameters here; all versions come in one Bundle")
    target = f"{resource_type(request)}/{resource_id(request)}"
    versions = await reading.history(service.record, caller, resource_type(request), resource_id(request))
    url = f"{service.base_url}/{target}"
    links = [{"relation": "self", "url": f"{url}/_history"}]
    entries = (_entry(url, target, stored, stored is versions[-1]) for stored in versions)
    return fhir_response(bundle("history", entries, links, len(versions)))


def _entry(url: str, target: str, stored: Stored, first: bool) -> bytes:
    method = "DELETE" if stored.body is None else "PUT" if stored.version > 1 or not first else "POST"
    status = {"DELETE": "204", "PUT": "200", "POST": "201"}[method]
    moment = datetime.fromtimestamp(stored.updated / 1000, UTC).isoformat(timespec="milliseconds")
    return entry(
        stored.body,
        fullUrl=url,
        request={"method": method, "url": target if method != "POST" else target.partition("/")[0]},
        response={"status": status, "etag": f'W/"{stored.version}"', "lastModified": moment},
    )
