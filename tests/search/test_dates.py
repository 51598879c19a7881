"""FHIR dates as intervals (R4 datatypes.html#date, search.html#date)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4.dates import EARLIEST, LATEST, interval, period, timing, unit


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2013", "2013-01-01T00:00:00Z", "2013-12-31T23:59:59.999Z"),
        ("2012-02", "2012-02-01T00:00:00Z", "2012-02-29T23:59:59.999Z"),
        ("2013-12", "2013-12-01T00:00:00Z", "2013-12-31T23:59:59.999Z"),
        ("2013-01-14", "2013-01-14T00:00:00Z", "2013-01-14T23:59:59.999Z"),
        ("2013-01-14T10:00", "2013-01-14T10:00:00Z", "2013-01-14T10:00:59.999Z"),
        ("2013-01-14T10:00Z", "2013-01-14T10:00:00Z", "2013-01-14T10:00:59.999Z"),
        ("2013-01-14T10:00:05+08:00", "2013-01-14T02:00:05Z", "2013-01-14T02:00:05.999Z"),
        ("2013-01-14T22:00:05-06:30", "2013-01-15T04:30:05Z", "2013-01-15T04:30:05.999Z"),
        ("2013-01-14T10:00:05.1Z", "2013-01-14T10:00:05.100Z", "2013-01-14T10:00:05.199Z"),
        ("2013-01-14T10:00:05.123456Z", "2013-01-14T10:00:05.123Z", "2013-01-14T10:00:05.123Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:00.999Z"),
        ("1890-05-01", "1890-05-01T00:00:00Z", "1890-05-01T23:59:59.999Z"),
        ("9999-12", "9999-12-01T00:00:00Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_partial_date_means_the_whole_of_what_it_leaves_out(text: str, low: str, high: str) -> None:
    """search.html#date; a time without an offset is UTC."""
    assert interval(text) == (ms(low), ms(high))


@pytest.mark.parametrize(
    "text",
    [
        "", "13", "2013-1", "2013-13", "2013-02-30", "0000", "2013-01-14T25:00Z", "2013-01-14T10", "2013-01-14 10:00", "2013Z",
        "2013-01-14T10:00:00 08:00", "2013-01-14T10:00+15:00", "٢٠١٣", "2013-01-14T10:00:00.Z", "\n2013",
    ],
)  # fmt: skip
def test_what_is_not_a_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        interval(text)


@settings(max_examples=200, deadline=None)
@given(st.datetimes(min_value=datetime(1800, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_an_instant_is_the_same_in_python(when: datetime) -> None:
    """datatypes.html#instant, against the standard library."""
    low, high = interval(when.isoformat(timespec="milliseconds"))
    assert low == high == (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_a_period_is_open_where_it_has_no_end() -> None:
    """datatypes.html#Period: a missing end is still going on, a missing start is unknown."""
    assert period({"start": "2013-01-14"}) == (interval("2013-01-14")[0], LATEST)
    assert period({"end": "2013"}) == (EARLIEST, interval("2013")[1])
    assert period({}) is None


def test_a_timing_counts_by_its_outer_limits() -> None:
    """search.html#date: the details of a Timing are ignored."""
    bounds = {"boundsPeriod": {"start": "2013-03-01", "end": "2013-04-30"}}
    assert timing({"event": ["2013-01-02", "2013-02-01"]}) == (interval("2013-01-02")[0], interval("2013-02-01")[1])
    assert timing({"event": ["2013-01-02"], "repeat": bounds}) == (interval("2013-01-02")[0], interval("2013-04-30")[1])
    assert timing({"repeat": {"frequency": 3}}) is None


@pytest.mark.parametrize("text", ["1974", "1974-12", "1974-12-25", "2024-02-29", "9999-12-31", "0001"])
def test_the_unit_of_a_date_is_the_date(text: str) -> None:
    assert unit(*interval(text)) == text


def test_an_interval_across_years_has_no_unit() -> None:
    assert unit(interval("1974")[0], interval("1975")[1]) == ""
    assert unit(EARLIEST, LATEST) == ""
    assert unit(*interval("1974-12-25T23:30:00-05:00")) == "1974-12-26"
