"""The tree of a profile -> a closure that checks an element against it (elementdefinition.html), once for each profile.

What R4 itself says of an element is checked elsewhere, so that only what a profile adds costs time.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from fhir_server.r4.elements import UNKNOWN, Field, fields
from fhir_server.r4.fhirpath import Element
from fhir_server.r4.fhirpath.values import child
from fhir_server.r4.invariants import Path
from fhir_server.r4.profiles.items import OF_ITEM, OF_TYPE, together
from fhir_server.r4.profiles.running import Check, Profile, Run
from fhir_server.r4.profiles.slicing import Test, belongs
from fhir_server.r4.profiles.tree import Node

DEFAULT = "@default"
"""The slice of what belongs to no other (elementdefinition.html#default-slice)."""

Items = list[Element]
CheckAll = Callable[[Items, Path, Run, bool], None]
"""A check of all items of a name, or of those in a slice; the last says whether these are all that there are."""


def compiled(
    url: str, root: Node, bases: Iterable[str] = (), contexts: Iterable[tuple[str, str]] = (), rules: Iterable[str] = ()
) -> Profile:
    """A profile made ready to run; `bases` are the profiles that it derives from, whose rules it has in it."""
    check = together(_Compiler(root).checks(root, root.path, is_root=True))
    return Profile(url, root.path, check, root, frozenset(bases), tuple(contexts), tuple(rules))


class _Compiler:
    """Compiles the nodes of one tree; content references lead back into it. `kind` is the type of a node, "" of a choice."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def checks(self, node: Node, kind: str, is_root: bool = False) -> list[Check]:
        """What a node says of one item."""
        made = [check for make in OF_ITEM if (check := make(node))]
        made += [] if is_root else [check for make in OF_TYPE if (check := make(node, kind))]
        return [*made, *self.below(node, kind), *self._referred(node)]

    def below(self, node: Node, kind: str) -> list[Check]:
        """What a node says of what is below one item."""
        return [check for name, one in node.children.items() if (check := self._repeated(name, one, _field(kind, name)))]

    def _repeated(self, name: str, node: Node, field: Field) -> Check | None:
        """What a node says of all items of this name below an element; nothing where R4 says as much."""
        least, most = _limits(node)
        if not least and not field.repeats and field.type and most == 1:
            most = math.inf
        checks = self.checks(node, field.type)
        if not node.slices and not checks:
            if not least and most == math.inf:
                return None
            if field.type:
                return _counted(name, node, least, most)
        check_all = self._of_all(name, node, field.type, checks)

        def check(parent: Element, path: Path, run: Run) -> None:
            items = child(parent, name)
            run.spend(1 + len(items))
            check_all(items, path, run, True)

        return check

    def _of_all(self, name: str, node: Node, kind: str, checks: Sequence[Check]) -> CheckAll:
        """What a node, or a slice, says of its items."""
        count, each = _cardinality(name, node), together(checks)
        slices = self._sliced(name, node, kind) if node.slices else None

        def check(items: Items, path: Path, run: Run, whole: bool) -> None:
            count(items, path, run, whole)
            for item in items:
                each(item, (path, item.key, item.index), run)
            if slices:
                slices(items, path, run, whole)

        return check

    def _sliced(self, name: str, node: Node, kind: str) -> CheckAll:
        """Items go to the first slice they belong to; where that cannot be told of some, no slice is found short of items."""
        slicing = node.element.get("slicing", {})
        told = [(test, self._slice(name, one, kind)) for one in node.slices.values() if (test := belongs(name, node, one))]
        default = self._slice(name, node.slices[DEFAULT], kind) if DEFAULT in node.slices else None
        is_told = len(told) + (default is not None) == len(node.slices)

        def check(items: Items, path: Path, run: Run, whole: bool) -> None:
            run.spend(len(items) * len(told))
            places = [_place(item, told, path, run) for item in items]
            whole = whole and None not in places
            if whole and is_told:
                _arranged(items, places, slicing if default is None else {}, len(told), path, run)
            for number, (_, check_slice) in enumerate(told):
                check_slice(_at(number, items, places), path, run, whole)
            if default and whole and is_told:
                default(_at(len(told), items, places), path, run, whole)

        return check

    def _slice(self, name: str, node: Node, kind: str) -> CheckAll:
        return self._of_all(name, node, kind, self.checks(node, kind or node.kind))

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
            return together([*self.below(target, target.path), *self._referred(target)])

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


# --- all items of a name --------------------------------------------------------------------------------------------------


def _field(kind: str, name: str) -> Field:
    return fields(kind).get(name, UNKNOWN) if kind else UNKNOWN


def _limits(node: Node) -> tuple[int, float]:
    least, most = node.element.get("min", 0), node.element.get("max", "*")
    return least, int(most) if most.isdigit() else math.inf


def _counted(name: str, node: Node, least: int, most: float) -> Check:
    """The number of items alone, told by the JSON."""
    beside = f"_{name}"

    def check(parent: Element, path: Path, run: Run) -> None:
        value = parent.value if type(parent.value) is dict else {}
        count = max(_length(value.get(name)), _length(value.get(beside)))
        if not least <= count <= most:
            _report_count(name, node, count < least, path, run)

    return check


def _length(value: Any) -> int:
    return len(value) if type(value) is list else 0 if value is None else 1


def _report_count(name: str, node: Node, is_less: bool, path: Path, run: Run) -> None:
    code, text = (
        ("required", f"at least {node.element.get('min')} needed")
        if is_less
        else ("structure", f"at most {node.element.get('max')} allowed")
    )
    run.report(path, name, code, text + (f" as slice {node.element['sliceName']}" if "sliceName" in node.element else ""))


def _cardinality(name: str, node: Node) -> CheckAll:
    least, most = _limits(node)

    def check(items: Items, path: Path, run: Run, whole: bool) -> None:
        if len(items) > most or (len(items) < least and whole):
            _report_count(name, node, len(items) < least, path, run)

    return check


def _place(item: Element, slices: Sequence[tuple[Test, Any]], path: Path, run: Run) -> int | None:
    """The number of the slice an item belongs to, one beyond the last for none; None where it cannot be told."""
    answers = [test(item, run) for test, _ in slices]
    if answers.count(True) > 1:
        run.report((path, item.key, item.index), "", "structure", "in more than one of the slices, which exclude each other")
    if True in answers:
        return answers.index(True)
    return None if None in answers else len(slices)


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
