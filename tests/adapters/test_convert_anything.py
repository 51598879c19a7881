"""Whatever the fields of a message hold, what comes of it is valid R4."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_server.r4 import json as fhir_json
from fhir_server.r4 import validation
from tests.adapters.support import converted, message

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
@example([("NK1", f"1|a{'|' * 31}1^^^A^MR^F^20200101^20190101")], "ADT^A03")
def test_whatever_the_fields_hold_the_resources_are_valid(segments: list[tuple[str, str]], kind: str) -> None:
    for entry in converted(message(PID, *(f"{name}|{fields}" for name, fields in segments), kind=kind)).bundle["entry"]:
        validation.validate(fhir_json.read(fhir_json.write(entry["resource"])))
