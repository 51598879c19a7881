"""What is written follows the profiles that it names, where these are loaded (profiling.html, resource.html#Meta)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from consent.caller import Caller
from fhir_server.aside import LARGE, aside
from fhir_server.r4.errors import FhirError, Issue
from fhir_server.r4.json import write
from fhir_server.r4.profiles import extensions
from fhir_server.r4.profiles.compiler import compiled
from fhir_server.r4.profiles.tree import is_profile, tree
from fhir_server.r4.profiles.validation import issues, named
from fhir_server.record.checking import YIELD_EVERY
from fhir_server.record.context import Record
from fhir_server.record.definitions import SHIPPED, Held
from fhir_server.record.operations import Operation
from fhir_server.terminology.library import Name

Resource = dict[str, Any]
STRUCTURE = "StructureDefinition"


async def check_profiles(record: Record, caller: Caller, operations: Sequence[Operation]) -> None:
    """FhirError 422 for the first resource that breaks a profile it names or what R4 says of an extension, or that is a profile
    which cannot be followed.

    A profile that is not loaded here says nothing.
    """
    present = [(one, one.resource) for one in operations if one.resource is not None]
    written = [(one, resource, await aside(len(one.original), named, resource)) for one, resource in present]
    names: set[Name] = set()
    for operation, resource, claimed in written:
        names |= await aside(len(operation.original), _names, resource, claimed) if claimed else set()
    definitions = {resource["url"]: resource for _, resource, _ in written if resource["resourceType"] == STRUCTURE}
    names |= _bases(definitions.values())
    extended = [extensions.may_be_of_r4(operation.original) for operation, _, _ in written]
    if not names and not any(extended):
        return
    held = await record.definitions.at_hand(caller, names)
    for number, (operation, resource, claimed) in enumerate(written):
        if number % YIELD_EVERY == YIELD_EVERY - 1:
            await asyncio.sleep(0)
        try:
            if extended[number] or any(map(held.knows, claimed)):
                _require(await _issues(held, resource, len(operation.original)))
            _require_usable(held, resource, definitions)
        except FhirError as error:
            raise error.at(operation.place, operation.resource_type) if operation.place else error from None


async def follow(record: Record, caller: Caller, resource: Resource, size: int) -> None:
    """The same for one resource that stands in no Bundle, of about so many bytes."""
    original = await aside(size, write, resource)
    await check_profiles(record, caller, [Operation("update", resource["resourceType"], "", resource, original=original)])


async def found(record: Record, caller: Caller, resource: Resource, asked: Sequence[str] = ()) -> list[Issue]:
    """All issues by the profiles named in a resource, and by those asked for: 422 where one of these is not loaded here."""
    claimed = [*await asyncio.to_thread(named, resource), *asked]
    names = await asyncio.to_thread(_names, resource, claimed) if claimed else set()
    held = await record.definitions.at_hand(caller, names | _bases([resource]))
    if not all(map(held.knows, asked)):
        raise FhirError(422, "not-supported", "this profile is not loaded here: store its StructureDefinition first", "profile")
    return [*_unusable(held, resource), *await _issues(held, resource, LARGE + 1, asked)]


async def _issues(held: Held, resource: Resource, size: int, asked: Sequence[str] = ()) -> list[Issue]:
    """In a thread where profiles are used that anybody may have written."""
    return await aside(size if held is SHIPPED else LARGE + 1, issues, resource, held.profiles, asked)


def _names(resource: Resource, claimed: Iterable[str]) -> set[Name]:
    return {(STRUCTURE, canonical) for canonical in (*claimed, *extensions.urls(resource))}


def _bases(resources: Iterable[Resource]) -> set[Name]:
    """What StructureDefinitions are derived from."""
    return {
        (STRUCTURE, one["baseDefinition"]) for one in resources if one["resourceType"] == STRUCTURE and "baseDefinition" in one
    }


def _unusable(held: Held, resource: Resource) -> Sequence[Issue]:
    try:
        _require_usable(held, resource, {})
    except FhirError as error:
        return error.issues
    return ()


def _require(found: Iterable[Issue]) -> None:
    broken = [one for one in found if one.severity == "error"]
    if broken:
        first, *more = broken
        raise FhirError(422, first.code, first.text, first.expression, more)


def _require_usable(held: Held, structure: Resource, beside: Mapping[str, Resource]) -> None:
    """A profile is refused that could not be followed later; its base may come in the same transaction."""

    def find(canonical: str) -> Resource | None:
        return beside.get(canonical.partition("|")[0]) or held.profiles.find(canonical)

    if structure["resourceType"] == STRUCTURE and is_profile(structure):
        compiled(structure["url"], tree(structure, find))
