"""The FHIRPath engine beyond HL7's suite: bounds, precision, references, and what search may rely on."""

import json
from contextlib import suppress
from decimal import Decimal
from functools import cache
from xml.etree.ElementTree import parse as parse_xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.definitions import TABLES
from fhir_server.r4.fhirpath import FhirPathError, evaluate
from fhir_server.r4.fhirpath import compile as search
from fhir_server.r4.fhirpath.checking import check
from fhir_server.r4.fhirpath.environment import MAX_STEPS
from fhir_server.r4.fhirpath.lexer import Token, tokens
from fhir_server.r4.fhirpath.quantities import Quantity, compare
from fhir_server.r4.fhirpath.syntax import parse
from fhir_server.r4.fhirpath.values import system
from fhir_server.r4.json import read
from tests.fixtures import FIXTURES

PATIENT = read(
    b"""{"resourceType": "Patient", "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
    "managingOrganization": {"reference": "#o"}, "generalPractitioner": [{"reference": "Practitioner/1"}, {"display": "X"}],
    "birthDate": "1974-12", "_birthDate": {"extension": [{"url": "http://e", "valueDecimal": 1.50}]},
    "name": [{"given": [null, "B"], "_given": [{"id": "g"}, null]}], "multipleBirthInteger": 2}"""
)


def values(expression: str) -> list:
    return [system(item) for item in evaluate(expression, PATIENT)]


def test_search_reads_what_stands_beside_a_primitive() -> None:
    """json.html#primitive: extensions and id of a primitive, plain as the path is"""
    assert [search("Patient.birthDate.extension.url", "Patient")(PATIENT), search("name.given.id", "Patient")(PATIENT)] == [
        ["http://e"],
        ["g"],
    ]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("birthDate.extension('http://e').value", [Decimal("1.50")]),
        ("birthDate.extension('http://e').value.precision()", [2]),
        ("birthDate.extension.exists()", [True]),
        ("birthDate.extension.empty() or name.given.extension.exists()", [False]),
        ("birthDate.extension.url = 'http://e'", [True]),
        ("name.given.id.exists() and name.given.id = 'g'", [True]),
        ("name.given.count()", [2]),
        ("name.given.first().hasValue()", [False]),
        ("name.given.first().id", ["g"]),
        ("name.given.exists(hasValue())", [True]),
        ("multipleBirth is integer", [True]),
        ("multipleBirth.ofType(boolean)", []),
        ("(multipleBirth as integer) + 1", [3]),
        ("managingOrganization.resolve().name", ["O"]),
        ("generalPractitioner.resolve().ofType(Practitioner).count()", [1]),
        ("birthDate < @1974-12-31", []),
        ("birthDate < @1975", [True]),
        ("contained.name", ["O"]),
        ("Patient.contained.where(%resource is Patient).count()", [1]),
        ("name.given[1 - 0]", ["B"]),
        ("(1 | 2 | 3).where($index > 0)", [2, 3]),
        ("'\\u4e2d\\'\\n'.length()", [3]),
        ("name.where(given.where($this = 'B').exists()).exists() and true", [True]),
        ("Resource.multipleBirth", [2]),
        ("1 + 2 * 3 - 4 / 2", [Decimal(5)]),
        ("@2024-01-31 + 1 month = @2024-02-29", [True]),
        ("@2014 + 24 months = @2016", [True]),
        ("@T23:30 + 1 hour = @T00:30", [True]),
        ("10 'kPa' > 70 'mm[Hg]'", [True]),
        ("37 'Cel' = 310.15 'K'", []),
    ],
)
def test_values(expression: str, found: list) -> None:
    """N1 sections 4 to 6; R4 fhirpath.html for choices, extensions of primitives and resolve()."""
    assert values(expression) == found


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 60 + "1" + ")" * 60,
        "1" + "+1" * 400,
        ".".join("a" * 200),
        "'" + "a" * 9000 + "'",
        "%unknown",
        "name.where()",
        "name.first(1)",
        "name.ofType(Nothing)",
        "'a'.matches('(')",
        "today()",
        "@2024-02-30",
        "1 'a' + @2024",
        "name.given < 1",
        "'a'.startsWith()",
        "'a'.contains(1)",
        "'a'.substring('b')",
        "('a' | 'b').join(1)",
        "1.power()",
        "1 = 2 3",
    ],
)
def test_what_is_refused(expression: str) -> None:
    """No expression takes the server down, and none is guessed at."""
    with pytest.raises(FhirPathError):
        evaluate(expression, PATIENT)


@pytest.mark.parametrize(
    "expression",
    [
        "descendants()" + ".select(%resource.descendants())" * 9 + ".count()",
        "(1 | 2 | 3 | 4 | 5 | 6 | 7 | 8).aggregate($total & $total & $total & $total & $total & $total & $total, 'aaaaaaa')",
        "name.repeat(%resource | name | contained).repeat(%resource.descendants().select(%resource.descendants()))",
    ],
)
def test_work_is_bounded(expression: str) -> None:
    """Steps and text are counted: an expression ends, or is refused."""
    assert MAX_STEPS < 10_000_000
    with pytest.raises(FhirPathError):
        evaluate(expression, PATIENT | {"link": [{"other": {"reference": f"Patient/{n}"}} for n in range(200)]})


def test_regular_expressions_take_linear_time() -> None:
    """A pattern that backtracking would never finish."""
    assert evaluate(f"'{'a' * 5000}'.matches('^(a+)+$') and '{'a' * 40}b'.matches('^(a|a)*$').not()", PATIENT) == [True]


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.sampled_from([("g", 0), ("mg", -3), ("kg", 3)]))
def test_quantities_compare_by_what_they_measure(a: int, b: int, unit: tuple[str, int]) -> None:
    """UCUM: a prefix is a power of ten."""
    other = Decimal(b).scaleb(unit[1])
    assert compare(Quantity(Decimal(a), "g"), Quantity(Decimal(b), unit[0])) == (a > other) - (a < other)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except FhirPathError as refused:
        assert str(refused)


@cache
def written() -> tuple[list[str], ...]:
    """The tokens of every expression of HL7's suite and of every invariant, as text."""
    suite = parse_xml(FIXTURES / "fhirpath" / "tests-fhir-r4.xml").getroot()
    expressions = [case.findtext("expression", "") for case in suite.iter("test")]
    expressions += [one[1] for some in json.loads((TABLES / "invariants.json").read_bytes()).values() for one in some]
    found = []
    for expression in expressions:
        with suppress(FhirPathError):
            found.append([_text(token) for token in tokens(expression)[::-1]])
    return tuple(found)


def _text(token: Token) -> str:
    quote = {"string": "'", "quoted": "`"}.get(token.kind, "")
    return quote + (token.text.replace("\\", "\\\\").replace(quote, f"\\{quote}") if quote else token.text) + quote


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_any_expression_is_evaluated_or_refused(data: st.DataObject) -> None:
    """Real expressions, cut and joined: whatever is wrong with one is told as what is wrong with the expression."""
    one, other = data.draw(st.sampled_from(written())), data.draw(st.sampled_from(written()))
    cut, rest = data.draw(st.integers(0, len(one))), data.draw(st.integers(0, len(other)))
    joint = data.draw(st.sampled_from(["", "|", "&", "+", "-", "*", "/", "div", "mod", "=", "~", "<", "in", "and", ".", ","]))
    with suppress(FhirPathError):
        evaluate(" ".join([*one[:cut], joint, *other[rest:]]), PATIENT)


@pytest.mark.parametrize("place", json.loads((TABLES / "invariants.json").read_bytes()))
def test_every_path_of_an_invariant_is_one_of_its_type(place: str) -> None:
    """elementdefinition.html#constraint; and what search.json was made of is checked by its generator."""
    for _, expression, _ in json.loads((TABLES / "invariants.json").read_bytes())[place]:
        check(parse(expression), place)


@pytest.mark.parametrize(
    "expression", ["name.where(x = 1)", "name.select(given1)", "contact.name.nothing", "(name | contact).code"]
)
def test_a_path_that_leads_nowhere_is_told(expression: str) -> None:
    with pytest.raises(FhirPathError):
        check(parse(expression), "Patient")


def _doubled(times: int) -> str:
    """An expression of a string that is 16 characters long, and twice as long each time."""
    made = "'abcdefghijklmnop'"
    for _ in range(times):
        made = f"({made}).select($this & $this)"
    return made


@pytest.mark.parametrize("function", ["replace('', $this)", "replaceMatches('.', $this)", "toChars().join($this)"])
def test_a_string_is_too_long_before_it_is_made(function: str) -> None:
    """Profiles may be stored by anybody: one of 800 bytes took 4 GB for 3 s of each resource that was checked against it."""
    with pytest.raises(FhirPathError, match="too long"):
        evaluate(f"({_doubled(12)}).select($this.{function}).length()", PATIENT)


@pytest.mark.parametrize("test", ["matches('(x+x+)+y')", "upper() = 'A'", "select($this & '!') = 'A'", "select($this ~ 'A')"])
def test_long_strings_take_many_steps(test: str) -> None:
    """A thousand looks at a megabyte each were counted as a thousand steps, and held everybody up for minutes."""
    with pytest.raises(FhirPathError, match="too many steps"):
        evaluate(f"({_doubled(16)}).substring(0, 2000).toChars().where(({_doubled(16)}).{test})", PATIENT)
