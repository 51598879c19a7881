"""The grammar of the part of FHIRPath that R4's search parameters are written in: text -> syntax tree -> text."""

import re
from collections.abc import Callable
from typing import Any

# (kind, ...): ("this",) ("child", base, name) ("index", base, n) ("as", base, type) ("call", base, name, args)
# ("union", a, b) ("op", symbol, a, b) ("literal", value) ("type", name)
Node = tuple[Any, ...]
Reader = Callable[[list[str], frozenset[str]], Node]

_TOKEN = re.compile(r"\s*(?:('(?:[^'\\]|\\.)*')|([A-Za-z_$][\w$]*)|(\d+)|(!=|[|.()=\[\],]))", re.ASCII)
_TYPE_ARGUMENT = ("as", "ofType", "is")


def parse(expression: str, resource_type: str) -> Node:
    """The syntax tree of an expression; a leading `resource_type` (or Resource, DomainResource) is the resource itself."""
    tokens = _tokens(expression)
    node = _union(tokens, frozenset({resource_type, "Resource", "DomainResource"}))
    if tokens:
        raise ValueError(f"cannot read {tokens[-1]!r} in {expression!r}")
    return node


def write(node: Node) -> str:
    """The expression of a syntax tree, in one normal form: paths start at the resource, types are `ofType(T)`."""
    return _WRITERS[node[0]](*node[1:])


def head(node: Node) -> str | None:
    """The one JSON property of the resource that a path starts from; None where the expression reads several, or none."""
    if node[0] == "child" and node[1] == ("this",):
        return str(node[2])
    if node[0] == "as" and node[1] == ("child", ("this",), node[1][2]):
        return choice_key(node[1][2], node[2])
    if node[0] == "call" and node[1] == ("this",) and node[2] == "extension":
        return "extension"
    return head(node[1]) if node[0] in ("child", "as", "index", "call") else None


def choice_key(name: str, type_name: str) -> str:
    """The JSON property of a choice element: `value` as Quantity is `valueQuantity`."""
    return name + type_name[0].upper() + type_name[1:]


# --- reading -------------------------------------------------------------------------------------------------------------


def _tokens(expression: str) -> list[str]:
    """The tokens in reverse, so that the next one is pop()."""
    found, position, text = [], 0, expression.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ValueError(f"cannot read {text[position:]!r}")
        found.append(match[0].strip())
        position = match.end()
    return found[::-1]


def _next(tokens: list[str], *wanted: str) -> bool:
    """Take the next token if it is one of `wanted`."""
    if tokens and tokens[-1] in wanted:
        tokens.pop()
        return True
    return False


def _take(tokens: list[str]) -> str:
    if not tokens:
        raise ValueError("the expression ends early")
    return tokens.pop()


def _expect(tokens: list[str], wanted: str) -> None:
    if not _next(tokens, wanted):
        raise ValueError(f"expected {wanted!r}")


def _binary(symbols: tuple[str, ...], operand: Reader, build: Callable[[str, Node, Node], Node]) -> Reader:
    def read(tokens: list[str], roots: frozenset[str]) -> Node:
        node = operand(tokens, roots)
        while tokens and tokens[-1] in symbols:
            symbol = tokens.pop()
            node = build(symbol, node, operand(tokens, roots))
        return node

    return read


def _typed(tokens: list[str], roots: frozenset[str]) -> Node:
    node = _path(tokens, roots)
    while tokens and tokens[-1] in ("as", "is"):
        word, name = tokens.pop(), _take(tokens)
        node = ("as", node, name) if word == "as" else ("op", "is", node, ("type", name))
    return node


def _path(tokens: list[str], roots: frozenset[str]) -> Node:
    node = _term(tokens, roots)
    while tokens and tokens[-1] in (".", "["):
        node = _step(node, tokens, roots) if tokens.pop() == "." else _indexer(node, tokens)
    return node


def _term(tokens: list[str], roots: frozenset[str]) -> Node:
    if _next(tokens, "("):
        node = _union(tokens, roots)
        _expect(tokens, ")")
        return node
    if _next(tokens, "$this", *roots):
        return ("this",)
    literal = _literal(tokens[-1]) if tokens else None
    if literal is not None:
        tokens.pop()
        return literal
    return _step(("this",), tokens, roots)


def _literal(word: str) -> Node | None:
    if word[0] == "'":
        return ("literal", re.sub(r"\\(.)", r"\1", word[1:-1]))
    if word in ("true", "false"):
        return ("literal", word == "true")
    return ("literal", int(word)) if word.isdigit() else None


def _step(base: Node, tokens: list[str], roots: frozenset[str]) -> Node:
    name = _take(tokens)
    if not name.isidentifier():
        raise ValueError(f"expected an element name, found {name!r}")
    if not _next(tokens, "("):
        return ("child", base, name)
    if name in _TYPE_ARGUMENT:
        type_name = _take(tokens)
        _expect(tokens, ")")
        return ("op", "is", base, ("type", type_name)) if name == "is" else ("as", base, type_name)
    return ("call", base, name, _arguments(tokens, roots))


def _arguments(tokens: list[str], roots: frozenset[str]) -> tuple[Node, ...]:
    if _next(tokens, ")"):
        return ()
    arguments = [_union(tokens, roots)]
    while _next(tokens, ","):
        arguments.append(_union(tokens, roots))
    _expect(tokens, ")")
    return tuple(arguments)


def _indexer(base: Node, tokens: list[str]) -> Node:
    node: Node = ("index", base, int(_take(tokens)))
    _expect(tokens, "]")
    return node


# FHIRPath's precedence, loosest last: as/is, |, = !=, and. R4's parameters are written with `|` outermost or in parentheses.
_alternatives = _binary(("|",), _typed, lambda _, a, b: ("union", a, b))
_equality = _binary(("=", "!="), _alternatives, lambda symbol, a, b: ("op", symbol, a, b))
_union = _binary(("and",), _equality, lambda symbol, a, b: ("op", symbol, a, b))

# --- writing -------------------------------------------------------------------------------------------------------------


def _dotted(base: Node, step: str) -> str:
    if base == ("this",):
        return step
    text = write(base)
    return f"({text}).{step}" if base[0] in ("union", "op") else f"{text}.{step}"


_WRITERS: dict[str, Callable[..., str]] = {
    "this": lambda: "$this",
    "child": lambda base, name: _dotted(base, name),
    "as": lambda base, name: _dotted(base, f"ofType({name})"),
    "index": lambda base, n: f"{write(base)}[{n}]",
    "call": lambda base, name, arguments: _dotted(base, f"{name}({', '.join(map(write, arguments))})"),
    "union": lambda a, b: f"{write(a)} | {write(b)}",
    "op": lambda symbol, a, b: f"{_operand(a)} {symbol} {_operand(b)}",
    "type": lambda name: name,
    "literal": lambda value: f"'{value}'" if isinstance(value, str) else str(value).lower(),
}


def _operand(node: Node) -> str:
    return f"({write(node)})" if node[0] == "union" else write(node)
