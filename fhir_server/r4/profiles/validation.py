"""Is a resource what the profiles say that it names, or is asked about? (profiling.html, resource.html#Meta `meta.profile`)

The resource is valid R4 already (r4/validation.py). Texts of issues name profiles and elements, never a value of the resource.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from fhir_server.r4.elements import is_kind_of
from fhir_server.r4.errors import Issue
from fhir_server.r4.fhirpath import Environment
from fhir_server.r4.fhirpath.values import resource as element_of
from fhir_server.r4.invariants import Path
from fhir_server.r4.profiles.extensions import check as check_extensions
from fhir_server.r4.profiles.extensions import check_those_of_r4
from fhir_server.r4.profiles.running import MAX_FOUND, Finding, Run, Shelf, TooCostly
from fhir_server.r4.profiles.tree import base_type
from fhir_server.r4.validation import nodes, place

Resource = dict[str, Any]
TOO_COSTLY = "its profiles take too long, or lead too deep, on this resource"


def named(resource: Resource) -> list[str]:
    """The profiles that a resource, and those inside it, say they follow."""
    return list(dict.fromkeys(canonical for one, _ in _resources(resource) for canonical in _profiles(one)))


def issues(resource: Resource, shelf: Shelf, asked: Sequence[str] = ()) -> list[Issue]:
    """What breaks the profiles named in it and those `asked` for, at most MAX_FOUND; warnings for what could not be checked."""
    found = dict.fromkeys(islice(_issues(resource, shelf, asked), MAX_FOUND))
    return list(found)


def _issues(resource: Resource, shelf: Shelf, asked: Sequence[str]) -> Iterator[Issue]:
    budget: list[int] | None = None
    for one, path in _resources(resource):
        wanted = [*_profiles(one), *(asked if path is None else ())]
        own = element_of(one)
        root = element_of(resource) if path and path[1] == "contained" else own
        run = Run(shelf, Environment(own, root, own), resource if resource["resourceType"] == "Bundle" else {})
        run.budget = budget = budget or run.budget
        try:
            _check(run, one, path, dict.fromkeys(wanted))
        except (TooCostly, RecursionError):
            run.found.append(Finding(path, "", "too-costly", TOO_COSTLY))
        for finding in run.found:
            yield Issue(finding.code, finding.text, place(resource, finding.path, finding.element), finding.severity)


def _check(run: Run, one: Resource, path: Path, wanted: Iterable[str]) -> None:
    item = element_of(one)
    known = {canonical: run.shelf.profile(canonical) for canonical in wanted}
    implied = {base for profile in known.values() if profile for base in profile.bases}
    for canonical, profile in known.items():
        kind = profile.type if profile else base_type(canonical)
        run.name = canonical
        if kind is None:
            run.report(path, "meta.profile", "not-supported", "not checked: not loaded here", "warning")
        elif not is_kind_of(item.type, kind):
            run.report(path, "meta.profile", "structure", f"a profile of {kind}, which this is not")
        elif profile and canonical not in implied:
            run.apply(profile, item, path)
    is_followed = any(profile or base_type(canonical) for canonical, profile in known.items())
    (check_extensions if is_followed else check_those_of_r4)(run, one, path)


_HOLDERS = frozenset(("Bundle", "Parameters"))


def _resources(resource: Resource) -> Iterable[tuple[Resource, Path]]:
    """The resource and those inside it: contained, or in a Bundle or Parameters."""
    if resource["resourceType"] in _HOLDERS:
        return ((node, path) for node, path in nodes(resource) if "resourceType" in node)
    inside = resource.get("contained", ())
    return [(resource, None), *((one, (None, "contained", number)) for number, one in enumerate(inside))]


def _profiles(resource: Resource) -> list[str]:
    given = resource.get("meta", {}).get("profile", ())
    return [canonical for canonical in given if type(canonical) is str]
