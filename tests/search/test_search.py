"""Index, plan and match agree with each other on real resources, for clauses drawn from values that occur in them."""

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.dates import interval
from fhir_server.search.clauses import MODIFIERS, Clause
from fhir_server.search.elements import FULL_TEXT, references, spans, strings, tokens
from fhir_server.search.index import Entries, Range, index
from fhir_server.search.match import matches, sort_key
from fhir_server.search.parameters import Parameter, Path, is_canonical, parameters
from fhir_server.search.plan import UNAIDED, Lookup, RangeTest, lookup
from fhir_server.search.query import parse
from fhir_server.search.rewriting import as_of
from fhir_server.search.value_texts import PREFIXES
from tests.search.resources import Resource, by_type

NOW = interval("2020-01-01")[0]


def clause(kind: str, name: str, text: str) -> Clause:
    [found] = as_of(parse(kind, [(name, text)]), NOW).clauses
    return found


def found_by(plan: Lookup, entries: Entries) -> bool:
    """What the store does with a lookup."""
    return any(term in entries.terms for term in plan.terms) or any(
        in_range(test, entry) for test in plan.ranges for entry in entries.ranges
    )


def in_range(test: RangeTest, entry: Range) -> bool:
    if entry.key != test.key or test.unit not in (None, entry.unit):
        return False
    ends = {"low": entry.low, "high": entry.high}
    compare = {"lt": float.__lt__, "lte": float.__le__, "gt": float.__gt__, "gte": float.__ge__}
    return all(compare[how](float(ends[side]), float(bound)) for side, how, bound in test.tests)


def agree(asked: Clause, resource: Resource) -> None:
    plan, met = lookup(asked), matches(asked, resource)
    if plan == UNAIDED:
        return
    hit = found_by(plan, index(resource))
    assert hit == met if plan.exact else hit or not met


def escaped(text: str) -> str:
    for special in "\\,|$":
        text = text.replace(special, f"\\{special}")
    return text


def texts(kind: str, path: Path, element: Any) -> list[str]:
    """Search values that an element gives rise to."""
    return [text for text in _TEXTS[kind](path, element) if text.strip()]


def token_texts(path: Path, element: Any) -> list[str]:
    pairs = [(system, escaped(code)) for system, code in tokens(path.datatype, element)]
    with_system = [f"{escaped(system)}|{code}" for system, code in pairs if system is not None]
    only_system = [f"{escaped(system)}|" for system, _ in pairs if system]
    implied = [f"{path.system}|{code}" for _, code in pairs if path.system]
    return [code for _, code in pairs] + with_system + only_system + implied


def string_texts(path: Path, element: Any) -> list[str]:
    found = strings(path.datatype, element)
    return [escaped(text[start:end]) for text in found for start, end in ((0, None), (0, 1), (0, 2), (0, 4), (0, 9), (1, 5))]


def date_texts(path: Path, element: Any) -> list[str]:
    written = [element] if isinstance(element, str) else [element[end] for end in ("start", "end") if end in element]
    return [text for whole in written for text in (whole, whole[:4], whole[:7], whole[:10], whole[:16])]


def number_texts(path: Path, element: Any) -> list[str]:
    return [f"{span.low:.6g}" for span in spans(path.datatype, element) if abs(span.low) < math.inf]


def quantity_texts(path: Path, element: Any) -> list[str]:
    known = [span for span in spans(path.datatype, element) if abs(span.low) < math.inf and not span.dimension]
    found = [(f"{span.low:.6g}", span) for span in known]
    return [
        text + unit for text, span in found for unit in ("", f"|{span.system}|{escaped(span.code)}", f"||{escaped(span.unit)}")
    ]


def reference_texts(path: Path, element: Any) -> list[str]:
    """Literal references and URLs; an example's `SubstanceSpecification/x y` or bare word can be in no valid resource."""
    return [escaped(text) for text in references(path.datatype, element) if _REFERENCE.fullmatch(text)]


_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}|[a-z]+:\S+", re.ASCII)
_TEXTS = {
    "token": token_texts,
    "string": string_texts,
    "reference": reference_texts,
    "uri": lambda path, element: [escaped(text) for text in references(path.datatype, element)],
    "date": date_texts,
    "number": number_texts,
    "quantity": quantity_texts,
    "special": lambda path, element: [f"{element['latitude']}|{element['longitude']}"],
}


def can_refer(parameter: Parameter, text: str) -> bool:
    """False for the references of official examples to types that the official parameter does not allow."""
    return parameter.type != "reference" or ":" in text or text.partition("/")[0] in parameter.targets


def occurring(resources: list[Resource], parameter: Parameter) -> list[str]:
    return sorted({
        text
        for resource in resources
        for path in parameter.paths
        if path.datatype not in FULL_TEXT  # it has no entries, and tests of its own
        for element in path.extract(resource)
        for text in texts(parameter.type, path, element)
        if can_refer(parameter, text)
    })  # fmt: skip


OCCURRING = {
    (kind, name): values
    for kind, resources in sorted(by_type().items())
    for name, parameter in parameters(kind).items()
    if (values := occurring(resources, parameter))
}
ASKABLE = [(kind, parameters(kind)[name]) for kind, name in OCCURRING]
PREFIXED = ("date", "number", "quantity")
BY_MEANING = frozenset(("in", "not-in", "below", "above"))  # of tokens; test_concepts.py has :below and :above
VALUE_SETS = [
    f"http://{one}"
    for one in (
        "hl7.org/fhir/ValueSet/administrative-gender",
        "hl7.org/fhir/ValueSet/observation-status",
        "hl7.org/fhir/ValueSet/publication-status",
        "hl7.org/fhir/ValueSet/observation-category",
        "terminology.hl7.org/ValueSet/v3-ActEncounterCode",
    )
]


@st.composite
def clauses(draw: st.DrawFn) -> tuple[str, Clause]:
    kind, parameter = draw(st.sampled_from(ASKABLE))
    values = OCCURRING[kind, parameter.name]
    apart = {"of-type", *(BY_MEANING if parameter.type == "token" else ())}
    if parameter.type == "reference":  # what is part of what, the store tells: http/test_hierarchies.py
        apart |= {"above"} if is_canonical(parameter) else {"above", "below"}
    modifier = draw(st.sampled_from([None, None, None, *(one for one in MODIFIERS[parameter.type] if one not in apart)]))
    if parameter.type == "token" and draw(st.integers(0, 9)) == 0:
        sets = draw(st.lists(st.sampled_from(VALUE_SETS), min_size=1, max_size=2, unique=True))
        return kind, clause(kind, f"{parameter.name}:{draw(st.sampled_from(['in', 'not-in']))}", ",".join(sets))
    if modifier == "missing":
        return kind, clause(kind, f"{parameter.name}:missing", draw(st.sampled_from(["true", "false"])))
    chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
    prefix = draw(st.sampled_from(["", *PREFIXES])) if parameter.type in PREFIXED else ""
    name = f"{parameter.name}:{modifier}" if modifier else parameter.name
    return kind, clause(kind, name, ",".join(prefix + text for text in chosen))


@settings(max_examples=400, deadline=None)
@given(clauses())
def test_the_index_agrees_with_the_match(drawn: tuple[str, Clause]) -> None:
    """search.html: an exact lookup finds what matches and nothing else, any other finds at least that."""
    kind, asked = drawn
    for resource in by_type()[kind]:
        agree(asked, resource)


@pytest.mark.parametrize("kind", sorted(by_type()))
def test_each_value_finds_its_resource(kind: str) -> None:
    """Whatever a resource holds, an equality search for it finds it, by match and by index."""
    for resource in by_type()[kind][:12]:
        for parameter in parameters(kind).values():
            for text in occurring([resource], parameter):
                finds(kind, parameter, text, resource)


def finds(kind: str, parameter: Parameter, text: str, resource: Resource) -> None:
    asked = clause(kind, parameter.name, text)
    agree(asked, resource)
    if parameter.type in ("token", "reference", "uri"):
        assert matches(asked, resource), (parameter.name, text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([one for one in ASKABLE if one[1].type != "special"]), st.booleans())
def test_sort_keys_are_in_one_order(chosen: tuple[str, Parameter], descending: bool) -> None:
    """search.html#sort: keys of one parameter always compare, and what has no value comes lowest."""
    kind, parameter = chosen
    keys = sorted(sort_key(parameter, resource, descending) for resource in by_type()[kind])
    empty = sort_key(parameter, {"resourceType": kind}, descending)
    assert all(empty <= key for key in keys)


def test_few_terms() -> None:
    """DESIGN 3: an index entry costs bytes and time; a Synthea resource is to have no more than about 20."""
    found = [len(index(resource).terms) for kind, some in by_type().items() if kind != "Provenance" for resource in some[-20:]]
    assert sum(found) / len(found) < 24


def test_birth_dates_are_never_ordered_values() -> None:
    """DESIGN 3: ranges only of what does not identify."""
    entries = index({"resourceType": "Patient", "birthDate": "1974-12-25", "deceasedDateTime": "2015-02-14T13:42:00+10:00"})
    assert entries.ranges == [] and entries.date is None
    assert {"Patient.birthDate%1974", "Patient.birthDate%1974-12", "Patient.birthDate%1974-12-25"} <= entries.terms
    assert lookup(clause("Patient", "birthdate", "1974-12")).exact
    assert lookup(clause("Patient", "birthdate", "ge1974")) == UNAIDED


def test_the_clinical_date_is_when_care_happened() -> None:
    medication = {
        "resourceType": "MedicationRequest",
        "authoredOn": "2020-01-01",
        "dosageInstruction": [{"timing": {"event": ["2021"]}}],
    }
    assert index(medication).date == 1577836800000
    assert index({"resourceType": "Encounter", "period": {"end": "1970-01-01T00:00:01Z"}}).date == 1999
    assert index({"resourceType": "Encounter"}).date is None
