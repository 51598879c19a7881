"""search/pairs.py: buckets cover what they are to cover, and a pair is taken for nothing else."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search import compare
from fhir_server.search.elements import Span
from fhir_server.search.index import index
from fhir_server.search.pairs import both, bounds, buckets, codes_of, covering, of_quantity
from fhir_server.search.values import Ordered

NUMBERS = st.floats(allow_nan=False) | st.sampled_from((0.0, -0.0, 1.0, -1.0, 2.0**-64, 2.0**64, inf, -inf))
HEIGHT = {
    "resourceType": "Observation",
    "id": "1",
    "subject": {"reference": "Patient/1"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "8302-2"}]},
    "valueQuantity": {"value": 170, "system": "http://unitsofmeasure.org", "code": "cm"},
}
VALUE = "Observation.value.ofType(Quantity)"
CODE, SUBJECT = "Observation.code=http://loinc.org|8302-2", "Observation.subject>Patient/1"


@given(st.lists(NUMBERS, min_size=3, max_size=3))
def test_every_number_of_a_range_is_in_a_bucket_that_covers_it(numbers: list[float]) -> None:
    low, value, high = sorted(numbers)
    assert not set(buckets(value)).isdisjoint(covering(low, high))


@given(st.lists(NUMBERS, min_size=2, max_size=2))
def test_few_buckets_cover_any_range(numbers: list[float]) -> None:
    low, high = sorted(numbers)
    found = covering(low, high)
    assert len(found) == len(set(found)) < 200


@given(
    st.sampled_from(("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")),
    st.lists(st.integers(-1000, 1000), min_size=4, max_size=4),
)
def test_an_end_of_what_passes_a_prefix_is_in_a_bucket_that_covers_its_bounds(prefix: str, numbers: list[int]) -> None:
    """search.html#prefix"""
    low, high = sorted(numbers[:2])
    least, most = sorted(numbers[2:])
    asked = Ordered(prefix, least, most)
    for all_of in compare.tests(asked):
        if compare.meets(Span(low, high), [all_of]):
            assert not {*buckets(low), *buckets(high)}.isdisjoint(covering(*bounds(all_of)))


def test_a_measured_code_has_pairs_with_whose_it_is_and_how_much() -> None:
    terms = index(HEIGHT).terms
    assert both(CODE, SUBJECT) in terms
    assert {of_quantity(CODE, f"{VALUE} m", bucket) for bucket in buckets(1.7)} <= terms


def test_a_code_that_looks_like_a_reference_has_no_pairs() -> None:
    code = "Observation.code=x|a>Patient/2"
    assert codes_of("Observation", [CODE, code]) == [CODE]
    made = index({**HEIGHT, "code": {"coding": [{"system": "x", "code": "a>Patient/2"}]}}).terms
    assert code in made and not [term for term in made if term.startswith("&")]


def test_a_long_time_has_pairs_with_whose_it_is_and_its_code() -> None:
    """A date that the order does not tell is found beside it."""
    long = {**HEIGHT, "effectivePeriod": {"start": "2001-01-01", "end": "2009-01-01"}}
    assert {both("Observation<", SUBJECT), both("Observation<", CODE)} <= index(long).terms
