"""Extensions are as their definitions say, and where these allow them (extensibility.html, defining-extensions.html).

Where no profile is followed, those that R4 itself defines are checked all the same, but not where they stand: R4's own
resources have them in places that their definitions do not name.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from fhir_server.r4.definitions import CHOICES
from fhir_server.r4.elements import EXTENSIONS, UNKNOWN, fields, is_kind_of
from fhir_server.r4.fhirpath import Element, FhirPathError, program
from fhir_server.r4.invariants import ALL_STEPS, Path
from fhir_server.r4.profiles.running import Profile, Run
from fhir_server.r4.profiles.shipped import shipped

Resource = dict[str, Any]
ANYWHERE = "Element"  # R4's own definitions use it for resources, too

_OF_R4 = b'"url":"http://hl7.org/fhir/StructureDefinition/'


class Place(NamedTuple):
    """Where something stands: its path, itself, the names that contexts may call it by, such as `Patient.contact`, and the
    resource it is in."""

    path: Path
    item: Element
    names: frozenset[str]
    resource: Resource


Selected = dict[tuple[int, str], frozenset[int] | None]
"""By resource (its `id`) and FHIRPath of a context, the JSON objects that it selects; None where it is not known here."""


def urls(resource: Resource) -> set[str]:
    """The urls of all extensions of a resource and what is inside it."""
    return {extension["url"] for extension, _, _ in _extensions(resource, None)}


def may_be_of_r4(text: bytes) -> bool:
    """Whether a resource, as JSON without spaces, may have extensions that R4 defines."""
    return _OF_R4 in text and b'xtension"' in text


def check_those_of_r4(run: Run, resource: Resource, path: Path) -> None:
    """What R4's own definitions say of the extensions of a resource, without those of resources inside it."""
    run.budget = [ALL_STEPS]
    stack = [(resource, path)]
    while stack:
        node, here = stack.pop()
        for key, value in node.items():
            for index, one in enumerate(value) if type(value) is list else ((None, value),):
                if type(one) is not dict or "resourceType" in one:
                    continue
                below = (here, key, index)
                stack.append((one, below))
                profile = run.shelf.profile(one["url"]) if key in EXTENSIONS and shipped(one["url"]) else None
                if profile:
                    run.name = profile.url
                    _check_content(run, profile, one, key, below)


def check(run: Run, resource: Resource, path: Path) -> None:
    """One that is known is as its definition says; one that changes meanings must be known."""
    selected: Selected = {}
    for extension, name, place in _extensions(resource, path):
        run.spend(1)
        profile = run.shelf.profile(extension["url"])
        if profile and profile.type == "Extension":
            _check_content(run, profile, extension, name, place.path)
            allowed = [_is_allowed(run, kind, expression, place, selected) for kind, expression in profile.contexts]
            if allowed and not any(one is not False for one in allowed):
                run.report(place.path, "", "extension", f"its definition {profile.url} does not allow it here")
            elif None in allowed and True not in allowed:
                run.report(place.path, "", "not-supported", f"not checked: where {profile.url} allows it", "warning")
            for rule in profile.rules:
                _check_rule(run, profile.url, rule, Element(extension, "Extension"), place)
        elif name == "modifierExtension":
            run.report(place.path, "", "extension", "a modifier extension that is not known here changes what this means")


def _check_content(run: Run, profile: Profile, extension: Resource, name: str, path: Path) -> None:
    run.apply(profile, Element(extension, "Extension"), path)
    if name == "extension" and profile.tree.element.get("isModifier"):
        run.report(path, "", "extension", f"its definition {profile.url} changes meanings: it is a modifierExtension only")


def _check_rule(run: Run, url: str, rule: str, extension: Element, place: Place) -> None:
    """A contextInvariant is true of what the extension is on (structuredefinition.html#contextInvariant)."""
    try:
        evaluator = program(rule)
    except FhirPathError:
        run.report(place.path, "", "not-supported", f"not checked: a rule of {url} is not FHIRPath known here", "warning")
        return
    if not run.allows(evaluator, place.item, extension, place.resource):
        run.report(place.path, "", "invariant", f"what it extends is not as its definition {url} demands: {rule}")


def _is_allowed(run: Run, kind: str, expression: str, place: Place, selected: Selected) -> bool | None:
    """Whether a context is this place; None where that cannot be told."""
    if kind != "fhirpath":
        return expression == ANYWHERE or expression in place.names or is_kind_of(place.item.type, expression)
    key = id(place.resource), expression
    if key not in selected:
        selected[key] = _selected(run, expression, place.resource)
    found = selected[key]
    return None if found is None else id(place.item.more or place.item.value) in found


def _selected(run: Run, expression: str, resource: Resource) -> frozenset[int] | None:
    """What a context of type fhirpath is: all elements that the expression selects from the resource."""
    try:
        evaluator = program(expression)
    except FhirPathError:
        return None
    found = (item for item in run.selected(evaluator, resource) if isinstance(item, Element))
    return frozenset(id(node) for item in found for node in (item.value, item.more) if isinstance(node, dict))


def _extensions(resource: Resource, path: Path) -> Iterator[tuple[Resource, str, Place]]:
    """Each extension, the element it is in, and the place of what it extends, under its own path."""
    if b'xtension"' not in orjson.dumps(resource, default=str):
        return
    kind = resource["resourceType"]
    stack: list[tuple[Resource, Place]] = [(resource, Place(path, Element(resource, kind), frozenset((kind,)), resource))]
    while stack:
        node, place = stack.pop()
        for key, value in node.items():
            for index, one in enumerate(value) if type(value) is list else ((None, value),):
                if type(one) is dict:
                    here = (place.path, key, index)
                    if key in EXTENSIONS:
                        yield one, key, place._replace(path=here)
                    stack.append((one, _below(place, key, one, here)))


def _below(place: Place, key: str, node: Resource, path: Path) -> Place:
    if "resourceType" in node:
        return Place(path, Element(node, node["resourceType"]), frozenset((node["resourceType"],)), node)
    name = key.removeprefix("_")
    element = CHOICES.get(name, ("", "", ()))[0]
    spellings = (name, f"{element}[x]") if element else (name,)
    names = {f"{outer}.{one}" for outer in (*place.names, place.item.type) for one in spellings}
    names |= {node.get("url", "")} if name in EXTENSIONS else set()
    kind = fields(place.item.type).get(name, UNKNOWN).type
    item = Element(node, kind) if key == name else Element(_beside(place, name, path), kind, node)
    return Place(path, item, frozenset(names), place.resource)


def _beside(place: Place, name: str, path: Path) -> Any:
    """The value of a primitive of which this is `_name` (json.html#primitive); None where there is none."""
    value, index = place.item.value.get(name) if type(place.item.value) is dict else None, path[2] if path else None
    if type(value) is not list or type(index) is not int:
        return value
    return value[index] if index < len(value) else None
