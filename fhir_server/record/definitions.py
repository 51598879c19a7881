"""Definitions stored here that the exchange itself works by: profiles, value sets, code systems.

Directory data only: what names a patient defines nothing. They are kept in memory until one of them changes, which a counter
tells that is committed with the change; a request that needs any asks for it first, so that what was acknowledged is in force.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consent.caller import Caller
from consent.scopes import allows
from fhir_server.aside import aside
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.r4.profiles.library import Profiles
from fhir_server.r4.profiles.shipped import shipped
from fhir_server.r4.profiles.tree import base_type, needs
from fhir_server.record.criteria import criteria, only_itself
from fhir_server.search.escaping import escaped
from fhir_server.search.query import parse
from fhir_server.store.batching import batched
from fhir_server.store.database import Database
from fhir_server.store.documents import TYPE_NUMBER, WITHOUT_TERMS, Codec, body
from fhir_server.store.snapshot import DEFINITIONS
from fhir_server.terminology.bindings import tester
from fhir_server.terminology.library import Library, Name
from fhir_server.terminology.library import needs as terminology_needs
from fhir_server.terminology.members import Key
from fhir_server.terminology.published import published

Resource = dict[str, Any]

KINDS = ("StructureDefinition", "ValueSet", "CodeSystem")
DEFINING = frozenset(TYPE_NUMBER[kind] for kind in KINDS)
MAX_NEEDED = 1_000  # definitions that one request may need
MAX_HELD = 4_000
UNDER_ONE_URL = 20  # of those the newest counts
_OFFICIAL: dict[str, Callable[[str], object]] = {
    "StructureDefinition": lambda canonical: base_type(canonical) or shipped(canonical),
    "ValueSet": lambda canonical: published("ValueSet", canonical),
    "CodeSystem": lambda canonical: published("CodeSystem", canonical),
}


@dataclass(slots=True, eq=False)
class Held:
    """What is known of one revision: definitions by name, None for those that are not here, and what was made of them.

    `complete` are those whose needs are here, too; `meanings` what searches by concepts came to.
    """

    revision: int
    resources: dict[Name, Resource | None] = field(default_factory=dict)
    library: Library = field(default_factory=Library)
    meanings: dict[tuple[str, str, str], frozenset[Key]] = field(default_factory=dict)
    complete: set[Name] = field(default_factory=set)
    profiles: Profiles = field(init=False)

    def __post_init__(self) -> None:
        self.profiles = Profiles(tester(self.library), lambda canonical: self.resources.get(("StructureDefinition", canonical)))

    def knows(self, canonical: str) -> bool:
        """Whether a profile, or one of R4's own definitions, is at hand."""
        return base_type(canonical) is not None or self.profiles.profile(canonical) is not None

    def compile(self, names: Iterable[Name]) -> None:
        for kind, canonical in names:
            if kind == "StructureDefinition":
                self.profiles.profile(canonical)

    def keep(self, name: Name, resource: Resource | None) -> None:
        self.resources[name] = resource
        if resource is not None and name[0] != "StructureDefinition":
            self.library.stored[name] = resource


SHIPPED = Held(0)
"""Where nothing is stored, or nothing of it may be read."""


@dataclass(slots=True)
class Definitions:
    """Those of this exchange, as one process keeps them."""

    database: Database
    codec: Codec
    _held: Held = field(default_factory=lambda: Held(0))
    _revision: Callable[[str], Awaitable[int | None]] = field(init=False)

    def __post_init__(self) -> None:
        self._revision = batched(self._read_revision)

    async def at_hand(self, caller: Caller, names: Iterable[Name]) -> Held:
        """The definitions with these names, and all that they need, as far as the caller may read them."""
        wanted = [name for name in names if allows(caller.scopes, name[0], "r") and not _OFFICIAL[name[0]](name[1])]
        if not wanted:
            return SHIPPED
        held = await self._current()
        missing = [name for name in wanted if name not in held.complete]
        if missing:
            await self._load(held, missing)
            await asyncio.to_thread(held.compile, missing)  # a profile of 5,000 elements takes a while
            held.complete.update(missing)
        return held

    async def _current(self) -> Held:
        """What is held of the revision that stands; a look that began before a change must not fill what is kept after it."""
        revision = await self._revision(DEFINITIONS) or 0
        if revision > self._held.revision or len(self._held.resources) + len(self._held.meanings) > MAX_HELD:
            self._held = Held(max(revision, self._held.revision))
        return self._held

    async def _load(self, held: Held, names: Sequence[Name]) -> None:
        met: set[Name] = set()
        level = set(names)
        while level:
            met |= level
            if len(met) > MAX_NEEDED:
                raise FhirError(422, "too-costly", f"this needs more than {MAX_NEEDED} stored definitions")
            unknown = [name for name in level if name not in held.resources]
            for name, found in zip(unknown, await asyncio.gather(*map(self._find, unknown)), strict=True):
                held.keep(name, found)
            needed = {other for name in level for other in _needs(held.resources[name])}
            level = {name for name in needed - met if not _OFFICIAL[name[0]](name[1])}

    async def _read_revision(self, names: list[str]) -> dict[str, int]:
        found = self.database["counters"].find({"_id": {"$in": names}})
        return {one["_id"]: one["n"] async for one in found}

    async def _find(self, name: Name) -> Resource | None:
        """Of several under one url the one that was changed last, as for terminology."""
        kind, canonical = name
        url, _, version = canonical.partition("|")
        query = parse(kind, [("url", escaped(url))]) if url else None
        if query is None:
            return None
        wanted = (await criteria(self.codec, query, only_itself)).filter | {"p": []}
        found = self.database["resources"].find(wanted, WITHOUT_TERMS).sort("w", -1).limit(UNDER_ONE_URL)
        bodies = [body(self.codec, one) async for one in found]
        resources = [await aside(len(one), read, one) for one in bodies]
        return next((one for one in resources if one.get("url") == url and version in ("", one.get("version"))), None)


def _needs(resource: Resource | None) -> Iterable[Name]:
    if resource is None:
        return ()
    if resource["resourceType"] != "StructureDefinition":
        return [name for name in terminology_needs(resource) if name[0] in KINDS]
    return needs(resource)
