"""Rules that R4 states in words of Bundles (bundle.html, documents.html, messageheader.html, search.html).

Like the rules in rules.py, each looks at one element, here a Bundle or an entry, and yields a Problem for each violation.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from fhir_server.r4.references import split
from fhir_server.r4.rules import Node, Problem, strings
from fhir_server.r4.schema_primitives import SCHEME

_ABSOLUTE = re.compile(SCHEME)
_VERSION = re.compile(r"(?:/_history/[^/#]*)?(?:#.*)?$")
_PAGES = frozenset(("self", "first", "previous", "prev", "next", "last"))
_REQUESTS = frozenset(("transaction", "transaction-response", "batch", "batch-response"))
_WHOLE = frozenset(("document", "message"))
_FOUND = frozenset(("match", "include"))
# What a document or message refers to from its first entry must be in it.
_FOCUS = (("focus",),)
_HEADINGS = (("subject",), ("encounter",), ("author",), ("attester", "party"), ("custodian",), ("event", "detail"))
_SECTION = (("author",), ("focus",), ("entry",))


def page_links(node: Node) -> Iterator[Problem]:
    """bundle.html, http.html#paging: the links of pages lead to one page each."""
    counted = Counter(link.get("relation") for link in node["link"])
    if any(counted[relation] > 1 for relation in _PAGES):
        yield Problem(
            "link", "structure", "a link to a page (self, first, previous, next, last) occurs once (http.html#paging)"
        )


def search_outcome(node: Node) -> Iterator[Problem]:
    """valueset-search-entry-mode: `outcome` is an OperationOutcome about the search."""
    kind = node.get("resource", {}).get("resourceType", "OperationOutcome")
    if node["search"].get("mode") == "outcome" and kind != "OperationOutcome":
        yield Problem("resource", "structure", "what a search tells of itself (mode `outcome`) is an OperationOutcome")


def search_result(node: Node) -> Iterator[Problem]:
    """resource.html#id: a resource lacks an id only where it is about to be created."""
    if node["search"].get("mode") in _FOUND and "id" not in node.get("resource", {"id": ""}):
        yield Problem("resource.id", "required", "what a search finds has an id (resource.html#id)")


def full_url(node: Node) -> Iterator[Problem]:
    """bundle.html: Bundle.entry.fullUrl is an absolute URL, or a URN."""
    url = node["fullUrl"]
    if type(url) is str and not _ABSOLUTE.match(url):
        yield Problem("fullUrl", "value", "an absolute URL or a urn:uuid: (bundle.html#bundle-unique)")


def identity(node: Node) -> Iterator[Problem]:
    """bundle.html#bundle-unique: outside of transactions and batches an entry has a fullUrl, if its resource has an identity.

    What an operation makes up need not have one, but in a document or a message.
    """
    if node.get("type") in _REQUESTS:
        return
    for position, entry in enumerate(node["entry"]):
        resource = entry.get("resource", {"resourceType": "OperationOutcome"})
        has_identity = "id" in resource or node.get("type") in _WHOLE
        if has_identity and resource["resourceType"] != "OperationOutcome" and "fullUrl" not in entry:
            yield Problem(f"entry[{position}].fullUrl", "required", "an entry has an identity (bundle.html#bundle-unique)")


def included(node: Node) -> Iterator[Problem]:
    """documents.html#content, messageheader.html: what the first entry of a document or a message refers to is in it."""
    if node.get("type") not in _WHOLE:
        return
    urls = {entry.get("fullUrl") for entry in node["entry"]}
    first = node["entry"][0]
    needed = (_absolute(one, first.get("fullUrl", "")) for one in _needed(first.get("resource", {})) if one[0] != "#")
    if not urls.issuperset(needed):
        yield Problem("entry[0].resource", "not-found", "refers to what is not in this Bundle (documents.html#content)")


def _needed(first: Node) -> Iterator[str]:
    kind = first.get("resourceType")
    if kind == "MessageHeader":
        yield from _references(first, _FOCUS)
    elif kind == "Composition":
        yield from _references(first, _HEADINGS)
        for section in _sections(first):
            yield from _references(section, _SECTION)


def _references(node: Node, paths: Iterable[tuple[str, ...]]) -> Iterator[str]:
    return (one["reference"] for path in paths for one in _below(node, path) if "reference" in one)


def _below(node: Node, path: tuple[str, ...]) -> Iterator[Node]:
    if not path:
        yield node
        return
    found = node.get(path[0], ())
    for one in found if type(found) is list else (found,):
        if one:
            yield from _below(one, path[1:])


def _sections(node: Node) -> Iterator[Node]:
    for section in node.get("section", ()):
        yield section
        yield from _sections(section)


def _absolute(reference: str, from_url: str) -> str:
    """bundle.html#references: a relative one is on the server that the entry with it is from; with URNs, its id is one."""
    whole, (server, _) = _VERSION.sub("", reference), split(from_url)
    if _ABSOLUTE.match(reference):
        return whole
    return server + whole if server else f"{from_url.rpartition(':')[0]}:{whole.rpartition('/')[2]}"


def connected(node: Node) -> Iterator[Problem]:
    """documents.html#content: SHALL include only what the Composition leads to, a style sheet, and what tells of these."""
    if node.get("type") != "document":
        return
    entries = [(entry.get("fullUrl", ""), entry.get("resource", {})) for entry in node["entry"]]
    named = {name: place for place, (url, one) in enumerate(entries) for name in (url, _relative(one)) if name}
    links = [{named.get(_VERSION.sub("", text), place) for text in strings(one)} for place, (_, one) in enumerate(entries)]
    reached = _reached(links)
    for place, (_, one) in enumerate(entries):
        if place not in reached and one.get("resourceType") != "Binary":
            text = "a document includes only what its Composition leads to, or what refers to that (documents.html#content)"
            yield Problem(f"entry[{place}]", "business-rule", text)


def _relative(resource: Node) -> str:
    return f"{resource['resourceType']}/{resource['id']}" if "id" in resource else ""


def _reached(links: list[set[int]]) -> set[int]:
    """The places that links lead to from the first, in either direction."""
    both = [set(ends) for ends in links]
    for place, ends in enumerate(links):
        for end in ends:
            both[end].add(place)
    reached, new = {0}, {0}
    while new:
        new = set().union(*(both[place] for place in new)) - reached
        reached |= new
    return reached
