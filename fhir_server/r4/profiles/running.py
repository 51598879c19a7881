"""One validation against profiles: what it found, what it may still do, and what references lead to within the resource."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fhir_server.r4.fhirpath import Element, Environment, FhirPathError, run
from fhir_server.r4.fhirpath.references import reference_type
from fhir_server.r4.fhirpath.values import Evaluator, Values, resource, truth
from fhir_server.r4.invariants import Path

MAX_STEPS = 200_000
"""Elements looked at and FHIRPath steps of one resource, in all: profiles may be stored by anybody."""
MAX_FOUND = 20
MAX_TEXT = 300

Severity = Literal["error", "warning"]


class TooCostly(Exception):
    """The profiles take too long on this resource."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`path` leads to an element, `element` is what is the matter below it ("" for itself)."""

    path: Path
    element: str
    code: str
    text: str
    severity: Severity = "error"


class Shelf(Protocol):
    """What a validation asks of the world around: other profiles, and value sets."""

    def profile(self, canonical: str) -> "Profile | None":
        """None where it is not loaded."""

    def has_code(self, value_set: str, system: str | None, code: str) -> bool | None:
        """Whether a value set has a code (of any system: None); None where that cannot be told here."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled profile; `tree` is what it was compiled from (profiles/tree.py), `bases` what it derives from.

    `contexts` are (type, expression) of where an extension may be used, `rules` FHIRPath that is then true of what it extends.
    """

    url: str
    type: str
    check: "Check"
    tree: Any
    bases: frozenset[str] = frozenset()
    contexts: tuple[tuple[str, str], ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """`name` is the profile that is looked at, for texts; `bundle` the Bundle that the resource stands in."""

    shelf: Shelf
    environment: Environment
    bundle: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    found: list[Finding] = field(default_factory=list)
    budget: list[int] = field(default_factory=lambda: [MAX_STEPS])

    def spend(self, count: int) -> None:
        self.budget[0] -= count
        if self.budget[0] < 0:
            raise TooCostly

    def report(self, path: Path, element: str, code: str, text: str, severity: Severity = "error") -> None:
        if len(self.found) < MAX_FOUND:
            self.found.append(Finding(path, element, code, f"{text[:MAX_TEXT]} (profile {self.name[:MAX_TEXT]})", severity))

    def holds(self, evaluator: Evaluator, item: Element, within: Environment | None = None) -> bool:
        """Whether an invariant is true of an item; what yields nothing or cannot be evaluated is not."""
        try:
            return truth(self._run(evaluator, item, within or self.environment)) is True
        except FhirPathError:
            return False

    def allows(self, evaluator: Evaluator, item: Element, extension: Element, inside: dict[str, Any]) -> bool:
        """Whether a rule about where an extension may be used is true of the element that it is in, within this resource."""
        own, root = resource(inside), self.environment.root
        return self.holds(evaluator, item, Environment(own, root, item, extension=extension))

    def selected(self, evaluator: Evaluator, inside: dict[str, Any]) -> Values:
        """What an expression selects from this resource, or from one inside it; nothing where it cannot be evaluated."""
        own, root = resource(inside), self.environment.root
        try:
            return self._run(evaluator, own, Environment(own, root, own))
        except FhirPathError:
            return []

    def _run(self, evaluator: Evaluator, item: Element, environment: Environment) -> Values:
        environment.context, environment.steps = item, self.budget[0]
        try:
            return run(evaluator, item, environment)
        finally:
            self.budget[0] = environment.steps
            self.spend(1)

    def apply(self, profile: Profile, item: Element, path: Path) -> None:
        """Check an item against another profile, too."""
        outer, around = self.name, self.environment
        self.name, self.environment = profile.url, self._inside(item, path)
        try:
            profile.check(item, path, self)
        finally:
            self.name, self.environment = outer, around

    def conforms(self, profile: Profile, item: Element, path: Path) -> bool:
        trial = Run(self.shelf, self.environment, self.bundle, budget=self.budget)
        trial.apply(profile, item, path)
        return all(one.severity != "error" for one in trial.found)

    def _inside(self, item: Element, path: Path) -> Environment:
        """A resource inside another is %resource to its own invariants; of a contained one %rootResource stays."""
        value, around = item.value, self.environment
        if type(value) is not dict or "resourceType" not in value or (around.resource and around.resource.value is value):
            return around
        own = resource(value)
        return Environment(own, around.root if path and path[1] == "contained" else own, own)

    def resolved(self, item: Element) -> Element | None:
        """The resource a reference points at, if it is contained here or in the same Bundle."""
        literal = item.value.get("reference") if type(item.value) is dict else item.value
        if type(literal) is not str:
            return None
        holder = self.environment.root or self.environment.resource
        if literal.startswith("#"):
            contained = holder.value.get("contained", ()) if holder else ()
            return next((resource(one) for one in contained if one.get("id") == literal[1:]), None)
        return self._in_bundle(literal)

    def _in_bundle(self, literal: str) -> Element | None:
        for entry in self.bundle.get("entry", ()):
            self.spend(1)
            url = entry.get("fullUrl", "")
            if "resource" in entry and (url == literal or (type(url) is str and url.endswith(f"/{literal}"))):
                return resource(entry["resource"])
        return None

    def modes(self, item: Element) -> set[str]:
        """How a reference refers (valueset-resource-aggregation-mode); what is in the same Bundle may be elsewhere, too."""
        literal = item.value.get("reference") if type(item.value) is dict else None
        if type(literal) is not str:
            return {"contained", "referenced", "bundled"}
        return {"contained"} if literal.startswith("#") else {"referenced", *(["bundled"] if self.resolved(item) else [])}

    def reference_type(self, item: Element) -> str | None:
        """The type of resource a reference points at, as far as it can be told."""
        found = self.resolved(item)
        if found:
            return found.type
        return reference_type(item.value) if type(item.value) is dict and type(item.value.get("reference", "")) is str else None


Check = Callable[[Element, Path, Run], None]
