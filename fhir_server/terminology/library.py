"""Where a canonical leads: the published resources, and those stored in the exchange that the caller may read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.terminology.published import published
from fhir_server.terminology.systems import System, system_of

Resource = dict[str, Any]
Name = tuple[str, str]
"""Resource type and canonical, `url` or `url|version`."""

MAX_SHOWN = 200
SUPPLEMENT = "supplement"  # defines no codes: it says more of those of another system (codesystem-content-mode)


@dataclass(frozen=True, slots=True)
class Library:
    """`stored` never replaces what is published under the same url."""

    stored: dict[Name, Resource] = field(default_factory=dict)
    _systems: dict[str, System] = field(default_factory=dict)

    def find(self, kind: str, canonical: str) -> Resource | None:
        return published(kind, canonical) or self._stored(kind, canonical)

    def _stored(self, kind: str, canonical: str) -> Resource | None:
        """That of this canonical, else one of its url in the version that another resource asked for."""
        versions = (one for (other, name), one in self.stored.items() if (other, name.partition("|")[0]) == (kind, canonical))
        return self.stored.get((kind, canonical)) or next(versions, None)

    def held(self, kind: str, canonical: str) -> Resource:
        """404 for one that is not held."""
        found = self.find(kind, canonical)
        if found is None:
            raise not_held(kind, canonical)
        return found

    def system(self, canonical: str) -> System:
        found = self.find_system(canonical)
        if found is None:
            raise not_held("CodeSystem", canonical)
        return found

    def find_system(self, canonical: str) -> System | None:
        if found := published("CodeSystem", canonical):
            return _published_system(found["url"])
        stored = self._stored("CodeSystem", canonical)
        if stored is None or stored.get("content") == SUPPLEMENT:
            return None
        if canonical not in self._systems:
            self._systems[canonical] = system_of(stored)
        return self._systems[canonical]


@lru_cache(maxsize=256)
def _published_system(url: str) -> System:
    resource = published("CodeSystem", url)
    assert resource is not None
    return system_of(resource)


def not_held(kind: str, canonical: str) -> FhirError:
    return FhirError(404, "not-found", f"{kind} {canonical[:MAX_SHOWN]} is not held here, so nothing can be said about it")


def needs(resource: Resource) -> Iterator[Name]:
    """The resources that this one cannot be understood without."""
    compose = resource.get("compose", {}) if resource.get("resourceType") == "ValueSet" else {}
    for part in (*compose.get("include", ()), *compose.get("exclude", ())):
        yield from (("ValueSet", canonical) for canonical in value_sets(part))
        if "system" in part:
            yield "CodeSystem", system_canonical(part)
    for group in resource.get("group", ()) if resource.get("resourceType") == "ConceptMap" else ():
        if "url" in group.get("unmapped", {}):
            yield "ConceptMap", group["unmapped"]["url"]


def value_sets(part: Resource) -> list[str]:
    """Those that a compose.include names; one may be null, with an extension beside it."""
    return [canonical for canonical in part.get("valueSet", ()) if canonical]


def system_canonical(part: Resource) -> str:
    """The code system of a compose.include, or of a Coding."""
    return f"{part['system']}|{part['version']}" if part.get("version") else str(part["system"])
