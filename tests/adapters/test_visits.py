"""What an ADT message changes of a visit, and of what its segments tell of (v2.5.1 2.5.3.4): an absent field says nothing."""

from copy import deepcopy
from typing import Any

import pytest

from tests.adapters.support import converted, message, only, resources, segment

Resource = dict[str, Any]
PID = "PID|1||1001^^^^MR"
HIV = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}
RESTRICTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
ADMISSION = {2: "I", 3: "Ward^1^A", 4: "E", 5: "PRE1", 6: "Ward^0", 7: "11^At", 8: "12^Ref", 9: "13^Con", 10: "MED", 14: "7",
             17: "14^Adm", 19: "V1", 36: "01", 42: "Ward^9", 44: "20240501", 50: "ALT1"}  # fmt: skip
MORE = {3: "pain", 8: "20240501", 9: "20240509", 11: "8", 22: "Y", 25: "2"}
DIAGNOSIS = {3: "I10^Hypertension^I10", 5: "20240430", 6: "A", 15: "1", 18: "Y"}
WHOLE = (segment("PV1", ADMISSION), segment("PV2", MORE), segment("DG1", DIAGNOSIS))


def told(*segments: str, event: str = "A01", kind: str = "Encounter") -> Resource:
    """As a message makes it where there is none, and then somebody labels it by FHIR."""
    made = only(converted(message(PID, *segments, kind=f"ADT^{event}")), kind)
    labels = [*made.get("meta", {}).get("security", ()), HIV]
    return deepcopy(made | {"meta": {"versionId": "1", "security": labels}})


def after(stands: Resource, *segments: str, event: str = "A08") -> Resource:
    """The same after a message."""
    made = converted(message(PID, *segments, kind=f"ADT^{event}"))
    return made.updates[f"{stands['resourceType']}/{stands['id']}"](deepcopy(stands))


def visit(fields: dict[int, str] | None = None, *segments: str, event: str = "A08", stands: Resource | None = None) -> Resource:
    """The admission after a message with its number and these fields."""
    return after(stands or told(*WHOLE), segment("PV1", {19: "V1"} | (fields or {})), *segments, event=event)


def differing(one: Resource, other: Resource) -> set[str]:
    return {name for name in one | other if one.get(name) != other.get(name)}


def test_a_message_of_a_number_changes_nothing() -> None:
    assert visit() == told(*WHOLE)


def test_the_same_message_again_changes_nothing() -> None:
    for event in ("A01", "A08"):
        assert list(after(told(*WHOLE), *WHOLE, event=event).items()) == list(told(*WHOLE).items())


def _place(encounter: Resource, status: str) -> list[str]:
    return [one["location"]["display"] for one in encounter["location"] if one["status"] == status]


def _actors(encounter: Resource) -> dict[str, str]:
    return {one["type"][0]["coding"][0]["code"]: one["individual"]["display"] for one in encounter["participant"]}


def test_a_transfer_changes_where_the_patient_lies() -> None:
    moved = visit({3: "ICU^2", 6: "Ward^1^A"}, event="A02")
    assert differing(moved, told(*WHOLE)) == {"location"}
    assert (_place(moved, "active"), _place(moved, "completed"), _place(moved, "reserved")) == (
        ["ICU 2"],
        ["Ward 1 A"],
        ["Ward 9"],
    )


@pytest.mark.parametrize(("field", "code"), [(7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM"), (52, "PART")])
def test_a_doctor_is_replaced_in_their_part_only(field: int, code: str) -> None:
    whole = told(*WHOLE)
    changed = visit({field: "99^New"})
    assert differing(changed, whole) == {"participant"}
    assert _actors(changed) == _actors(whole) | {code: "New"}


@pytest.mark.parametrize(
    ("name", "field", "value", "element"),
    [("PV1", 4, "R", "type"), ("PV1", 10, "SUR", "serviceType"), ("PV1", 5, "PRE2", "hospitalization"),
     ("PV1", 2, "O", "class"), ("PV1", 14, "1", "hospitalization"), ("PV1", 36, "02", "hospitalization"),
     ("PV1", 44, "20240502", "period"), ("PV1", 50, "ALT2", "identifier"), ("PV2", 3, "fever", "reasonCode"),
     ("PV2", 8, "20240601", "extension"), ("PV2", 9, "20240601", "extension"), ("PV2", 11, "9", "length"),
     ("PV2", 25, "1", "priority")],
)  # fmt: skip
def test_a_field_changes_what_it_is_for(name: str, field: int, value: str, element: str) -> None:
    """And `""` takes it away: of a group of elements that one only."""
    whole = told(*WHOLE)
    for sent in (value, '""'):
        changed = visit({field: sent}) if name == "PV1" else visit({}, segment("PV2", {field: sent}))
        if field == 2 and sent != value:
            assert changed == whole, "a visit without class would not be valid"
            continue
        assert differing(changed, whole) == {element}
        if isinstance(whole[element], list) and sent == value:
            assert len(changed[element]) == len(whole[element])
        if element == "hospitalization":
            assert len(changed[element]) == len(whole[element]) - (sent != value)


@pytest.mark.parametrize(
    ("event", "fields", "status", "end"),
    [("A08", {}, "in-progress", None), ("A03", {45: "20240503"}, "finished", "2024-05-03"), ("A11", {}, "cancelled", None),
     ("A08", {45: "20240503"}, "finished", "2024-05-03"), ("A21", {}, "onleave", None)],
)  # fmt: skip
def test_events_change_the_status(event: str, fields: dict[int, str], status: str, end: str | None) -> None:
    changed = visit(fields, event=event)
    assert (changed["status"], changed["period"].get("end"), changed["period"]["start"]) == (status, end, "2024-05-01")


def test_an_ended_visit_stays_so_until_its_end_is_cancelled() -> None:
    """An A08 for the bill, a day after the discharge; A13"""
    ended = visit({45: "20240503"}, event="A03")
    assert visit({10: "SUR"}, stands=ended) == ended | {"serviceType": visit({10: "SUR"})["serviceType"]}
    again = visit(event="A13", stands=ended)
    assert (again["status"], again["period"]) == ("in-progress", {"start": "2024-05-01"})


@pytest.mark.parametrize(
    ("event", "fields"),
    [("A01", {2: "I", 44: "20240501"}), ("A05", {2: "I", 44: "20240501"}), ("A02", {3: "ICU^2"}), ("A21", {}), ("A22", {})],
)  # fmt: skip
def test_what_comes_late_does_not_open_an_ended_visit_again(event: str, fields: dict[int, str]) -> None:
    """v2.5.1 3.3.13: it is A13 that cancels an end. An admission sent again, or a transfer overtaken by the discharge"""
    ended = visit({45: "20240503"}, event="A03")
    late = visit(fields, event=event, stands=ended)
    assert (late["status"], late["period"]) == ("finished", ended["period"])


@pytest.mark.parametrize(("event", "fields"), [("A13", {}), ("A01", {2: "I"}), ("A06", {2: "I", 44: "20240501"})])
def test_what_goes_on_has_no_end_and_nobody_was_discharged(event: str, fields: dict[int, str]) -> None:
    """Else a visit in progress would say that the patient died in it (PV1-36)"""
    ended = visit({36: "20^Expired", 37: "Morgue", 45: "20240503"}, event="A03")
    again = visit(fields, event=event, stands=ended)
    assert (again["status"], again["period"]) == ("in-progress", {"start": "2024-05-01"})
    assert again["hospitalization"].keys() == ended["hospitalization"].keys() - {"dischargeDisposition", "destination"}


@pytest.mark.parametrize(
    ("event", "first", "then"),
    [("A01", {44: "20240501", 45: "20240503"}, "20240601"), ("A04", {44: "20240501080000"}, "20240502080000"),
     ("A04", {44: "20240501080000", 45: "20240501090000"}, "20240501140000")],
)  # fmt: skip
def test_another_visit_of_the_same_number_has_nothing_of_the_one_before(event: str, first: dict[int, str], then: str) -> None:
    """Some systems number visits afresh. What protected it stays, in doubt"""
    before = told(segment("PV1", ADMISSION | first), *WHOLE[1:], event="A04")
    begun = {2: "O", 19: "V1", 44: then}
    made = only(converted(message(PID, segment("PV1", begun), kind=f"ADT^{event}")), "Encounter")
    assert visit(begun, event=event, stands=before) == made | {"meta": before["meta"]}


def test_an_end_before_the_start_loses_no_message() -> None:
    """per-1: what is told is kept, of what stood that which it does not contradict"""
    assert visit({44: "20240601"}, stands=visit({45: "20240503"}))["period"] == {"start": "2024-06-01"}
    assert visit({45: "20240430"})["period"] == {"end": "2024-04-30"}
    assert visit({44: "20240601", 45: "20240503"})["period"] == told(*WHOLE)["period"]
    stands = told(*WHOLE) | {"period": {"id": "1", "start": "2024-05-01"}}
    assert "period" not in visit({44: '""'}, stands=stands), "ele-1"


def test_what_is_announced_begins_with_its_registration() -> None:
    planned = told(segment("PV1", {2: "O", 19: "V1"}), event="A05")
    assert (planned["status"], visit(stands=planned)["status"]) == ("planned", "planned")
    assert visit({2: "O"}, event="A04", stands=planned)["status"] == "in-progress"


def test_diagnoses_come_whole_unless_they_say_what_becomes_of_each() -> None:
    """v2.5.1 2.10.4: snapshot mode, and action code mode (DG1-21)"""
    whole = told(*WHOLE)
    other = {3: "J45^Asthma^I10", 6: "F"}
    assert len(visit({}, segment("DG1", other))["diagnosis"]) == 1
    both = visit({}, segment("DG1", other | {21: "A"}))
    assert len(both["diagnosis"]) == 2
    assert visit({}, segment("DG1", {3: "I10^x^I10", 21: "D"}), stands=both)["diagnosis"] == [both["diagnosis"][0]]
    assert visit({}, stands=both) == both
    assert differing(both, whole) == {"diagnosis"}
    mistaken = visit({}, segment("DG1", other | {21: "A"}), segment("DG1", other | {21: "D"}))
    assert mistaken["diagnosis"] == whole["diagnosis"], "one after the other (v2.5.1 2.10.4.2)"


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("", [RESTRICTED, HIV]),
        (" ", [RESTRICTED, HIV]),
        ("^", [RESTRICTED, HIV]),
        ("Y", [RESTRICTED, HIV]),
        ("N", [HIV]),
        ('""', [HIV]),
    ],
)
def test_protection_stays_until_it_is_taken_back(asked: str, left: list[Resource]) -> None:
    """PV2-22 and DG1-18; labels of others stay whatever they say"""
    assert visit({}, segment("PV2", {22: asked}))["meta"]["security"] == left
    condition = after(told(*WHOLE, kind="Condition"), WHOLE[0], segment("DG1", {3: "I10^x^I10", 18: asked}))
    assert condition["meta"]["security"] == left


def test_of_one_diagnosis_told_twice_all_that_is_told_stands() -> None:
    """As it was on admission and as it is in the end: the second does not take the first's protection away."""
    raw = message(PID, WHOLE[0], segment("DG1", DIAGNOSIS), segment("DG1", {3: "I10^Hypertension^I10", 6: "F"}))
    made = converted(raw)
    condition = only(made, "Condition")
    assert condition["meta"]["security"] == [RESTRICTED] and condition["onsetDateTime"] == "2024-04-30"
    assert [one["use"]["coding"][0]["code"] for one in only(made, "Encounter")["diagnosis"]] == ["AD", "DD"]
    changed = made.updates[f"Condition/{condition['id']}"]({**condition, "meta": {"versionId": "1"}, "note": [{"text": "x"}]})
    assert changed["meta"]["security"] == [RESTRICTED] and changed["note"]


def test_what_no_field_tells_is_left_to_fhir() -> None:
    """The ward that provides the service, a diagnosis that is also on the problem list; a PR1 without how long (PR1-7)"""
    ward, problem = {"reference": "Organization/ward"}, {"coding": [{"code": "problem-list-item"}]}
    assert visit({10: "SUR"}, stands=told(*WHOLE) | {"serviceProvider": ward})["serviceProvider"] == ward
    condition = told(*WHOLE, kind="Condition")
    condition["category"].append(problem)
    assert after(condition, WHOLE[0], segment("DG1", {3: "I10^Hypertension^I10"})) == condition
    start = {3: "X1^x", 5: "202405011000"}
    procedure = told(segment("PR1", start | {7: "30"}), kind="Procedure")
    assert "performedPeriod" in procedure and after(procedure, segment("PR1", start)) == procedure


SEGMENTS: list[tuple[str, str, dict[int, str], dict[int, str], set[str]]] = [
    ("Condition", "DG1", DIAGNOSIS, {3: "I10^Hypertension^I10"}, set()),
    ("Condition", "DG1", DIAGNOSIS, {3: "I10^Hypertension^I10", 5: "20240101"}, {"onsetDateTime"}),
    ("Condition", "DG1", DIAGNOSIS, {3: "I10^Hypertension^I10", 5: '""'}, {"onsetDateTime"}),
    ("AllergyIntolerance", "AL1", {2: "DA", 3: "P^Penicillin", 4: "SV", 5: "rash", 6: "2020"}, {3: "P^Penicillin"}, set()),
    ("AllergyIntolerance", "AL1", {2: "DA", 3: "P^Penicillin", 5: "rash"}, {3: "P^Penicillin", 5: "shock"}, {"reaction"}),
    ("Procedure", "PR1", {3: "X1^x", 5: "20240501", 11: "12^Cut"}, {3: "X1^x", 5: "20240501"}, set()),
    ("RelatedPerson", "NK1", {2: "Li^Si", 3: "MTH", 5: "111", 16: "1960"}, {2: "Li^Si", 3: "MTH", 5: "222"}, {"telecom"}),
    (
        "Coverage",
        "IN1",
        {2: "P", 3: "C", 4: "Fund", 12: "2024", 13: "2025"},
        {2: "P", 3: "C", 4: "Fund", 13: "2026"},
        {"period"},
    ),
]


@pytest.mark.parametrize(("kind", "name", "first", "then", "changed"), SEGMENTS)
def test_what_a_segment_tells_changes_and_the_rest_stands(
    kind: str, name: str, first: dict[int, str], then: dict[int, str], changed: set[str]
) -> None:
    """With what was written by FHIR, and labels"""
    stands = told(segment(name, first), kind=kind) | {"language": "zh"}
    assert differing(after(stands, segment(name, then)), stands) == changed
    assert after(stands, segment(name, first)) == stands
    if kind == "Coverage":
        assert after(stands, segment(name, then))["period"] == {"start": "2024", "end": "2026"}
        renewed = after(stands, segment(name, {2: "P", 3: "C", 4: "Fund", 12: "2027"}))
        assert renewed["period"] == {"start": "2027"}, "per-1: refused, it would be lost"


@pytest.mark.parametrize(("name", "fields", "action"), [("DG1", DIAGNOSIS, 21), ("IAM", {3: "P^Penicillin", 11: "2020"}, 6)])
def test_what_is_taken_back_has_no_more_than_is_said(name: str, fields: dict[int, str], action: int) -> None:
    """con-5, ait-2: no clinical status where it was entered in error; told again, it is as it was told then"""
    kind = "Condition" if name == "DG1" else "AllergyIntolerance"
    stands = told(segment(name, fields), kind=kind) | {"clinicalStatus": {"coding": [{"code": "active"}]}}
    gone = after(stands, segment(name, {3: fields[3], action: "D"}))
    assert "clinicalStatus" not in gone and gone["meta"] == stands["meta"]
    assert gone["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    again = after(gone, segment(name, {3: fields[3]}))
    assert "verificationStatus" not in again and again["meta"] == stands["meta"]


@pytest.mark.parametrize("none", ["0", "无", "none"])
@pytest.mark.parametrize(
    ("kind", "name", "one", "other", "number"),
    [("RelatedPerson", "NK1", {2: "Li^Fu", 3: "PAR", 15: "M"}, {2: "Wang^Mu", 3: "PAR", 5: "111"}, 33),
     ("RelatedPerson", "NK1", {2: "Li^Fu", 3: "PAR", 15: "M"}, {2: "Wang^Mu", 3: "PAR", 5: "111"}, 12),
     ("Condition", "DG1", DIAGNOSIS, {3: "J45^Asthma^I10"}, 20),
     ("Procedure", "PR1", {3: "X1^x"}, {3: "X2^y"}, 19), ("AllergyIntolerance", "AL1", {3: "^Pollen"}, {3: "^Dust"}, 3),
     ("Condition", "DG1", {4: "cough", 5: "2024", 18: "Y"}, {4: "asthma"}, 3)],
)  # fmt: skip
def test_what_stands_for_no_number_makes_no_two_one(
    kind: str, name: str, one: dict[int, str], other: dict[int, str], number: int, none: str
) -> None:
    """Nor does a code of none. Two parents would be one person, of two diagnoses one would be lost"""
    both = (segment(name, fields | {number: none + fields.get(number, "")}) for fields in (one, other))
    made = resources(converted(message(PID, WHOLE[0], *both)), kind)
    assert len(made) == 2 and not made[1].keys() & {"gender", "onsetDateTime"} and "meta" not in made[1]


@pytest.mark.parametrize("answers", [("Y", "N"), ("N", "Y"), ("Y", '""'), ("Y", "")])
def test_of_two_answers_the_one_that_protects_counts(answers: tuple[str, str]) -> None:
    """A diagnosis twice in one message, which contradicts itself: in doubt it is not shown"""
    twice = [segment("DG1", {3: "I10^x^I10", 6: kind, 18: asked}) for kind, asked in zip("AF", answers, strict=True)]
    stands = told(*WHOLE, kind="Condition")
    assert only(converted(message(PID, WHOLE[0], *twice)), "Condition")["meta"]["security"] == [RESTRICTED]
    assert RESTRICTED in after(stands, WHOLE[0], *twice)["meta"]["security"]
