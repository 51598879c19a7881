"""The table and the JSON say which targets are met: rates at least, rounds of pairing within their time."""

import pytest

from benchmarks.measuring import Measured
from benchmarks.report import Row, plain, table

DISK = {"bytes_per_resource": 700, "resources": 10, "bytes": {"resources": {"data": 10**6, "indexes": 0}}}


def measured(rate: float, latency: float) -> Measured:
    return Measured(units=round(rate * 10), seconds=10.0, latencies=[latency] * 5, cpu=1.0)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("ingest", measured(1_600, 0.1), measured(9_000, 0.1)), "good"),
        (Row("ingest", measured(1_400, 0.1), measured(9_000, 0.1)), "MISSED"),
        (Row("pairing", measured(20_000, 0.5)), "good"),
        (Row("pairing", measured(9_000, 1.1)), "MISSED"),
        (Row("pairing, with holds", measured(300, 33.0)), ""),
    ],
)
def test_verdicts(row: Row, verdict: str) -> None:
    assert row.verdict == verdict
    _, line, *_ = table([row], DISK, 800.0).splitlines()
    assert line.startswith(row.name) and ("good" in line, "MISSED" in line) == (verdict == "good", verdict == "MISSED")


def test_programs_read_rounds_too() -> None:
    """A measurement without a raw driver beside it has none in the JSON; the target of a round is its p50."""
    made = plain([Row("pairing", measured(20_000, 0.5))], DISK, 800.0)["measurements"]["pairing"]
    assert (made["p50_ms"], made["target_p50_ms"], made["target"]) == (500.0, 1000, None)
    assert "raw_driver" not in made
