"""What an evaluation knows besides the item it starts from: variables, the time, and how much it may still do (N1 9)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fhir_server.r4.fhirpath.errors import FhirPathError
from fhir_server.r4.fhirpath.values import Element

MAX_STEPS = 500_000
"""Items one evaluation may go through."""
MAX_TEXT = 4_000_000
"""Characters of a string that an expression makes."""
LETTERS = 1_000
"""Characters that are gone through as one item is."""

_FIXED = {"sct": "http://snomed.info/sct", "loinc": "http://loinc.org", "ucum": "http://unitsofmeasure.org"}
_PREFIXED = {
    "ext-": "http://hl7.org/fhir/StructureDefinition/",
    "vs-": "http://hl7.org/fhir/ValueSet/",
}


@dataclass(slots=True)
class Environment:
    """`resource` holds the element looked at, `root` contains `resource`; `context` is where the expression starts; `extension`
    is the one whose rule about what it extends this is.

    `memo` keeps what expressions yield that depend on these two alone.
    """

    resource: Element | None = None
    root: Element | None = None
    context: Any = None
    now: datetime | None = None
    index: int = 0
    total: Any = ()
    steps: int = MAX_STEPS
    memo: dict[Any, list[Any]] = field(default_factory=dict)
    extension: Element | None = None

    def spend(self, count: int) -> None:
        """Count items gone through; FhirPathError when it is too many."""
        self.steps -= count
        if self.steps < 0:
            raise FhirPathError("the expression takes too many steps on this resource")

    def scan(self, *texts: Any) -> None:
        """Count what of these are strings, by their length."""
        self.spend(sum(len(one) for one in texts if one.__class__ is str) // LETTERS)

    def variable(self, name: str) -> list[Any]:
        """The value of %name."""
        own = {"resource": self.resource, "rootResource": self.root or self.resource, "context": self.context}
        if self.extension is not None:
            own["extension"] = self.extension
        if name in own:
            return [] if own[name] is None else [own[name]]
        if name in _FIXED:
            return [_FIXED[name]]
        for prefix, base in _PREFIXED.items():
            if name.startswith(prefix):
                return [base + name.removeprefix(prefix)]
        raise FhirPathError(f"%{name} is not known")
