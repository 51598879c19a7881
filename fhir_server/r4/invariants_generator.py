"""Compiles the invariants of R4's own types from the official package; schema_generator.py writes them."""

from collections.abc import Iterator
from typing import Any

from fhir_server.r4.package import Package, structures

# Checked elsewhere, each in a way that says more or costs less: `ele-1` and `ext-1` in the schema, the others in rules.py.
_ELSEWHERE = frozenset(("ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "ref-1", "per-1", "txt-1", "txt-2"))

# R4's expressions that say something else than they mean, by type and key. R4 wrote them for engines in which startsWith(),
# contains() and `is` are false where there is nothing; in FHIRPath N1 they yield nothing, and an invariant that yields nothing
# does not hold. Nor does N1 decide between a day and a moment within it, or between units that do not compare: that breaks
# no order. And an answer in a resource is FHIR's boolean, never FHIRPath's Boolean.
_REWRITTEN = {
    "Bundle.entry: bdl-8": "fullUrl.where(contains('/_history/')).empty()",
    # As R4 says it, but looking each up once, not in the whole list again for each.
    "ImplementationGuide.definition: ig-1": "resource.groupingId.subsetOf(grouping.id)",
    "ImplementationGuide: ig-2": "definition.resource.fhirVersion.subsetOf(fhirVersion)",
    "MedicationDispense: mdd-1": "iif(whenHandedOver < whenPrepared, false, true)",
    "Questionnaire.item: que-12": "enableWhen.count() > 1 implies enableBehavior.exists()",  # "more than one", it says
    "Questionnaire.item.enableWhen: que-7": "operator = 'exists' implies (answer is boolean)",
    "Range: rng-2": "iif(low > high, false, true)",
    "RiskAssessment.prediction: ras-2": "iif(probability.ofType(decimal) > 100, false, true)",
    "Task: inv-1": "iif(lastModified < authoredOn, false, true)",
}

Json = dict[str, Any]


def compile_invariants(package: Package) -> dict[str, list[list[str]]]:
    """Type -> [key, expression, what it says] of what must hold for each element of it (severity error)."""
    found: dict[str, list[list[str]]] = {}
    for structure in structures(package):
        elements = structure["snapshot"]["element"]
        for place, *invariant in _invariants(elements, {element["path"].rpartition(".")[0] for element in elements}):
            if invariant not in found.setdefault(place, []):
                found[place].append(invariant)
    return dict(sorted(found.items()))


def _invariants(elements: list[Json], parents: set[str]) -> Iterator[tuple[str, str, str, str]]:
    """One on an element that has a type of its own is told of its parent: `address.all(...)`."""
    for element in elements:
        path = element["path"]
        for one in element.get("constraint", ()):
            if one["severity"] != "error" or one["key"] in _ELSEWHERE:
                continue
            expression = _REWRITTEN.get(f"{path}: {one['key']}", one["expression"])
            if path in parents or "." not in path:
                yield path, one["key"], expression, one["human"]
            else:
                parent, _, name = path.rpartition(".")
                yield parent, one["key"], f"{name.removesuffix('[x]')}.all({expression})", one["human"]
