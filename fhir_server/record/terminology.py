"""Terminology for one request: what is published, and what is stored here that this caller may read (DESIGN 2: one door)."""

import asyncio
from collections.abc import Iterable, Sequence

from consent.caller import Caller
from consent.scopes import allows
from fhir_server.aside import aside
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import admit
from fhir_server.record.searching import search
from fhir_server.record.writing import refusals_audited
from fhir_server.search.escaping import escaped
from fhir_server.search.query import parse
from fhir_server.terminology.library import Library, Name, Resource, needs
from fhir_server.terminology.published import published

MAX_STORED = 200


async def library(record: Record, caller: Caller, interaction: str, asked: str, start: Iterable[Name]) -> Library:
    """A library with the resources named in `start` and all that these need, where there are such. The access is audited."""
    access = Access(caller, interaction, asked, record.clock())
    await admit(record, access, asked.partition("/")[0], "r")
    async with refusals_audited(record, access):
        met = await _met(record, caller, start)
    await record.audit.record(access.entry())
    return Library({name: resource for name, resource in met.items() if resource is not None})


async def _met(record: Record, caller: Caller, start: Iterable[Name]) -> dict[Name, Resource | None]:
    """The resources with these names and all that they need; None where there is none."""
    met: dict[Name, Resource | None] = {}
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in met:
            met[name] = await asyncio.to_thread(published, *name) or await stored(record, caller, name)
            waiting += needs(met[name] or {})
        if len(met) > MAX_STORED:
            raise FhirError(403, "too-costly", f"this needs more than {MAX_STORED} other terminology resources")
    return met


async def concept_maps(record: Record, caller: Caller, parameter: str, system: str) -> Sequence[Resource]:
    """Stored ConceptMaps by `source-system` or `target-system`, the newest first."""
    return await _search(record, caller, "ConceptMap", [(parameter, system)], MAX_STORED)


async def stored(record: Record, caller: Caller, name: Name) -> Resource | None:
    """Of several stored under one url the one that was changed last."""
    kind, canonical = name
    url, _, version = canonical.partition("|")
    criteria = [("url", url), *([("version", version)] if version else [])]
    return next(iter(await _search(record, caller, kind, criteria, 1)), None)


async def _search(
    record: Record, caller: Caller, kind: str, criteria: Sequence[tuple[str, str]], count: int
) -> Sequence[Resource]:
    if not allows(caller.scopes, kind, "s"):
        return ()
    asked = [(name, escaped(value)) for name, value in criteria]
    query = parse(kind, [*asked, ("_sort", "-_lastUpdated"), ("_count", str(count))])
    page = await search(record, caller, query, f"{kind}?" + "&".join(f"{name}={value}" for name, value in criteria))
    if page.next and len(page.matches) < count:
        raise FhirError(403, "too-costly", f"these {kind}s are too large together; name one, or a version of it")
    return [await aside(len(body), read, body) for body in page.matches]
