"""What a stored GraphDefinition leads to from a resource (R4 graphdefinition.html), by paths and by searches; each gated."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from consent.caller import Caller
from fhir_server.r4.elements import is_kind_of
from fhir_server.r4.errors import FhirError
from fhir_server.r4.fhirpath import Element, Environment, FhirPathError, program, run
from fhir_server.r4.fhirpath.values import resource as element_of
from fhir_server.r4.json import read
from fhir_server.r4.references import literal
from fhir_server.record.context import Record
from fhir_server.record.criteria import pairs_of
from fhir_server.record.gate import View
from fhir_server.record.matches import matches
from fhir_server.record.terminology import stored
from fhir_server.store.documents import Document, body, resource_key

MAX_LINKS = 1_000  # of all resources that are met, and as many resources
MAX_STEPS = 100_000  # of FHIRPath, in all: a graph may be stored by anybody
UNFOLLOWED = frozenset(("sliceName", "profile", "compartment"))
EVERY_REFERENCE = "descendants().ofType(Reference)"  # the path `*`

Resource = dict[str, Any]
Name = tuple[str, str]
Found = dict[Name, Document]


async def graph_of(record: Record, caller: Caller, canonical: str, start: str) -> Resource:
    """The GraphDefinition of this url; 422 where there is none that starts so and can be followed."""
    graph = await stored(record, caller, ("GraphDefinition", canonical))
    if graph is None:
        raise _refused("is no url of a GraphDefinition here that you may see: store it first", "not-found")
    if graph["start"] != start:
        raise _refused(f"is a GraphDefinition that does not start at a {start}", "business-rule")
    for node in _nodes(graph.get("link", ())):
        if not UNFOLLOWED.isdisjoint(node):
            raise _refused(f"has what is not followed here: {', '.join(sorted(UNFOLLOWED))}; leave it out", "not-supported")
    return graph


async def follow(sight: View, graph: Resource, start: Name, found: Found, asked: str, base_url: str) -> None:
    """Add to `found` what the links lead to from `start`, which is in it; 422 where they lead to too little or too much."""
    waiting = [(start, link) for link in graph.get("link", ())]
    steps = [MAX_STEPS]
    for name, link in waiting:  # it grows
        source, reached = read(body(sight.record.codec, found[name])), set[Name]()
        for target in link.get("target", ({"type": "Resource"},)):
            for other in await _names(sight, source, link, target, asked, base_url, steps):
                document = found.get(other) or await sight.record.by_key(resource_key(sight.record.codec, *other))
                if document and "b" in document and sight.sees(document) and is_kind_of(other[0], target["type"]):
                    found[other] = document
                    reached.add(other)
                    waiting += [(other, below) for below in target.get("link", ())]
                if max(len(waiting), len(found)) > MAX_LINKS:
                    raise FhirError(
                        422, "too-costly", f"the graph leads further than {MAX_LINKS} links: make it smaller", "graph"
                    )
        least, most = link.get("min", 0), link.get("max", "*")
        if len(reached) < least or (most.isdigit() and len(reached) > int(most)):
            text = f"the graph asks for {least} to {most} of {link.get('path', 'a search')}, not {len(reached)}"
            raise FhirError(422, "incomplete", text, "graph")


async def _names(
    sight: View, source: Resource, link: Resource, target: Resource, asked: str, base_url: str, steps: list[int]
) -> Sequence[Name]:
    """What a link may lead to; `steps` is how many are left."""
    if "path" in link:
        references = await asyncio.to_thread(_references, source, link["path"], steps)
        return [name for one in references if (name := literal(one.removeprefix(f"{base_url}/")))]
    given = target.get("params", "").replace("{ref}", quote(f"{source['resourceType']}/{source['id']}"))
    if not given:
        raise _refused("has a link with neither a path nor params", "required")
    bodies = await matches(sight.record, sight.caller, target["type"], pairs_of(given), asked, base_url)
    return [(one["resourceType"], one["id"]) for one in map(read, bodies)]


def _references(source: Resource, path: str, steps: list[int]) -> Sequence[str]:
    """The literal references at a path of FHIRPath."""
    start = element_of(source)
    environment = Environment(start, start, start, steps=steps[0])
    try:
        selected = run(program(EVERY_REFERENCE if path == "*" else path), start, environment)
    except FhirPathError:
        raise _refused("has a path that cannot be followed: it is no FHIRPath, or takes too long", "business-rule") from None
    finally:
        steps[0] = environment.steps
    values = (item.value for item in selected if isinstance(item, Element) and isinstance(item.value, dict))
    return [value["reference"] for value in values if isinstance(value.get("reference"), str)]


def _nodes(links: Sequence[Resource]) -> Iterator[Resource]:
    for link in links:
        yield link
        for target in link.get("target", ()):
            yield target
            yield from _nodes(target.get("link", ()))


def _refused(problem: str, code: str) -> FhirError:
    return FhirError(422, code, problem, "graph")
