"""The parameters of a search -> Query: clauses that all must hold, and how the result is wanted (search.html#2.21.1)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fhir_server.r4.errors import FhirError
from fhir_server.search import values
from fhir_server.search.parameters import Parameter, parameters, resource_types, unsupported
from fhir_server.search.values import Value

Total = Literal["none", "estimate", "accurate"]

MAX_CLAUSES = 64
MAX_VALUES = 256
MAX_COUNT = 1000

_UNSORTED = frozenset({"composite", "special"})

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.=*-]{0,79}", re.ASCII)

# What each type of parameter can be asked with; a resource type is a modifier of references, too.
MODIFIERS: dict[str, tuple[str, ...]] = {
    "token": ("missing", "not", "text", "of-type"),
    "string": ("missing", "exact", "contains"),
    "reference": ("missing", "identifier"),
    "uri": ("missing", "below", "above"),
    "date": ("missing",),
    "number": ("missing",),
    "quantity": ("missing",),
    "special": ("missing",),
    "composite": (),
}
_TERMINOLOGICAL = frozenset({"in", "not-in", "above", "below"})
# Official modifiers and result parameters, known in order to say that they are not supported.
_OTHER_MODIFIERS = frozenset({"text", "in", "not-in", "of-type", "identifier", "above", "below", "not", "exact", "contains"})
_OTHER_CONTROLS = frozenset({"_elements", "_contained", "_containedType", "_list", "_type"})


@dataclass(frozen=True, slots=True)
class Clause:
    """One criterion: the resource has a value that meets any of `values`."""

    parameter: Parameter
    modifier: str | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Include:
    """One _include or _revinclude: the references of `parameter` (None: all) of `source`, to `target` (None: any type)."""

    source: str
    parameter: Parameter | None
    target: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one resource type. `ignored` names what lenient handling dropped; `count` is the page size asked for."""

    resource_type: str
    clauses: tuple[Clause, ...] = ()
    sort: tuple[tuple[Parameter, bool], ...] = ()
    count: int | None = None
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    total: Total | None = None
    summary_count: bool = False
    ignored: tuple[str, ...] = field(default=(), compare=False)

    def ids(self) -> tuple[str, ...] | None:
        """The ids that all `_id` clauses allow, sorted; None if there is no such clause."""
        asked = [
            {value.code for value in clause.values if isinstance(value, values.Token) and value.code and not value.system}
            for clause in self.clauses
            if clause.parameter.name == "_id" and clause.modifier is None
        ]
        return tuple(sorted(set.intersection(*asked))) if asked else None


class _Unknown(FhirError):
    """A parameter that the server does not have: the only error that lenient handling forgives."""


def parse(resource_type: str, pairs: Sequence[tuple[str, str]], *, lenient: bool = False, base_url: str = "") -> Query:
    """The Query that name-value pairs ask for; FhirError 400 names a parameter that cannot be answered, never its value.

    `lenient` (Prefer: handling=lenient) drops unknown parameters into `Query.ignored`. `base_url` is this server's.
    """
    query = Query(resource_type)
    for name, text in pairs:
        try:
            query = _with(query, name, text, base_url)
        except _Unknown:
            if not lenient:
                raise
            query = replace(query, ignored=(*query.ignored, _shown(name)))
    return query


def canonical(query: Query) -> str:
    """The criteria in one normal form, the same for any order of parameters and of values, and for alias parameters."""
    return f"{query.resource_type}?{'&'.join(sorted({_criterion(query.resource_type, clause) for clause in query.clauses}))}"


def _criterion(resource_type: str, clause: Clause) -> str:
    # `patient` and `subject` differ only in what they accept, and that stands in the values.
    paths = clause.parameter.paths
    searched = "|".join(sorted(path.key if path.target else f"{resource_type}.{path.expression}" for path in paths))
    return f"{searched}:{clause.modifier or ''}={','.join(sorted({repr(value) for value in clause.values}))}"


def _with(query: Query, name: str, text: str, base_url: str) -> Query:
    control, _, modifier = name.partition(":")
    if control not in _CONTROLS:
        return _with_clause(query, _clause(query.resource_type, name, text, base_url))
    if modifier:
        raise _error(name, "has a modifier that is not supported", "not-supported")
    return _CONTROLS[control](query, control, text)


def _with_clause(query: Query, clause: Clause) -> Query:
    if len(query.clauses) == MAX_CLAUSES:
        raise FhirError(400, "too-costly", f"A search has at most {MAX_CLAUSES} criteria: split it, or leave some out")
    return replace(query, clauses=(*query.clauses, clause))


# --- criteria ------------------------------------------------------------------------------------------------------------


def _clause(resource_type: str, name: str, text: str, base_url: str) -> Clause:
    code, _, rest = name.partition(":")
    modifier = rest or None
    parameter = _parameter(resource_type, code, name)
    _check_modifier(parameter, modifier, name)
    texts = values.split(text, ",")
    if not all(texts):
        raise _error(name, "has an empty value: give one, or leave the parameter out")
    if len(texts) > MAX_VALUES:
        raise _error(name, f"has more than {MAX_VALUES} values: split the search", "too-costly")
    return Clause(parameter, modifier, tuple(_value(parameter, modifier, one, name, base_url) for one in texts))


def _value(parameter: Parameter, modifier: str | None, text: str, name: str, base_url: str) -> Value:
    try:
        return values.parse(parameter, modifier, text, base_url)
    except ValueError as error:
        raise _error(name, f"has a value that {error}") from None


def _parameter(resource_type: str, code: str, name: str) -> Parameter:
    found = parameters(resource_type).get(code)
    if found:
        return found
    if code == "_has" or "." in name:
        raise _error(name, "is a chained parameter or _has: not supported", "not-supported")
    if code in unsupported(resource_type) or code in _OTHER_CONTROLS:
        raise _error(name, "is not supported by this server", "not-supported")
    text = f"Search parameter {_shown(name)} is unknown for {resource_type}: /metadata lists those that are known"
    raise _Unknown(400, "not-supported", text)


def _check_modifier(parameter: Parameter, modifier: str | None, name: str) -> None:
    if modifier == "of-type" and not any(path.datatype == "Identifier" for path in parameter.paths):
        raise _error(name, "is no identifier, which :of-type asks for", "not-supported")
    if modifier is None or modifier in MODIFIERS[parameter.type]:
        return
    if parameter.type == "token" and modifier in _TERMINOLOGICAL:
        problem = f"has a modifier that needs a terminology, which :{modifier} cannot ask here: list the codes, commas between"
        raise _error(name, problem, "not-supported")
    if parameter.type == "reference" and modifier in parameter.targets:
        return
    if "." in name:
        raise _error(name, "is a chained parameter: not supported", "not-supported")
    known = ", ".join(f":{one}" for one in MODIFIERS[parameter.type])
    problem = "not supported" if modifier in _OTHER_MODIFIERS else "unknown"
    raise _error(name, f"has a modifier that is {problem}; known here are {known}", "not-supported")


# --- how the result is wanted --------------------------------------------------------------------------------------------


def _count(query: Query, name: str, text: str) -> Query:
    if not (text.isascii() and text.isdigit()):
        raise _error(name, "is not a whole number from 0")
    return _once(query, name, count=min(int(text[:9]), MAX_COUNT))


def _sort(query: Query, name: str, text: str) -> Query:
    return _once(query, name, sort=tuple(_sort_key(query.resource_type, one) for one in text.split(",")))


def _sort_key(resource_type: str, text: str) -> tuple[Parameter, bool]:
    name = f"_sort={text.removeprefix('-')}"
    parameter = _parameter(resource_type, text.removeprefix("-"), name)
    if parameter.type in _UNSORTED or parameter.name in ("_text", "_content"):
        raise _error(name, "has no order: sort by one of its components or by another parameter", "not-supported")
    return parameter, text.startswith("-")


def _total(query: Query, name: str, text: str) -> Query:
    if text not in ("none", "estimate", "accurate"):
        raise _error(name, "is not none, estimate or accurate")
    return _once(query, name, total=text)


def _summary(query: Query, name: str, text: str) -> Query:
    if text not in ("count", "false"):
        raise _error(name, "is supported as count and false only", "not-supported")
    return replace(query, summary_count=text == "count")


def _include(query: Query, name: str, text: str) -> Query:
    found = (_included(name, one, query.resource_type) for one in text.split(","))
    return replace(query, includes=_bounded(name, (*query.includes, *found)))


def _revinclude(query: Query, name: str, text: str) -> Query:
    found = (_reverse_included(name, one, query.resource_type) for one in text.split(","))
    return replace(query, revincludes=_bounded(name, (*query.revincludes, *found)))


def _included(name: str, text: str, resource_type: str) -> Include:
    if text == "*":
        return Include(resource_type, None, None)
    include = _path(name, text)
    if include.source != resource_type:
        raise _error(name, f"starts from another type than {resource_type}, which only :iterate could reach: not supported")
    return include


def _reverse_included(name: str, text: str, resource_type: str) -> Include:
    include = _path(name, text)
    if include.parameter is None:
        raise _error(name, "is not supported with a wildcard", "not-supported")
    if resource_type not in include.parameter.targets or include.target not in (None, resource_type):
        raise _error(name, f"names a parameter that cannot refer to {resource_type}")
    return replace(include, target=resource_type)


def _path(name: str, text: str) -> Include:
    source, code, target = (*text.split(":"), "", "")[:3]
    if text.count(":") not in (1, 2) or (target and target not in resource_types()):
        raise _error(name, "is not [type]:[parameter] or [type]:[parameter]:[target type]")
    parameter = parameters(source).get(code)
    if code != "*" and (parameter is None or parameter.type != "reference"):
        raise _error(name, "names no reference parameter: /metadata lists those that are known")
    if target and parameter and target not in parameter.targets:
        raise _error(name, "names a target type that the parameter cannot refer to")
    return Include(source, parameter, target or None)


def _bounded(name: str, includes: tuple[Include, ...]) -> tuple[Include, ...]:
    if len(includes) > MAX_CLAUSES:
        raise _error(name, f"is given more than {MAX_CLAUSES} times", "too-costly")
    return tuple(dict.fromkeys(includes))


def _once(query: Query, name: str, **wanted: Any) -> Query:
    if any(getattr(query, attribute) not in (None, ()) for attribute in wanted):
        raise _error(name, "is given more than once")
    return replace(query, **wanted)


_CONTROLS: dict[str, Callable[[Query, str, str], Query]] = {
    "_count": _count,
    "_sort": _sort,
    "_total": _total,
    "_summary": _summary,
    "_include": _include,
    "_revinclude": _revinclude,
}


def _error(name: str, problem: str, code: str = "invalid") -> FhirError:
    return FhirError(400, code, f"Search parameter {_shown(name)} {problem}")


def _shown(name: str) -> str:
    """A parameter's name as far as it is one: what is not may be somebody's data."""
    return name if _NAME.fullmatch(name) else "(not a parameter name)"
