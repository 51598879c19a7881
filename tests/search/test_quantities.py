"""Quantities in any unit of UCUM (R4 search.html#quantity: servers convert to canonical units)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.json import read
from fhir_server.r4.ucum import UCUM, unit
from fhir_server.search.match import matches, sort_key
from fhir_server.search.parameters import parameters
from fhir_server.search.query import parse

# Units as clinical laboratories write them, with what one of them is of the first; from the tables of UCUM and NIST.
SAME = [
    ("g/L", {"mg/dL": "0.01", "ug/mL": "0.001", "mg/L": "0.001", "g/dL": "10", "ng/mL": "0.000001", "kg/m3": "1"}),
    ("mmol/L", {"umol/L": "0.001", "mol/L": "1000", "mmol/dL": "10", "meq/L": "1", "nmol/mL": "0.001"}),
    ("10*9/L", {"10*3/uL": "1", "/uL": "0.001", "10*6/mL": "1", "{cells}/uL": "0.001", "10^9/L": "1"}),
    ("mm[Hg]", {"m[Hg]": "1000", "cm[Hg]": "10"}),
    ("cm", {"m": "100", "mm": "0.1", "[in_i]": "2.54", "[ft_i]": "30.48"}),
    ("kg", {"g": "0.001", "[lb_av]": "0.45359237", "t": "1000"}),
    ("h", {"min": "0", "d": "24", "wk": "168", "s": "0"}),
    ("/min", {"{beats}/min": "1", "/h": "0", "60/h": "1", "Hz": "60"}),
    ("[iU]/L", {"m[IU]/mL": "1", "k[IU]/L": "1000", "[IU]/mL": "1000"}),
    ("U/L", {"umol/min/L": "1", "kU/L": "1000", "mU/mL": "1"}),
    ("mL/min", {"L/h": "0", "mL/min/{1.73_m2}": "1", "L/min": "1000"}),
    ("%", {"1": "100", "10*-2": "1", "{fraction}": "100"}),
]  # fmt: skip


@pytest.mark.parametrize(("base", "others"), SAME, ids=[base for base, _ in SAME])
def test_units_of_one_dimension_convert(base: str, others: dict[str, str]) -> None:
    """ucum.org: prefixes, powers, annotations, parentheses"""
    known = unit(base)
    assert known is not None
    for code, worth in others.items():
        other = unit(code)
        assert other is not None and other.dimension == known.dimension, code
        assert worth == "0" or other.canonical(Decimal(1)) == known.canonical(Decimal(worth)), code


def test_units_of_other_dimensions_do_not_meet() -> None:
    """An amount of substance is no number, an arbitrary unit is only itself, a rate is no frequency of something else."""
    codes = ["mmol/L", "g/L", "/uL", "[iU]/L", "mm[Hg]", "Cel", "kg", "cm", "mL", "min", "/min", "%", "[pH]"]
    assert len({made.dimension for code in codes if (made := unit(code))}) == len(codes)


@pytest.mark.parametrize(
    "code", ["", "foo", "mg/", "/", "(mg", "mg)", "mg dL", "{", "Cel/d", "mg//dL", "10**9", "MM", "m" * 101, "毫克"]
)
def test_what_is_no_unit_has_no_canonical_form(code: str) -> None:
    assert unit(code) is None


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="mgkL/.()[]{}10*^-2 %du", max_size=24) | st.text(max_size=24))
def test_any_code_is_a_unit_or_none(code: str) -> None:
    made = unit(code)
    assert made is None or made.canonical(Decimal("1e30")) is not None


def met(asked: str, value: str, code: str, **more: Any) -> bool:
    [clause] = parse("Observation", [("value-quantity", asked)]).clauses
    resource = read(b'{"resourceType":"Observation","valueQuantity":{"value":%s}}' % value.encode())
    resource["valueQuantity"] |= {"system": UCUM, "code": code, **more}
    return matches(clause, resource)


@pytest.mark.parametrize(
    ("asked", "value", "code", "expected"),
    [
        ("5.4|{}|g/L", "540", "mg/dL", True),
        ("5.4|{}|g/L", "544.9", "mg/dL", True),
        ("5.4|{}|g/L", "545", "mg/dL", False),
        ("5.4|{}|g/L", "535", "mg/dL", True),
        ("5.40|{}|g/L", "535", "mg/dL", False),
        ("gt5.4|{}|g/L", "540", "mg/dL", False),
        ("ge5.4|{}|g/L", "540", "mg/dL", True),
        ("ge0.1|{}|g/L", "10", "mg/dL", True),
        ("lt7|{}|mmol/L", "6999", "umol/L", True),
        ("37.0|{}|Cel", "98.6", "[degF]", True),
        ("gt38|{}|Cel", "100.4", "[degF]", False),
        ("gt38|{}|Cel", "100.5", "[degF]", True),
        ("ap100|{}|mg/dL", "1.1", "g/L", True),
        ("ap100|{}|mg/dL", "1.2", "g/L", False),
        ("sa100|{}|mg/dL", "1.2", "g/L", True),
        ("eb100|{}|mg/dL", "1.2", "g/L", False),
        ("540|{}|mmol/L", "540", "mg/dL", False),
        ("540", "540", "mg/dL", True),
        ("5400", "540", "mg/dL", False),
        ("540||mg/dL", "540", "mg/dL", True),
        ("5.4||g/L", "540", "mg/dL", False),
        ("3|{}|smoots", "3", "smoots", True),
        ("3|http://example.org|mg", "3", "mg", False),
    ],
)
def test_a_quantity_is_found_in_another_unit(asked: str, value: str, code: str, expected: bool) -> None:
    """search.html#quantity, #number: by written precision, with all prefixes; without a system as it is written"""
    assert met(asked.format(UCUM), value, code) is expected


@pytest.mark.parametrize("written", ["116.55007050417136", "5.258739216001388", "0.1", "37.000000000000000000", "1e2"])
@pytest.mark.parametrize("unit", ["", f"|{UCUM}|mm[Hg]", "||mm[Hg]", f"|{UCUM}|m[Hg]"])
def test_a_number_finds_itself(written: str, unit: str) -> None:
    """search.html#number: eq by the precision written, also where that is finer than a float; ne is what eq is not"""
    code = "m[Hg]" if unit.endswith("|m[Hg]") else "mm[Hg]"
    assert met(f"{written}{unit}", written, code) and not met(f"ne{written}{unit}", written, code)


def test_comparators_and_ranges_convert() -> None:
    """valueset-quantity-comparator: `<5 mg/L` may be 4000 ug/L, and is never 6000"""
    assert met(f"lt6000|{UCUM}|ug/L", "5", "mg/L", comparator="<") and not met(
        f"gt6000|{UCUM}|ug/L", "5", "mg/L", comparator="<"
    )
    [clause] = parse("Condition", [("onset-age", f"ge1|{UCUM}|a")]).clauses
    months = {"value": 18, "system": UCUM, "code": "mo"}
    assert matches(clause, {"resourceType": "Condition", "onsetAge": months})
    assert not matches(clause, {"resourceType": "Condition", "onsetAge": months | {"value": 11}})
    assert matches(clause, {"resourceType": "Condition", "onsetRange": {"low": months}})


def test_quantities_sort_by_size() -> None:
    """search.html#sort"""
    sizes = [("1", "g/L"), ("20", "mg/dL"), ("3", "mg/dL")]
    keys = [
        sort_key(
            parameters("Observation")["value-quantity"],
            {"resourceType": "Observation", "valueQuantity": {"value": float(value), "system": UCUM, "code": code}},
            False,
        )
        for value, code in sizes
    ]
    assert keys == sorted(keys, reverse=True)
