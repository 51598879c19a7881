"""The statistics of Observation/$stats (R4 observation-operation-stats.html, valueset-observation-statistics.html).

Exact decimals; standard deviation and variance are those of a sample (n - 1), quantiles interpolate between measurements.
"""

import statistics
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from functools import partial

Numbers = Sequence[Decimal]

DIGITS = Context(prec=12)


def _quantile(parts: int, which: int, numbers: Numbers) -> Decimal:
    if len(numbers) == 1:
        return numbers[0]
    return statistics.quantiles(numbers, n=parts, method="inclusive")[which - 1]


def _moment(degree: int, numbers: Numbers) -> Decimal:
    """The standardised moment: mean of ((x - mean) / deviation) ** degree; ZeroDivisionError where all are equal."""
    mean = statistics.mean(numbers)
    deviation = statistics.pstdev(numbers, mean)
    return statistics.mean([((one - mean) / deviation) ** degree for one in numbers])


# Code of http://terminology.hl7.org/CodeSystem/observation-statistics -> (function, power of the unit of the result).
STATISTICS: dict[str, tuple[Callable[[Numbers], Decimal], int]] = {
    "average": (statistics.mean, 1),
    "maximum": (max, 1),
    "minimum": (min, 1),
    "count": (lambda numbers: Decimal(len(numbers)), 0),
    "median": (statistics.median, 1),
    "std-dev": (statistics.stdev, 1),
    "sum": (sum, 1),  # type: ignore[dict-item]
    "variance": (statistics.variance, 2),
    "20-percent": (partial(_quantile, 5, 1), 1),
    "80-percent": (partial(_quantile, 5, 4), 1),
    "4-lower": (partial(_quantile, 4, 1), 1),
    "4-upper": (partial(_quantile, 4, 3), 1),
    "4-dev": (lambda numbers: (_quantile(4, 3, numbers) - _quantile(4, 1, numbers)) / 2, 1),
    "5-1": (partial(_quantile, 5, 1), 1),
    "5-2": (partial(_quantile, 5, 2), 1),
    "5-3": (partial(_quantile, 5, 3), 1),
    "5-4": (partial(_quantile, 5, 4), 1),
    "skew": (partial(_moment, 3), 0),
    "kurtosis": (partial(_moment, 4), 0),
}


def regression(moments: Sequence[float], numbers: Numbers) -> tuple[Decimal, Decimal] | None:
    """Gradient and intercept of the straight line through (moment, number); None where all are of one moment."""
    if len(set(moments)) < 2:
        return None
    xs = [Decimal(moment) for moment in moments]
    x, y = statistics.mean(xs), statistics.mean(numbers)
    spread = sum((one - x) ** 2 for one in xs)
    gradient = sum(((one - x) * (other - y) for one, other in zip(xs, numbers, strict=True)), Decimal(0)) / spread
    return DIGITS.plus(gradient), DIGITS.plus(y - gradient * x)


def statistic(code: str, numbers: Numbers) -> Decimal | None:
    """To 12 significant digits; None where it is not defined, as a deviation of one measurement is not."""
    if not numbers and code not in ("count", "sum"):
        return None
    try:
        return DIGITS.plus(Decimal(STATISTICS[code][0](numbers)))
    except (statistics.StatisticsError, ZeroDivisionError, ArithmeticError):
        return None
