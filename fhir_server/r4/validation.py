"""Is a resource what R4 says it is? The official definitions as one JSON Schema (run in Rust), then rules it cannot carry.

Texts of issues are fixed: none quotes a value of the resource.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import Any

import jsonschema_rs
import orjson
import zstandard

from fhir_server.r4.content_rules import formed_code, known_code, system_of_codes
from fhir_server.r4.definitions import CHOICES, KNOWN_TYPES, TABLES
from fhir_server.r4.errors import FhirError, Issue
from fhir_server.r4.invariants import Path, problems
from fhir_server.r4.json import Number
from fhir_server.r4.rules import Rule, local_references, nulls_aligned

MAX_ISSUES = 20

_LISTABLE = 2_000  # values

_ELEMENT_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
# What orjson escapes of the characters that datatypes.html#string forbids, unless the backslash is itself escaped.
_CONTROL = re.compile(rb"(?<!\\)(?:\\\\)*\\(?:u00[01]|[bf])")

_CONTROL_TEXT = "control characters other than tab and line ends are not allowed"

# Keyed by `$comment` of the failing part of the schema, else by the failing keyword.
PROBLEMS: dict[str, tuple[str, str]] = {
    "required": ("required", "required element is missing"),
    "choice": ("structure", "exactly one type of value is allowed here"),
    "extension": ("invariant", "an extension has either one value or extensions, and a url (ext-1)"),
    "target": ("value", "a reference to this type of resource is not allowed here"),
    "binding": ("code-invalid", "not a code of the value set required here"),
    "empty": ("invariant", "an element has a value or children besides its id (ele-1)"),
    "type": ("structure", "unknown resource type; R4 4.0.1 has no such resource"),
    "additionalProperties": ("structure", "unknown element; R4 4.0.1 has no such element here"),
    "type-of-value": ("structure", "wrong JSON type for this element"),
    "pattern": ("value", "not in the format of this element's type"),
    "minimum": ("value", "number below the range of this element's type"),
    "maximum": ("value", "number above the range of this element's type"),
    "minItems": ("structure", "an empty array is not allowed; leave the element out"),
    "maxItems": ("structure", "too many repetitions"),
    "minLength": ("structure", "an empty string is not allowed; leave the element out"),
    "maxLength": ("value", "longer than the 1,048,576 characters that a string may have"),
    "minProperties": ("structure", "an empty object is not allowed; leave the element out"),
    "const": ("structure", "not the resource type expected here"),
}
# What a resource must contain for a rule to look at each of its elements.
EVERYWHERE: dict[bytes, Rule] = {
    b"null": nulls_aligned,
    b'"system":"http://hl7.org/fhir/': known_code,
    b'"system":"urn:i': formed_code,
    b"/ValueSet/": system_of_codes,
}
_LOCAL = b'"reference":"#'
_OTHERWISE = ("structure", "not allowed by the definition of this element")


def validate(resource: dict[str, Any]) -> None:
    """Check a parsed resource against R4 4.0.1; FhirError 400 with an Issue per problem, at most MAX_ISSUES."""
    kind = resource.get("resourceType")
    if type(kind) is not str or kind not in KNOWN_TYPES:
        raise FhirError(400, "structure", "unknown resource type; R4 4.0.1 has no such resource", "resourceType")
    issues = _schema_issues(resource) or list(islice(_rule_issues(resource), MAX_ISSUES))
    if issues:
        first, *more = issues
        raise FhirError(400, first.code, first.text, first.expression, more)


def prepare() -> None:
    """Load and compile what `validate` needs, which takes a quarter of a second: else the first who writes waits for it."""
    _validator()


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = orjson.loads(zstandard.decompress((TABLES / "schema.json.zst").read_bytes()))
    return schema


@cache
def _validator() -> Any:
    return jsonschema_rs.Draft202012Validator(_schema(), pattern_options=jsonschema_rs.RegexOptions())


def _schema_issues(resource: dict[str, Any]) -> list[Issue]:
    with suppress(ValueError):  # it takes no subclass of float, if it comes that far
        if _validator().is_valid(resource):
            return []
    data = orjson.dumps(resource, default=_fraction)
    issues = (issue for error in _errors(data) for issue in _issues(error, resource))
    return list(dict.fromkeys(islice(issues, MAX_ISSUES)))


def _errors(data: bytes) -> Sequence[jsonschema_rs.ValidationError]:
    """All errors of a resource of few values, the first of one of many: each costs 20 µs and 3 kB, listed or not.

    The stand-in fraction for a Number says to the schema what it needs to know: written with a point or an exponent, it is
    no FHIR integer.
    """
    plain = orjson.loads(data)
    if data.count(b",") + data.count(b"{") + data.count(b"[") <= _LISTABLE:
        return list(_validator().iter_errors(plain))
    try:
        _validator().validate(plain)
    except jsonschema_rs.ValidationError as error:
        return [error]
    return []


def _fraction(value: Any) -> float:
    if isinstance(value, Number):
        return 0.5
    raise TypeError(f"{type(value).__name__} is not JSON")


def _issues(error: jsonschema_rs.ValidationError, resource: dict[str, Any]) -> Iterator[Issue]:
    keyword = error.kind.name
    comment, title = _annotations(error.schema_path)
    code, text = PROBLEMS.get(comment or {"type": "type-of-value"}.get(keyword, keyword), _OTHERWISE)
    place = expression(resource, error.instance_path)
    if keyword == "additionalProperties":
        for name in error.kind.as_dict()["unexpected"]:
            yield Issue(code, text, f"{place}.{name}" if _ELEMENT_NAME.fullmatch(name) else place)
    elif keyword == "required" and not comment:
        yield Issue(code, text, f"{place}.{error.kind.as_dict()['property']}")
    else:
        yield Issue(code, text, f"{place}.{title.removesuffix('[x]')}" if title else place)


def _annotations(schema_path: Sequence[str | int]) -> tuple[str, str]:
    """`$comment` and `title` nearest to a failing keyword."""
    part: Any = _schema()
    comment, title = "", ""
    for step in schema_path[:-1]:
        part = part[step]
        if isinstance(part, dict) and isinstance(part.get("$comment"), str):
            comment, title = part["$comment"], part.get("title", "")
    return comment, title


def expression(resource: dict[str, Any], steps: Sequence[str | int]) -> str:
    """FHIRPath of a place in a resource given as JSON properties and indexes: `Observation.value.ofType(Quantity).unit`."""
    kind: str = resource["resourceType"]
    return kind + "".join(f"[{step}]" if isinstance(step, int) else f".{_element(step, kind)}" for step in steps)


def _element(name: str, resource_type: str) -> str:
    name = name.removeprefix("_")
    element, kind, elsewhere = CHOICES.get(name, (name, "", ()))
    return f"{element}.ofType({kind})" if kind and resource_type not in elsewhere else name


def _rule_issues(resource: dict[str, Any]) -> Iterator[Issue]:
    text = orjson.dumps(resource, default=_fraction)
    if b"\\" in text and _CONTROL.search(text):
        yield from _control_characters(resource)
    rules = [rule for trigger, rule in EVERYWHERE.items() if trigger in text]
    if rules or _LOCAL in text:
        yield from _everywhere(resource, rules, [local_references] if _LOCAL in text else [])
    for path, problem in problems(resource, b'xtension"' in text):
        yield Issue(problem.code, problem.text, place(resource, path, problem.element))


def _everywhere(resource: dict[str, Any], rules: list[Rule], of_wholes: list[Rule]) -> Iterator[Issue]:
    """Rules for any element, and for whole resources: a contained one refers to its siblings, which its container knows."""
    for node, path in nodes(resource):
        is_whole = "resourceType" in node and (path is None or path[1] != "contained")
        for rule in [*rules, *of_wholes] if is_whole else rules:
            for problem in rule(node):
                yield Issue(problem.code, problem.text, place(resource, path, problem.element))


def nodes(resource: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Every JSON object of the resource with its path, the resource first."""
    stack: list[tuple[dict[str, Any], Path]] = [(resource, None)]
    while stack:
        node, path = stack.pop()
        yield node, path
        for name, value in node.items():
            if type(value) is dict:
                stack.append((value, (path, name, None)))
            elif type(value) is list:
                stack += [(item, (path, name, index)) for index, item in enumerate(value) if type(item) is dict]


def place(resource: dict[str, Any], path: Path, element: str) -> str:
    """FHIRPath of an element below a path."""
    steps: list[str | int] = []
    while path:
        path, name, index = path
        steps = [name, *([] if index is None else [index]), *steps]
    return expression(resource, steps) + (f".{element.removeprefix('_')}" if element else "")


def _control_characters(resource: dict[str, Any]) -> Iterator[Issue]:
    for node, path in nodes(resource):
        for name, value in node.items():
            for index, text in enumerate(value) if type(value) is list else ((None, value),):
                if type(text) is str and _CONTROL.search(orjson.dumps(text)):
                    yield Issue("value", _CONTROL_TEXT, place(resource, (path, name, index), ""))
