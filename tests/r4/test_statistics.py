"""The statistics of Observation/$stats, against floating point (R4 valueset-observation-statistics.html)."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.r4.statistics import STATISTICS, statistic

NUMBERS = st.lists(st.decimals(-1_000, 1_000, places=2), min_size=2, max_size=30)
ORACLE: dict[str, Callable[[Any], Any]] = {
    "average": np.mean,
    "maximum": np.max,
    "minimum": np.min,
    "count": np.size,
    "median": np.median,
    "std-dev": lambda data: np.std(data, ddof=1),
    "sum": np.sum,
    "variance": lambda data: np.var(data, ddof=1),
    "20-percent": lambda data: np.percentile(data, 20),
    "80-percent": lambda data: np.percentile(data, 80),
    "4-lower": lambda data: np.percentile(data, 25),
    "4-upper": lambda data: np.percentile(data, 75),
    "4-dev": lambda data: (np.percentile(data, 75) - np.percentile(data, 25)) / 2,
    "5-1": lambda data: np.percentile(data, 20),
    "5-2": lambda data: np.percentile(data, 40),
    "5-3": lambda data: np.percentile(data, 60),
    "5-4": lambda data: np.percentile(data, 80),
}


@given(NUMBERS)
@example([Decimal("992.50"), Decimal("992.50"), Decimal("-1000.00")])
def test_statistics_agree_with_floating_point(numbers: list[Decimal]) -> None:
    """To 12 significant digits, as `statistic` says of itself."""
    floats = np.array([float(one) for one in numbers])
    for code, oracle in ORACLE.items():
        assert float(statistic(code, numbers) or 0) == pytest.approx(float(oracle(floats)), rel=1e-11, abs=1e-6), code
    if floats.std() > 0.01:
        standard = (floats - floats.mean()) / floats.std()
        assert float(statistic("skew", numbers) or 0) == pytest.approx(float((standard**3).mean()), abs=1e-6)
        assert float(statistic("kurtosis", numbers) or 0) == pytest.approx(float((standard**4).mean()), abs=1e-6)


def test_every_code_but_regression_and_total_count_is_there() -> None:
    """observation-statistics"""
    assert set(STATISTICS) == {*ORACLE, "skew", "kurtosis"}


def test_decimals_are_exact() -> None:
    assert statistic("sum", [Decimal("0.1")] * 3) == Decimal("0.3")
    assert statistic("average", [Decimal("36.6"), Decimal("37.0")]) == Decimal("36.8")


def test_what_is_not_defined_is_nothing() -> None:
    """None of nothing but how many, no deviation of one, no skew of equals"""
    assert {code: statistic(code, []) for code in STATISTICS if statistic(code, []) is not None} == {"count": 0, "sum": 0}
    one = {code for code in STATISTICS if statistic(code, [Decimal(7)]) is None}
    assert one == {"std-dev", "variance", "skew", "kurtosis"}
    assert statistic("skew", [Decimal(7), Decimal(7)]) is None
