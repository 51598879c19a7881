"""Whatever the fields of a message hold, what comes of it is valid R4."""

from copy import deepcopy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_server.r4 import json as fhir_json
from fhir_server.r4 import validation
from tests.adapters.support import converted, message, only, segment

PID = "PID|1||1001^^^^MR||Smith^John||19800101|M"
SEGMENTS = st.sampled_from("PID PV1 PV2 OBR OBX NTE SPM ORC DG1 AL1 PR1 NK1 IN1 EVN PD1 IAM".split())
PIECES = ("", "A", "1", "20240101", "99999999", "a&b^c~d", "X^Y^LN^Z^W^L^^^t", "12^^^A&1.2&ISO^NI", "é", "-", "F", "N", "D")
MORE = ("  x", "2.5", "<3", "^", "^^^", "^^PH^x@y", '""', "1e400", "\ufeff", "\\X20\\", "1^^^A^MR^F^20200101^20190101")
FIELDS = st.lists(st.sampled_from((*PIECES, *MORE)), max_size=46).map("|".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SEGMENTS, FIELDS), max_size=6), st.sampled_from(["ADT^A03", "ORU^R01"]))
@example([("SPM", f"1|2{'|' * 12}" + "\\X20\\")], "ORU^R01")
@example([("OBX", "1|NM|a||1e400")], "ORU^R01")
@example([("OBX", "1|DR|a||^")], "ORU^R01")
@example([("OBX", "1|ST|a||\ufeff")], "ORU^R01")
@example([("OBR", f"1|2|3{'|' * 43}a")], "ORU^R01")
@example([("NK1", "1|a^b^^^^^^^^^^20200101^20190101|||||||20200101|20190101")], "ADT^A03")
@example([("PV1", f"1|I{'|' * 42}20200101|20190101")], "ADT^A01")
@example([("IN1", f"1|a|b|c{'|' * 8}20200101|20190101")], "ADT^A03")
@example([("NK1", f"1|a{'|' * 31}1^^^A^MR^F^20200101^20190101")], "ADT^A03")
def test_whatever_the_fields_hold_the_resources_are_valid(segments: list[tuple[str, str]], kind: str) -> None:
    for entry in converted(message(PID, *(f"{name}|{fields}" for name, fields in segments), kind=kind)).bundle["entry"]:
        validation.validate(fhir_json.read(fhir_json.write(entry["resource"])))


PATIENT_FIELDS = st.dictionaries(st.integers(2, 30), st.sampled_from((*PIECES, *MORE, "Y", "20240101", "A&1.2&ISO")))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(PATIENT_FIELDS, PATIENT_FIELDS), min_size=2, max_size=4))
def test_whatever_messages_change_of_a_patient_it_stays_valid(told: list[tuple[dict[int, str], dict[int, str]]]) -> None:
    """One after the other, each of PID and PD1 with some fields, nulls among them; and the last one again changes nothing."""
    stands: dict[str, Any] = {}
    for fields, more in (*told, told[-1]):
        before = stands
        (update,) = (
            made := converted(message(segment("PID", {3: "1001^^^^MR", **fields}), segment("PD1", more)))
        ).updates.values()
        stands = (
            update(deepcopy(stands)) if stands else {**only(made, "Patient"), "meta": only(made, "Patient").get("meta", {})}
        )
        validation.validate(fhir_json.read(fhir_json.write({key: value for key, value in stands.items() if value != {}})))
    assert sorted(map(repr, stands.items())) == sorted(map(repr, before.items()))


PIECE = st.sampled_from((*PIECES, *MORE, "Y", "20240101", "20250101", "20230101"))
SOME = st.dictionaries(st.integers(2, 45), PIECE)
CODES = {"DG1": "I10^x^I10", "AL1": "P^Pen", "IAM": "P^Pen", "PR1": "X1^x", "NK1": "MTH", "IN1": "C"}
TOLD = st.tuples(
    st.sampled_from(("A01", "A02", "A03", "A04", "A05", "A08", "A11", "A13", "A21", "A31")),
    SOME, SOME, st.lists(st.tuples(st.sampled_from(sorted(CODES)), SOME), max_size=4),
)  # fmt: skip
LABEL = {"system": "urn:ours", "code": "x"}


@settings(max_examples=100, deadline=None)
@given(st.lists(TOLD, min_size=2, max_size=5))
def test_whatever_messages_change_it_stays_valid_and_labelled(messages: list[Any]) -> None:
    """One after the other over what the ones before made, which somebody labels by FHIR; the last one again changes nothing."""
    stands: dict[str, Any] = {}
    for event, visit, more, others in (*messages, messages[-1]):
        before = deepcopy(stands)
        rest = (segment(name, fields | {3: CODES[name], 2: "a^b", 4: "c"}) for name, fields in others)
        pv1, pv2 = segment("PV1", {2: "I"} | visit | {19: "V1"}), segment("PV2", more)
        made = converted(message(PID, pv1, pv2, *rest, kind=f"ADT^{event}"))
        for entry in made.bundle["entry"]:
            name = entry["request"]["url"]
            if name in made.updates:
                first = entry["resource"] | {"meta": {**entry["resource"].get("meta", {}), "versionId": "1"}}
                first["meta"]["security"] = [*first["meta"].get("security", ()), LABEL]
                stands[name] = made.updates[name](deepcopy(stands[name])) if name in stands else first
                validation.validate(fhir_json.read(fhir_json.write(stands[name])))
                assert LABEL in stands[name]["meta"]["security"]
    assert {name: one for name, one in stands.items() if name in before} == before
