"""batch and transaction (R4 http.html#transaction): a Bundle POSTed to the base URL."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.http.bundles import bundle, entry
from fhir_server.http.inner import Bundled, Find, answered, is_request, refused, request_of
from fhir_server.http.outcomes import content_status, done, fhir_response
from fhir_server.http.requests import Return, header, json_body, parsed, returned
from fhir_server.http.service import Handler, Service
from fhir_server.http.write import location
from fhir_server.r4.dates import instant
from fhir_server.r4.errors import FhirError
from fhir_server.r4.validation import validate
from fhir_server.record.checking import YIELD_EVERY
from fhir_server.record.entries import operation, placed
from fhir_server.record.operations import Operation, Written
from fhir_server.record.writing import transact

AT_ONCE = 64


def batch_or_transaction(find: Find) -> Handler:
    """The handler; `find` knows what answers an entry that is a request of its own."""

    async def answer(service: Service, caller: Caller, request: Request) -> Response:
        body = await json_body(request, service.max_body)
        posted = await parsed(body)
        run = RUN.get(str(posted.get("type")))
        if posted.get("resourceType") != "Bundle" or run is None:
            raise FhirError(400, "invalid", "the base URL takes a Bundle of type batch or transaction", "Bundle.type")
        entries = posted.get("entry", [])
        await aside(len(body), _check_envelope, posted, entries)
        answers = await run(
            Bundled(service, caller, find, header(request, b"prefer"), len(body)), entries, returned(request, "minimal")
        )
        return fhir_response(bundle(f"{posted['type']}-response", answers))

    return answer


def _check_envelope(posted: dict[str, Any], entries: Any) -> None:
    """The Bundle without its resources, which are validated one by one where each is written."""
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise FhirError(400, "structure", "must be a list of objects", "Bundle.entry")
    _mend(posted, entries)
    bare = [{name: value for name, value in one.items() if name != "resource"} for one in entries]
    validate({**posted, "entry": bare} if bare else {name: value for name, value in posted.items() if name != "entry"})
    for number, one in enumerate(entries):
        if "request" not in one:
            raise FhirError(400, "required", "each entry needs a request", f"Bundle.entry[{number}].request")


def _mend(posted: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """HAPI's client, given bare resources, counts them (bdl-1: only searches do), and leaves out where a create goes."""
    if posted.get("total") == len(entries):
        del posted["total"]
    for one in entries:
        if one.get("request") == {"method": "POST"} and isinstance(one.get("resource"), dict):
            one["request"] = {"method": "POST", "url": one["resource"].get("resourceType")}


async def _transaction(bundled: Bundled, entries: list[dict[str, Any]], wanted: Return) -> list[bytes]:
    """All writes as one; then the reads, which see what was written (http.html#trules)."""
    service, operations, reads = bundled.service, dict[int, Operation](), dict[int, Request]()
    for number, one in enumerate(entries):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        if is_request(one):
            reads[number] = _safe(bundled, number, one)
        else:
            operations[number] = await _operation(bundled, number, one)
    written = await transact(service.record, bundled.caller, list(operations.values())) if operations else []
    answers = {number: _written(service, result, wanted) for number, result in zip(operations, written, strict=True)}
    for number, request in reads.items():
        answers[number] = await answered(bundled, request)
        await asyncio.sleep(0)  # one that is refused waits for nothing
    return [answers[number] for number in range(len(entries))]


def _safe(bundled: Bundled, number: int, one: dict[str, Any]) -> Request:
    """A read of a transaction. What changes something by itself could not be undone with the others."""
    with placed(number):
        request = request_of(bundled, one)
        if not bundled.find(request).is_safe:
            problem = (
                "what GET does not offer may change something: it is no part of a transaction; send it in a batch or alone"
            )
            raise FhirError(400, "not-supported", problem, "request.url")
    return request


async def _operation(bundled: Bundled, number: int, one: dict[str, Any]) -> Operation:
    """What an entry writes. A patch is read here already."""
    size = bundled.size if one["request"]["method"] == "PATCH" else 0
    made = await aside(size, operation, number, one, bundled.service.base_url, bundled.service.record.new_id)
    made.patch_size = size
    return made


async def _batch(bundled: Bundled, entries: list[dict[str, Any]], wanted: Return) -> list[bytes]:
    """Each entry on its own; a failing one fails alone."""
    waiting, answers = iter(enumerate(entries)), [b""] * len(entries)

    async def work() -> None:
        for number, one in waiting:
            answers[number] = await _single(bundled, number, one, wanted)
            await asyncio.sleep(0)  # one that is refused waits for nothing

    await asyncio.gather(*(work() for _ in entries[:AT_ONCE]))  # not a task for each entry: they may be 300,000
    return answers


RUN = {"batch": _batch, "transaction": _transaction}


async def _single(bundled: Bundled, number: int, one: dict[str, Any], wanted: Return) -> bytes:
    service = bundled.service
    try:
        if is_request(one):
            with placed(number):
                request = request_of(bundled, one)
            return await answered(bundled, request)
        asked = await _operation(bundled, number, one)
        (written,) = await transact(service.record, bundled.caller, [asked], asked.method)
        return _written(service, written, wanted)
    except FhirError as error:
        return refused(error)


def _written(service: Service, written: Written, wanted: Return) -> bytes:
    response: dict[str, Any] = {"status": str(written.status)}
    if written.version:
        response |= {"etag": f'W/"{written.version}"', "lastModified": instant(written.updated)}
    if written.status != 204:
        response["location"] = location(service, written)
    if wanted == "OperationOutcome":
        response |= {"status": str(content_status(written.status)), "outcome": done(written.status)}
    return entry(written.body if wanted == "representation" else None, response=response)
