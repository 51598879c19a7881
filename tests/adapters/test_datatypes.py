"""Dates (v2.5.1 2.A.22), names and identity numbers as they become FHIR's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2 import times, values
from exchange.demo.people import id_card, people
from fhir_server.persons import idcard, names
from tests.adapters.support import converted, message, only


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024", "2024"),
        ("202405", "2024-05"),
        ("20240501", "2024-05-01"),
        ("2024050108", "2024-05-01T08:00:00+08:00"),
        ("202405010830", "2024-05-01T08:30:00+08:00"),
        ("20240501083015.25+0600", "2024-05-01T08:30:15.25+06:00"),
        ("2024-05-01 08:30:15", "2024-05-01T08:30:15+08:00"),
        ("20240230", None),
        ("20240501256000", None),
        ("20240501083000+9900", None),
        ("yesterday", None),
        ("٢٠٢٤", None),
    ],
)
def test_dtm_to_date_time(written: str, meant: str | None) -> None:
    assert times.date_time(written, "+08:00") == meant


def test_instant_needs_seconds_and_time_drops_its_offset() -> None:
    assert times.instant("202405010830", "+08:00") is None
    assert times.instant("20240501083015", "+06:00") == "2024-05-01T08:30:15+06:00"
    assert (times.time("0830"), times.time("083015.5+0800"), times.time("2460")) == ("08:30:00", "08:30:15.5", None)


@given(st.text(max_size=30))
def test_no_text_breaks_the_date_readers(text: str) -> None:
    for read in (lambda: times.date_time(text, "+08:00"), lambda: times.date(text), lambda: times.time(text)):
        assert read() is None or isinstance(read(), str)


def test_identity_number_gb_11643() -> None:
    valid = next(person.id_card for person in people(1))
    assert idcard.valid(valid) and idcard.valid("11010519491231002X")
    for wrong in (valid[:-1] + ("1" if valid[-1] != "1" else "2"), valid[:17], "11010519491331002X", "1101051949123100²X"):
        assert not idcard.valid(wrong)


@given(st.integers(0, 17), st.integers(1, 9))
def test_every_changed_digit_shows_gb_11643(place: int, step: int) -> None:
    card = id_card("659999", people(1)[0].birth, 123)
    if card[place] != "X":
        assert not idcard.valid(card[:place] + str((int(card[place]) + step) % 10) + card[place + 1 :])


@pytest.mark.parametrize("dot", "•‧・･⋅∙·")
def test_interpunct_is_u00b7(dot: str) -> None:
    assert names.normal(f"阿依古丽 {dot} 买买提") == "阿依古丽·买买提"


@pytest.mark.parametrize(
    ("xpn", "name"),
    [
        ("张^三", {"text": "张三", "family": "张", "given": ["三"]}),
        ("张三", {"text": "张三"}),
        ("^阿依古丽•买买提", {"text": "阿依古丽·买买提"}),
        ("^ئايگۈل مەمەت", {"text": "ئايگۈل مەمەت"}),
        ("Smith^John^Q", {"text": "John Q Smith", "family": "Smith", "given": ["John", "Q"]}),
    ],
)
def test_names_have_the_parts_of_their_culture(xpn: str, name: dict) -> None:
    patient = only(converted(message(f"PID|1||7^^^^MR||{xpn}")), "Patient")
    assert patient["name"] == [name]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("4.10", "4.10"), ("+4", "4"), (".5", "0.5"), ("-007", "-7"), ("4.", "4"), ("0", "0"), ("1e3", "1e3"), ("0.0", "0.0")],
)
def test_nm_keeps_its_written_precision(written: str, meant: str) -> None:
    made = values.number(written)
    assert getattr(made, "text", str(made)) == meant


@pytest.mark.parametrize("text", ["", "-", ".", "1,000", "abc", "1e9999", "٤", "9" * 60])
def test_what_is_no_number(text: str) -> None:
    assert values.number(text) is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("3.5-9.5", 3.5, 9.5),
        ("3.5~9.5", 3.5, 9.5),
        ("3.5--9.5", 3.5, 9.5),
        ("<5", None, 5),
        (">=40", 40, None),
        ("negative", None, None),
    ],
)
def test_reference_ranges(text: str, low: float | None, high: float | None) -> None:
    made = values.reference_range(text, {})
    assert made["text"] == text
    assert (made.get("low", {}).get("value"), made.get("high", {}).get("value")) == (low, high)
