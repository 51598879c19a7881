"""The grammar of FHIRPath (N1 2.0.0, appendix B): text -> syntax tree -> text. Bounded in depth."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.lexer import Token, tokens
from fhir_server.r4.fhirpath.quantities import CALENDAR_UNITS, Quantity
from fhir_server.r4.fhirpath.temporal import parse_temporal

# (kind, ...): ("this",) ("child", base, name) ("index", base, n or node) ("as", base, type) ("call", base, name, args)
# ("union", a, b) ("op", symbol, a, b) ("literal", value) ("type", name) ("sign", symbol, a) ("none",) ("special", name)
# ("variable", name)
Node = tuple[Any, ...]
Reader = Callable[[list[Token], frozenset[str]], Node]

MAX_DEPTH = 120

THIS: Node = ("this",)
_TYPE_ARGUMENT = ("as", "ofType", "is")


def parse(expression: str, resource_type: str | None = None) -> Node:
    """The syntax tree of an expression; a leading `resource_type` (or Resource, DomainResource) is the resource itself."""
    left = tokens(expression)
    node = _expression(left, frozenset({resource_type, "Resource", "DomainResource"}) if resource_type else frozenset())
    if left:
        raise FhirPathError(f"cannot read {left[-1].text!r} in the expression")
    if _depth(node) > MAX_DEPTH:
        raise FhirPathError(f"an expression is at most {MAX_DEPTH} steps deep")
    return node


def write(node: Node) -> str:
    """The expression of a search parameter, in one normal form: paths start at the resource, types are `ofType(T)`."""
    return _WRITERS[node[0]](*node[1:])


def head(node: Node) -> str | None:
    """The one JSON property of the resource that a path starts from; None where the expression reads several, or none."""
    if node[0] == "child" and node[1] == THIS:
        return str(node[2])
    if node[0] == "as" and node[1] == ("child", THIS, node[1][2]):
        return choice_key(node[1][2], node[2])
    if node[0] == "call" and node[1] == THIS and node[2] == "extension":
        return "extension"
    return head(node[1]) if node[0] in ("child", "as", "index", "call") else None


def alternatives(node: Node) -> list[Node]:
    """The parts of a union; of any other expression only itself."""
    return [*alternatives(node[1]), *alternatives(node[2])] if node[0] == "union" else [node]


def choice_key(name: str, type_name: str) -> str:
    """The JSON property of a choice element: `value` as Quantity is `valueQuantity`."""
    return name + type_name[:1].upper() + type_name[1:]


# --- reading -------------------------------------------------------------------------------------------------------------


def _depth(node: Node) -> int:
    deepest, stack = 0, [(node, 1)]
    while stack:
        part, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(child, depth + 1) for child in part if type(child) is tuple]
    return deepest


def _next(left: list[Token], *wanted: str) -> str | None:
    """Take the next token if it is one of `wanted`: symbols, words or specials."""
    if left and left[-1].text in wanted and left[-1].kind in ("symbol", "name", "special"):
        return left.pop().text
    return None


def _take(left: list[Token], *kinds: str) -> str:
    if not left:
        raise FhirPathError("the expression ends early")
    if left[-1].kind not in kinds:
        raise FhirPathError(f"did not expect {left[-1].text!r} in the expression")
    return left.pop().text


def _expect(left: list[Token], wanted: str) -> None:
    if not _next(left, wanted):
        raise FhirPathError(f"expected {wanted!r}" + (f" before {left[-1].text!r}" if left else " at the end"))


def _binary(symbols: tuple[str, ...], operand: Reader) -> Reader:
    def read(left: list[Token], roots: frozenset[str]) -> Node:
        node = operand(left, roots)
        while symbol := _next(left, *symbols):
            other = operand(left, roots)
            node = ("union", node, other) if symbol == "|" else ("op", symbol, node, other)
        return node

    return read


def _typed(left: list[Token], roots: frozenset[str]) -> Node:
    node = _additive(left, roots)
    while word := _next(left, "as", "is"):
        node = _of_type(node, word, _type_name(left))
    return node


def _of_type(node: Node, word: str, name: str) -> Node:
    return ("op", "is", node, ("type", name)) if word == "is" else ("as", node, name)


def _type_name(left: list[Token]) -> str:
    name = _take(left, "name", "quoted")
    return f"{name}.{_take(left, 'name', 'quoted')}" if name in ("System", "FHIR") and _next(left, ".") else name


def _signed(left: list[Token], roots: frozenset[str]) -> Node:
    signs = []
    while sign := _next(left, "+", "-"):
        signs.append(sign)
    node = _path(left, roots)
    for sign in reversed(signs):
        node = ("sign", sign, node)
    return node


def _path(left: list[Token], roots: frozenset[str]) -> Node:
    node = _term(left, roots)
    while symbol := _next(left, ".", "["):
        node = _step(node, left, roots) if symbol == "." else _indexer(node, left, roots)
    return node


def _term(left: list[Token], roots: frozenset[str]) -> Node:
    if _next(left, "("):
        node = _expression(left, roots)
        _expect(left, ")")
        return node
    if _next(left, "{"):
        _expect(left, "}")
        return ("none",)
    if _next(left, "$this", *roots):
        return THIS
    if _next(left, "%"):
        return ("variable", _take(left, "name", "quoted", "string"))
    kind = left[-1].kind if left else ""
    return _LITERALS[kind](left) if kind in _LITERALS else _word(left, roots)


def _word(left: list[Token], roots: frozenset[str]) -> Node:
    word = _next(left, "true", "false")
    return ("literal", word == "true") if word else _step(THIS, left, roots)


def _number(left: list[Token]) -> Node:
    text = _take(left, "number")
    if left and left[-1].kind == "string":
        return ("literal", Quantity(Decimal(text), left.pop().text))
    unit = _next(left, *CALENDAR_UNITS)
    if unit:
        return ("literal", Quantity(Decimal(text), CALENDAR_UNITS[unit], calendar=True))
    return ("literal", Decimal(text) if "." in text else int(text))


def _temporal(left: list[Token]) -> Node:
    return ("literal", parse_temporal(_take(left, "date", "time")[1:]))


_LITERALS: dict[str, Callable[[list[Token]], Node]] = {
    "string": lambda left: ("literal", left.pop().text),
    "number": _number,
    "date": _temporal,
    "time": _temporal,
    "special": lambda left: ("special", left.pop().text),
}


def _step(base: Node, left: list[Token], roots: frozenset[str]) -> Node:
    special = _next(left, "$this", "$index", "$total")
    if special:
        raise FhirPathError(f"{special} begins a path")
    name = _take(left, "name", "quoted")
    if not _next(left, "("):
        return ("child", base, name)
    if name in _TYPE_ARGUMENT:
        type_name = _type_name(left)
        _expect(left, ")")
        return _of_type(base, name, type_name)
    return ("call", base, name, _arguments(left, roots))


def _arguments(left: list[Token], roots: frozenset[str]) -> tuple[Node, ...]:
    if _next(left, ")"):
        return ()
    arguments = [_expression(left, roots)]
    while _next(left, ","):
        arguments.append(_expression(left, roots))
    _expect(left, ")")
    return tuple(arguments)


def _indexer(base: Node, left: list[Token], roots: frozenset[str]) -> Node:
    position = _expression(left, roots)
    _expect(left, "]")
    return ("index", base, position[1] if position[0] == "literal" and type(position[1]) is int else position)


# Precedence (N1 section 6.8), tightest first.
_multiplicative = _binary(("*", "/", "div", "mod"), _signed)
_additive = _binary(("+", "-", "&"), _multiplicative)
_alternatives = _binary(("|",), _typed)
_inequality = _binary(("<=", "<", ">", ">="), _alternatives)
_equality = _binary(("=", "~", "!=", "!~"), _inequality)
_membership = _binary(("in", "contains"), _equality)
_conjunction = _binary(("and",), _membership)
_disjunction = _binary(("or", "xor"), _conjunction)
_expression = _binary(("implies",), _disjunction)

# --- writing -------------------------------------------------------------------------------------------------------------


def _dotted(base: Node, step: str) -> str:
    if base == THIS:
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
