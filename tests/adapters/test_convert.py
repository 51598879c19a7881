"""HL7's v2-to-FHIR maps, segment by segment, and the ids that make a replay or a correction an update."""

import json
from dataclasses import replace

import pytest

from adapters.hl7v2 import codes
from adapters.hl7v2.convert import convert
from adapters.hl7v2.errors import Hl7Error
from adapters.hl7v2.parse import parse
from exchange.demo.messages import LABS, SENSITIVE_DIAGNOSES, adt, oru
from exchange.demo.people import people
from fhir_server.r4 import json as fhir_json
from fhir_server.r4.ucum import UCUM
from tests.adapters.support import CHINESE, OPEN, RECEIVED, converted, message, only, resources

PERSON = people(1, seed=7)[0]
PID = "PID|1||1001^^^^MR||Smith^John||19800101|M"
PV1 = "PV1|1|I|W1^02^3" + "|" * 16 + "V77^^^^VN" + "|" * 25 + "20240501080000"
OBR = "OBR|1||F55^LAB|26436-6^Lab^LN|||20240501070000|||||||||||||||20240501093000||LAB|F"
VALID_CARD = PERSON.id_card


def obx(kind: str, value: str, unit: str = "", rest: str = "", number: int = 1) -> str:
    return f"OBX|{number}|{kind}|718-7^Hb^LN||{value}|{unit}||||{rest}"


def result(*segments: str, control_id: str = "9") -> bytes:
    return message(PID, OBR, *segments, kind="ORU^R01", control_id=control_id)


def observed(kind: str, value: str, unit: str = "") -> dict:
    observation = only(converted(result(obx(kind, value, unit, "|F"))), "Observation")
    return {name: made for name, made in observation.items() if name.startswith("value") or name == "component"}


def ids(raw: bytes) -> list[str]:
    return [entry["request"]["url"] for entry in converted(raw).bundle["entry"]]


def test_a_replay_makes_the_same_bundle() -> None:
    raw = adt(OPEN, PERSON, "A01", "1", SENSITIVE_DIAGNOSES)
    assert converted(raw) == converted(raw)


def test_ids_do_not_reveal_their_keys() -> None:
    raw = adt(OPEN, PERSON, "A01", "1")
    other = convert(parse(raw), OPEN, b"another key of the region", RECEIVED)
    theirs = {entry["request"]["url"] for entry in other.bundle["entry"]}
    assert not theirs & set(ids(raw)) and all(url.split("/")[1].startswith("hospital-a-") for url in theirs)


def test_hospitals_never_share_an_id() -> None:
    other = replace(OPEN, id="hospital-c")
    assert not set(ids(message(PID, PV1))) & {e["request"]["url"] for e in converted(message(PID, PV1), other).bundle["entry"]}


def test_an_update_is_of_the_same_patient_and_visit() -> None:
    first, later = (converted(adt(OPEN, PERSON, event, event)) for event in ("A01", "A08"))
    for kind in ("Patient", "Encounter"):
        assert only(first, kind)["id"] == only(later, kind)["id"]


def test_the_card_does_not_decide_where_the_hospital_has_a_number() -> None:
    with_card = PID.replace("1001^^^^MR", f"{VALID_CARD}^^^^NI~1001^^^^MR")
    assert only(converted(message(PID)), "Patient")["id"] == only(converted(message(with_card)), "Patient")["id"]


@pytest.mark.parametrize("typed", ["none", "NULL", "N/A", "无", "未知", "0", "0000", "--", "/"])
def test_who_has_no_number_is_nobody_else(typed: str) -> None:
    """What is typed where there is no number: two people are not one Patient, and one with a number besides has that"""
    first, other = (converted(message(f"PID|1||{typed}^^^^MR||{name}")) for name in ("Li^Si", "Wang^Wu"))
    assert only(first, "Patient")["id"] != only(other, "Patient")["id"]
    assert any("stands alone" in note for note in first.notes)
    numbered = converted(message(f"PID|1||{typed}^^^^MR~7^^^^PI"))
    assert only(numbered, "Patient")["id"] == only(converted(message("PID|1||7^^^^PI")), "Patient")["id"]


@pytest.mark.parametrize("typed", ["none", "0", "无"])
def test_a_visit_or_an_order_without_a_number_does_not_take_the_place_of_another(typed: str) -> None:
    visits = [message(PID, f"PV1|1|O{'|' * 17}{typed}{'|' * 25}{day}") for day in ("20240501", "20240502")]
    results = [message(PID, f"OBR|1|{typed}|{typed}|CBC|||{day}", kind="ORU^R01") for day in ("20240501", "20240502")]
    for kind, raws in (("Encounter", visits), ("DiagnosticReport", results)):
        first, other = (only(converted(raw), kind) for raw in raws)
        assert first["id"] != other["id"]


def test_a_correction_updates_the_result() -> None:
    first = converted(result(obx("NM", "120", "g/L", "|P")))
    corrected = converted(result(obx("NM", "125", "g/L", "|C|||20240501120000"), control_id="10"))
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest"):
        assert only(first, kind)["id"] == only(corrected, kind)["id"]
    assert (only(first, "Observation")["status"], only(corrected, "Observation")["status"]) == ("preliminary", "corrected")


def test_equal_results_of_one_report_stay_apart() -> None:
    twice = converted(result(obx("NM", "1", number=1), obx("NM", "2", number=2)))
    assert len({observation["id"] for observation in resources(twice, "Observation")}) == 2


def test_the_same_order_number_of_another_patient_is_another_report() -> None:
    other = converted(result().replace(b"1001^", b"1002^"))
    assert only(other, "DiagnosticReport")["id"] != only(converted(result()), "DiagnosticReport")["id"]


@pytest.mark.parametrize(
    ("event", "status"),
    [("A01", "in-progress"), ("A04", "in-progress"), ("A05", "planned"), ("A11", "cancelled"), ("A13", "in-progress")],
)
def test_event_to_encounter_status(event: str, status: str) -> None:
    assert only(converted(message("EVN||20240501", PID, PV1, kind=f"ADT^{event}")), "Encounter")["status"] == status


def test_discharge_ends_the_visit_at_the_event_where_pv1_45_is_empty() -> None:
    encounter = only(converted(message("EVN|A03|20240504100000", PID, PV1, kind="ADT^A03")), "Encounter")
    assert encounter["status"] == "finished"
    assert encounter["period"] == {"start": "2024-05-01T08:00:00+08:00", "end": "2024-05-04T10:00:00+08:00"}


def test_adt_replaces_and_oru_creates_only_where_absent() -> None:
    def conditions(raw: bytes) -> dict[str, str | None]:
        entries = converted(raw).bundle["entry"]
        return {entry["resource"]["resourceType"]: entry["request"].get("ifNoneMatch") for entry in entries}

    assert conditions(message(PID, PV1)) | {"Location": None} == dict.fromkeys(
        ("Patient", "Encounter", "Location", "Provenance")
    )
    passing = conditions(message(PID, PV1, OBR, obx("NM", "1"), kind="ORU^R01"))
    assert (passing["Patient"], passing["Encounter"], passing["Observation"]) == ("*", "*", None)


def test_patient_demographics() -> None:
    patient = only(converted(adt(CHINESE, PERSON, "A04", "1"), CHINESE), "Patient")
    systems = {identifier["system"]: identifier["value"] for identifier in patient["identifier"]}
    assert systems["urn:oid:2.16.156.10011.1.3"] == PERSON.id_card and "urn:oid:2.16.156.10011.1.13" in systems
    assert patient["birthDate"] == PERSON.birth.isoformat() and patient["gender"] == PERSON.gender
    assert patient["address"][0]["district"] == PERSON.address.district
    assert patient["telecom"] == [{"system": "phone", "value": PERSON.phone, "use": "mobile"}]


def test_a_wrong_identity_number_is_kept_but_not_called_one_gb_11643() -> None:
    wrong = VALID_CARD[:-1] + ("0" if VALID_CARD[-1] != "0" else "1")
    made = converted(message(PID.replace("1001^^^^MR", f"1001^^^^MR~{wrong}^^^^NI")))
    assert [
        i["value"] for i in only(made, "Patient")["identifier"] if i["system"] == "urn:hie:hospital:hospital-a:identifier:NI"
    ]
    assert any(note.startswith("PID-3[2]: not a resident ID card number") for note in made.notes)
    assert wrong not in json.dumps(made.notes)


def test_a_number_that_is_no_card_is_kept_as_it_is_written() -> None:
    (made,) = only(converted(message("PID|1||a12b^^^^NI||Smith^John")), "Patient")["identifier"]
    assert made["value"] == "a12b"


def test_a_card_names_one_patient_however_its_x_is_typed() -> None:
    card = next(one.id_card for one in people(200) if one.id_card.endswith("X"))
    typed = (only(converted(message(f"PID|1||{number}^^^^NI")), "Patient")["id"] for number in (card, card.lower()))
    assert len(set(typed)) == 1


def test_deceased_and_multiple_birth_have_one_form() -> None:
    patient = only(converted(message(PID + "|" * 16 + "Y|2||||20240101|Y")), "Patient")
    assert (patient["multipleBirthInteger"], patient["deceasedDateTime"]) == (2, "2024-01-01")
    assert not patient.keys() & {"multipleBirthBoolean", "deceasedBoolean"}


@pytest.mark.parametrize(
    ("kind", "value", "unit", "made"),
    [
        ("NM", "4.10", "g/L^^UCUM", {"valueQuantity": {"value": 4.1, "unit": "g/L", "system": UCUM, "code": "g/L"}}),
        ("NM", "4", "个", {"valueQuantity": {"value": 4, "unit": "个"}}),
        ("NM", "<0.5", "", {"valueQuantity": {"value": 0.5, "comparator": "<"}}),
        ("NM", "haemolysed", "", {"valueString": "haemolysed"}),
        ("NM", "1,234", "mg/L", {"valueString": "1,234 mg/L"}),
        ("NM", "haemolysed", "mg/L", {"valueString": "haemolysed"}),
        ("NM", "1~2", "", {"component": [
            {"code": {"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hb"}], "text": "Hb"},
             "valueQuantity": {"value": n}} for n in (1, 2)]}),
        ("SN", ">=^10", "", {"valueQuantity": {"value": 10, "comparator": ">="}}),
        ("SN", "^1^:^128", "", {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}),
        ("SN", ">^1^:^128", "", {"valueRatio": {"numerator": {"value": 1, "comparator": ">"}, "denominator": {"value": 128}}}),
        ("SN", "^1^-^many", "", {"valueString": "^1^-^many"}),
        ("SN", "<^1^-^3", "mg/L", {"valueString": "< 1 - 3 mg/L"}),
        ("SN", "^1^^3", "", {"valueString": "1 3"}),
        ("SN", "^1^-^3", "", {"valueRange": {"low": {"value": 1}, "high": {"value": 3}}}),
        ("ST", "clear & pale^x", "", {"valueString": "clear & pale^x"}),
        ("ST", "5.2", "", {"valueString": "5.2"}),
        ("ST", "5.2", "mmol/L", {"valueQuantity": {"value": 5.2, "unit": "mmol/L"}}),
        ("TX", "<0.1", "mmol/L", {"valueQuantity": {"value": 0.1, "comparator": "<", "unit": "mmol/L"}}),
        ("ST", "3-5", "/HP", {"valueString": "3-5 /HP"}),
        ("ST", "5 mmol/L", "mmol/L", {"valueString": "5 mmol/L"}),
        ("FT", r"a\.br\b~c", "", {"valueString": "a\nb\nc"}),
        ("CWE", "260385009^Negative^SCT", "", {"valueCodeableConcept": {
            "coding": [{"system": "http://snomed.info/sct", "code": "260385009", "display": "Negative"}], "text": "Negative"}}),
        ("DT", "20240501", "", {"valueDateTime": "2024-05-01"}),
        ("TM", "0830", "", {"valueTime": "08:30:00"}),
        ("DR", "20240501^soon", "", {"valueString": "20240501^soon"}),
        ("DR", "20240501^20240502", "", {"valuePeriod": {"start": "2024-05-01", "end": "2024-05-02"}}),
        ("NR", "1^2", "", {"valueRange": {"low": {"value": 1}, "high": {"value": 2}}}),
        ("NR", "1^many", "", {"valueString": "1^many"}),
        ("", "said", "", {"valueString": "said"}),
        ("NM", '""', "", {}),
    ],
)  # fmt: skip
def test_obx_5_by_type(kind: str, value: str, unit: str, made: dict) -> None:
    assert observed(kind, value, unit) == made


def test_decimals_are_written_as_they_came() -> None:
    observation = only(converted(result(obx("NM", "4.10"))), "Observation")
    assert b'"value":4.10' in fhir_json.write(observation)


@pytest.mark.parametrize(
    ("encoding", "data", "stored"),
    [("Base64", "aGVsbG8=", "aGVsbG8="), ("Hex", "68656c6c6f", "aGVsbG8="), ("A", "hello", "aGVsbG8=")],
)
def test_ed_becomes_presented_form(encoding: str, data: str, stored: str) -> None:
    made = converted(result(f"OBX|1|ED|18842-5^Summary^LN||HIS^AP^PDF^{encoding}^{data}||||||F"))
    assert only(made, "DiagnosticReport")["presentedForm"] == [
        {"contentType": "application/pdf", "data": stored, "title": "Summary"}
    ]
    assert not resources(made, "Observation")


def test_unreadable_attachments_are_listed() -> None:
    assert "OBX-5" in converted(result("OBX|1|ED|18842-5||HIS^AP^PDF^Base64^!!!||||||F")).unmapped


def test_flags_ranges_notes_and_codes() -> None:
    made = converted(result("OBX|1|NM|HB^血红蛋白^L||90|g/L|115-175|L~↓|||F", "NTE|1||one~two"))
    observation = only(made, "Observation")
    assert [c["coding"][0]["code"] for c in observation["interpretation"]] == ["L", "L"]
    assert observation["referenceRange"][0]["low"]["value"] == 115 and observation["referenceRange"][0]["text"] == "115-175"
    assert observation["note"] == [{"text": "one\ntwo"}]
    assert observation["code"] == {
        "coding": [{"system": "urn:hie:hospital:hospital-a:code:L", "code": "HB", "display": "血红蛋白"}],
        "text": "血红蛋白",
    }
    assert observation["category"][0]["coding"][0]["code"] == "laboratory"
    assert observation["effectiveDateTime"] == "2024-05-01T07:00:00+08:00"


def test_code_maps_and_time_zone_of_the_hospital() -> None:
    own = replace(OPEN, code_maps={"L": "urn:oid:1.2.3"}, timezone="+06:00")
    observation = only(converted(result("OBX|1|NM|HB^Hb^L||90"), own), "Observation")
    assert observation["code"]["coding"][0]["system"] == "urn:oid:1.2.3"
    assert observation["effectiveDateTime"].endswith("+06:00")


def test_cancelled_results_say_why_there_is_no_value() -> None:
    observation = only(converted(result(obx("NM", "", rest="|X"))), "Observation")
    assert observation["status"] == "cancelled" and observation["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_diagnosis_is_one_condition_however_often_it_is_sent() -> None:
    dg1 = "DG1|1||I10.x00^高血压^I10||20240501|A\rDG1|2||I10.x00^高血压^I10||20240502|F"
    made = converted(message(PID, PV1, dg1))
    condition = only(made, "Condition")
    assert condition["code"]["coding"][0]["system"] == "http://hl7.org/fhir/sid/icd-10"
    uses = [d["use"]["coding"][0]["code"] for d in only(made, "Encounter")["diagnosis"]]
    assert uses == ["AD", "DD"]


def test_allergies_procedures_relatives_and_coverage() -> None:
    made = converted(
        message(
            PID,
            PV1,
            "NK1|1|Doe^Mary|MTH^Mother^HL70063",
            "AL1|1|DA|P^Penicillin^L|SV|rash",
            "PR1|1||47.01^阑尾切除^I9||20240501090000||60",
            "IN1|1|P1|C1|城乡居民医保|||||||||||||||||||||||||||||||||N77",
        )
    )
    assert only(made, "RelatedPerson")["relationship"][0]["coding"][0]["code"] == "MTH"
    allergy = only(made, "AllergyIntolerance")
    assert (allergy["criticality"], allergy["category"], allergy["reaction"][0]["severity"]) == (
        "high",
        ["medication"],
        "severe",
    )
    assert only(made, "Procedure")["performedPeriod"]["end"] == "2024-05-01T10:00:00+08:00"
    assert only(made, "Coverage")["payor"][0]["display"] == "城乡居民医保"


def test_confidentiality_is_carried_orc_28() -> None:
    made = converted(message(PID, "ORC|RE" + "|" * 27 + "R", OBR, obx("NM", "1"), kind="ORU^R01"))
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest"):
        assert only(made, kind)["meta"]["security"][0]["code"] == "R"


@pytest.mark.parametrize("event", sorted(codes.EVENTS.keys() - codes.MERGE_EVENTS))
def test_who_the_patient_is_is_told_by_events_about_that_v2_5_1_3_3_3(event: str) -> None:
    """A discharge with a number and a name only leaves card, address and protection; what asks for protection gets it."""
    sparse = "PID|1||1001^^^^MR||Smith^John"
    for segments, is_replaced in (((sparse,), event in codes.DEMOGRAPHIC_EVENTS), ((sparse, "PD1||||||||||||Y"), True)):
        made = converted(message(*segments, kind=f"ADT^{event}"))
        (patient,) = [one for one in made.bundle["entry"] if one["resource"]["resourceType"] == "Patient"]
        assert ("ifNoneMatch" not in patient["request"]) is is_replaced


@pytest.mark.parametrize(("event", "is_same"), [("A40", True), ("A41", False), ("A45", False), ("A47", True)])
def test_a_merge_replaces_nothing_v2_5_1_3_3_40(event: str, is_same: bool) -> None:
    """Its PID tells whom it is about: the rest of the surviving Patient, the card and the address, stands. The other number is
    the same patient's, but where an account or a visit moves (A41, A45)."""
    made = converted(message("PID|1||1001^^^^MR||Smith^John", "MRG|1002^^^^MR", kind=f"ADT^{event}"))
    (patient,) = [one for one in made.bundle["entry"] if one["resource"]["resourceType"] == "Patient"]
    assert patient["request"]["ifNoneMatch"] == "*"
    other = only(converted(message("PID|1||1002^^^^MR")), "Patient")["id"]
    assert list(made.same) == ([(patient["resource"]["id"], other)] if is_same else [])


@pytest.mark.parametrize(
    ("given", "labels"),
    [("V", "V"), ("U", "N"), ("HIV", "HIV"), ("AID^AIDS patient^HL70177", "HIV"), ("PSY", "PSY"), ("ETH", "ETH"),
     ("VIP", "CEL"), ("EMP", "EMP"), ("UWM", "R"), ("unheard of", "R"), ("PSY~HIV", "PSY HIV")],
)  # fmt: skip
def test_confidentiality_is_all_of_table_0177_and_of_all_that_belongs_to_the_order(given: str, labels: str) -> None:
    made = converted(message(PID, f"ORC|RE{'|' * 27}{given}", OBR, "SPM|1|S1", obx("NM", "1"), kind="ORU^R01"))
    for kind in ("Observation", "DiagnosticReport", "ServiceRequest", "Specimen"):
        assert [one["code"] for one in only(made, kind)["meta"]["security"]] == labels.split()
    assert ("ORC-28" in made.unmapped) == (given == "unheard of")


@pytest.mark.parametrize(("given", "labels"), [("Y", ["R"]), ("N", []), ('""', []), ("", []), ("1", ["R"])])
def test_protection_that_cannot_be_read_is_protection(given: str, labels: list[str]) -> None:
    """DG1-18, PD1-12 and PV2-22, of table 0136."""
    made = converted(
        message(PID, f"PD1|{'|' * 11}{given}", PV1, f"PV2|{'|' * 21}{given}", f"DG1|1||F20^x^I10{'|' * 15}{given}")
    )
    for kind in ("Condition", "Patient", "Encounter"):
        assert [one["code"] for one in only(made, kind).get("meta", {}).get("security", [])] == labels


def test_what_was_taken_back_is_not_shown_as_done() -> None:
    """PR1-20 D (table 0206); OBX-11 D and W (table 0085) of a document, perhaps another patient's."""
    assert only(converted(message(PID, PV1, f"PR1|1||A^x^I9{'|' * 17}D")), "Procedure")["status"] == "entered-in-error"
    for status in "DW":
        made = converted(result(f"OBX|1|ED|18842-5^Summary^LN||HIS^AP^PDF^Base64^aGVsbG8=||||||{status}"))
        assert "presentedForm" not in only(made, "DiagnosticReport")
        assert any(note.startswith("OBX-11") for note in made.notes)


def test_what_belongs_together_says_so_obx_4() -> None:
    made = resources(converted(result(obx("ST", "E. coli"), obx("ST", "R").replace("||R", "|1.2|R"))), "Observation")
    assert [one.get("extension") for one in made] == [
        None,
        [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/observation-v2-subid",
                "extension": [{"url": "original-sub-identifier", "valueString": "1.2"}],
            }
        ],
    ]


def test_a_status_nobody_knows_is_listed() -> None:
    made = converted(result(obx("NM", "1", rest="|?")))
    assert "OBX-11" in made.unmapped


def test_provenance_names_source_and_targets() -> None:
    made = converted(message(PID, PV1, control_id="M5"))
    provenance = only(made, "Provenance")
    assert provenance["agent"][0]["who"]["reference"] == "Organization/hospital-a"
    assert provenance["entity"][0]["what"]["identifier"]["value"] == "M5"
    assert {t["reference"] for t in provenance["target"]} == set(ids(message(PID, PV1, control_id="M5"))) - {
        f"Provenance/{provenance['id']}"
    }
    assert provenance["recorded"] == "2024-05-01T08:30:00.000+00:00"


def test_results_about_nobody_get_a_patient_of_their_own() -> None:
    first, second = (converted(message(OBR, obx("NM", value), kind="ORU^R01")) for value in ("1", "2"))
    assert only(first, "Patient")["id"] != only(second, "Patient")["id"]
    assert only(first, "Observation")["subject"]["reference"] == f"Patient/{only(first, 'Patient')['id']}"


@pytest.mark.parametrize(
    ("raw", "location"),
    [
        (message(PID, kind="MDM^T02"), "MSH-9"),
        (message(PID, kind="ADT^A23"), "MSH-9.2"),
        (message(PID, kind="ORU^R30"), "MSH-9.2"),
        (message("EVN|A01"), "PID"),
    ],
)
def test_what_is_not_supported(raw: bytes, location: str) -> None:
    with pytest.raises(Hl7Error) as refused:
        converted(raw)
    assert refused.value.location == location


def test_notes_and_unmapped_name_fields_never_values() -> None:
    secret = "Zuleikha"
    made = converted(message(f"PID|1||1001^^^^MR||Smith^John||{secret}|{secret}", f"ZXX|1||{secret}", f"NTE|1||{secret}"))
    assert {"PID-7", "PID-8", "ZXX-3", "NTE-3"} <= set(made.unmapped)
    assert secret not in json.dumps([made.unmapped, made.notes])


def test_demo_results_are_whole() -> None:
    made = converted(oru(OPEN, PERSON, "77"))
    assert len(resources(made, "Observation")) == len(LABS)
    assert made.unmapped == [] and made.notes == []
