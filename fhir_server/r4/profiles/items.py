"""What an ElementDefinition says of one item, as checks: values, codes, invariants, types (elementdefinition.html)."""

from collections.abc import Callable, Sequence
from typing import Any

from fhir_server.r4.elements import is_kind_of
from fhir_server.r4.fhirpath import Element, FhirPathError, program
from fhir_server.r4.fhirpath.values import ABSTRACT, compare
from fhir_server.r4.invariants import Path
from fhir_server.r4.profiles.running import Check, Run
from fhir_server.r4.profiles.slicing import types_of
from fhir_server.r4.profiles.tree import BASE, Node, base_type
from fhir_server.r4.profiles.values import codes, fits, given, is_coded, is_fixed

_SYSTEM = "http://hl7.org/fhirpath/System."
_MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_OF_R4 = frozenset(("ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "ref-1", "per-1", "txt-1", "txt-2"))


def together(checks: Sequence[Check]) -> Check:
    """All of them, one after the other."""

    def check(item: Element, path: Path, run: Run) -> None:
        for one in checks:
            one(item, path, run)

    return check


def _fixed(node: Node) -> Check | None:
    value = given(node.element, "fixed")
    return None if value is None else _that(lambda item: is_fixed(item.value, value), "not the value fixed here")


def _pattern(node: Node) -> Check | None:
    value = given(node.element, "pattern")
    return None if value is None else _that(lambda item: fits(item.value, value), "lacks what the pattern here asks for")


def _longest(node: Node) -> Check | None:
    most = node.element.get("maxLength")
    return _that(lambda item: len(str(item.value)) <= most, f"longer than {most} characters") if most else None


def _least(node: Node) -> Check | None:
    return _limit(node, "minValue", -1, "less than the least value allowed here")


def _most(node: Node) -> Check | None:
    return _limit(node, "maxValue", 1, "more than the greatest value allowed here")


def _limit(node: Node, prefix: str, wrong: int, text: str) -> Check | None:
    name = next((one for one in node.element if one.startswith(prefix)), None)
    return _that(lambda item: _order(item, node.element[name]) != wrong, text) if name else None


def _order(item: Element, limit: Any) -> int | None:
    try:
        return compare([item], [Element(limit, item.type)])
    except FhirPathError:
        return None


def _that(holds: Callable[[Element], bool], text: str) -> Check:
    """A check of the value alone; an element without a value has extensions that say why."""

    def check(item: Element, path: Path, run: Run) -> None:
        if item.value is not None and not holds(item):
            run.report(path, "", "value", text)

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
    return together([_bound(one) for one in required]) if required else None


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
    return together([one for one in made if one]) if made else None


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


def _types(node: Node, kind: str) -> Check | None:
    """Types that are left of a choice, or of any resource."""
    if kind and kind != "Resource":
        return None
    allowed = {str(kind.get("code", "")) for kind in node.element.get("type", ())}
    if not allowed or not allowed.isdisjoint(ABSTRACT) or any(kind.startswith(_SYSTEM) for kind in allowed):
        return None

    def check(item: Element, path: Path, run: Run) -> None:
        if item.type and item.type not in allowed:
            run.report(path, "", "structure", "not of a type that is allowed here")

    return check


def _targets(node: Node, kind: str) -> Check | None:
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


def _aggregation(node: Node, kind: str) -> Check | None:
    """elementdefinition.html#aggregation: whether what is referred to is contained, in the same Bundle, or elsewhere."""
    references = [one for one in node.element.get("type", ()) if one.get("code") == "Reference"]
    if not references or not all(one.get("aggregation") for one in references):
        return None
    allowed = {mode for one in references for mode in one["aggregation"]}

    def check(item: Element, path: Path, run: Run) -> None:
        if item.type == "Reference" and allowed.isdisjoint(run.modes(item)):
            run.report(path, "", "structure", f"what is referred to is to be {' or '.join(sorted(filter(None, allowed)))}")

    return check


def _profiles(node: Node, kind: str) -> Check | None:
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


OF_ITEM: Sequence[Callable[[Node], Check | None]] = (_fixed, _pattern, _longest, _least, _most, _binding, _invariants)
OF_TYPE: Sequence[Callable[[Node, str], Check | None]] = (_types, _targets, _aggregation, _profiles)
