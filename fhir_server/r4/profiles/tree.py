"""A StructureDefinition that constrains a type -> the tree of what it says (profiling.html, elementdefinition.html).

Constraints add up, and R4's own are checked elsewhere: so a differential is all that is needed, laid over the tree of the
profile that it derives from. A snapshot, where there is one, needs no other definition.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_server.r4.definitions import CHOICES
from fhir_server.r4.elements import is_type
from fhir_server.r4.errors import FhirError

STRUCTURE = "StructureDefinition"
BASE = "http://hl7.org/fhir/StructureDefinition/"
MAX_ELEMENTS, MAX_DEPTH, MAX_BASES = 5_000, 30, 10

_UNDERSTOOD = "take a StructureDefinition of R4 that constrains a type of R4, with a snapshot or a differential"

Structure = dict[str, Any]
Step = tuple[str, tuple[str, ...]]
"""An element's name without `[x]`, and the slices and slices of slices meant: `component:a/b` is ("component", ("a", "b"))."""


@dataclass(slots=True)
class Node:
    """An element, or a slice of one: what its ElementDefinition says, its children by name, its slices by theirs.

    `path` is without slices. `kind` is the type that the name of a slice of a choice tells: `valueQuantity`.
    """

    path: str
    element: dict[str, Any] = field(default_factory=dict)
    children: dict[str, "Node"] = field(default_factory=dict)
    slices: dict[str, "Node"] = field(default_factory=dict)
    kind: str = ""

    def copy(self) -> "Node":
        children = {name: one.copy() for name, one in self.children.items()}
        slices = {name: one.copy() for name, one in self.slices.items()}
        return Node(self.path, dict(self.element), children, slices, self.kind)


def base_type(canonical: str) -> str | None:
    """The type that R4's own definition of this url is of; None for a profile."""
    name = canonical.partition("|")[0].removeprefix(BASE)
    return name if f"{BASE}{name}" == canonical.partition("|")[0] and is_type(name) else None


def is_profile(structure: Structure) -> bool:
    """Whether it says what an instance of one of R4's types must be like."""
    of_r4 = str(structure.get("fhirVersion", "4.0.1")).startswith("4.0")
    return of_r4 and structure.get("derivation") == "constraint" and is_type(str(structure.get("type")))


def needs(structure: Structure) -> Iterator[tuple[str, str]]:
    """(resource type, canonical) of other definitions that a StructureDefinition names."""
    yield STRUCTURE, structure.get("baseDefinition", "")
    for element in _elements(structure):
        for kind in element.get("type", ()):
            yield from ((STRUCTURE, one) for one in (*kind.get("profile", ()), *kind.get("targetProfile", ())) if one)
        if "valueSet" in element.get("binding", {}):
            yield "ValueSet", element["binding"]["valueSet"]


def _elements(structure: Structure) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (structure.get("snapshot") or structure.get("differential") or {}).get("element", [])
    return found


def tree(structure: Structure, find: Callable[[str], Structure | None]) -> Node:
    """The tree of a profile; `find` gives others by canonical. FhirError 422 where it cannot be followed."""
    return _tree(structure, find, 0)


def bases(structure: Structure, find: Callable[[str], Structure | None]) -> Iterator[str]:
    """The profiles that a profile derives from, directly or not."""
    found: Structure | None = structure
    for _ in range(MAX_BASES):
        canonical = found.get("baseDefinition", "") if found else ""
        if not canonical or base_type(canonical):
            return
        yield canonical
        found = find(canonical)


def _tree(structure: Structure, find: Callable[[str], Structure | None], derived: int) -> Node:
    if not is_profile(structure):
        raise _refused(_UNDERSTOOD, "StructureDefinition")
    elements = _elements(structure)
    if not elements or len(elements) > MAX_ELEMENTS:
        raise _refused(f"{_UNDERSTOOD} of 1 to {MAX_ELEMENTS} elements", "StructureDefinition.differential")
    root = Node(structure["type"]) if "snapshot" in structure else _base(structure, find, derived)
    for steps, element in _placed(structure["type"], elements):
        _lay(_reached(root, steps), element)
    return root


def _base(structure: Structure, find: Callable[[str], Structure | None], derived: int) -> Node:
    canonical = structure.get("baseDefinition", "")
    if base_type(canonical):
        return Node(structure["type"])
    found = find(canonical)
    if found is None or derived == MAX_BASES:
        problem = "not loaded here, or derived from others too often: store it first, or send a snapshot"
        raise _refused(problem, "StructureDefinition.baseDefinition")
    return _tree(found, find, derived + 1)


def _placed(kind: str, elements: list[dict[str, Any]]) -> Iterator[tuple[list[Step], dict[str, Any]]]:
    """Where each element belongs, as its id tells (elementdefinition.html#id; sdf-14: each has one)."""
    for element in elements:
        root, *names = str(element.get("id", "")).split(".")
        if root != kind or len(names) > MAX_DEPTH:
            problem = f"ids are paths with slice names, start with the type, and have at most {MAX_DEPTH} steps"
            raise _refused(problem, "StructureDefinition.differential")
        yield [_step(name, kind) for name in names], element


def _step(name: str, kind: str) -> Step:
    """`value[x]:valueQuantity`, and in a differential `valueQuantity` (elementdefinition.html#path), is a slice of `value`."""
    name, _, sliced = name.partition(":")
    slices = tuple(sliced.split("/")) if sliced else ()
    element, _, elsewhere = CHOICES.get(name, ("", "", ()))
    if element and kind not in elsewhere:
        return element, (name, *slices)
    return name.removesuffix("[x]"), slices


def _reached(node: Node, steps: list[Step]) -> Node:
    for name, slices in steps:
        node = node.children.setdefault(name, Node(f"{node.path}.{name}"))
        for one in slices:
            kind = CHOICES.get(one, ("", "", ()))
            node = node.slices.setdefault(one, Node(node.path, kind=kind[1] if kind[0] == name else ""))
    return node


def _lay(node: Node, element: dict[str, Any]) -> None:
    """Constraints are added to those of the base; all else is said anew."""
    constraints = [*node.element.get("constraint", ()), *element.get("constraint", ())]
    node.element |= element | ({"constraint": constraints} if constraints else {})


def _refused(text: str, expression: str) -> FhirError:
    return FhirError(422, "not-supported", text, expression)
