"""ValueSet/$expand and $validate-code: R4's own expansions, every operator against a naive one, bounds."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.errors import FhirError
from fhir_server.r4.package import Package
from fhir_server.r4.validation import validate
from fhir_server.terminology.chinese import ICD_9_CM_3, ICD_10
from fhir_server.terminology.expand import MAX_CODES, Wanted, expand
from fhir_server.terminology.library import Library, needs
from fhir_server.terminology.lookup import lookup
from fhir_server.terminology.members import members
from fhir_server.terminology.published import published
from fhir_server.terminology.systems import system_of
from fhir_server.terminology.validate_code import Asked, in_system, in_value_set

NOW = "2026-01-01T00:00:00.000Z"
VS = "http://hl7.org/fhir/ValueSet/"
ROLES = "http://terminology.hl7.org/CodeSystem/v3-ActMood"

Resource = dict[str, Any]


ALL = Wanted()


def vs(*include: Resource, exclude: tuple[Resource, ...] = (), **more: Any) -> Resource:
    made: Resource = {"resourceType": "ValueSet", "status": "active", "compose": {"include": list(include), **more}}
    if exclude:
        made["compose"]["exclude"] = list(exclude)
    return made


def codes(value_set: Resource | str, wanted: Wanted = ALL, library: Library | None = None) -> list[str]:
    library = library or Library()
    resource = library.held("ValueSet", value_set) if isinstance(value_set, str) else value_set
    expanded = expand(library, resource, wanted, NOW)
    validate(expanded)
    return [one["code"] for one in expanded["expansion"].get("contains", ())]


def expansion(value_set: Resource, wanted: Wanted) -> Resource:
    return dict(expand(Library(), value_set, wanted, NOW)["expansion"])


def refusal(work: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(FhirError) as refused:
        work()
    return refused.value.status, refused.value.issues[0].code


# -- what the specification says --


def _flat(contains: list[Resource]) -> list[str]:
    return [code for one in contains for code in ([one["code"]] if "code" in one else []) + _flat(one.get("contains", []))]


def test_official_expansions_are_what_we_expand_to(package: Package) -> None:
    """valueset.html#expansion; example-expansion is of LOINC and example-hierarchical of a contained system: neither is held"""
    official = {url: one for url, one in package.items() if "expansion" in one}
    names = ("example-expansion", "yesnodontknow", "example-hierarchical", "inactive")
    assert set(official) == {f"{VS}{name}" for name in names}
    told = {name: set(_flat(official[f"{VS}{name}"]["expansion"]["contains"])) for name in names}
    assert set(codes(f"{VS}yesnodontknow")) == told["yesnodontknow"]
    # That of `inactive` is older than its code system, which has criteria below CRT since.
    assert {code for code in codes(f"{VS}inactive") if not code.endswith(".CRT")} == told["inactive"]
    assert refusal(lambda: codes(f"{VS}example-expansion")) == (404, "not-found")


def test_most_official_value_sets_expand(package: Package) -> None:
    """Those that do not are of systems that the package does not have, and say which"""
    library, refused = Library(), []
    official = [url for url, one in package.items() if one["resourceType"] == "ValueSet"]
    for url in official:
        try:
            members(library, published("ValueSet", url) or {})
        except FhirError as error:
            refused.append(error)
    assert len(official) - len(refused) >= 1_200
    assert {(error.status, error.issues[0].code) for error in refused} == {(404, "not-found"), (422, "not-supported")}


def test_systems_we_do_not_hold_are_never_guessed() -> None:
    """An intensional value set of SNOMED CT is not found; one that lists its codes has them"""
    sct = "http://snomed.info/sct"
    assert refusal(lambda: codes(vs({"system": sct, "filter": [{"property": "concept", "op": "is-a", "value": "1"}]}))) == (
        404,
        "not-found",
    )
    assert codes(vs({"system": sct, "concept": [{"code": "22298006"}]})) == ["22298006"]


# -- operators, against a naive walk --

SYSTEM = "urn:test:system"
CODES = tuple("abcdefgh")


def small_system(parents: dict[str, str | None], kinds: dict[str, str]) -> Resource:
    concepts = [
        {
            "code": code,
            "display": f"Concept {code.upper()}",
            "property": [
                *([{"code": "parent", "valueCode": parents[code]}] if parents[code] else []),
                {"code": "kind", "valueString": kinds[code]},
            ],
        }
        for code in CODES
    ]
    about = {"resourceType": "CodeSystem", "url": SYSTEM, "status": "active", "content": "complete"}
    return about | {"property": [{"code": "kind", "type": "string"}], "concept": concepts}


def ancestors(code: str, parents: dict[str, str | None]) -> set[str]:
    found: set[str] = set()
    above = parents[code]
    while above:
        found.add(above)
        above = parents[above]
    return found


ORACLE: dict[str, Callable[[str, str, dict[str, str | None], dict[str, str]], bool]] = {
    "is-a": lambda code, value, up, kinds: code == value or value in ancestors(code, up),
    "descendent-of": lambda code, value, up, kinds: value in ancestors(code, up),
    "is-not-a": lambda code, value, up, kinds: code != value and value not in ancestors(code, up),
    "generalizes": lambda code, value, up, kinds: code == value or code in ancestors(value, up),
    "=": lambda code, value, up, kinds: kinds[code] == value,
    "in": lambda code, value, up, kinds: kinds[code] in value.split(","),
    "not-in": lambda code, value, up, kinds: kinds[code] not in value.split(","),
    "regex": lambda code, value, up, kinds: bool(re.fullmatch(value, code)),
}
HIERARCHY = ("is-a", "descendent-of", "is-not-a", "generalizes")
RULES = st.one_of(
    st.tuples(st.sampled_from(HIERARCHY), st.just("concept"), st.sampled_from(CODES)),
    st.tuples(st.just("="), st.just("kind"), st.sampled_from(("x", "y", "z"))),
    st.tuples(st.sampled_from(("in", "not-in")), st.just("kind"), st.sampled_from(("x,y", "y,z", "z"))),
    st.tuples(st.just("regex"), st.just("code"), st.sampled_from(("[a-c]", "a|b|h", ".", "[^d]", "ab"))),
)
PARTS = st.lists(RULES, max_size=2)
SETS = st.tuples(st.lists(PARTS, min_size=1, max_size=3), st.lists(PARTS, max_size=2))


@given(
    st.tuples(*(st.sampled_from([None, *CODES[:number]]) for number in range(len(CODES)))),
    st.tuples(*(st.sampled_from(("x", "y", "z")) for _ in CODES)),
    SETS,
)
def test_include_exclude_and_filters_are_what_a_walk_finds(ups: Any, drawn: Any, parts: Any) -> None:
    """valueset.html#compositions: filters of a part all hold, includes add, excludes take away; $validate-code agrees"""
    parents, kinds = dict(zip(CODES, ups, strict=True)), dict(zip(CODES, drawn, strict=True))
    included, excluded = parts
    library = Library({("CodeSystem", SYSTEM): small_system(parents, kinds)})
    value_set = vs(*map(part_of, included), exclude=tuple(map(part_of, excluded)))

    def selected(code: str, rules: Any) -> bool:
        return all(ORACLE[op](code, value, parents, kinds) for op, _, value in rules)

    expected = {
        code
        for code in CODES
        if any(selected(code, rules) for rules in included) and not any(selected(code, rules) for rules in excluded)
    }
    assert set(codes(value_set, library=library)) == expected
    for code in CODES:
        answer = in_value_set(library, value_set, Asked([{"system": SYSTEM, "code": code}]))
        assert answer["parameter"][0]["valueBoolean"] is (code in expected)


def part_of(rules: Any) -> Resource:
    made: Resource = {"system": SYSTEM}
    filters = [{"property": name, "op": op, "value": value} for op, name, value in rules]
    return made | ({"filter": filters} if filters else {})


def test_value_sets_inside_value_sets_intersect() -> None:
    """valueset-definitions.html#ValueSet.compose.include.valueSet: codes that are in all of them"""
    listed = {name: [{"code": code} for code in name] for name in ("ab", "bc", "abc")}
    inner = {("ValueSet", f"urn:vs:{name}"): vs({"system": SYSTEM, "concept": some}) for name, some in listed.items()}
    library = Library(inner | {("CodeSystem", SYSTEM): small_system(dict.fromkeys(CODES), dict.fromkeys(CODES, "x"))})
    assert codes(vs({"valueSet": ["urn:vs:ab", "urn:vs:bc"]}), library=library) == ["b"]
    assert codes(vs({"valueSet": ["urn:vs:ab"]}, {"valueSet": ["urn:vs:bc"]}), library=library) == ["a", "b", "c"]
    assert codes(vs({"system": SYSTEM, "valueSet": ["urn:vs:bc"]}), library=library) == ["b", "c"]
    assert codes(vs({"system": SYSTEM}, exclude=({"valueSet": ["urn:vs:abc"]},)), library=library) == list("defgh")


def test_a_version_that_is_asked_for_is_the_one_that_is_used() -> None:
    """valueset-definitions.html#ValueSet.compose.include.version"""
    stored = small_system(dict.fromkeys(CODES), dict.fromkeys(CODES, "x")) | {"version": "2"}
    library = Library({("CodeSystem", f"{SYSTEM}|2"): stored})
    expanded = expand(library, vs({"system": SYSTEM, "version": "2"}), ALL, NOW)["expansion"]["contains"]
    assert expanded[0] == {"system": SYSTEM, "code": "a", "display": "Concept A"}
    assert refusal(lambda: codes(vs({"system": SYSTEM, "version": "1"}), library=library)) == (404, "not-found")
    assert refusal(lambda: codes(vs({"system": ROLES, "version": "1"}))) == (404, "not-found")


# -- bounds --


def test_a_value_set_that_includes_itself_is_refused() -> None:
    one, other = vs({"valueSet": ["urn:vs:2"]}), vs({"valueSet": ["urn:vs:1"]})
    library = Library({("ValueSet", "urn:vs:1"): one, ("ValueSet", "urn:vs:2"): other})
    assert refusal(lambda: codes(one, library=library)) == (422, "processing")


def test_nested_value_sets_are_worked_out_once() -> None:
    """Each of thirty includes the one before twice: a thousand million ways, thirty sets"""
    sets = {
        ("ValueSet", f"urn:vs:{n}"): vs({"valueSet": [f"urn:vs:{n - 1}"]}, {"valueSet": [f"urn:vs:{n - 1}"]})
        for n in range(1, 29)
    }
    library = Library(sets | {("ValueSet", "urn:vs:0"): vs({"system": SYSTEM, "concept": [{"code": "a"}]})})
    assert codes(vs({"valueSet": ["urn:vs:28"]}), library=library) == ["a"]


def test_too_many_codes_at_once_are_too_costly_and_pages_are_not() -> None:
    """valueset-operation-expand.html: too-costly; offset and count"""
    whole = f"{ICD_10}:vs"
    assert refusal(lambda: codes(whole)) == (403, "too-costly")
    assert refusal(lambda: codes(whole, Wanted(count=MAX_CODES + 1))) == (403, "too-costly")
    first, second = codes(whole, Wanted(count=10)), codes(whole, Wanted(offset=5, count=10))
    assert (first[5:], len(second)) == (second[:5], 10)
    counted = expansion(Library().held("ValueSet", whole), Wanted(count=0))
    assert (counted["total"], "contains" in counted) == (len(Library().system(ICD_10).concepts), False)


def test_work_is_bounded() -> None:
    """Many looks at a large system, many patterns to compile, a concept with many parents"""
    regex = {"property": "code", "op": "regex", "value": ".*x"}
    assert refusal(lambda: codes(vs(*[{"system": ICD_10, "filter": [regex]}] * 200))) == (403, "too-costly")
    assert refusal(lambda: codes(vs({"system": ROLES, "filter": [regex] * 9_000}))) == (403, "too-costly")
    code = next(iter(Library().system(ICD_10).concepts))
    below = {"property": "concept", "op": "is-not-a", "value": code}
    assert refusal(lambda: codes(vs({"system": ICD_10, "filter": [below] * 20}), Wanted(count=1))) == (403, "too-costly")
    parents = [{"code": "parent", "valueCode": str(number)} for number in range(50_000)]
    assert len(system_of({"concept": [{"code": "a", "property": parents}]}).above("a")) == 50_000


@pytest.mark.parametrize("regex", ["(a+)+$", "(?=a)a", r"(a)\1", "(", "a{1000}{1000}", "x" * 2_000])
def test_a_regex_is_fast_or_refused(regex: str) -> None:
    """No backtracking: a pattern that would take years elsewhere"""
    system = {"url": SYSTEM, "content": "complete", "concept": [{"code": "a" * 5_000 + "b"}]}
    library = Library({("CodeSystem", SYSTEM): system})
    value_set = vs({"system": SYSTEM, "filter": [{"property": "code", "op": "regex", "value": regex}]})
    try:
        assert codes(value_set, library=library) == []
    except FhirError as refused:
        assert (refused.status, refused.issues[0].code) == (422, "not-supported")


@pytest.mark.parametrize(
    "rule",
    [
        {"property": "nothing", "op": "=", "value": "x"},
        {"property": "concept", "op": "is-a", "value": "nothing"},
        {"property": "concept", "op": "like", "value": "x"},
    ],
)
def test_a_filter_that_cannot_be_applied_is_an_error(rule: Resource) -> None:
    """valueset-operation-expand.html: a server that does not fully understand SHALL return an error"""
    assert refusal(lambda: codes(vs({"system": ROLES, "filter": [rule]})))[0] == 422


def test_primitives_that_are_only_extensions_are_no_codes() -> None:
    """element.html: an element may have an extension in place of its value; validation lets it pass"""
    absent = {"extension": [{"url": "urn:absent", "valueBoolean": True}]}
    system = {
        "resourceType": "CodeSystem", "url": SYSTEM, "status": "active", "content": "complete",
        "concept": [{"_code": absent}, {"code": "a", "designation": [{"_value": absent}], "property": [
            {"_code": absent, "valueCode": "x"}, {"code": "parent", "_valueCode": absent}]}],
    }  # fmt: skip
    value_set = vs(
        {"system": SYSTEM}, {"valueSet": [None], "_valueSet": [absent], "system": SYSTEM, "concept": [{"_code": absent}]}
    )
    for one in (system, value_set):
        validate(one)
    library = Library({("CodeSystem", SYSTEM): system})
    assert set(needs(value_set)) == {("CodeSystem", SYSTEM)}
    assert codes(value_set, library=library) == ["a"]
    validate(lookup(library.system(SYSTEM), "a"))
    unfilled = vs({"system": SYSTEM, "filter": [{"_property": absent, "op": "=", "_value": absent}]})
    assert refusal(lambda: codes(unfilled, library=library))[0] == 422


# -- filters, names --


def test_chinese_names_are_found_by_any_part() -> None:
    whole = f"{ICD_10}:vs"
    found = expansion(Library().held("ValueSet", whole), Wanted(filter="结核 骨髓", count=50))
    assert {"A18.011+M49.0*", "A18.000x064+M90.0*"} & {one["code"] for one in found["contains"]}
    assert all("结核" in one["display"] and "骨髓" in one["display"] for one in found["contains"])
    assert found["total"] == len(found["contains"]) > 1
    assert codes(f"{ICD_9_CM_3}:vs", Wanted(filter="ivus", count=1)) == ["00.2101"]
    assert codes(f"{ICD_9_CM_3}:vs", Wanted(filter="颈动脉血管内超声（ＩＶＵＳ）", count=5)) == ["00.2101"]
    assert codes(whole, Wanted(filter="a01.000x00", count=2)) == ["A01.000x004", "A01.000x005+J17.0*"]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from("结核骨髓炎慢性急a0.x "), max_size=4).map("".join))
def test_a_filter_finds_what_a_naive_one_finds(text: str) -> None:
    system = Library().system(ICD_9_CM_3)
    naive = [
        code
        for code, concept in system.concepts.items()
        if all(word in code.lower() or word in concept.get("display", "").lower() for word in text.split())
    ]
    found = expansion(Library().held("ValueSet", f"{ICD_9_CM_3}:vs"), Wanted(filter=text, count=20))
    assert (found["total"], [one["code"] for one in found.get("contains", ())]) == (len(naive), naive[:20])


def test_headings_are_abstract_and_inactive_codes_may_be_left_out() -> None:
    a01 = {"property": "concept", "op": "is-a", "value": "A01.1"}
    found = expansion(vs({"system": ICD_10, "filter": [a01]}), Wanted())["contains"]
    assert found[0] == {"system": ICD_10, "abstract": True, "code": "A01.1"}
    assert {"system": ICD_10, "code": "A01.100", "display": "副伤寒甲"} in found
    moods = vs({"system": ROLES})
    assert len(codes(moods, Wanted(active_only=True))) < len(codes(moods)) == len(codes(vs({"system": ROLES}, inactive=True)))
    assert codes(vs({"system": ROLES}, inactive=False)) == codes(moods, Wanted(active_only=True))


def test_designations_and_languages() -> None:
    """includeDesignations, displayLanguage; a value set's own display comes first"""
    table = {"system": "http://terminology.hl7.org/CodeSystem/v2-0001"}
    shown = expansion(vs(table), Wanted(designations=True, language="de"))["contains"]
    assert {"weiblich"} <= {one["display"] for one in shown}
    assert all("designation" in one for one in shown if one["code"] == "F")
    own = vs(table | {"concept": [{"code": "F", "display": "女", "designation": [{"language": "ug", "value": "ئايال"}]}]})
    displays = [expansion(own, Wanted(language=one))["contains"][0]["display"] for one in (None, "ug")]
    assert displays == ["女", "ئايال"]


# -- $validate-code --


def result(answer: Resource) -> tuple[bool, bool]:
    told = {one["name"]: next(value for name, value in one.items() if name != "name") for one in answer["parameter"]}
    return told["result"], "message" in told


@pytest.mark.parametrize(
    ("coding", "valid"),
    [
        ({"code": "A01.100"}, True),
        ({"code": "A01.100", "display": "副伤寒甲"}, True),
        ({"code": "A01.100", "display": "伤寒"}, False),
        ({"code": "A01"}, False),
        ({"code": "A01.999"}, False),
        ({"code": "A01.100", "version": "NHSA"}, True),
        ({"code": "A01.100", "version": "2011"}, False),
        ({"code": "a01.100"}, False),
    ],
)
def test_codes_of_the_chinese_lists(coding: Resource, valid: bool) -> None:
    """codesystem-operation-validate-code.html: unknown code, wrong display, and a heading is not for use in a record"""
    asked = Asked([{"system": ICD_10, **coding}])
    assert result(in_system(Library().system(ICD_10), asked)) == (valid, not valid)
    assert result(in_value_set(Library(), Library().held("ValueSet", f"{ICD_10}:vs"), asked)) == (valid, not valid)


def test_abstract_codes_where_they_are_asked_for() -> None:
    assert result(in_system(Library().system(ICD_10), Asked([{"code": "A01"}], abstract=True))) == (True, False)


def test_one_valid_coding_of_a_concept_is_enough() -> None:
    """valueset-operation-validate-code.html: codeableConcept"""
    gender = Library().held("ValueSet", f"{VS}administrative-gender")
    codings = [{"system": "urn:local", "code": "1"}, {"system": "http://hl7.org/fhir/administrative-gender", "code": "male"}]
    assert result(in_value_set(Library(), gender, Asked(codings))) == (True, False)
    assert result(in_value_set(Library(), gender, Asked(codings[:1]))) == (False, True)


def test_what_depends_on_a_system_we_do_not_hold_is_no_verdict() -> None:
    sct = "http://snomed.info/sct"
    value_set = vs({"system": sct}, {"system": ROLES})
    assert refusal(lambda: in_value_set(Library(), value_set, Asked([{"system": sct, "code": "1"}]))) == (404, "not-found")
    assert result(in_value_set(Library(), value_set, Asked([{"system": ROLES, "code": "EVN"}]))) == (True, False)
    both = [{"system": sct, "code": "1"}, {"system": ROLES, "code": "EVN"}]
    assert result(in_value_set(Library(), value_set, Asked(both))) == (True, False)
    assert refusal(lambda: in_value_set(Library(), value_set, Asked([both[0], both[1] | {"code": "x"}]))) == (404, "not-found")
