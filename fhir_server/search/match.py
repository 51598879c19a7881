"""Whether a parsed resource meets a clause, exactly, and where it stands in a sort (search.html)."""

from collections.abc import Callable
from typing import Any

from fhir_server.r4 import dates
from fhir_server.r4.identifier_systems import number
from fhir_server.search import elements, full_text, values
from fhir_server.search.clauses import Clause
from fhir_server.search.compare import meets, tests, unit_matches
from fhir_server.search.parameters import IDENTIFIED, Parameter, Path, Repetition
from fhir_server.search.text import fold_token, folded, normalise


def matches(clause: Clause, resource: dict[str, Any]) -> bool:
    """Whether the resource meets the clause; the one authority, which the index only approximates."""
    if clause.modifier == "missing":
        present = any(path.extract(resource) for path in clause.parameter.paths)
        return any(isinstance(value, values.Missing) and value.missing is not present for value in clause.values)
    return _found(clause, resource) is not (clause.modifier in ("not", "not-in"))


def sort_key(parameter: Parameter, resource: dict[str, Any], descending: bool) -> tuple[int, Any]:
    """Comparable between resources: the least value, the greatest if descending; a resource without any sorts lowest."""
    keys_of = _KEYS[parameter.type]
    keys = [key for path in parameter.paths for element in path.extract(resource) for key in keys_of(path, element)]
    return (1, max(keys) if descending else min(keys)) if keys else (0, 0)


def _found(clause: Clause, resource: dict[str, Any]) -> bool:
    if clause.parameter.type == "composite":
        return any(
            _composite(repetition, value, element, resource)
            for repetition in clause.parameter.repetitions
            for element in repetition.extract(resource)
            for value in clause.values
        )
    return any(
        _meets(path, clause.modifier, value, element)
        for path in clause.parameter.paths
        for element in path.extract(resource)
        for value in clause.values
    )


def _meets(path: Path, modifier: str | None, value: values.Value, element: Any) -> bool:
    matcher = _MODIFIED.get(modifier) or _MATCHERS[type(value)]
    return matcher(path, modifier, value, element)


def _composite(repetition: Repetition, value: Any, element: Any, resource: dict[str, Any]) -> bool:
    """Whether one repetition has all parts (search.html#combining): no part is taken from another."""
    return all(
        any(
            _meets(path, None, part, found)
            for path in paths
            for found in path.extract(resource if path.of_resource else element)
        )
        for paths, part in zip(repetition.components, value.parts, strict=True)
    )


def _token(path: Path, modifier: str | None, value: values.Token, element: Any) -> bool:
    code = fold_token(value.code) if value.code and path.datatype in elements.FOLDED else value.code
    return any(
        (code is None or found == number(system, code)) and _in_system(path, value.system, system)
        for system, found in elements.tokens(path.datatype, element)
    )


def _concept(path: Path, modifier: str | None, value: values.Concepts, element: Any) -> bool:
    tokens = elements.tokens(path.datatype, element)
    return any((path.system if system is None else system, code) in value.members for system, code in tokens)


def _in_system(path: Path, wanted: str | None, system: str | None) -> bool:
    if wanted is None:
        return True
    return wanted in ("", path.system) if system is None else wanted == system


def _text(path: Path, modifier: str | None, value: values.String, element: Any) -> bool:
    return any(normalise(text).startswith(value.text) for text in elements.texts(path.datatype, element))


def _of_type(path: Path, modifier: str | None, value: values.OfType, element: Any) -> bool:
    return (
        path.datatype == "Identifier"
        and any(found == number(system, value.value) for system, found in elements.tokens("Identifier", element))
        and (value.system, value.code) in elements.tokens("CodeableConcept", element.get("type", {}))
    )


def _identifier(path: Path, modifier: str | None, value: values.Token, element: Any) -> bool:
    logical = element.get("identifier") if path.datatype == "Reference" else None
    return logical is not None and _token(IDENTIFIED, None, value, logical)


def _mime_type(path: Path, modifier: str | None, value: values.MimeType, element: Any) -> bool:
    base = str(element).partition(";")[0].strip().lower()
    return base == value.base or base.startswith(f"{value.base}/")


def _canonical(path: Path, modifier: str | None, value: values.Canonical, element: Any) -> bool:
    url, _, version = element.partition("|") if isinstance(element, str) else ("", "", "")
    return url == value.url and (value.version in ("", version) or version.startswith(f"{value.version}."))


def _near(path: Path, modifier: str | None, value: values.Near, element: Any) -> bool:
    return elements.metres_between(element, value.latitude, value.longitude) <= value.metres


def _string(path: Path, modifier: str | None, value: values.String, element: Any) -> bool:
    if path.datatype in elements.FULL_TEXT:
        is_there = full_text.asked(value.text)
        return any(is_there(folded(text)) for text in elements.strings(path.datatype, element))
    return any(_COMPARED[modifier](text, value) for text in elements.strings(path.datatype, element))


_COMPARED: dict[str | None, Callable[[str, values.String], bool]] = {
    None: lambda text, value: normalise(text).startswith(value.text),
    "contains": lambda text, value: value.text in normalise(text),
    "exact": lambda text, value: text == value.raw,
}


def _reference(path: Path, modifier: str | None, value: values.Reference, element: Any) -> bool:
    return any(reference in value.accepted for reference in elements.references(path.datatype, element))


def _uri(path: Path, modifier: str | None, value: values.Uri, element: Any) -> bool:
    return any(_RELATED[modifier](uri, value.uri) for uri in elements.references(path.datatype, element))


def _within(outer: str, inner: str) -> bool:
    """Whether a URI is the other or below it, by whole segments (search.html#uri)."""
    return inner == outer or inner.startswith(outer if outer.endswith("/") else f"{outer}/")


_RELATED: dict[str | None, Callable[[str, str], bool]] = {
    None: lambda uri, wanted: uri == wanted,
    "below": lambda uri, wanted: _within(wanted, uri),
    "above": lambda uri, wanted: _within(uri, wanted),
}


def _ordered(path: Path, modifier: str | None, value: values.Ordered, element: Any) -> bool:
    alternatives = tests(value)
    return any(unit_matches(span, value) and meets(span, alternatives) for span in elements.spans(path.datatype, element))


_MATCHERS: dict[type, Callable[[Path, str | None, Any, Any], bool]] = {
    values.Token: _token,
    values.Concepts: _concept,
    values.String: _string,
    values.Reference: _reference,
    values.Uri: _uri,
    values.Ordered: _ordered,
    values.MimeType: _mime_type,
    values.Canonical: _canonical,
    values.Near: _near,
}
_MODIFIED: dict[str | None, Callable[[Path, str | None, Any, Any], bool]] = {
    "text": _text,
    "of-type": _of_type,
    "identifier": _identifier,
}


def _lows(path: Path, element: Any) -> list[float]:
    """In base units where there are such, so that quantities sort by size."""
    spans = elements.spans(path.datatype, element)
    return [span.low for span in spans if span.dimension] or [span.low for span in spans]


def _starts(path: Path, element: Any) -> list[int]:
    spans = elements.spans(path.datatype, element)
    return [start for span in spans if (start := dates.start(span.low, span.high)) is not None]


_KEYS: dict[str, Callable[[Path, Any], list[Any]]] = {
    "token": lambda path, element: [code for _, code in elements.tokens(path.datatype, element) if code],
    "string": lambda path, element: [normalise(text) for text in elements.strings(path.datatype, element)],
    "reference": lambda path, element: elements.references(path.datatype, element),
    "uri": lambda path, element: elements.references(path.datatype, element),
    "date": _starts,
    **dict.fromkeys(("number", "quantity"), _lows),
}
