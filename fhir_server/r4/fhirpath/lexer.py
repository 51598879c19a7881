"""The tokens of FHIRPath (N1 2.0.0, appendix B): text -> tokens, bounded in length and nesting."""

import re
from typing import NamedTuple

from fhir_server.r4.fhirpath.errors import FhirPathError

MAX_LENGTH = 8_000
MAX_TOKENS = 600
MAX_NESTING = 40

_TIME = r"\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?"
_TOKEN = re.compile(
    rf"""(?P<space>\s+|//[^\n\r]*|/\*.*?\*/)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<time>@T{_TIME})
    |(?P<date>@\d{{4}}(?:-\d\d(?:-\d\d)?)?(?:T(?:{_TIME}(?:Z|[+-]\d\d:\d\d)?)?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`(?:[^`\\]|\\.)*`)
    |(?P<special>\$(?:this|index|total)\b)
    |(?P<symbol><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{{}}%])
    """,
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


class Token(NamedTuple):
    """`kind` is a group of the pattern above; `text` of a string or quoted name is unescaped, without its quotes."""

    kind: str
    text: str


def tokens(expression: str) -> list[Token]:
    """The tokens of an expression in reverse, so that the next one is pop(); FhirPathError if it is none, or too large."""
    if len(expression) > MAX_LENGTH:
        raise FhirPathError(f"an expression has at most {MAX_LENGTH} characters")
    found, position = [], 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if not match or not match.lastgroup:
            raise FhirPathError(f"cannot read the expression at character {position + 1}")
        if match.lastgroup != "space":
            found.append(_token(match.lastgroup, match[0]))
        position = match.end()
    _bound(found)
    return found[::-1]


def _token(kind: str, text: str) -> Token:
    if kind in ("string", "quoted"):
        return Token(kind, _ESCAPE.sub(_unescaped, text[1:-1]))
    return Token(kind, text)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)


def _bound(found: list[Token]) -> None:
    depth = deepest = 0
    for token in found:
        if token.kind == "symbol":
            depth += (token.text in "([{") - (token.text in ")]}")
            deepest = max(deepest, depth)
    if len(found) > MAX_TOKENS or deepest > MAX_NESTING:
        raise FhirPathError(f"an expression has at most {MAX_TOKENS} parts, nested at most {MAX_NESTING} deep")
