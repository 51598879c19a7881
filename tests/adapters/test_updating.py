"""What a message changes of a Patient that stands (v2.5.1 2.5.3.4): an absent field says nothing, `""` that there is none."""

from copy import deepcopy
from typing import Any

import pytest

from tests.adapters.support import converted, message, only, segment

Resource = dict[str, Any]
CARD, LABEL = "11010519491231002X", {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
HIV = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}
NUMBERS = f"1001^^^^MR~{CARD}^^^^NI"


WHOLE = (
    segment(
        "PID",
        {3: NUMBERS, 5: "Smith^John^^^^^L", 6: "Miller^Ann", 7: "19491231", 8: "M", 9: "Alias^Jack^^^^^N", 11: "1 Road^^Town",
         13: "5551", 14: "5552", 15: "en", 16: "M", 17: "BUD", 19: "99", 20: "DL7", 23: "Kashgar", 24: "N", 26: "CHN",
         28: "CHN", 30: "N"},
    ),
    segment("PD1", {3: "Clinic^^1", 4: "77^Jones^Amy", 6: "A", 12: "Y", 14: "Church"}),
)  # fmt: skip
LEAST = "PID|1||1001^^^^MR"


def stored(*segments: str) -> Resource:
    """A Patient that the segments made, and that has since got what no message brings."""
    made = only(converted(message(*segments)), "Patient")
    meta = {**made.get("meta", {}), "versionId": "3", "tag": [{"code": "ours"}]}
    meta["security"] = [*meta.get("security", []), HIV]
    return {
        **made,
        "meta": meta,
        "active": True,
        "photo": [{"url": "Binary/1"}],
        "text": {"status": "generated", "div": "<div/>"},
    }


def after(*segments: str, event: str = "A08", stands: Resource | None = None) -> Resource:
    """The Patient after a message."""
    made = converted(message(*segments, kind=f"ADT^{event}"))
    (change,) = made.updates.values()
    return change(deepcopy(stands or stored(*WHOLE)))


def differing(patient: Resource) -> set[str]:
    whole = stored(*WHOLE)
    return {name for name in whole | patient if whole.get(name) != patient.get(name)} - {"text"}


def test_a_message_of_a_number_changes_the_list_of_numbers_only() -> None:
    """PID-3 repeats, so it comes whole; its SB and DL numbers are PID-19's and PID-20's to change."""
    patient = after(LEAST)
    assert differing(patient) == {"identifier"}
    assert [one["value"] for one in patient["identifier"]] == ["1001", "99", "DL7"]


def test_the_same_message_again_changes_nothing() -> None:
    assert differing(after(*WHOLE)) == set()


def test_a_narrative_that_may_tell_what_was_goes() -> None:
    assert "text" not in after(LEAST)


# segment with one field more than the number and the card -> the elements that change, and what they come to
CHANGES: list[tuple[str, str, Any]] = [
    ("PID-5", "name", ["Jones", "Alias"]),
    ("PID-13", "telecom", ["777", "5552"]),
    ("PID-14", "telecom", ["777", "5551"]),
    ("PID-11", "address", [["777"]]),
    ("PID-19", "identifier", ["1001", CARD, "777", "DL7"]),
    ("PID-20", "identifier", ["1001", CARD, "777", "99"]),
]
LIST: dict[str, Any] = {"name": "family", "telecom": "value", "address": "line", "identifier": "value"}


@pytest.mark.parametrize(("field", "element", "expected"), CHANGES)
def test_a_field_changes_what_it_is_for(field: str, element: str, expected: list[Any]) -> None:
    patient = after(_with(field, "Jones^Amy^^^^^L" if field == "PID-5" else "777"))
    assert differing(patient) == {element}
    assert [one[LIST[element]] for one in patient[element]] == expected


@pytest.mark.parametrize(
    ("field", "changed"),
    [("PID-7", {"birthDate"}), ("PID-8", {"gender"}), ("PID-11", {"address"}), ("PID-15", {"communication"}),
     ("PID-16", {"maritalStatus"}), ("PID-13", {"telecom"}), ("PID-14", {"telecom"}), ("PID-19", {"identifier"}),
     ("PID-20", {"identifier"}), ("PID-6", {"extension"}), ("PID-17", {"extension"}), ("PID-23", {"extension"}),
     ("PID-26", {"extension"}), ("PID-28", {"extension"}), ("PID-9", {"name"}), ("PID-24", {"multipleBirthBoolean"}),
     ("PID-30", {"deceasedBoolean"})],
)  # fmt: skip
def test_a_null_takes_away_what_the_field_is_for(field: str, changed: set[str]) -> None:
    patient = after(_with(field, '""'))
    assert differing(patient) == changed
    (element,) = changed
    whole = stored(*WHOLE)
    if isinstance(whole[element], list):
        assert len(patient.get(element, [])) == len(whole[element]) - 1
    else:
        assert element not in patient


def test_a_death_takes_the_place_of_what_was_said_of_it_before() -> None:
    """One of deceased[x] only. PID-30 alone says nothing of when, and PID-29 nothing of whether (v2.5.1 2.5.3.4)."""
    dead = after(_with("PID-29", "20240430"))
    assert (dead["deceasedDateTime"], "deceasedBoolean" in dead) == ("2024-04-30", False)
    assert _death(_with("PID-30", "Y"), dead) == {"deceasedDateTime": "2024-04-30"}
    assert _death(_with("PID-30", "N"), dead) == {"deceasedBoolean": False}
    assert _death(_with("PID-29", '""'), dead) == {}
    assert _death(segment("PID", {3: NUMBERS, 29: '""', 30: "Y"}), dead) == {"deceasedBoolean": True}
    assert _death(_with("PID-29", '""'), stored(*WHOLE)) == {"deceasedBoolean": False}


def _death(said: str, stands: Resource) -> Resource:
    return {name: value for name, value in after(said, stands=stands).items() if name.startswith("deceased")}


def test_a_birth_in_order_stays_where_only_more_than_one_is_told() -> None:
    second = after(_with("PID-25", "2"))
    assert after(_with("PID-24", "Y"), stands=second)["multipleBirthInteger"] == 2


@pytest.mark.parametrize(
    ("first", "then", "element"),
    [({3: "1001^^^^MR~98^^^^SB~L1^^^^DL"}, {3: "1001^^^^MR~99^^^^SB~L2^^^^DL"}, "identifier"),
     ({5: "Smith^John^^^^^L~Old^John^^^^^M"}, {5: "Smith^John^^^^^L~Older^John^^^^^M"}, "name"),
     ({13: "1^PRN~2^WPN"}, {13: "1^PRN~3^WPN"}, "telecom"), ({12: "North"}, {12: "South"}, "address")],
)  # fmt: skip
def test_what_comes_in_another_field_than_its_own_is_corrected_too(
    first: dict[int, str], then: dict[int, str], element: str
) -> None:
    """A number of a card that was wrong would go on to say who the patient is."""
    number = {3: "1001^^^^MR"}
    stands = stored(segment("PID", number | first))
    corrected = only(converted(message(segment("PID", number | then))), "Patient")
    assert after(segment("PID", number | then), stands=stands)[element] == corrected[element]


def test_a_county_alone_takes_no_address_away() -> None:
    assert after(_with("PID-12", "North"))["address"][1:] == stored(*WHOLE)["address"]


def test_what_tells_nothing_new_leaves_all_in_its_order() -> None:
    whole = stored(*WHOLE)
    del whole["text"]
    for said in (_with("PID-14", "5552"), _with("PID-8", "M"), _with("PID-19", "99")):
        assert list(after(said, stands=whole).items()) == list(whole.items())


def test_a_practice_and_a_practitioner_are_replaced_each_by_its_own() -> None:
    """PD1-3 and PD1-4, also where the one has no number (XON.10), or the other"""
    for practice, doctor in (("Clinic^^1", "77^Jones^Amy"), ("Clinic", "^Jones^Amy")):
        stands = stored(LEAST, segment("PD1", {3: practice, 4: doctor}))
        for fields, left in (
            ({3: "New^^2"}, ["New", "Amy Jones"]),
            ({4: "78^Lee"}, ["Lee", "Clinic"]),
            ({4: '""'}, ["Clinic"]),
        ):
            patient = after(LEAST, segment("PD1", fields), stands=stands)
            assert [one["display"] for one in patient["generalPractitioner"]] == left


def test_an_alias_of_no_kind_stays_when_the_name_changes() -> None:
    number = {3: "1001^^^^MR"}
    stands = stored(segment("PID", number | {5: "Li^Si", 9: "Wang^Wu"}))
    assert [one["text"] for one in after(segment("PID", number | {5: "Li^San"}), stands=stands)["name"]] == [
        "San Li",
        "Wu Wang",
    ]
    assert [one["text"] for one in after(segment("PID", number | {9: '""'}), stands=stands)["name"]] == ["Si Li"]


def test_what_cannot_be_read_takes_nothing_away() -> None:
    assert differing(after(_with("PID-7", "31st of March"))) == set()


@pytest.mark.parametrize(("asked", "labels"), [("", ["R", "HIV"]), ("Y", ["R", "HIV"]), ("N", ["HIV"]), ('""', ["HIV"])])
def test_protection_stays_until_it_is_taken_back(asked: str, labels: list[str]) -> None:
    """PD1-12; labels of others stay whatever it says."""
    patient = after(LEAST, f"PD1{'|' * 12}{asked}")
    assert [one["code"] for one in patient["meta"]["security"]] == labels
    assert patient["meta"]["tag"] == [{"code": "ours"}]


@pytest.mark.parametrize("event", ["A02", "A03"])
def test_protection_is_added_whatever_the_event(event: str) -> None:
    patient = after(LEAST, f"PD1{'|' * 12}Y", event=event, stands=stored("PID|1||1001^^^^MR||Smith^John"))
    assert LABEL in patient["meta"]["security"]
    assert patient["name"][0]["family"] == "Smith"


def _with(field: str, value: str) -> str:
    return segment("PID", {3: NUMBERS, int(field.partition("-")[2]): value})
