"""What ElementDefinition.fixed[x] and pattern[x] ask of a value, and codes of a bound element (elementdefinition.html)."""

from collections.abc import Iterator
from typing import Any

from fhir_server.r4.fhirpath import Element

Json = Any
_CODED_TEXTS = frozenset(("code", "string", "uri", "canonical", "url", "oid", "uuid", "id", "markdown"))


def given(element: dict[str, Any], prefix: str) -> Json:
    """The value of a choice such as fixed[x] or pattern[x] in an ElementDefinition; None where there is none."""
    return next(
        (value for name, value in element.items() if name.startswith(prefix) and name[len(prefix) :][:1].isupper()), None
    )


def is_fixed(value: Json, fixed: Json) -> bool:
    """fixed[x]: exactly this value, with nothing else beside it."""
    if type(fixed) is dict:
        return type(value) is dict and value.keys() == fixed.keys() and all(is_fixed(value[k], fixed[k]) for k in fixed)
    if type(fixed) is list:
        return type(value) is list and len(value) == len(fixed) and all(map(is_fixed, value, fixed))
    return _same(value, fixed)


def fits(value: Json, pattern: Json) -> bool:
    """pattern[x]: at least what the pattern has; of an array each item of the pattern somewhere."""
    if type(pattern) is dict:
        return type(value) is dict and all(name in value and fits(value[name], wanted) for name, wanted in pattern.items())
    if type(pattern) is list:
        return type(value) is list and all(any(fits(one, wanted) for one in value) for wanted in pattern)
    return _same(value, pattern)


def _same(value: Json, other: Json) -> bool:
    return (type(value) is bool) is (type(other) is bool) and bool(value == other)


def codes(item: Element) -> Iterator[tuple[str | None, str | None]]:
    """(system, code) of what is coded in an element; the system of a code alone is None, as is a code that is not there."""
    value = item.value
    if item.type == "CodeableConcept":
        for coding in value.get("coding", ()) if type(value) is dict else ():
            yield coding.get("system", ""), coding.get("code")
    elif item.type in ("Coding", "Quantity"):
        yield (value.get("system", ""), value.get("code")) if type(value) is dict else ("", None)
    elif type(value) is str and item.type in _CODED_TEXTS:
        yield None, value


def is_coded(item: Element) -> bool:
    """Whether a binding says anything of this element: it has a value of a type that bindings are about."""
    return item.type in ("CodeableConcept", "Coding", "Quantity") or (item.type in _CODED_TEXTS and type(item.value) is str)
