"""The tree of a profile -> a closure that checks an element against it (elementdefinition.html), once for each profile.

What R4 itself says of an element is checked elsewhere, so that only what a profile adds costs time.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from fhir_server.r4.elements import fields, is_kind_of
from fhir_server.r4.fhirpath import Element, FhirPathError, program
from fhir_server.r4.fhirpath.values import child, compare
from fhir_server.r4.invariants import Path
from fhir_server.r4.profiles.running import Check, Profile, Run
from fhir_server.r4.profiles.slicing import Test, belongs, types_of
from fhir_server.r4.profiles.tree import BASE, Node, base_type
from fhir_server.r4.profiles.values import codes, fits, given, is_coded, is_fixed

_SYSTEM = "http://hl7.org/fhirpath/System."
_ANYTHING = frozenset(("Element", "BackboneElement", "Resource", "DomainResource"))
_MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_OF_R4 = frozenset(("ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "ref-1", "per-1", "txt-1", "txt-2"))
DEFAULT = "@default"
"""The slice of what belongs to no other (elementdefinition.html#default-slice)."""

Items = list[Element]
CheckAll = Callable[[Items, Path, Run, bool], None]
"""A check of all items of a name, or of those in a slice; the last says whether these are all that there are."""


def compiled(url: str, root: Node) -> Profile:
    """A profile made ready to run."""
    return Profile(url, root.path, _together(_Compiler(root).checks(root, is_root=True)), root)


class _Compiler:
    """Compiles the nodes of one tree; content references lead back into it."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def checks(self, node: Node, is_root: bool = False) -> list[Check]:
        """What a node says of one item."""
        made = [check for make in _OF_ITEM if (check := make(node))]
        if not is_root:
            made += [check for make in _OF_TYPE if (check := make(node))]
        return [*made, *(self.repeated(name, one) for name, one in node.children.items()), *self._referred(node)]

    def repeated(self, name: str, node: Node) -> Check:
        """What a node says of all items of this name below an element."""
        check_all = self._of_all(name, node)

        def check(parent: Element, path: Path, run: Run) -> None:
            items = child(parent, name)
            run.spend(1 + len(items))
            check_all(items, path, run, True)

        return check

    def _of_all(self, name: str, node: Node) -> CheckAll:
        """What a node, or a slice, says of its items."""
        count, each = _cardinality(name, node), _together(self.checks(node))
        slices = self._sliced(name, node) if node.slices else None

        def check(items: Items, path: Path, run: Run, whole: bool) -> None:
            count(items, path, run, whole)
            for item in items:
                each(item, (path, item.key, item.index), run)
            if slices:
                slices(items, path, run, whole)

        return check

    def _sliced(self, name: str, node: Node) -> CheckAll:
        """Items go to the first slice they belong to; where that cannot be told of some, no slice is found short of items."""
        slicing = node.element.get("slicing", {})
        told = [(test, self._of_all(name, one)) for known, one in node.slices.items() if (test := belongs(name, node, one))]
        default = self._of_all(name, node.slices[DEFAULT]) if DEFAULT in node.slices else None
        is_told = len(told) + (default is not None) == len(node.slices)

        def check(items: Items, path: Path, run: Run, whole: bool) -> None:
            run.spend(len(items) * len(told))
            places = [_place(item, told, run) for item in items]
            whole = whole and None not in places
            if whole and is_told:
                _arranged(items, places, slicing if default is None else {}, len(told), path, run)
            for number, (_, check_slice) in enumerate(told):
                check_slice(_at(number, items, places), path, run, whole)
            if default and whole and is_told:
                default(_at(len(told), items, places), path, run, whole)

        return check

    def _referred(self, node: Node) -> Iterator[Check]:
        """Elements whose content is that of another (`item.item`) follow what the tree says of that other."""
        elsewhere = ((name, field.type) for name, field in fields(node.path).items() if "." in field.type)
        for name, path in elsewhere if "." in node.path else ():
            target = self._found(path) if path != f"{node.path}.{name}" and name not in node.children else None
            if target and target.children:
                yield self._lazily(name, target)

    def _lazily(self, name: str, target: Node) -> Check:
        @cache
        def content() -> Check:
            children = (self.repeated(one, sub) for one, sub in target.children.items())
            return _together([*children, *self._referred(target)])

        def check(parent: Element, path: Path, run: Run) -> None:
            for item in child(parent, name):
                run.spend(1)
                content()(item, (path, item.key, item.index), run)

        return check

    def _found(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in path.split(".")[1:]:
            node = node.children.get(name) if node else None
        return node if path.partition(".")[0] == self.root.path else None


def _together(checks: Sequence[Check]) -> Check:
    def check(item: Element, path: Path, run: Run) -> None:
        for one in checks:
            one(item, path, run)

    return check


# --- all items of a name --------------------------------------------------------------------------------------------------


def _cardinality(name: str, node: Node) -> CheckAll:
    least, most = node.element.get("min", 0), node.element.get("max", "*")
    most = float("inf") if most == "*" else int(most) if most.isdigit() else 0

    def check(items: Items, path: Path, run: Run, whole: bool) -> None:
        if len(items) < least and whole:
            run.report(path, name, "required", f"at least {least} needed{_as_slice(node)}")
        if len(items) > most:
            run.report(path, name, "structure", f"at most {most} allowed{_as_slice(node)}")

    return check


def _as_slice(node: Node) -> str:
    return f" as slice {node.element['sliceName']}" if "sliceName" in node.element else ""


def _place(item: Element, slices: Sequence[tuple[Test, Any]], run: Run) -> int | None:
    """The number of the slice an item belongs to, one beyond the last for none; None where it cannot be told."""
    for number, (test, _) in enumerate(slices):
        answer = test(item, run)
        if answer is not False:
            return number if answer else None
    return len(slices)


def _at(number: int, items: Items, places: Sequence[int | None]) -> Items:
    return [item for item, place in zip(items, places, strict=True) if place == number]


def _arranged(items: Items, places: Sequence[int | None], slicing: dict[str, Any], beyond: int, path: Path, run: Run) -> None:
    """Rules and order of the slices (elementdefinition.html#slicing)."""
    rules, before = slicing.get("rules", "open"), -1
    for item, place in zip(items, places, strict=True):
        here = (path, item.key, item.index)
        if place is None:
            continue
        if place == beyond and rules == "closed":
            run.report(here, "", "structure", "in none of the slices, which are all that is allowed here")
        elif before == beyond and place < beyond and rules == "openAtEnd":
            run.report(here, "", "structure", "what is in none of the slices stands behind those that are")
        elif slicing.get("ordered") and place < before < beyond:
            run.report(here, "", "structure", "not in the order of the slices")
        before = place if place < beyond or rules == "openAtEnd" else before


# --- one item -------------------------------------------------------------------------------------------------------------


def _fixed(node: Node) -> Check | None:
    value = given(node.element, "fixed")
    return None if value is None else _that(lambda item: is_fixed(item.value, value), "value", "not the value fixed here")


def _pattern(node: Node) -> Check | None:
    value = given(node.element, "pattern")
    return (
        None if value is None else _that(lambda item: fits(item.value, value), "value", "lacks what the pattern here asks for")
    )


def _longest(node: Node) -> Check | None:
    most = node.element.get("maxLength")
    return _that(lambda item: len(str(item.value)) <= most, "value", f"longer than {most} characters") if most else None


def _least(node: Node) -> Check | None:
    return _limit(node, "minValue", -1, "less than the least value allowed here")


def _most(node: Node) -> Check | None:
    return _limit(node, "maxValue", 1, "more than the greatest value allowed here")


def _limit(node: Node, prefix: str, wrong: int, text: str) -> Check | None:
    name = next((one for one in node.element if one.startswith(prefix)), None)
    return _that(lambda item: _order(item, node.element[name]) != wrong, "value", text) if name else None


def _order(item: Element, limit: Any) -> int | None:
    try:
        return compare([item], [Element(limit, item.type)])
    except FhirPathError:
        return None


def _that(holds: Callable[[Element], bool], code: str, text: str) -> Check:
    """A check of the value alone; an element without a value has extensions that say why."""

    def check(item: Element, path: Path, run: Run) -> None:
        if item.value is not None and not holds(item):
            run.report(path, "", code, text)

    return check


def _binding(node: Node) -> Check | None:
    """terminologies.html#required: one of the codes there is of the value set; of a maximum value set, too."""
    binding = node.element.get("binding", {})
    required = [binding["valueSet"]] if binding.get("strength") == "required" and "valueSet" in binding else []
    required += [
        one["valueCanonical"]
        for one in binding.get("extension", ())
        if one["url"] == _MAX_VALUE_SET and "valueCanonical" in one
    ]
    return _together([_bound(one) for one in required]) if required else None


def _bound(value_set: str) -> Check:
    def check(item: Element, path: Path, run: Run) -> None:
        if not is_coded(item):
            return
        answers = [run.shelf.has_code(value_set, system, code) for system, code in codes(item) if type(code) is str]
        if not answers or not (True in answers or None in answers):
            run.report(path, "", "code-invalid", f"no code of the value set {value_set} required here")
        elif True not in answers:
            run.report(path, "", "not-supported", f"not checked: the value set {value_set} cannot be evaluated here", "warning")

    return check


def _invariants(node: Node) -> Check | None:
    made = [_invariant(one) for one in node.element.get("constraint", ()) if one["severity"] == "error" and "expression" in one]
    return _together([one for one in made if one]) if made else None


def _invariant(constraint: dict[str, Any]) -> Check | None:
    """One of R4's own is checked with R4's definitions (r4/invariants.py)."""
    key, expression, says = str(constraint["key"]), constraint["expression"], str(constraint["human"]).strip().rstrip(".")
    if key in _OF_R4 or base_type(constraint.get("source", "")):
        return None
    try:
        evaluator = program(expression)
    except FhirPathError:
        return _untold(f"not checked: invariant {key} is not FHIRPath that is known here")

    def check(item: Element, path: Path, run: Run) -> None:
        if not run.holds(evaluator, item):
            run.report(path, "", "invariant", f"{says} ({key})")

    return check


def _untold(text: str) -> Check:
    return lambda item, path, run: run.report(path, "", "not-supported", text, "warning")


# --- types ----------------------------------------------------------------------------------------------------------------


def _types(node: Node) -> Check | None:
    """Types that are left of a choice, or of any resource."""
    allowed = {str(kind.get("code", "")) for kind in node.element.get("type", ())}
    if not allowed or not allowed.isdisjoint(_ANYTHING) or any(kind.startswith(_SYSTEM) for kind in allowed):
        return None

    def check(item: Element, path: Path, run: Run) -> None:
        if item.type and not any(is_kind_of(item.type, kind) for kind in allowed):
            run.report(path, "", "structure", "not of a type that is allowed here")

    return check


def _targets(node: Node) -> Check | None:
    """references.html: what is referred to is of the type of a target profile; its content is beyond this resource."""
    targets = [
        target
        for kind in node.element.get("type", ())
        if kind.get("code") == "Reference"
        for target in kind.get("targetProfile", ())
    ]
    if not targets or f"{BASE}Resource" in targets:
        return None

    def check(item: Element, path: Path, run: Run) -> None:
        kind = run.reference_type(item) if item.type == "Reference" else None
        unknown = kind and any(not (base_type(target) or run.shelf.profile(target)) for target in targets)
        if kind and not unknown and not any(is_kind_of(kind, one) for one in types_of(targets, run)):
            run.report(path, "", "value", "a reference to this type of resource is not allowed here")

    return check


def _profiles(node: Node) -> Check | None:
    """type.profile: one of the profiles that a type names; what is not loaded here may be it."""
    named = {
        str(kind.get("code")): [one for one in kind.get("profile", ()) if type(one) is str]
        for kind in node.element.get("type", ())
    }
    if not any(named.values()):
        return None

    def check(item: Element, path: Path, run: Run) -> None:
        wanted = [
            one for kind, profiles in named.items() if is_kind_of(item.type, kind) for one in profiles if not base_type(one)
        ]
        known = [profile for one in wanted if (profile := run.shelf.profile(one))]
        if len(known) < len(wanted):
            run.report(path, "", "not-supported", "not checked: a profile that is named here is not loaded", "warning")
        elif len(known) == 1:
            run.apply(known[0], item, path)
        elif known and not any(run.conforms(one, item, path) for one in known):
            run.report(path, "", "structure", "as none of the profiles that are allowed here")

    return check


_OF_ITEM: Sequence[Callable[[Node], Check | None]] = (_fixed, _pattern, _longest, _least, _most, _binding, _invariants)
_OF_TYPE: Sequence[Callable[[Node], Check | None]] = (_types, _targets, _profiles)
