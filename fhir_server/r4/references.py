"""References in a resource: finding them, reading them, rewriting them (R4 references.html, http.html#trules)."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from fhir_server.r4.definitions import KNOWN_TYPES, LINK_ELEMENTS

ID_PATTERN = re.compile(r"[A-Za-z0-9\-.]{1,64}")
"""A resource's logical id; use with `fullmatch`."""

_LITERAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_RESTFUL = re.compile(r"(https?://.+/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})")
_REFERENCE_ELEMENTS = frozenset(
    ("id", "extension", "reference", "_reference", "type", "_type", "identifier", "display", "_display")
)
_NARRATIVE_LINK = re.compile(r"""(?<=\s)((?:href|src)\s*=\s*(["']))([^"']*)(?=\2)""")


def walk_references(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every literal or logical Reference in document order, those of contained resources and extensions as well."""
    stack: list[Any] = [resource]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack.extend(reversed(node))
        elif type(node) is dict:
            if ("reference" in node or "identifier" in node) and is_reference(node):
                yield node
            stack += [child for child in reversed(node.values()) if type(child) is dict or type(child) is list]


def is_reference(node: dict[str, Any]) -> bool:
    """True for an element shaped as a Reference that points somewhere: a literal `reference` or a logical `identifier`."""
    pointing = type(node.get("reference")) is str or type(node.get("identifier")) is dict
    # Expression.reference is a uri, and MedicinalProductAuthorization.procedure has an identifier: other siblings tell.
    return pointing and node.keys() <= _REFERENCE_ELEMENTS and type(node.get("type", "")) is str


def literal(reference: str) -> tuple[str, str] | None:
    """(type, id) of a relative literal reference `Type/id` or `Type/id/_history/version`; None for any other."""
    match = _LITERAL.fullmatch(reference)
    return (match[1], match[2]) if match and match[1] in KNOWN_TYPES else None


def split(full_url: str) -> tuple[str, str]:
    """(base URL, `Type/id`) of a RESTful full url; two empty texts for any other."""
    match = _RESTFUL.fullmatch(full_url)
    return (match[1], match[2]) if match and literal(match[2]) else ("", "")


def relate(resource: dict[str, Any], base_url: str, but: frozenset[str]) -> None:
    """Make absolute references to what is under `base_url` relative in place, except for those in `but`.

    A Bundle stays what it is: as a document it may be signed, and its references are to its own entries.
    """
    base = f"{base_url}/"
    for reference in walk_references(resource) if resource["resourceType"] != "Bundle" else ():
        text = reference.get("reference")
        if type(text) is str and text.startswith(base) and text not in but and literal(text.removeprefix(base)):
            reference["reference"] = text.removeprefix(base)


def rewrite(resource: dict[str, Any], mapping: Mapping[str, str], names: Collection[str] = ()) -> None:
    """Replace links in place by `mapping` (full url -> `Type/id`), as http.html#trules says.

    In references, elements of type uri, url, oid and uuid, and narrative links; a fragment after the full url is kept.
    Canonicals stay, and so does `value` of an Identifier. Of `names`, full urls by which something is known everywhere, such as
    the url of a CodeSystem, only References and narrative link to the entry: elsewhere they are a system, or that url itself.
    """
    stack: list[dict[str, Any]] = [resource]
    while stack:
        node = stack.pop()
        for name, value in node.items():
            kind = type(value)
            if kind is dict:
                stack.append(value)
            elif kind is list:
                stack += [child for child in value if type(child) is dict]
                if name in LINK_ELEMENTS:
                    value[:] = [_replaced(child, mapping, names) for child in value]
            elif kind is str:
                if name in LINK_ELEMENTS:
                    node[name] = _replaced(value, mapping, () if name == "reference" else names)
                elif name == "div":
                    node[name] = _rewrite_narrative(value, mapping)


def _replaced(value: Any, mapping: Mapping[str, str], names: Collection[str] = ()) -> Any:
    if type(value) is not str:
        return value
    if value in mapping:
        return value if value in names else mapping[value]
    if "/_history/" in value:  # a version of what was elsewhere: here it has other numbers (bundle.html#references)
        return mapping.get(value.partition("/_history/")[0], value)
    url, mark, fragment = value.partition("#")
    return mapping[url] + mark + fragment if url in mapping and url not in names else value


def _rewrite_narrative(div: str, mapping: Mapping[str, str]) -> str:
    return _NARRATIVE_LINK.sub(lambda link: link[1] + _replaced(link[3], mapping), div)
