"""FHIRPath's functions on strings (N1 5.6): name -> function(string, *arguments), an empty operand yields nothing.

Regular expressions run in RE2, in time linear in the text: an expression may come from outside.
"""

import base64
import binascii
import html
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

from fhir_server.r4.fhirpath.environment import MAX_TEXT, Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.functions import Function
from fhir_server.r4.fhirpath.operators import TOO_LONG, text
from fhir_server.r4.fhirpath.values import Element, Values, single

MAX_MADE = 16 * MAX_TEXT  # characters that a replacement might make, at most; what it makes is known when it is made

_OPTIONS = re2.Options()
_OPTIONS.dot_nl = True
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 8 << 20


@lru_cache(maxsize=256)
def _pattern(regex: str) -> Any:
    try:
        return re2.compile(regex, options=_OPTIONS)
    except re2.error:
        raise FhirPathError("not a regular expression that can be run") from None


def _bound(length: int, most: int) -> None:
    """Before a string is made: one of a terabyte cannot be looked at afterwards."""
    if length > most:
        raise FhirPathError(TOO_LONG)


def _substring(value: str, start: int, length: int | None = None) -> Any:
    if not 0 <= start < len(value):
        return None
    return value[start:] if length is None else value[start : start + max(0, length)]


def _replace(value: str, pattern: str, substitution: str) -> str:
    _bound(len(value) + value.count(pattern) * (len(substitution) - len(pattern)), MAX_TEXT)
    return value.replace(pattern, substitution)


def _replace_matches(value: str, regex: str, substitution: str) -> str:
    _bound(len(value) * len(substitution), MAX_MADE)
    return _pattern(regex).sub(substitution.replace("\\", "\\\\").replace("$", "\\"), value) if regex else value


_CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "hex": (binascii.hexlify, binascii.unhexlify),
    "base64": (base64.b64encode, lambda data: base64.b64decode(data, validate=True)),
    "urlbase64": (base64.urlsafe_b64encode, base64.urlsafe_b64decode),
}
_ESCAPES: dict[str, tuple[Callable[[str], str], Callable[[str], str]]] = {
    "html": (html.escape, html.unescape),
    "json": (lambda value: json.dumps(value, ensure_ascii=False)[1:-1], lambda value: json.loads(f'"{value}"')),
}


def _coded(direction: int) -> Callable[[str, str], str | None]:
    def function(value: str, form: str) -> str | None:
        try:
            return _CODECS[form][direction](value.encode()).decode() if form in _CODECS else None
        except ValueError:
            return None

    return function


def _escaped(direction: int) -> Callable[[str, str], str | None]:
    def function(value: str, target: str) -> str | None:
        try:
            return _ESCAPES[target][direction](value) if target in _ESCAPES else None
        except ValueError:
            return None

    return function


# Name -> calculation and the types of its arguments; of substring the last may be left out.
_STRINGS: dict[str, tuple[Callable[..., Any], tuple[type, ...]]] = {
    "indexOf": (lambda value, part: value.find(part), (str,)),
    "lastIndexOf": (lambda value, part: value.rfind(part), (str,)),
    "substring": (_substring, (int, int)),
    "startsWith": (lambda value, part: value.startswith(part), (str,)),
    "endsWith": (lambda value, part: value.endswith(part), (str,)),
    "contains": (lambda value, part: part in value, (str,)),
    "upper": (lambda value: value.upper(), ()),
    "lower": (lambda value: value.lower(), ()),
    "replace": (_replace, (str, str)),
    "matches": (lambda value, regex: _pattern(regex).search(value) is not None, (str,)),
    "matchesFull": (lambda value, regex: _pattern(regex).fullmatch(value) is not None, (str,)),
    "replaceMatches": (_replace_matches, (str, str)),
    "length": (len, ()),
    "toChars": (list, ()),
    "trim": (lambda value: value.strip(), ()),
    "split": (lambda value, separator: value.split(separator) if separator else [value], (str,)),
    "encode": (_coded(0), (str,)),
    "decode": (_coded(1), (str,)),
    "escape": (_escaped(0), (str,)),
    "unescape": (_escaped(1), (str,)),
}


def _lifted(name: str, calculate: Callable[..., Any], types: tuple[type, ...]) -> Function:
    fewest = len(types) - (name == "substring")

    def function(environment: Environment, values: Values, *arguments: Values) -> Values:
        if not fewest <= len(arguments) <= len(types):
            raise FhirPathError(f"{name}() does not take {len(arguments)} arguments")
        first, *others = [single(operand) for operand in (values, *arguments)]
        if first is None or None in others or (first.__class__ is Element and first.value is None):
            return []
        if first.__class__ is not str or any(one.__class__ is not kind for one, kind in zip(others, types, strict=False)):
            raise FhirPathError(f"{name}() takes a string and arguments of the right types")
        environment.scan(first, *others)
        found = calculate(first, *others)
        if found.__class__ is list:
            environment.spend(len(found))
            return list(found)
        return [] if found is None else text(found) if found.__class__ is str else [found]

    return function


def _join(_: Environment, values: Values, separator: Values = ()) -> Values:  # type: ignore[assignment]
    between = single(separator) if separator else ""
    parts = [single([item]) for item in values]
    if any(part.__class__ is not str for part in (between, *parts)):
        raise FhirPathError("join takes strings")
    _bound(sum(map(len, parts)) + len(between) * len(parts), MAX_TEXT + len(between))
    return text(between.join(parts)) if parts else []


FUNCTIONS: dict[str, Function] = {name: _lifted(name, *known) for name, known in _STRINGS.items()} | {"join": _join}
