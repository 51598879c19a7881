"""Observation/$lastn: groups and ties, against a naive definition (R4 observation-operation-lastn.html)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.lastn import effective, latest

Observation = dict[str, Any]


def seen(*codes: str, at: str | None = None, text: str | None = None) -> Observation:
    made: Observation = {"code": {"coding": [{"system": "urn:x", "code": code} for code in codes]} if codes else {}}
    made["code"] |= {"text": text} if text else {}
    return made | ({"effectiveDateTime": at} if at else {})


def groups(*observations: Observation) -> int:
    """How many groups: the newest of each, all at different times."""
    dated = [one | {"effectiveDateTime": f"2020-01-{number + 1:02d}"} for number, one in enumerate(observations)]
    return len(latest(dated, 1))


def test_the_table_of_the_specification() -> None:
    assert groups(seen("a"), seen("b"), seen("c")) == 3
    assert groups(seen("a"), seen("b"), seen("a", "c")) == 2
    assert groups(seen("a"), seen("b"), seen("a", "b")) == 1
    assert groups(seen(text="textM"), seen(text="Text"), seen(text="t e x t")) == 3
    assert groups(seen("a", text="x"), seen("a", text="y"), seen(text="x")) == 2


def test_of_equal_times_all_are_returned() -> None:
    """4 Observations instead of 3 if the 3rd and 4th most recent observation had the same effective time"""
    days = ("2020-01-05", "2020-01-04", "2020-01-03", "2020-01-03", "2020-01-02")
    assert latest([seen("a", at=day) for day in days], 3) == [0, 1, 2, 3]
    assert latest([seen("a", at="2020"), seen("a")], 1) == [0]
    assert latest([seen("a"), seen("a")], 1) == [0, 1]


def test_every_form_of_effective_counts() -> None:
    """observation-definitions.html#Observation.effective_x_"""
    forms: tuple[Observation, ...] = (
        {"effectiveDateTime": "2020-01-01T08:00:00+08:00"},
        {"effectiveInstant": "2020-01-01T00:00:00Z"},
        {"effectivePeriod": {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01"}},
        {"effectiveTiming": {"event": ["2020-03-01", "2020-01-01T00:00:00Z"]}},
        {"effectiveTiming": {"repeat": {"boundsPeriod": {"start": "2020-01-01"}}}},
        {"effectivePeriod": {"end": "2020-01-01T00:00:00.000Z"}},
    )
    assert len({effective(one) for one in forms}) == 1
    assert effective({"effectiveTiming": {"repeat": {"frequency": 1}}}) == effective({}) == float("-inf")


DAYS = st.sampled_from((None, "2020-01-01", "2020-01-02", "2020-01-03"))
SEEN = st.builds(lambda codes, at: seen(*codes, at=at), st.lists(st.sampled_from("abcde"), min_size=1, max_size=2), DAYS)


@given(st.lists(SEEN, max_size=12), st.integers(1, 3))
def test_latest_is_what_a_naive_definition_gives(observations: list[Observation], most: int) -> None:
    """An observation is returned if fewer than `most` of its group are newer"""
    codes = [frozenset(one["code"] for one in observation["code"]["coding"]) for observation in observations]
    merged: list[set[str]] = []
    for some in codes:
        touching = [group for group in merged if group & some]
        merged = [group for group in merged if not group & some] + [set(some).union(*touching)]
    group_of = [next(number for number, group in enumerate(merged) if some <= group) for some in codes]
    when = [effective(one) for one in observations]
    expected = {
        number
        for number in range(len(observations))
        if sum(group_of[other] == group_of[number] and when[other] > when[number] for other in range(len(observations))) < most
    }
    found = latest(observations, most)
    assert set(found) == expected
    assert [when[one] for one in found] == sorted((when[one] for one in found), reverse=True)
