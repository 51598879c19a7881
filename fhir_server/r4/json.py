"""FHIR's JSON, strictly (R4 json.html): what is ambiguous or loses information is refused, what is written comes back.

The fast path is the C scanner of the standard library. It only notices that something is wrong; `_explain` then walks
the tokens once more to say what and where, by line and column, so that no error text quotes the content.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

from fhir_server.r4.errors import FhirError

MAX_DEPTH = 64
MAX_DIGITS = 400
MAX_VALUES = 1_500_000  # in one text: each takes some 100 bytes in memory, and as few as two in the text

_BOM = b"\xef\xbb\xbf"
_INT64_DIGITS = 18
_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*")(?P<key>\s*:)?|(?P<open>[{\[])|(?P<close>[}\]])"""
    r"""|(?P<constant>NaN|-?Infinity)|(?P<number>-?\d[\d.eE+-]*)""",
    re.DOTALL,
)
# An escape at a time, so that an escaped backslash before a "u" is not taken for one; group 1 is half a surrogate pair.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)", re.DOTALL)

_STORED_NAME = re.compile(rb'\{"resourceType":"([A-Za-z]+)","id":"([A-Za-z0-9.-]+)"')  # how the store writes every body


class Number(float):
    """A decimal whose written form a float would lose (`1.10`, `1.0`, `1E5`, 20 digits); `text` is what was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "Number":
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        return (self.text,)


class _Refused(ValueError):
    """Well-formed JSON that FHIR cannot hold."""


def read(data: bytes) -> dict[str, Any]:
    """Parse one JSON object; FhirError 400 `structure` with line and column for anything doubtful (json.html 2.6.2)."""
    found: dict[str, Any] = _read(data, dict, "a resource is a JSON object")
    return found


def read_list(data: bytes) -> list[Any]:
    """Parse one JSON array, as strictly."""
    found: list[Any] = _read(data, list, "a JSON array is expected here")
    return found


def _read(data: bytes, kind: type, otherwise: str) -> Any:
    text = _decode(data)
    if len(text) > MAX_VALUES and text.count(",") + text.count("{") + text.count("[") > MAX_VALUES:
        raise FhirError(413, "too-long", f"more than {MAX_VALUES} values; send it in parts")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        _refuse(text, error.pos, f"not JSON: {error.msg.split(':')[0]}")
    except (_Refused, RecursionError):
        _explain(text)
    if type(value) is not kind:
        _refuse(text, 0, otherwise)
    if text.count("{") + text.count("[") > MAX_DEPTH and _is_too_deep(value):
        _explain(text)
    if "\\u" in text:
        _refuse_lone_surrogates(text)
    return value


def stored_name(body: bytes) -> bytes:
    """`Type/id` of a resource as it is stored, without parsing the rest of it."""
    found = _STORED_NAME.match(body)
    assert found is not None
    return b"%s/%s" % found.groups()


def read_stored(data: bytes) -> dict[str, Any]:
    """What the store wrote itself, in a third of the time: without checks, decimals as floats. To look at, never to pass on."""
    found: dict[str, Any] = orjson.loads(data)
    return found


def write(resource: Any) -> bytes:
    """Serialise compactly; every decimal as it was written."""
    return orjson.dumps(resource, default=_as_written)


def pretty(data: bytes) -> bytes:
    """The same JSON, indented; every decimal as it was written."""
    return orjson.dumps(_DECODER.decode(data.decode()), default=_as_written, option=orjson.OPT_INDENT_2)


def _as_written(value: Any) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused
    return members


def _decimal(text: str) -> float:
    value = float(text)
    if len(text) > MAX_DIGITS or math.isinf(value):
        raise _Refused
    if value.is_integer() or repr(value) != text or "e" in text:
        return Number(text)
    return value


def _integer(text: str) -> float:
    if len(text) <= _INT64_DIGITS and text != "-0":
        return int(text)
    return _decimal(text)


def _constant(_: str) -> NoReturn:
    raise _Refused


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer, parse_constant=_constant, strict=True
)


def _decode(data: bytes) -> str:
    if data.startswith(_BOM):
        raise FhirError(400, "structure", "begins with a byte order mark; send UTF-8 without one")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FhirError(400, "structure", f"not UTF-8 at byte {error.start}; send UTF-8") from None


def _is_too_deep(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        children = (child for node in level for child in (node.values() if type(node) is dict else node))
        level = [child for child in children if type(child) is dict or type(child) is list]
    return bool(level)


def _refuse_lone_surrogates(text: str) -> None:
    lone = next((escape for escape in _ESCAPE.finditer(text) if escape[1]), None)
    if lone:
        _refuse(text, lone.start(), "half a surrogate pair is not a character")


def _explain(text: str) -> NoReturn:
    position, problem = next(_problems(text), (0, "not JSON"))
    _refuse(text, position, problem)


def _problems(text: str) -> Iterator[tuple[int, str]]:
    keys: list[set[str]] = []
    for token in _TOKEN.finditer(text):
        if token["open"]:
            keys.append(set())
            if len(keys) > MAX_DEPTH:
                yield token.start(), f"nested deeper than {MAX_DEPTH} levels"
        elif token["close"]:
            keys.pop()
        elif token["key"]:
            key = json.loads(token["string"])
            if key in keys[-1]:
                yield token.start(), "the same key twice in one object"
            keys[-1].add(key)
        elif token["constant"]:
            yield token.start(), "NaN and Infinity are not JSON"
        elif token["number"] and (len(token["number"]) > MAX_DIGITS or math.isinf(float(token["number"]))):
            yield token.start(), "number out of range"


def _refuse(text: str, position: int, problem: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    raise FhirError(400, "structure", f"{problem} (line {line}, column {column})")
