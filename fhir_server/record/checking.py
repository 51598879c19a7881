"""What can be said of a request to write before the store is asked: scopes, validity, and that nothing is named twice."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from consent.caller import Caller
from fhir_server.aside import aside
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import write
from fhir_server.r4.references import relate
from fhir_server.r4.validation import validate
from fhir_server.record.gate import require_scope
from fhir_server.record.operations import Operation
from fhir_server.search.query import canonical

SCOPE = {"create": "c", "update": "u", "patch": "u", "delete": "d"}
TO_FIND = "rs"
"""What criteria need besides, those of references too: who may not read what they match would write it twice."""

YIELD_EVERY, YIELD_FROM = 20, 16 * 1024  # entries; bytes
ONCE = "a transaction may name a resource only once, by id or by criteria (http.html#trules)"


async def check(caller: Caller, operations: Sequence[Operation]) -> None:
    """Scopes, validity and uniqueness: everything that can be said before the store is asked."""
    require_distinct((one.resource_type, one.id) for one in operations if not one.finds)
    names = [one.full_url for one in operations if one.full_url]
    full_urls = frozenset(names)
    names += [canonical(one.criteria) for one in operations if one.criteria]
    if len(set(names)) < len(names):
        raise FhirError(400, "invalid", "entries of a transaction may share neither fullUrl nor criteria (http.html#trules)")
    for number, operation in enumerate(operations):
        for interaction in SCOPE[operation.method] + (TO_FIND if operation.criteria else ""):
            require_scope(caller, operation.resource_type, interaction)
        if operation.resource is not None:
            operation.original = await _original(operation, operation.resource, full_urls)
            await aside(len(operation.original), _validate, operation, operation.resource)
        if number % YIELD_EVERY == YIELD_EVERY - 1 or len(operation.original) > YIELD_FROM:
            await asyncio.sleep(0)  # other requests get their turn while a large Bundle is checked


def require_distinct(targets: Iterable[tuple[str, str]]) -> None:
    named = list(targets)
    if len(set(named)) < len(named):
        raise FhirError(400, "invalid", ONCE)


async def _original(operation: Operation, resource: dict[str, Any], full_urls: frozenset[str]) -> bytes:
    """As it was sent, but for how it refers to what is here: else nobody would find it by that. Full URLs stand for entries."""
    original = write(resource)
    if not operation.base_url or operation.base_url.encode() not in original:
        return original
    await aside(len(original), relate, resource, operation.base_url, full_urls)
    return write(resource)


def _validate(operation: Operation, resource: dict[str, Any]) -> None:
    """An error in a Bundle names the entry: `Bundle.entry[3].resource.birthDate`."""
    try:
        validate(resource)
    except FhirError as error:
        raise error.at(operation.place, operation.resource_type) if operation.place else error from None
