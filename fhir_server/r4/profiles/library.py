"""Profiles at hand: those of the official package, and what else is given; each is compiled when it is first needed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fhir_server.r4.errors import FhirError
from fhir_server.r4.profiles.compiler import compiled
from fhir_server.r4.profiles.running import Profile
from fhir_server.r4.profiles.shipped import Structure, shipped
from fhir_server.r4.profiles.tree import base_type, bases, tree

MAX_COMPILED = 1_000

HasCode = Callable[[str, str | None, str], bool | None]
Find = Callable[[str], Structure | None]


@dataclass(slots=True)
class Profiles:
    """A Shelf (running.py). What is `stored` never replaces what is shipped under the same url."""

    has_code: HasCode
    stored: Find = lambda canonical: None
    _compiled: dict[str, Profile | None] = field(default_factory=dict)

    def find(self, canonical: str) -> Structure | None:
        return shipped(canonical) or self.stored(canonical)

    def profile(self, canonical: str) -> Profile | None:
        """None for R4's own definitions, which say nothing more, for what is not here, and for what cannot be followed."""
        if canonical not in self._compiled:
            if len(self._compiled) >= MAX_COMPILED:
                self._compiled.clear()
            self._compiled[canonical] = self._made(canonical)
        return self._compiled[canonical]

    def _made(self, canonical: str) -> Profile | None:
        structure = None if base_type(canonical) else self.find(canonical)
        if structure is None:
            return None
        contexts = [(one["type"], one["expression"]) for one in structure.get("context", ())]
        rules = structure.get("contextInvariant", ())
        try:
            return compiled(canonical, tree(structure, self.find), bases(structure, self.find), contexts, rules)
        except FhirError:
            return None
