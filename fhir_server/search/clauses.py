"""One criterion of a search: name, modifier and values as text -> Clause (search.html#2.21.1)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.search import value_texts
from fhir_server.search.escaping import split
from fhir_server.search.parameters import KNOWN, Known, Parameter, is_canonical, parameters, pending, unsupported, versioned
from fhir_server.search.values import HIERARCHIES, Value

MAX_VALUES = 256
SHORT = 200  # characters of a text that is remembered

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.=*-]{0,79}", re.ASCII)

# What each type of parameter can be asked with; a resource type is a modifier of references, too.
MODIFIERS: dict[str, tuple[str, ...]] = {
    "token": ("missing", "not", "text", "of-type", "in", "not-in", "below", "above"),
    "string": ("missing", "exact", "contains"),
    "reference": ("missing", "identifier", "below", "above"),
    "uri": ("missing", "below", "above"),
    "date": ("missing",),
    "number": ("missing",),
    "quantity": ("missing",),
    "special": ("missing",),
    "composite": (),
}
# Official modifiers and result parameters, known in order to say that they are not supported.
_OTHER_MODIFIERS = frozenset({"text", "in", "not-in", "of-type", "identifier", "above", "below", "not", "exact", "contains"})
_OTHER_CONTROLS = frozenset({"_containedType"})


@dataclass(frozen=True, slots=True)
class Clause:
    """One criterion: the resource has a value that meets any of `values`."""

    parameter: Parameter
    modifier: str | None
    values: tuple[Value, ...]


class Unknown(FhirError):
    """A parameter that the server does not have or support: the only error that lenient handling forgives."""

    @classmethod
    def because(cls, name: str, problem: str) -> "Unknown":
        return cls(400, "not-supported", f"Search parameter {shown(name)} {problem}")


class Pending(Unknown):
    """A custom parameter that is being indexed: an answer would lack what is not indexed yet."""


def clause(resource_type: str, name: str, text: str, base_url: str) -> Clause:
    """The clause that `name=text` asks for; FhirError 400 names what cannot be answered, never its value."""
    asked = resource_type, name, text, base_url
    is_small = len(text) <= SHORT and ":" not in name  # what a modifier asks for may be thousands of codes
    return _remembered(KNOWN.get(), *asked) if is_small else _clause(*asked)


@lru_cache(maxsize=4_096)
def _remembered(known: Known, resource_type: str, name: str, text: str, base_url: str) -> Clause:
    """The same codes are asked for all day, and of one patient a whole chart. What is known decides what a name means."""
    return _clause(resource_type, name, text, base_url)


def _clause(resource_type: str, name: str, text: str, base_url: str) -> Clause:
    code, colon, rest = name.partition(":")
    modifier = rest if colon else None
    parameter = searched(resource_type, code, name)
    _check_modifier(parameter, modifier, name)
    texts = split(text, ",")
    if not all(texts):
        raise error(name, "has an empty value: give one, or leave the parameter out")
    if len(texts) > MAX_VALUES:
        raise error(name, f"has more than {MAX_VALUES} values: split the search", "too-costly")
    if name == "url" and any(len(split(one, "|")) > 1 for one in texts) and (both := versioned(resource_type)):
        return Clause(both, None, tuple(_told(name, value_texts.with_version, one) for one in texts))
    return Clause(parameter, modifier, tuple(_value(parameter, modifier, one, name, base_url) for one in texts))


def _value(parameter: Parameter, modifier: str | None, text: str, name: str, base_url: str) -> Value:
    return _told(name, value_texts.parse, parameter, modifier, text, base_url)


def _told(name: str, parse: Callable[..., Value], *asked: Any) -> Value:
    try:
        return parse(*asked)
    except ValueError as problem:
        raise error(name, f"has a value that {problem}") from None


def searched(resource_type: str, code: str, name: str) -> Parameter:
    """The parameter of this type; 400 under the `name` it was asked for by."""
    found = parameters(resource_type).get(code)
    if found:
        return found
    require_indexed(resource_type, code, name)
    if code in unsupported(resource_type) or code in _OTHER_CONTROLS:
        raise Unknown.because(name, "is not supported by this server")
    raise Unknown.because(name, f"is unknown for {resource_type}: /metadata lists those that are known")


def require_indexed(resource_type: str, code: str, name: str) -> None:
    """Pending, 503, where a parameter is not searchable yet. How far it is, is for the administrator to see: it tells how
    much there is that others may not see."""
    if code in pending(resource_type):
        problem = f"Search parameter {shown(name)} is being indexed for {resource_type}: ask again in a while, or without it"
        raise Pending(503, "incomplete", problem)


def _check_modifier(parameter: Parameter, modifier: str | None, name: str) -> None:
    if modifier == "of-type" and not any(path.datatype == "Identifier" for path in parameter.paths):
        raise error(name, "is no identifier, which :of-type asks for", "not-supported")
    if modifier in ("below", "above") and parameter.type == "reference" and not _has_levels(parameter, modifier):
        raise error(name, f"refers to nothing of which :{modifier} could be said", "not-supported")
    if modifier is None or modifier in MODIFIERS[parameter.type]:
        return
    if parameter.type == "reference" and modifier in parameter.targets:
        return
    known = ", ".join(f":{one}" for one in MODIFIERS[parameter.type])
    problem = "not supported" if modifier in _OTHER_MODIFIERS else "unknown"
    raise error(name, f"has a modifier that is {problem}; known here are {known or 'none'}", "not-supported")


def _has_levels(parameter: Parameter, modifier: str) -> bool:
    """Versions of what is canonical are below its url; what is part of another resource of its type is below that."""
    is_versioned = modifier == "below" and is_canonical(parameter)
    return is_versioned or not HIERARCHIES.keys().isdisjoint(parameter.targets)


def error(name: str, problem: str, code: str = "invalid") -> FhirError:
    return FhirError(400, code, f"Search parameter {shown(name)} {problem}")


def shown(name: str) -> str:
    """A parameter's name as far as it is one: what is not may be somebody's data."""
    return name if _NAME.fullmatch(name) else "(not a parameter name)"
