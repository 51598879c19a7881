"""Which results a report lists after a message (v2.5.1 7.4.2.11, table 0085): one that is left out stands, D and W go."""

from copy import deepcopy
from typing import Any

import pytest

from tests.adapters.support import converted, message, only, resources

Resource = dict[str, Any]
META = {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"}


def results(*told: tuple[str, str], status: str = "F") -> bytes:
    """A message of one report: (code with sub-id as `code.sub`, OBX-11) of each result."""
    obx = (f"OBX|{n}|NM|{'|'.join(f'{code}.'.split('.')[:2])}|5||||||{one}" for n, (code, one) in enumerate(told, 1))
    return message("PID|1||1001^^^^MR", f"OBR|1||F1|PANEL|||20260101{'|' * 18}{status}", *obx, kind="ORU^R01")


def after(stands: Resource | None, raw: bytes) -> Resource:
    """The report, as its message finds or makes it."""
    made = converted(raw)
    report = only(made, "DiagnosticReport")
    change = made.updates.get(f"DiagnosticReport/{report['id']}")
    changed = change(deepcopy(stands)) if stands and change else {**report, "meta": META}
    assert changed["meta"] == META
    return changed


def told(report: Resource, *raw: bytes) -> list[str]:
    """The codes of what is listed."""
    made = [one for some in raw for one in resources(converted(some), "Observation")]
    codes = {f"Observation/{one['id']}": one["code"]["coding"][0]["code"] for one in made}
    return [codes[one["reference"]] for one in report.get("result", ())]


WHOLE = results(("A", "F"), ("B", "F"), ("C", "F"))


@pytest.mark.parametrize(
    ("correction", "status", "listed"),
    [
        ([("B", "C")], "C", "ABC"),
        ([("D", "F"), ("B", "C")], "F", "ABCD"),
        ([("B", "D")], "C", "AC"),
        ([("B", "W")], "C", "AC"),
        ([("B", "X")], "C", "ABC"),
        ([("A", "D"), ("B", "D"), ("C", "D")], "C", ""),
        ([("C", "F"), ("D", "F"), ("A", "F"), ("B", "F")], "F", "CDAB"),
        ([], "F", "ABC"),
        ([], "X", ""),
        ([("A", "X")], "X", "A"),
    ],
)
def test_a_correction_changes_the_results_that_it_names(correction: list[tuple[str, str]], status: str, listed: str) -> None:
    raw = results(*correction, status=status)
    report = after(after(None, WHOLE), raw)
    assert told(report, WHOLE, raw) == list(listed)
    assert after(report, raw) == report, "the same again changes nothing"


def test_what_is_deleted_at_once_is_not_listed() -> None:
    raw = results(("A", "F"), ("B", "D"))
    assert told(after(None, raw), raw) == ["A"]


def test_results_of_one_code_and_sub_id_are_replaced_as_a_unit() -> None:
    """7.4.2.11: replaced or deleted as a unit; another sub-ID is another unit"""
    first = results(("A.1", "F"), ("A.1", "F"), ("A.1", "F"), ("A.2", "F"), ("B", "F"))
    report = after(None, first)
    assert told(report, first) == list("AAAAB")
    names = [one["reference"] for one in report["result"]]
    for correction, left in (
        ([("A.1", "C"), ("A.1", "C")], [0, 1, 3, 4]),
        ([("A.1", "D")], [3, 4]),
        ([("A.2", "D")], [0, 1, 2, 4]),
    ):
        changed = after(report, results(*correction, status="C"))
        assert [one["reference"] for one in changed["result"]] == [names[number] for number in left]


def test_all_else_of_a_report_comes_whole() -> None:
    """OBR says it: what it no longer has goes; what others listed stays"""
    stands = after(None, WHOLE) | {"conclusion": "written by FHIR", "meta": {**META, "tag": [{"code": "x"}]}}
    stands["result"].append({"reference": "Observation/other", "display": "another"})
    changed = after(stands, results(("B", "C"), status="C"))
    assert changed["status"] == "corrected" and "conclusion" not in changed
    assert changed["result"] == stands["result"]


@pytest.mark.parametrize("orders", [("", "HIV"), ("HIV", "HIV")])
def test_a_specimen_of_two_orders_has_the_labels_of_the_last(orders: tuple[str, str]) -> None:
    """Also where it stands, and the first order has no ORC-28"""
    groups = [(f"ORC|RE{'|' * 27}{label}", f"OBR|{n}||F{n}|PANEL|||20260101", "SPM|1|S1") for n, label in enumerate(orders, 1)]
    made = converted(message("PID|1||1001^^^^MR", *(one for group in groups for one in group), kind="ORU^R01"))
    specimen = only(made, "Specimen")
    changed = made.updates[f"Specimen/{specimen['id']}"]({**specimen, "meta": META})
    for one in (specimen, changed):
        assert [label["code"] for label in one["meta"]["security"]] == ["HIV"]
