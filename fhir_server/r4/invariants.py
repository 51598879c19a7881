"""What must hold within a resource beyond its structure: R4's invariants (FHIRPath) and the rules of rules.py, by type.

A resource is walked along a plan that leads only to elements whose type, or something below, has an invariant. One whose
elements are all absent is answered without being evaluated.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from fhir_server.r4 import bundle_rules, content_rules, rules
from fhir_server.r4.definitions import TABLES
from fhir_server.r4.elements import EXTENSIONS, choices, fields, is_kind_of
from fhir_server.r4.fhirpath import Element, Environment, FhirPathError, program, run
from fhir_server.r4.fhirpath.syntax import THIS, Node, parse
from fhir_server.r4.fhirpath.values import Evaluator, resource
from fhir_server.r4.rules import Problem, Rule

# Type -> JSON property and the rule that looks at every element of the type, or of one that specialises it, that has it.
RULES: tuple[tuple[str, tuple[str, Rule]], ...] = (
    ("DomainResource", ("contained", rules.contained)),
    ("Narrative", ("div", rules.div)),
    ("Period", ("end", rules.period)),
    ("Attachment", ("size", content_rules.attachment_size)),
    ("Attachment", ("hash", content_rules.attachment_hash)),
    ("Bundle", ("link", bundle_rules.page_links)),
    ("Bundle", ("entry", bundle_rules.identity)),
    ("Bundle", ("entry", bundle_rules.included)),
    ("Bundle", ("entry", bundle_rules.connected)),
    ("Bundle.entry", ("search", bundle_rules.search_outcome)),
    ("Bundle.entry", ("search", bundle_rules.search_result)),
    ("Bundle.entry", ("fullUrl", bundle_rules.full_url)),
    ("CodeSystem", ("supplements", content_rules.supplement)),
    ("CodeSystem", ("content", content_rules.supplemented)),
    ("CodeSystem", ("concept", content_rules.present)),
    ("CodeSystem", ("count", content_rules.count)),
    ("CodeSystem", ("property", content_rules.properties)),
    ("Questionnaire", ("item", content_rules.enabled_by)),
    ("SearchParameter", ("type", content_rules.composite)),
    ("SearchParameter", ("derivedFrom", content_rules.derived_parameter)),
    ("SearchParameter", ("expression", content_rules.fhirpath)),
    ("CapabilityStatement.rest.resource.searchParam", ("definition", content_rules.offered_parameter)),
    ("ElementDefinition.constraint", ("expression", content_rules.fhirpath)),
    ("Expression", ("expression", content_rules.expression)),
)

ALL_STEPS = 10**12  # R4's own definitions take time in proportion to the resource; what is sent is bounded already

# A path down from the resource: (path of the parent, JSON property, index or None).
Path = tuple[Any, str, int | None] | None


class Invariant(NamedTuple):
    """`reads`: the JSON properties it reads, None if any; `without`: whether it holds where none of them is there."""

    evaluator: Evaluator
    reads: frozenset[str] | None
    without: bool
    problem: Problem


class Plan(NamedTuple):
    """What to check of an element of a type, and the type of each child to go on to ("Resource": it says which)."""

    place: str
    invariants: tuple[Invariant, ...]
    rules: tuple[tuple[str, Rule], ...]
    children: Mapping[str, str]


def problems(value: dict[str, Any], extended: bool) -> Iterator[tuple[Path, Problem]]:
    """What does not hold, and where. `extended`: whether there are extensions in the resource."""
    root = resource(value)
    stack: list[tuple[Any, str, Path, Environment]] = [(value, root.type, None, Environment(root, root, steps=ALL_STEPS))]
    while stack:
        node, place, path, environment = stack.pop()
        if place == "Resource":
            place, environment = node["resourceType"], _inside(node, path, environment)
        checks = plan(place, extended)
        if checks.invariants:
            for problem in _broken(checks, node, environment):
                yield path, problem
        for name, rule in checks.rules:
            if name in node:
                for problem in rule(node):
                    yield path, problem
        children = checks.children
        for name in children.keys() & node.keys():
            below = node[name]
            if type(below) is dict:
                stack.append((below, children[name], (path, name, None), environment))
            else:
                kind = children[name]
                stack += [(one, kind, (path, name, n), environment) for n, one in enumerate(below) if type(one) is dict]


def _inside(node: dict[str, Any], path: Path, environment: Environment) -> Environment:
    """The environment of a resource inside another: a contained one has its container as %rootResource (fhirpath.html)."""
    own = resource(node)
    return Environment(own, environment.root if path and path[1] == "contained" else own, steps=ALL_STEPS)


def _broken(checks: Plan, node: dict[str, Any], environment: Environment) -> Iterator[Problem]:
    element = Element(node, checks.place)
    for invariant in checks.invariants:
        if invariant.reads is not None and invariant.reads.isdisjoint(node):
            if not invariant.without:
                yield invariant.problem
        elif not _holds(invariant.evaluator, element, environment):
            yield invariant.problem


def _holds(evaluator: Evaluator, element: Element, environment: Environment) -> bool:
    """An invariant that yields nothing, or cannot be evaluated on what is there, does not hold."""
    environment.context = element
    try:
        found = run(evaluator, element, environment)
    except FhirPathError:
        return False
    return len(found) == 1 and (found[0].value if found[0].__class__ is Element else found[0]) is True


# --- plans -----------------------------------------------------------------------------------------------------------------


@cache
def plan(place: str, extended: bool) -> Plan:
    """What to check of an element of this type."""
    own_rules = tuple(rule for kind, rule in RULES if is_kind_of(place, kind))
    children = {name: kind for name, kind in _children(place, extended) if _leads_somewhere(kind, extended)}
    return Plan(place, invariants(place), own_rules, children)


@cache
def invariants(place: str) -> tuple[Invariant, ...]:
    """R4's invariants of a type."""
    return tuple(_invariant(place, *one) for one in _table().get(place, ()))


def _invariant(place: str, key: str, expression: str, says: str) -> Invariant:
    evaluator = program(expression)
    nothing = Element({}, place)
    return Invariant(
        evaluator,
        _properties(place, parse(expression)),
        _holds(evaluator, nothing, Environment(nothing, nothing)),
        Problem("", "invariant", f"{says.strip().rstrip('.')} ({key})"),
    )


def _properties(place: str, node: Node) -> frozenset[str] | None:
    """The JSON properties of the element that an expression reads; None where it may read any, or looks elsewhere."""
    names: set[str] = set()
    stack: list[Any] = [node]
    while stack:
        part = stack.pop()
        if part in (THIS, ("special", "$index")) or part[:1] == ("variable",):
            return None
        if part[:2] == ("child", THIS) and not part[2][0].isupper():
            names.add(part[2])
        else:
            stack += [below for below in part if type(below) is tuple]
    keys = names | {key for name in names for key in choices(place).get(name, ())}
    return frozenset(keys | {f"_{key}" for key in keys})


def _children(place: str, extended: bool) -> list[tuple[str, str]]:
    """JSON properties and their types; what stands beside a primitive is an Element without a value."""
    found = [(name, field.type) for name, field in fields(place).items()]
    if not extended:
        return [(name, kind) for name, kind in found if name not in EXTENSIONS]
    return found + [(f"_{name}", "Element") for name, kind in found if kind[:1].islower()]


@cache
def _leads_somewhere(place: str, extended: bool) -> bool:
    """Whether anything is to be checked of a type, or below it."""
    seen, level = {place}, {place}
    while level:
        if any(kind == "Resource" or kind in _table() or _has_rules(kind) for kind in level):
            return True
        below = {kind for one in level for _, kind in _children(one, extended) if not one[:1].islower()}
        level = below - seen
        seen |= level
    return False


def _has_rules(place: str) -> bool:
    return any(is_kind_of(place, kind) for kind, _ in RULES)


@cache
def _table() -> dict[str, list[list[str]]]:
    table: dict[str, list[list[str]]] = json.loads((TABLES / "invariants.json").read_bytes())
    return table
