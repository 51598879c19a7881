"""Code tables of HL7's v2-to-FHIR mapping (concept maps), with what Chinese systems send beside them."""

import re

from fhir_server.r4.identifier_systems import HEALTH_CARD, RESIDENT_ID_CARD
from fhir_server.r4.ucum import UCUM

V2 = "http://terminology.hl7.org/CodeSystem/v2-"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"
HL7 = "http://terminology.hl7.org/CodeSystem/"
FHIR_EXTENSION = "http://hl7.org/fhir/StructureDefinition/"
OUTPATIENT = "urn:oid:2.16.156.10011.1.11"
INPATIENT = "urn:oid:2.16.156.10011.1.12"
RECORD = "urn:oid:2.16.156.10011.1.13"

IDENTIFIER_SYSTEMS = {
    **dict.fromkeys(("NI", "NNCHN", "SFZ", "01"), RESIDENT_ID_CARD),
    **dict.fromkeys(("HC", "JKK"), HEALTH_CARD),
    **dict.fromkeys(("MR", "PI"), RECORD),
    "MZH": OUTPATIENT,
    "ZYH": INPATIENT,
}
# The hospital's own number names a patient best: a card is often missing, and is corrected more often.
PATIENT_KEY_TYPES = ("MR", "PI", "PT", "", "ZYH", "MZH")
CARD_TYPES = frozenset(code for code, system in IDENTIFIER_SYSTEMS.items() if system in (RESIDENT_ID_CARD, HEALTH_CARD))
# What is typed where there is no number: two people, visits or orders with one of these are not one.
PLACEHOLDERS = frozenset({
    "n/a", "na", "nil", "none", "null", "unk", "unknown", "不明", "不详", "无", "无卡", "暂无", "未知", "没有", "無",
})  # fmt: skip

CODE_SYSTEMS = {
    "LN": "http://loinc.org",
    "LOINC": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "SNOMED": "http://snomed.info/sct",
    "SNOMED-CT": "http://snomed.info/sct",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "ICD-10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9": "http://hl7.org/fhir/sid/icd-9",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "ICDO": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "UCUM": UCUM,
    "RXNORM": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "NDC": "http://hl7.org/fhir/sid/ndc",
    "CVX": "http://hl7.org/fhir/sid/cvx",
    "C4": "http://www.ama-assn.org/go/cpt",
    "CPT": "http://www.ama-assn.org/go/cpt",
    "ISO": UCUM,
    "ISO+": UCUM,
    "ISO3166_1": "urn:iso:std:iso:3166",
    "CDCREC": "urn:oid:2.16.840.1.113883.6.238",
}
_V2_NAME = re.compile(r"HL7(\d{4,5})$")


def v2_table(name: str) -> str | None:
    """`HL70078` -> the uri of v2 table 0078."""
    found = _V2_NAME.match(name)
    return f"{V2}{found[1]:0>4}" if found else None


GENDER = {
    **dict.fromkeys(("M", "1", "男"), "male"),
    **dict.fromkeys(("F", "2", "女"), "female"),
    **dict.fromkeys(("O", "A", "N"), "other"),
    **dict.fromkeys(("U", "0", "9", "未知", "未说明"), "unknown"),
}
NAME_USE = {
    "BAD": "old", "D": "usual", "L": "official", "R": "official", "M": "maiden",
    "MSK": "anonymous", "N": "nickname", "NAV": "temp", "TEMP": "temp",
}  # fmt: skip
ADDRESS_USE = {"BA": "old", "BI": "billing", "C": "temp", "B": "work", "O": "work", "H": "home"}
ADDRESS_TYPE = {"M": "postal", "SH": "postal"}
TELECOM_SYSTEM = {
    "PH": "phone", "CP": "phone", "FX": "fax", "MD": "other", "SAT": "other", "BP": "pager",
    "Internet": "email", "X.400": "email", "TDD": "other", "TTY": "other",
}  # fmt: skip
TELECOM_USE = {"PRN": "home", "WPN": "work", "PRS": "mobile", "ORN": "home", "VHN": "temp"}

MARITAL = {
    "A": "L", "E": "L", "D": "D", "M": "M", "S": "S", "W": "W", "C": "C", "G": "T", "P": "T", "R": "T",
    "N": "A", "I": "I", "B": "U",
    "10": "S", "20": "M", "21": "M", "22": "M", "23": "M", "30": "W", "40": "D",
}  # fmt: skip
RELATIONSHIP = {
    "SEL": "ONESELF", "SPO": "SPS", "DOM": "SIGOTHR", "CHD": "CHILD", "GCH": "GRNDCHILD", "NCH": "NCHILD",
    "SCH": "STPCHLD", "FCH": "CHLDFOST", "PAR": "PRN", "MTH": "MTH", "FTH": "FTH", "GRP": "GRPRN", "EXF": "EXT",
    "SIB": "SIB", "BRO": "BRO", "SIS": "SIS", "FND": "FRND",
}  # fmt: skip

# Trigger event -> Encounter.status; None where the event leaves it to PV1. Events not listed are not supported.
# HL7's map has A04 as planned; a registered outpatient has come, so the patient class decides.
EVENTS: dict[str, str | None] = {
    "A01": "in-progress", "A02": "in-progress", "A03": "finished", "A04": None, "A05": "planned", "A06": "in-progress",
    "A07": "in-progress", "A08": None, "A09": "in-progress", "A10": "in-progress", "A11": "cancelled", "A12": "in-progress",
    "A13": "in-progress", "A14": "planned", "A15": None, "A16": None, "A21": "onleave", "A22": "in-progress", "A25": None,
    "A26": None, "A27": "cancelled", "A28": None, "A31": None, "A38": "cancelled", "A40": None, "A41": None, "A45": None,
    "A47": None, "A60": None,
}  # fmt: skip
DECISIVE_EVENTS = frozenset({"A03", "A11", "A13", "A27", "A38"})
MERGE_EVENTS = frozenset({"A40", "A41", "A45", "A47"})
REPLACING_EVENTS = frozenset({"A40", "A47"})  # MRG-1 is another number of the same patient; others move an account, a visit
# Admitted, registered, announced, changed: the others have the fields that the event is about and leave the rest to an A08.
DEMOGRAPHIC_EVENTS = frozenset({"A01", "A04", "A05", "A08", "A28", "A31"})
OVER = frozenset({"finished", "cancelled"})
STARTING_EVENTS = frozenset({"A01", "A04", "A05", "A14"})
WITHIN_EVENTS = frozenset({"A02", "A09", "A10", "A12", "A21", "A22"})  # of a visit that goes on: late, they do not open it
CLASS_STATUS = {"E": "in-progress", "I": "in-progress", "O": "in-progress", "P": "planned", "R": "in-progress",
                "B": "in-progress", "C": "in-progress", "N": "in-progress"}  # fmt: skip
ENCOUNTER_CLASS = {
    "E": ("EMER", "emergency"),
    "I": ("IMP", "inpatient encounter"),
    "O": ("AMB", "ambulatory"),
    "P": ("PRENC", "pre-admission"),
}
PRIORITY = {"1": ("EM", "emergency"), "2": ("UR", "urgent"), "3": ("EL", "elective")}
DIAGNOSIS_ROLE = {
    "A": ("AD", "Admission diagnosis"),
    "AD": ("AD", "Admission diagnosis"),
    "F": ("DD", "Discharge diagnosis"),
    "DD": ("DD", "Discharge diagnosis"),
    "CC": ("CC", "Chief complaint"),
    "CM": ("CM", "Comorbidity diagnosis"),
}
VERIFICATION = {"F": "confirmed", "W": "provisional"}

ALLERGY_CATEGORY = {"DA": "medication", "FA": "food", "EA": "environment", "AA": "biologic", "PA": "environment",
                    "LA": "environment"}  # fmt: skip
ALLERGY_TYPE = dict.fromkeys(("DA", "FA", "MA", "EA", "AA", "PA", "LA"), "allergy")
CRITICALITY = {"SV": "high", "MI": "low"}
SEVERITY = {"SV": "severe", "MO": "moderate", "MI": "mild"}

REPORT_STATUS = {
    "O": "registered", "I": "registered", "S": "registered", "N": "registered", "A": "partial", "R": "partial",
    "P": "preliminary", "M": "preliminary", "C": "corrected", "F": "final", "X": "cancelled",
}  # fmt: skip
OBSERVATION_STATUS = {
    "A": "amended", "B": "amended", "C": "corrected", "D": "entered-in-error", "F": "final", "I": "registered",
    "N": "cancelled", "O": "registered", "P": "preliminary", "R": "preliminary", "S": "preliminary", "U": "final",
    "V": "final", "W": "entered-in-error", "X": "cancelled",
}  # fmt: skip
ABSENT_REASON = {"N": "not-asked", "X": "unknown"}
ORDER_STATUS = {"CA": "revoked", "CM": "completed", "DC": "revoked", "ER": "entered-in-error", "HD": "on-hold",
                "IP": "active", "RP": "revoked", "SC": "active"}  # fmt: skip
ORDER_CONTROL = {
    "AF": "active", "CA": "active", "CR": "revoked", "DC": "revoked", "DF": "revoked", "DR": "revoked", "FU": "completed",
    "HD": "active", "HR": "on-hold", "NW": "active", "OC": "revoked", "OD": "revoked", "OH": "on-hold", "OK": "active",
    "PR": "active", "RL": "active", "RO": "active", "RQ": "active", "XO": "active",
}  # fmt: skip
ORDER_PRIORITY = {"S": "stat", "A": "asap", "R": "routine", "P": "urgent", "T": "urgent", "U": "urgent"}
INTERPRETATION = frozenset(
    [
        "<",
        ">",
        "A",
        "AA",
        "B",
        "CAR",
        "D",
        "DET",
        "E",
        "EX",
        "EXP",
        "H",
        "HH",
        "HU",
        "I",
        "IE",
        "IND",
        "L",
        "LL",
        "LU",
        "N",
        "NCL",
        "ND",
        "NEG",
        "NR",
        "NS",
        "POS",
        "R",
        "RR",
        "S",
        "SDD",
        "SYN-R",
        "SYN-S",
        "U",
        "UNE",
        "W",
        "WR",
    ]
)
INTERPRETATION_SYNONYMS = {"↑": "H", "↓": "L", "↑↑": "HH", "↓↓": "LL", "HIGH": "H", "LOW": "L"}
SECTION_CATEGORY = {
    **dict.fromkeys(
        ["BG", "BLB", "CG", "CH", "CP", "GE", "HM", "IMM", "LAB", "MB", "MCB", "MYC", "OSL", "SP", "SR", "TX", "VR"],
        "laboratory",
    ),
    **dict.fromkeys(["CT", "CUS", "NMR", "NMS", "OUS", "RAD", "RUS", "RX", "VUS", "XRC"], "imaging"),
    **dict.fromkeys(["CTH", "EC", "EN", "PF", "AU"], "procedure"),
}
SPECIMEN_STATUS = {"Y": "available", "N": "unavailable"}
# Table 0177 (its U is usual control, not v3's unrestricted) and what v3-Confidentiality has besides.
CONFIDENTIALITY = {
    **{code: (f"{V3}Confidentiality", code) for code in "LMNRV"},
    "U": (f"{V3}Confidentiality", "N"),
    "UWM": (f"{V3}Confidentiality", "R"),
    **{code: (f"{V3}ActCode", label) for code, label in
       {"HIV": "HIV", "AID": "HIV", "PSY": "PSY", "ETH": "ETH", "VIP": "CEL", "EMP": "EMP"}.items()},
}  # fmt: skip
RESTRICTED = (f"{V3}Confidentiality", "R")
MIME_TYPES = {
    "AP": "application",
    "AU": "audio",
    "IM": "image",
    "TX": "text",
    "FT": "text",
    "TEXT": "text",
    "NS": "application",
}
MIME_SUBTYPES = {"JPEG": "image/jpeg", "JPG": "image/jpeg", "PDF": "application/pdf", "PNG": "image/png", "TIFF": "image/tiff",
                 "GIF": "image/gif", "HTML": "text/html", "RTF": "text/rtf", "XML": "text/xml", "PLAIN": "text/plain",
                 "DICOM": "application/dicom"}  # fmt: skip
