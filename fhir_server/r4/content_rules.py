"""Rules that R4 states in words, not as invariants: what an element says must agree with what stands beside it.

Like the rules in rules.py, each looks at one element and yields a Problem for each violation.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha1
from typing import Any

import zstandard

from fhir_server.r4.definitions import TABLES
from fhir_server.r4.fhirpath import FhirPathError
from fhir_server.r4.fhirpath.syntax import parse
from fhir_server.r4.rules import Node, Problem
from fhir_server.r4.schema_primitives import CURRENCY, LANGUAGE, MEDIA_TYPE

FHIRPATH = "text/fhirpath"

_FORMS = {
    "urn:ietf:bcp:13": re.compile(MEDIA_TYPE),
    "urn:ietf:bcp:47": re.compile(LANGUAGE),
    "urn:iso:std:iso:4217": re.compile(CURRENCY),
}
_VALUE_SETS = ("http://hl7.org/fhir/ValueSet/", "http://terminology.hl7.org/ValueSet/")
_OFFICIAL_PARAMETER = "http://hl7.org/fhir/SearchParameter/"


def attachment_size(node: Node) -> Iterator[Problem]:
    """datatypes.html#attachment: `size` is the number of bytes before base64 encoding."""
    data = node.get("data")
    if type(data) is str:
        digits = "".join(data.split())
        if len(digits) // 4 * 3 - digits[-2:].count("=") != node["size"]:
            yield Problem(
                "size", "value", "not the number of bytes in `data` before base64 encoding (datatypes.html#attachment)"
            )


def attachment_hash(node: Node) -> Iterator[Problem]:
    """datatypes.html#Attachment: `hash` is the SHA-1 of the data before base64 encoding."""
    data = node.get("data")
    if type(data) is str:
        digest = sha1(b64decode("".join(data.split())), usedforsecurity=False).digest()
        if "".join(node["hash"].split()) != b64encode(digest).decode():
            yield Problem(
                "hash", "value", "not the SHA-1, in base64, of `data` before base64 encoding (datatypes.html#Attachment)"
            )


def supplement(node: Node) -> Iterator[Problem]:
    """codesystem.html#supplements: a code system that supplements another says so in `content`."""
    if node.get("content") != "supplement":
        yield Problem("content", "value", "a code system that supplements another has the content `supplement`")


def supplemented(node: Node) -> Iterator[Problem]:
    """codesystem.html#supplements: a supplement says what it supplements."""
    if node["content"] == "supplement" and "supplements" not in node:
        yield Problem("supplements", "required", "a supplement says which code system it supplements")


def present(node: Node) -> Iterator[Problem]:
    """codesystem-content-mode: with the content `not-present` there are no concepts."""
    if node.get("content") == "not-present":
        yield Problem("content", "value", "a code system that has concepts has not the content `not-present`")


def count(node: Node) -> Iterator[Problem]:
    """codesystem.html: `count` is the number of concepts, which a complete code system has all."""
    if node.get("content") == "complete" and node["count"] != sum(1 for _ in _below(node, "concept")):
        yield Problem("count", "value", "not the number of concepts, though the code system is complete")


def properties(node: Node) -> Iterator[Problem]:
    """codesystem.html#properties: values are of the type that the property is declared with."""
    types = {declared.get("code"): declared.get("type", "") for declared in node["property"]}
    for _, concept in _below(node, "concept"):
        for one in concept.get("property", ()):
            kind = types.get(one.get("code"))
            if kind and any(name.startswith("value") and name[5:].lower() != kind.lower() for name in one):
                yield Problem("concept", "value", "the value of a property is of the type that it is declared with")
                return


def enabled_by(node: Node) -> Iterator[Problem]:
    """questionnaire.html: enableWhen.question is found among ancestors, before or after: not the item, nothing in it."""
    items = list(_below(node, "item"))
    around = {item["linkId"]: outer.get("linkId") for outer, item in items if "linkId" in item}
    if len(around) < len(items):  # que-2 says so
        return
    for _, item in items:
        if not all(_is_outside(one.get("question"), item["linkId"], around) for one in item.get("enableWhen", ())):
            yield Problem("item", "value", "a question in `enableWhen` is another item, and not one inside of this")
            return


def _is_outside(link: Any, item: str, around: dict[str, Any]) -> bool:
    is_there = link in around
    while link in around and link != item:
        link = around[link]
    return is_there and link != item


def _below(node: Node, name: str) -> Iterator[tuple[Node, Node]]:
    """All elements of this name, in one another, each after the one around it."""
    stack = [node]
    while stack:
        outer = stack.pop()
        for one in outer.get(name, ()):
            yield outer, one
            stack.append(one)


def composite(node: Node) -> Iterator[Problem]:
    """searchparameter.html, search.html#composite: a composite parameter joins two or more."""
    if node["type"] == "composite" and len(node.get("component", ())) < 2:
        yield Problem("component", "structure", "a composite parameter has two or more components (search.html#composite)")


def derived_parameter(node: Node) -> Iterator[Problem]:
    """searchparameter.html: details are consistent with the definition in `derivedFrom`; here, R4's own."""
    if _is_of_another_type(node, "derivedFrom"):
        yield Problem("type", "value", "not the type of the parameter in `derivedFrom`")


def offered_parameter(node: Node) -> Iterator[Problem]:
    """capabilitystatement.html: rest.resource.searchParam.type SHALL be the same as in the definition; here, R4's own."""
    if _is_of_another_type(node, "definition"):
        yield Problem("type", "value", "not the type of the parameter in `definition` (capabilitystatement.html)")


def _is_of_another_type(node: Node, name: str) -> bool:
    url = node[name]
    if type(url) is not str or not url.startswith(_OFFICIAL_PARAMETER):
        return False
    base, _, code = url.removeprefix(_OFFICIAL_PARAMETER).partition("|")[0].partition("-")
    official = _parameters().get(base, {}).get(code)
    return bool(official and official["type"] != node.get("type"))


def fhirpath(node: Node) -> Iterator[Problem]:
    """elementdefinition.html, searchparameter.html: the expression is FHIRPath."""
    try:
        parse(str(node["expression"]))
    except FhirPathError:
        yield Problem("expression", "value", "not FHIRPath (fhirpath.html)")


def expression(node: Node) -> Iterator[Problem]:
    """metadatatypes.html#Expression: written in the language it names, as far as that is FHIRPath."""
    if node.get("language") == FHIRPATH:
        yield from fhirpath(node)


def known_code(node: Node) -> Iterator[Problem]:
    """datatypes.html#coding: `code` is one of `system`, where that is one of FHIR's own code systems in R4."""
    codes = _codes().get(node["system"]) if type(node.get("system")) is str else None
    of_r4 = str(node.get("version", "4.0")).startswith("4.0")
    if codes is not None and of_r4 and type(node.get("code")) is str and node["code"] not in codes:
        yield Problem("code", "code-invalid", "not a code of this code system in R4 4.0.1")


def system_of_codes(node: Node) -> Iterator[Problem]:
    """datatypes.html#coding: `system` is a code system; here, where it is one of HL7's own value sets."""
    if type(node.get("system")) is str and node["system"].startswith(_VALUE_SETS):
        yield Problem("system", "value", "a value set is no code system (datatypes.html#coding)")


def formed_code(node: Node) -> Iterator[Problem]:
    """datatypes.html#coding: `code` is one of `system`, where that has too many to list but gives them a form."""
    form = _FORMS.get(node["system"]) if type(node.get("system")) is str else None
    if form and type(node.get("code")) is str and not form.fullmatch(node["code"]):
        yield Problem("code", "code-invalid", "not in the form of the codes of this code system")


@cache
def _codes() -> dict[str, frozenset[str]]:
    table = json.loads(zstandard.decompress((TABLES / "codes.json.zst").read_bytes()))
    return {system: frozenset(codes) for system, codes in table.items()}


@cache
def _parameters() -> Any:
    return json.loads((TABLES / "search.json").read_bytes())
