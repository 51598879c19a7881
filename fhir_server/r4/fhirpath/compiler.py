"""A syntax tree -> a closure that evaluates it, once for each expression.

A closure takes the item that `$this` is (ABSENT for none) and the environment, and yields a collection. Arguments of a
function are evaluated with `$this` of its call, those of `where` and its like with each item of the input.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fhir_server.r4.elements import is_kind_of
from fhir_server.r4.fhirpath import conversion, functions, strings
from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.iteration import ITERATIONS
from fhir_server.r4.fhirpath.operators import OPERATORS, SHORTCUTS, polarity
from fhir_server.r4.fhirpath.paths import present, texts
from fhir_server.r4.fhirpath.syntax import THIS, Node, choice_key, parse
from fhir_server.r4.fhirpath.values import ABSENT, Element, Evaluator, Values, child, single, truth, typed_child

FUNCTIONS = {**functions.FUNCTIONS, **strings.FUNCTIONS, **conversion.FUNCTIONS}


@lru_cache(maxsize=4096)
def program(expression: str) -> Evaluator:
    """The closure of an expression; FhirPathError where it is none."""
    return build(parse(expression))


def run(evaluator: Evaluator, this: Any, environment: Environment) -> Values:
    """What a closure yields; FhirPathError also where numbers leave what can be calculated."""
    try:
        return evaluator(this, environment)
    except (ArithmeticError, RecursionError):
        raise FhirPathError("the expression cannot be calculated on this resource") from None


def build(node: Node) -> Evaluator:
    """The closure of a syntax tree."""
    built = _BUILDERS[node[0]](*node[1:])
    return _remembered(node, built) if _is_of_resource(node) else _quick(node, built) or built


def _this() -> Evaluator:
    return lambda this, _: [] if this is ABSENT else [this]


def _none() -> Evaluator:
    return lambda this, _: []


def _literal(value: Any) -> Evaluator:
    return lambda this, _: [value]


def _child(base: Node, name: str) -> Evaluator:
    if base == THIS:
        return _named(name) if name[0].isupper() else lambda this, _: child(this, name)
    source = build(base)

    def read(this: Any, environment: Environment) -> Values:
        values = source(this, environment)
        found = child(values[0], name) if len(values) == 1 else [below for item in values for below in child(item, name)]
        environment.spend(len(found))
        return found

    return read


def _named(name: str) -> Evaluator:
    """A path's first name may be that of the type it starts from (N1 4.1)."""

    def read(this: Any, _: Environment) -> Values:
        if this.__class__ is Element and is_kind_of(this.type, name):
            return [this]
        return child(this, name)

    return read


def _as(base: Node, type_name: str) -> Evaluator:
    short = type_name.removeprefix("FHIR.")
    functions.check_type(type_name)
    if base[0] == "child" and base[2][0].islower() and not type_name.startswith("System."):
        return _choice(build(base[1]), base[2], short)
    candidates = build(base)
    return lambda this, environment: [
        item for item in candidates(this, environment) if functions.is_of(item, type_name, exactly=True)
    ]


def _choice(source: Evaluator, name: str, type_name: str) -> Evaluator:
    key = choice_key(name, type_name)

    def read(this: Any, environment: Environment) -> Values:
        return [found for item in source(this, environment) for found in typed_child(item, name, key, type_name)]

    return read


def _index(base: Node, position: Any) -> Evaluator:
    source = build(base)
    if type(position) is int:
        return lambda this, environment: source(this, environment)[position : position + 1]
    place = build(position)

    def read(this: Any, environment: Environment) -> Values:
        index = single(place(this, environment))
        if index is not None and type(index) is not int:
            raise FhirPathError("an index is an integer")
        return [] if index is None or index < 0 else source(this, environment)[index : index + 1]

    return read


def _call(base: Node, name: str, arguments: tuple[Node, ...]) -> Evaluator:
    source, built = build(base), [build(argument) for argument in arguments]
    try:
        if name in ITERATIONS:
            return ITERATIONS[name](source, *built)
    except TypeError:
        raise FhirPathError(f"{name}() does not take {len(arguments)} arguments") from None
    if name not in FUNCTIONS:
        raise FhirPathError(f"there is no function {name}()")
    return _function(name, source, built)


def _function(name: str, source: Evaluator, arguments: list[Evaluator]) -> Evaluator:
    function = FUNCTIONS[name]
    functions.check_arguments(name, function, len(arguments))

    def read(this: Any, environment: Environment) -> Values:
        given = [argument(this, environment) for argument in arguments]
        found = function(environment, source(this, environment), *given)
        environment.spend(len(found))
        return found

    return read


def _op(symbol: str, a: Node, b: Node) -> Evaluator:
    if symbol == "is":
        return _is(a, b[1])
    left, right, operate = build(a), build(b), OPERATORS[symbol]
    if symbol not in SHORTCUTS:
        return lambda this, environment: operate(left(this, environment), right(this, environment), environment)
    decided = SHORTCUTS[symbol]

    def read(this: Any, environment: Environment) -> Values:
        one = truth(left(this, environment))
        if one is decided:
            return [symbol != "and"]
        return operate([] if one is None else [one], right(this, environment), environment)

    return read


def _is(base: Node, type_name: str) -> Evaluator:
    source = build(base)
    functions.check_type(type_name)

    def read(this: Any, environment: Environment) -> Values:
        values = source(this, environment)
        if len(values) > 1:
            raise FhirPathError("`is` takes one item")
        return [functions.is_of(item, type_name) for item in values]

    return read


def _union(a: Node, b: Node) -> Evaluator:
    return _op("union", a, b)


def _sign(symbol: str, base: Node) -> Evaluator:
    source = build(base)
    return lambda this, environment: polarity(source(this, environment), symbol)


def _variable(name: str) -> Evaluator:
    return lambda this, environment: environment.variable(name)


def _special(name: str) -> Evaluator:
    if name == "$index":
        return lambda this, environment: [environment.index]
    return lambda this, environment: list(environment.total)


_BUILDERS: dict[str, Callable[..., Evaluator]] = {
    "this": _this,
    "none": _none,
    "literal": _literal,
    "child": _child,
    "as": _as,
    "index": _index,
    "call": _call,
    "union": _union,
    "op": _op,
    "sign": _sign,
    "variable": _variable,
    "special": _special,
}

# --- what is the same for every item of a resource: `%resource.snapshot.element.first()`, asked for each of a thousand --------


def _is_of_resource(node: Node) -> bool:
    """Whether this is a path from %resource without arguments, longer than that."""
    steps = 0
    while node[0] == "child" or (node[0] == "call" and not node[3]):
        node, steps = node[1], steps + 1
    return steps > 0 and node in (("variable", "resource"), ("variable", "rootResource"))


def _remembered(node: Node, evaluator: Evaluator) -> Evaluator:
    def read(this: Any, environment: Environment) -> Values:
        found = environment.memo.get(node)
        if found is None:
            found = environment.memo[node] = evaluator(this, environment)
        return found

    return read


# --- what needs no elements made: whether a path leads anywhere, whether it leads to a text ---------------------------------


def _quick(node: Node, slow: Evaluator) -> Evaluator | None:
    match node:
        case ("call", path, ("exists" | "empty") as name, ()):
            is_there = present(path)
            return None if is_there is None else _answer(is_there, name == "exists")
        case ("op", "=", path, ("literal", str(text))):
            return _quick_equal(path, text, slow)
    return None


def _answer(is_there: Callable[[Any], bool], wanted: bool) -> Evaluator:
    return lambda this, _: [is_there(this) is wanted]


def _quick_equal(path: Node, text: str, slow: Evaluator) -> Evaluator | None:
    values = texts(path)
    if values is None:
        return None

    def read(this: Any, environment: Environment) -> Values:
        found = values(this)
        if found is None:
            return slow(this, environment)
        return [len(found) == 1 and found[0] == text] if found else []

    return read
