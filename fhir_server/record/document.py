"""Composition/$document (R4 composition-operation-document.html): a Composition with all that it refers to, or nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from consent.caller import Caller
from consent.codes import coding_of
from fhir_server.aside import aside
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.r4.references import literal
from fhir_server.record.accesses import Access
from fhir_server.record.conditional import criteria_of
from fhir_server.record.context import Record
from fhir_server.record.gate import View
from fhir_server.record.graph import Found, Name, follow, graph_of
from fhir_server.record.operations import Operation, Written
from fhir_server.record.reading import version_of, visible
from fhir_server.record.writing import transact
from fhir_server.store.documents import Document, body, first_opened, label_names, resource_key

MAX_REFERENCES, MAX_BYTES = 1_000, 64 * 1024 * 1024
VERSION = "/_history/"


@dataclass(frozen=True, slots=True)
class Parts:
    """The bodies of what makes a document, the Composition first; and every security label that any of them has."""

    bodies: Sequence[bytes]
    labels: frozenset[str]


async def document(record: Record, caller: Caller, composition_id: str, base_url: str, graph: str | None = None) -> Parts:
    """The parts of a document; 422 `incomplete` where one of them is not here or may not be seen.

    `graph`: the url of a GraphDefinition, which says what is to be in it besides.
    """
    access = Access(caller, "operation-document", f"Composition/{composition_id}/$document", record.clock())
    wanted = await graph_of(record, caller, graph, "Composition") if graph else None
    sight, current = await visible(record, access, "Composition", composition_id)
    if "b" not in current:
        await record.audit.record(access.entry((current,)))
        raise FhirError(410, "deleted", "Composition with this id was deleted")
    found = {("Composition", composition_id): current}
    try:
        await _add_referred(sight, body(record.codec, current), found, base_url)
        if wanted:
            await follow(sight, wanted, ("Composition", composition_id), found, access.asked, base_url)
        bodies = first_opened(record.codec, list(found.values()), MAX_BYTES)
        if len(bodies) < len(found):
            raise FhirError(422, "too-costly", f"the document is larger than {MAX_BYTES} bytes: make several of it")
    except FhirError as refusal:
        await record.audit.record(access.refused(refusal, documents=(current,)))
        raise
    await record.audit.record(access.entry(found.values(), reason=sight.decision(current).reason))
    labels = label_names(record.codec, {label for one in found.values() for label in one.get("l", ())})
    return Parts(bodies, labels)


async def _add_referred(sight: View, composition: bytes, found: Found, base_url: str) -> None:
    """Add what the Composition refers to."""
    referred = await aside(len(composition), _referred, composition)
    if len(referred) > MAX_REFERENCES:
        raise FhirError(422, "too-costly", f"a document refers to at most {MAX_REFERENCES} resources: make several of it")
    for reference, place in referred.items():
        target = literal(reference.removeprefix(f"{base_url}/"))
        version = reference.partition(VERSION)[2]
        stored = found.get(target) if target and not version else None
        if target and stored is None:
            stored = await _part(sight, target, version)
        if target is None or stored is None or "b" not in stored or not sight.sees(stored):
            raise FhirError(422, "incomplete", "a document needs this, which is not here, or which you may not see", place)
        found[_name(target, stored)] = stored


async def _part(sight: View, target: Name, version: str) -> Document | None:
    """What a reference names: the version that it says, or the current one."""
    current = await sight.record.by_key(resource_key(sight.record.codec, *target))
    if not version or current is None or not sight.sees(current):
        return current
    is_number = version.isascii() and version.isdigit() and len(version) <= 18
    return await version_of(sight.record, current, int(version)) if is_number else None


def _name(target: Name, stored: Document) -> Name:
    """With the version of one that was replaced: a Bundle may hold several of one resource (bdl-7)."""
    return (target[0], f"{target[1]}{VERSION}{stored['v']}") if "o" in stored else target


async def keep(record: Record, caller: Caller, document: bytes, labels: frozenset[str], base_url: str) -> Written:
    """Store a document, once, for the caller's custodian and under the labels of all its parts."""
    resource = read(document)
    if labels:
        resource["meta"] = {"security": [coding_of(label) for label in sorted(labels)]}
    same = [("identifier", f"{resource['identifier']['system']}|{resource['identifier']['value']}")]
    operation = Operation("create", "Bundle", record.new_id(), resource, criteria=criteria_of("Bundle", same, base_url))
    (written,) = await transact(record, caller, [operation], "operation-document")
    return written


def _referred(composition: bytes) -> dict[str, str]:
    """Each reference once, and where it stands first: a list may name one result, a version of it even, thousands of times."""
    found: dict[str, str] = {}
    for place, reference in _references(read(composition)):
        found.setdefault(reference, place)
    return found


def _references(composition: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(place, reference) of what a document must contain (documents.html#content); contained resources are in it already."""
    for path in ("subject", "encounter", "author", "attester.party", "custodian", "event.detail"):
        yield from _at(composition, path.split("."), "Composition")
    yield from _of_sections(composition, "Composition")


def _of_sections(parent: dict[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for number, section in enumerate(parent.get("section", ())):
        here = f"{place}.section[{number}]"
        for name in ("author", "focus", "entry"):
            yield from _at(section, [name], here)
        yield from _of_sections(section, here)


def _at(node: dict[str, Any], path: list[str], place: str) -> Iterator[tuple[str, str]]:
    """The literal references at a path; a logical one, by identifier, cannot be followed."""
    if not path:
        reference = node.get("reference")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield f"{place}.reference", reference
        return
    child = node.get(path[0], [])
    for number, one in enumerate(child if isinstance(child, list) else [child]):
        here = f"{place}.{path[0]}" + (f"[{number}]" if isinstance(child, list) else "")
        yield from _at(one, path[1:], here)
