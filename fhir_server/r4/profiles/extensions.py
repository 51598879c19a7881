"""Extensions are as their definitions say, and where these allow them (extensibility.html, defining-extensions.html)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from fhir_server.r4.definitions import CHOICES
from fhir_server.r4.elements import UNKNOWN, fields, is_kind_of
from fhir_server.r4.fhirpath import Element
from fhir_server.r4.invariants import Path
from fhir_server.r4.profiles.running import Profile, Run

Resource = dict[str, Any]
NAMES = frozenset(("extension", "modifierExtension"))
ANYWHERE = "Element"  # R4's own definitions use it for resources, too


class Place(NamedTuple):
    """Where something stands: its path, its type, and the names that contexts may call it by, such as `Patient.contact`."""

    path: Path
    type: str
    names: frozenset[str]


def urls(resource: Resource) -> set[str]:
    """The urls of all extensions of a resource and what is inside it."""
    return {extension["url"] for extension, _, _ in _extensions(resource, None)}


def check(run: Run, resource: Resource, path: Path) -> None:
    """One that is known is as its definition says; one that changes meanings must be known."""
    for extension, name, place in _extensions(resource, path):
        run.spend(1)
        profile = run.shelf.profile(extension["url"])
        if profile and profile.type == "Extension":
            run.apply(profile, Element(extension, "Extension"), place.path)
            if not _is_allowed(profile, place):
                run.report(place.path, "", "extension", f"its definition {profile.url} does not allow it here")
        elif name == "modifierExtension":
            run.report(place.path, "", "extension", "a modifier extension that is not known here changes what this means")


def _is_allowed(profile: Profile, place: Place) -> bool:
    """Contexts that are FHIRPath, or name no place that R4 knows, say nothing."""
    return not profile.contexts or any(
        kind == "fhirpath" or expression == ANYWHERE or expression in place.names or is_kind_of(place.type, expression)
        for kind, expression in profile.contexts
    )


def _extensions(resource: Resource, path: Path) -> Iterator[tuple[Resource, str, Place]]:
    """Each extension, the element it is in, and the place of what it extends, under its own path."""
    if b'xtension"' not in orjson.dumps(resource, default=str):
        return
    kind = resource["resourceType"]
    stack: list[tuple[Resource, Place]] = [(resource, Place(path, kind, frozenset((kind,))))]
    while stack:
        node, place = stack.pop()
        for key, value in node.items():
            for index, one in enumerate(value) if type(value) is list else ((None, value),):
                if type(one) is dict:
                    here = (place.path, key, index)
                    if key in NAMES:
                        yield one, key, place._replace(path=here)
                    stack.append((one, _below(place, key.removeprefix("_"), one, here)))


def _below(place: Place, name: str, node: Resource, path: Path) -> Place:
    if "resourceType" in node:
        return Place(path, node["resourceType"], frozenset((node["resourceType"],)))
    element = CHOICES.get(name, ("", "", ()))[0]
    spellings = (name, f"{element}[x]") if element else (name,)
    names = {f"{outer}.{one}" for outer in (*place.names, place.type) for one in spellings}
    return Place(
        path, fields(place.type).get(name, UNKNOWN).type, frozenset((*names, node.get("url", "")) if name in NAMES else names)
    )
