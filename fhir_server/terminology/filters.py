"""compose.include.filter (R4 valueset.html#compositions, filter-operator): which codes of a system it selects."""

from collections.abc import Callable, Iterable
from typing import Any

import jsonschema_rs

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.systems import System, told

Test = Callable[[str], bool]

_CODE = frozenset(("concept", "code"))
_MAX_REGEX = 1_000
_REGEX_BYTES = 1 << 20

_VALUES: dict[str, Callable[[System, str], Iterable[str]]] = {
    "concept": lambda system, code: (code,),
    "code": lambda system, code: (code,),
    "display": lambda system, code: filter(None, (system.concepts[code].get("display"),)),
    "definition": lambda system, code: filter(None, (system.concepts[code].get("definition"),)),
    "parent": lambda system, code: system.parents.get(code, ()),
    "child": lambda system, code: system.children.get(code, ()),
}
_DEFINED = frozenset(("inactive", "deprecated", "notSelectable", "status"))  # concept-properties: of every code system


def test_of(system: System, rule: dict[str, Any]) -> Test:
    """The test that a filter puts a code of the system to; 422 for one that cannot be applied here."""
    build = _OPERATORS.get(str(rule.get("op")))
    if build is None or "property" not in rule or "value" not in rule:
        raise FhirError(422, "not-supported", f"filters here are {', '.join(_OPERATORS)}, with a property and a value")
    return build(system, str(rule["property"]), str(rule["value"]))


def _values(system: System, name: str) -> Callable[[str], Iterable[str]]:
    """Of a property, of each code."""
    if name in _VALUES:
        read = _VALUES[name]
        return lambda code: read(system, code)
    if name not in _DEFINED and all(name != one.get("code") for one in system.about.get("property", ())):
        raise FhirError(422, "not-supported", "a filter names a property that its code system does not define")
    return lambda code: told(system.concepts[code], name)


def _among(system: System, name: str, value: str) -> Test:
    return _one_of(system, name, frozenset((value,)))


def _in(system: System, name: str, value: str) -> Test:
    return _one_of(system, name, frozenset(one.strip() for one in value.split(",")))


def _one_of(system: System, name: str, wanted: frozenset[str]) -> Test:
    values = _values(system, name)
    return lambda code: not wanted.isdisjoint(values(code))


def _exists(system: System, name: str, value: str) -> Test:
    values, wanted = _values(system, name), value == "true"
    return lambda code: any(True for _ in values(code)) is wanted


def _regex(system: System, name: str, value: str) -> Test:
    """The whole value matches; run by an engine whose time is linear in the text."""
    values = _values(system, name)
    options = jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES)
    try:
        if len(value) > _MAX_REGEX:
            raise ValueError
        pattern = jsonschema_rs.Draft202012Validator({"pattern": f"^(?:{value})$"}, pattern_options=options)
    except ValueError:
        problem = f"a regex of a filter is none, has look-around or back-references, or more than {_MAX_REGEX} characters"
        raise FhirError(422, "not-supported", problem) from None
    return lambda code: any(pattern.is_valid(one) for one in values(code))


def _is_a(system: System, name: str, value: str) -> Test:
    below = _known(system, name, value)
    return lambda code: code == value or code in below


def _descendent_of(system: System, name: str, value: str) -> Test:
    below = _known(system, name, value)
    return lambda code: code != value and code in below


def _generalizes(system: System, name: str, value: str) -> Test:
    _known(system, name, value)
    above = system.above(value)
    return lambda code: code == value or code in above


def _known(system: System, name: str, value: str) -> frozenset[str]:
    """What is below the code that a filter names."""
    if name not in _CODE or value not in system.concepts:
        raise FhirError(422, "not-found", "a filter by hierarchy must name `concept` and a code of its code system")
    return system.below(value)


def _not(build: Callable[[System, str, str], Test]) -> Callable[[System, str, str], Test]:
    def built(system: System, name: str, value: str) -> Test:
        test = build(system, name, value)
        return lambda code: not test(code)

    return built


_OPERATORS: dict[str, Callable[[System, str, str], Test]] = {
    "=": _among,
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _not(_is_a),
    "generalizes": _generalizes,
    "in": _in,
    "not-in": _not(_in),
    "regex": _regex,
    "exists": _exists,
}
