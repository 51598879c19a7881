"""Reading a search (R4 search.html): what is understood, what is refused, and that errors quote no value."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.dates import interval
from fhir_server.r4.errors import FhirError
from fhir_server.search.clauses import MAX_VALUES, Unknown
from fhir_server.search.include import Include
from fhir_server.search.parameters import parameters, resource_types
from fhir_server.search.query import MAX_CLAUSES, canonical, parse
from fhir_server.search.values import Missing, Ordered, Reference, String, Token, Uri

BASE = "http://localhost:8080/fhir"


def value(kind: str, name: str, text: str):
    [clause] = parse(kind, [(name, text)], base_url=BASE).clauses
    [found] = clause.values
    return found


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("1234-5", Token(None, "1234-5")),
        ("http://loinc.org|1234-5", Token("http://loinc.org", "1234-5")),
        ("|1234-5", Token("", "1234-5")),
        ("http://loinc.org|", Token("http://loinc.org", None)),
        (r"a\|b", Token(None, "a|b")),
        (r"http://x|a\,b\$c\\d", Token("http://x", r"a,b$c\d")),
    ],
)
def test_token(text: str, token: Token) -> None:
    """search.html#token, search.html#escaping"""
    assert value("Observation", "code", text) == token


def test_commas_are_or_and_repeats_are_and() -> None:
    """search.html#combining; an escaped comma is none"""
    query = parse("Observation", [("code", r"a,b\,c"), ("code", "d")])
    assert [clause.values for clause in query.clauses] == [(Token(None, "a"), Token(None, "b,c")), (Token(None, "d"),)]


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("patient", "1", ("Patient/1",)),
        ("patient", "Patient/1", ("Patient/1",)),
        ("patient", "Patient/1/_history/3", ("Patient/1",)),
        ("subject:Patient", "1", ("Patient/1",)),
        ("subject:Patient", "Patient/1", ("Patient/1",)),
        ("subject", f"{BASE}/Device/d-1", ("Device/d-1",)),
        ("subject", "http://elsewhere/fhir/Patient/1", ("http://elsewhere/fhir/Patient/1",)),
        ("subject", "urn:uuid:4f", ("urn:uuid:4f",)),
    ],
)
def test_reference(name: str, text: str, accepted: tuple[str, ...]) -> None:
    """search.html#reference"""
    assert value("Observation", name, text) == Reference(accepted)


def test_a_bare_id_may_be_of_any_target_type() -> None:
    found = value("Observation", "subject", "1")
    assert set(found.accepted) == {"Patient/1", "Group/1", "Device/1", "Location/1"}


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", 99.5, 100.5),
        ("100.00", 99.995, 100.005),
        ("1e2", 50, 150),
        ("5.40e-3", 0.005395, 0.005405),
        ("-7", -7.5, -6.5),
        ("0", -0.5, 0.5),
    ],
)
def test_the_written_precision_of_a_number_counts(text: str, low: float, high: float) -> None:
    """search.html#number: [low, high); comparisons take the number as exact."""
    found = value("RiskAssessment", "probability", text)
    assert found.low == pytest.approx(low, rel=1e-15) and found.high == pytest.approx(high, rel=1e-15) and found.high < high
    exact = value("RiskAssessment", "probability", f"ge{text}")
    assert exact.low == exact.high == float(text)


def test_quantity_with_and_without_unit() -> None:
    """search.html#quantity"""
    assert value("Observation", "value-quantity", "gt5.4") == ("gt", 5.4, 5.4, None, None, "")
    assert value("Observation", "value-quantity", "gt5.4|http://unitsofmeasure.org|mg") == (
        "gt",
        0.0054,
        0.0054,
        None,
        None,
        "g",
    )
    assert value("Observation", "value-quantity", "gt5.4|http://unitsofmeasure.org|x")[3:5] == (
        "http://unitsofmeasure.org",
        "x",
    )
    assert value("Observation", "value-quantity", "gt5.4||mg") == ("gt", 5.4, 5.4, None, "mg", "")


def test_date_string_uri_and_missing() -> None:
    assert value("Observation", "date", "sa2013-01") == Ordered("sa", *interval("2013-01"))
    assert value("Patient", "name", "  Ève ") == String("  Ève ", "eve")
    assert value("ValueSet", "url:below", "http://acme.org/fhir/") == Uri("http://acme.org/fhir/")
    assert value("Patient", "birthdate:missing", "true") == Missing(True)


@pytest.mark.parametrize(
    ("kind", "name", "text", "said"),
    [
        ("Patient", "shoe-size", "43", "unknown"),
        ("Patient", "name", "", "empty"),
        ("Patient", "name", "  ", "empty"),
        ("Patient", "name", "a,,b", "empty"),
        ("Patient", "name:sounds", "Zhang", "unknown"),
        ("Patient", "name:text", "Zhang", "not supported"),
        ("Patient", "phonetic", "Zhang", "not supported"),
        ("Patient", "_has:Observation:patient", "1234-5", "_has:[type]"),
        ("Patient", "_has:Observation:encounter:code", "1234-5", "refers to Patient"),
        ("Patient", "_has:Observation:patient:shoe", "1234-5", "unknown"),
        ("Observation", "subject:Patient.shoe", "Zhang", "unknown"),
        ("Observation", "subject:Organization.name", "Zhang", "refers to nothing"),
        ("Observation", "patient.birthdate", "Zhang", "not a date"),
        ("Observation", "code.name", "Zhang", "refers to nothing"),
        ("Provenance", "target._id", "Zhang", "too many types"),
        ("Observation", "patient" + ".link:Patient" * 9 + "._id", "Zhang", "more than 8"),
        ("Bundle", "composition.patient", "Zhang", "no chain"),
        ("Patient", "_list", "$current-problems", "a list of Condition"),
        ("Patient", "_list", "$current-shoes", "no functional list"),
        ("Patient", "_list:not", "a", "modifier"),
        ("Observation", "code-value-quantity", "a", "[code]$[value-quantity]"),
        ("Observation", "code-value-quantity", "a$Zhang", "not a number"),
        ("Observation", "code-value-quantity:missing", "true", "unknown"),
        ("Observation", "_sort", "code-value-quantity", "no order"),
        ("Observation", "code:below", "http://x", "[system]|[code]"),
        ("Observation", "code:of-type", "a|b|c", "no identifier"),
        ("Patient", "identifier:of-type", "a|b", "[type code]"),
        ("Location", "near", "yesterday", "[latitude]"),
        ("Location", "near", "91|0", "latitude from"),
        ("Location", "near", "43|87|5|mg", "of length"),
        ("Observation", "code:not-a-modifier", "x", "unknown"),
        ("Observation", "subject:Organization", "1", "unknown"),
        ("Observation", "code", "a|b|c", "[system]|[code]"),
        ("Observation", "code", "|", "[system]|[code]"),
        ("Observation", "patient", "Group/1", "cannot refer"),
        ("Observation", "patient", "not an id", "[type]/[id]"),
        ("Observation", "date", "yesterday", "prefix"),
        ("Observation", "date", "2013-02-30", "not a date"),
        ("Observation", "date", "zz2013", "prefix"),
        ("Observation", "date", "gt", "not a date"),
        ("Observation", "value-quantity", "5|mg", "[number]"),
        ("Observation", "value-quantity", "1e999", "not a number"),
        ("Observation", "value-quantity", "NaN", "not a number"),
        ("Observation", "value-quantity", "１", "not a number"),
        ("Patient", "active:missing", "maybe", "true nor false"),
        ("Patient", "_count", "-1", "whole number"),
        ("Patient", "_count", "ten", "whole number"),
        ("Patient", "_total", "all", "accurate"),
        ("Patient", "_summary", "most", "data"),
        ("Patient", "_elements", "name,shoe", "no element"),
        ("Patient", "_elements", "name.family", "no element"),
        ("Patient", "_sort", "shoe-size", "unknown"),
        ("Patient", "_sort", "", "empty"),
        ("Observation", "_include", "Observation", "[type]:[parameter]"),
        ("Observation", "_include", "Observation:code", "reference parameter"),
        ("Observation", "_include", "Observation:subject:Organization", "cannot refer"),
        ("Observation", "_include", "Patient:organization", "iterate"),
        ("Observation", "_include:recurse", "Observation:subject", "not supported"),
        ("Patient", "_revinclude", "Nothing:*", "no reference parameter"),
        ("Patient", "_revinclude", "Patient:organization", "cannot refer"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_by_name(kind: str, name: str, text: str, said: str) -> None:
    """search.html#errors: 400; the parameter is named, a value that may be somebody's data is not."""
    with pytest.raises(FhirError) as caught:
        parse(kind, [(name, text)])
    assert caught.value.status == 400
    assert said in str(caught.value) and any(part in str(caught.value) for part in re.split("[:.]", name))
    assert "Zhang" not in str(caught.value) and "yesterday" not in str(caught.value)


def test_a_name_that_is_none_is_not_quoted() -> None:
    with pytest.raises(FhirError, match="not a parameter name"):
        parse("Patient", [("王小明 650102199001011234", "x")])


@pytest.mark.parametrize("name", ["organization:", "name:", "organization:.name"])
def test_a_modifier_without_a_name_is_refused(name: str) -> None:
    """search.html#modifiers: servers reject a modifier that they do not support; it was passed over"""
    with pytest.raises(FhirError):
        parse("Patient", [(name, "x")])


def test_lenient_handling_drops_unknown_parameters_only() -> None:
    """search.html#errors: Prefer: handling=lenient"""
    query = parse("Patient", [("shoe-size", "43"), ("gender", "male"), ("_sort", "hat")], lenient=True)
    assert query.ignored == ("shoe-size", "_sort")
    assert len(query.clauses) == 1
    with pytest.raises(FhirError):
        parse("Patient", [("name:sounds", "x")], lenient=True)


@pytest.mark.parametrize(
    "name",
    ["_filter", "phonetic", "_has:Observation:hat:code", "_has:Hat:patient:code", "_has:Observation", "organization.hat"],
)
def test_lenient_handling_drops_what_is_not_supported(name: str) -> None:
    """search.html#errors; DESIGN 5: unknown or unsupported parameters, wherever in a chain"""
    with pytest.raises(Unknown):
        parse("Patient", [(name, "x")])
    query = parse("Patient", [(name, "x"), ("gender", "male")], lenient=True)
    assert query.ignored == (name,) and len(query.clauses) == 1 and not query.links


@pytest.mark.parametrize("text", ["a\\b", "a\\", "\\a,b"])
@pytest.mark.parametrize("name", ["name", "identifier", "organization"])
def test_a_backslash_that_escapes_nothing_is_refused(name: str, text: str) -> None:
    r"""search.html#escaping: `xx\xx` is illegal, `xx\\xx` means `xx\xx`"""
    with pytest.raises(FhirError, match="before none of"):
        parse("Patient", [(name, text)])


def test_limits() -> None:
    with pytest.raises(FhirError, match=str(MAX_CLAUSES)):
        parse("Patient", [("name", "x")] * (MAX_CLAUSES + 1))
    with pytest.raises(FhirError, match=str(MAX_VALUES)):
        parse("Patient", [("name", ",".join(["x"] * (MAX_VALUES + 1)))])
    with pytest.raises(FhirError):
        parse("Observation", [("_include", "*," * MAX_CLAUSES + "*")])


def test_how_the_result_is_wanted() -> None:
    """search.html#return"""
    pairs = [("_sort", "-date,status"), ("_count", "5000"), ("_total", "accurate"), ("_summary", "count"),
             ("_include", "Observation:subject:Patient"), ("_include", "*"), ("_revinclude", "Provenance:target")]  # fmt: skip
    query = parse("Observation", pairs)
    assert [(parameter.name, descending) for parameter, descending in query.sort] == [("date", True), ("status", False)]
    assert (query.count, query.total, query.summary_count) == (1000, "accurate", True)
    subject, target = parameters("Observation")["subject"], parameters("Provenance")["target"]
    assert query.includes == (Include("Observation", subject, "Patient"), Include("Observation", None, None))
    assert query.revincludes == (Include("Provenance", target, None),)
    iterated = parse("Observation", [("_include:iterate", "Encounter:location,*"), ("_revinclude", "*,Provenance:*")])
    assert iterated.includes == (
        Include("Encounter", parameters("Encounter")["location"], None, True), Include(None, None, None, True),
    )  # fmt: skip
    assert iterated.revincludes == (Include(None, None, None), Include("Provenance", None, None))
    assert parse("Observation", [("_count", "0")]).count == 0
    with pytest.raises(FhirError, match="more than once"):
        parse("Observation", [("_count", "1"), ("_count", "2")])


def test_ids_is_what_all_id_clauses_allow() -> None:
    assert parse("Patient", [("_id", "b,a"), ("_id", "a,c")]).ids() == ("a",)
    assert parse("Patient", [("_id", "a"), ("_id", "b")]).ids() == ()
    assert parse("Patient", [("name", "a")]).ids() is None


def test_canonical_criteria() -> None:
    """http.html#ccreate: the same criteria claim the same row, whatever their order."""
    one = parse("Observation", [("code", "a,b"), ("patient", "Patient/1"), ("_count", "1")])
    other = parse("Observation", [("subject", "Patient/1"), ("code", "b,a"), ("code", "a,b")])
    assert canonical(one) == canonical(other)
    differing = [("code", "a"), ("code", "a,b"), ("code:not", "a"), ("combo-code", "a"), ("code", r"a\,b"), ("status", "a")]
    assert len({canonical(parse("Observation", [pair])) for pair in differing}) == len(differing)


LINKS = (
    "_has:Observation:patient:code", "_has:Observation:patient:_has:Provenance:target:_id", "subject.name", "patient._has",
    "subject:Patient.organization.name", "_has:Observation", "_list", "_elements", "_summary", "_include:iterate",
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_text_is_read_or_refused(data: st.DataObject) -> None:
    """No input raises anything but FhirError 400."""
    kind = data.draw(st.sampled_from(["Patient", "Observation", "ValueSet", "MolecularSequence", "Bundle"]))
    name = data.draw(
        st.sampled_from([*parameters(kind), "_sort", "_include", "_revinclude", "_count", "_total", "_has", *LINKS])
        | st.text(max_size=9)
    )
    modifier = data.draw(st.sampled_from(["", "", ":not", ":missing", ":exact", ":below", ":Patient", ":", ":x.y"]))
    text = data.draw(st.text(max_size=30) | st.text(alphabet="0123456789-:TZ+.eE|,\\$/gtlneaq*", max_size=30))
    try:
        query = parse(kind, [(name + modifier, text)])
    except FhirError as error:
        assert error.status == 400
    else:
        assert canonical(query).startswith(kind)


def test_parameters_of_an_unknown_type() -> None:
    assert parameters("Horse") == {} and "Horse" not in resource_types()
