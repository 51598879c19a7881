"""batch and transaction (R4 http.html#transaction): a Bundle POSTed to the base URL."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.outcomes import content_status, done, fhir_response, outcome
from fhir_server.http.requests import KNOWN_TYPES, Return, json_body, parsed, returned
from fhir_server.http.search import searchset
from fhir_server.http.service import Service
from fhir_server.http.write import location
from fhir_server.r4.errors import FhirError
from fhir_server.r4.validation import validate
from fhir_server.record import reading
from fhir_server.record.criteria import pairs_of
from fhir_server.record.entries import operation
from fhir_server.record.operations import Written
from fhir_server.record.writing import transact

AT_ONCE = 64


async def batch_or_transaction(service: Service, caller: Caller, request: Request) -> Response:
    posted = await parsed(await json_body(request, service.max_body))
    run = RUN.get(str(posted.get("type")))
    if posted.get("resourceType") != "Bundle" or run is None:
        raise FhirError(400, "invalid", "the base URL takes a Bundle of type batch or transaction", "Bundle.type")
    entries = posted.get("entry", [])
    _check_envelope(posted, entries)
    answers = await run(service, caller, entries, returned(request, "minimal"))
    return fhir_response(bundle(f"{posted['type']}-response", answers))


def _check_envelope(posted: dict[str, Any], entries: Any) -> None:
    """The Bundle without its resources, which are validated one by one where each is written."""
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise FhirError(400, "structure", "must be a list of objects", "Bundle.entry")
    bare = [{name: value for name, value in one.items() if name != "resource"} for one in entries]
    validate({**posted, "entry": bare} if bare else {name: value for name, value in posted.items() if name != "entry"})
    for number, one in enumerate(entries):
        if "request" not in one:
            raise FhirError(400, "required", "each entry needs a request", f"Bundle.entry[{number}].request")


async def _transaction(service: Service, caller: Caller, entries: list[dict[str, Any]], wanted: Return) -> list[bytes]:
    """All writes as one; then the reads, which see what was written (http.html#trules)."""
    operations = {}
    for number, one in enumerate(entries):
        if one["request"]["method"] != "GET":
            operations[number] = operation(number, one, service.base_url, service.record.new_id)
    written = await transact(service.record, caller, list(operations.values())) if operations else []
    answers = {number: _written(service, result, wanted) for number, result in zip(operations, written, strict=True)}
    for number, one in enumerate(entries):
        if number not in answers:
            answers[number] = await _single(service, caller, number, one, wanted)
    return [answers[number] for number in range(len(entries))]


async def _batch(service: Service, caller: Caller, entries: list[dict[str, Any]], wanted: Return) -> list[bytes]:
    """Each entry on its own; a failing one fails alone."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def run(number: int, one: dict[str, Any]) -> bytes:
        async with gate:
            return await _single(service, caller, number, one, wanted)

    return list(await asyncio.gather(*(run(number, one) for number, one in enumerate(entries))))


RUN = {"batch": _batch, "transaction": _transaction}


async def _single(service: Service, caller: Caller, number: int, one: dict[str, Any], wanted: Return) -> bytes:
    try:
        if one["request"]["method"] == "GET":
            return await _get(service, caller, one["request"]["url"])
        asked = operation(number, one, service.base_url, service.record.new_id)
        (written,) = await transact(service.record, caller, [asked], asked.method)
        return _written(service, written, wanted)
    except FhirError as error:
        return entry(response={"status": str(error.status), "outcome": outcome(error)})


async def _get(service: Service, caller: Caller, url: str) -> bytes:
    path, _, query = url.removeprefix(service.base_url).lstrip("/").partition("?")
    parts = path.split("/")
    if parts[0] not in KNOWN_TYPES:
        raise FhirError(404, "not-supported", "R4 4.0.1 defines no such resource type")
    if len(parts) == 1:
        found = await searchset(service, caller, parts[0], pairs_of(query))
        return entry(found, response={"status": "200"})
    if len(parts) == 2 and not query:
        stored = await reading.read(service.record, caller, parts[0], parts[1])
    elif len(parts) == 4 and parts[2] == "_history" and parts[3].isdecimal() and not query:
        stored = await reading.vread(service.record, caller, parts[0], parts[1], int(parts[3][:18]))
    else:
        raise FhirError(400, "not-supported", "inside a Bundle, GET may read, vread or search by type")
    return entry(stored.body, response={"status": "200", "etag": f'W/"{stored.version}"'})


def _written(service: Service, written: Written, wanted: Return) -> bytes:
    response: dict[str, Any] = {"status": str(written.status)}
    if written.version:
        response["etag"] = f'W/"{written.version}"'
    if written.status != 204:
        response["location"] = location(service, written)
    if wanted == "OperationOutcome":
        response |= {"status": str(content_status(written.status)), "outcome": done(written.status)}
    return entry(written.body if wanted == "representation" else None, response=response)
