"""HL7 v2.5.1 messages about synthetic people, as the hospitals of the demo region would send them."""

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from adapters.hl7v2.escape import escape
from adapters.hospitals import ANY, Hospital
from exchange.demo.people import Person

_BEIJING = timezone(timedelta(hours=8))
_EPOCH = datetime(2024, 3, 4, 1, 0, tzinfo=UTC)
_CHARSETS = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}
_DOCTORS = (("1001", "王", "建国"), ("1002", "", "艾力·吐尔逊"), ("1003", "李", "静"), ("1004", "", "玛依拉·买买提"))
_WARDS = ("内一科", "外二科", "妇产科", "急诊科")


class Diagnosis(NamedTuple):
    """Code and text of the insurance ICD-10."""

    code: str
    text: str


class Lab(NamedTuple):
    """A LOINC test: code, name, unit, the reference range, and how far results go beyond it."""

    code: str
    name: str
    unit: str
    low: float
    high: float
    digits: int


DIAGNOSES = (
    Diagnosis("I10.x00", "特发性（原发性）高血压"),
    Diagnosis("E11.900", "2型糖尿病"),
    Diagnosis("J18.900", "肺炎"),
    Diagnosis("K29.500", "慢性胃炎"),
    Diagnosis("J44.900", "慢性阻塞性肺病"),
    Diagnosis("M54.500", "下背痛"),
)
SENSITIVE_DIAGNOSES = (
    Diagnosis("B24.x01", "艾滋病"),
    Diagnosis("B20.000", "人类免疫缺陷病毒[HIV]病造成的分枝杆菌感染"),
    Diagnosis("F20.000", "偏执型精神分裂症"),
)
LABS = (
    Lab("6690-2", "白细胞计数", "10*9/L", 3.5, 9.5, 2),
    Lab("789-8", "红细胞计数", "10*12/L", 3.8, 5.8, 2),
    Lab("718-7", "血红蛋白", "g/L", 115, 175, 0),
    Lab("777-3", "血小板计数", "10*9/L", 125, 350, 0),
    Lab("14749-6", "葡萄糖", "mmol/L", 3.9, 6.1, 2),
    Lab("14682-9", "肌酐", "umol/L", 41, 111, 1),
    Lab("1742-6", "丙氨酸氨基转移酶", "U/L", 7, 50, 0),
    Lab("14647-2", "总胆固醇", "mmol/L", 2.8, 5.2, 2),
    Lab("2823-3", "钾", "mmol/L", 3.5, 5.3, 1),
    Lab("2951-2", "钠", "mmol/L", 137, 147, 0),
)


def adt(
    hospital: Hospital,
    person: Person,
    event: str,
    control_id: str,
    diagnoses: Sequence[Diagnosis] = (),
    at: datetime = _EPOCH,
    visit: str = "",
) -> bytes:
    """An ADT message of one trigger event (A01, A03, A04, A08) about a visit that began `at`; A03 ends it three days on."""
    visit = visit or f"V{person.number:06d}"
    inpatient = event in ("A01", "A03")
    discharged = at + timedelta(days=3) if event == "A03" else None
    segments = [
        _msh(hospital, f"ADT^{event}^ADT_A01", control_id, discharged or at),
        f"EVN|{event}|{_ts(discharged or at)}",
        _pid(person),
        _pv1(person, visit, at, inpatient, discharged),
        *(_dg1(n, diagnosis, at) for n, diagnosis in enumerate(diagnoses, 1)),
    ]
    return _encoded(hospital, segments)


def oru(
    hospital: Hospital,
    person: Person,
    control_id: str,
    labs: Sequence[Lab] = LABS,
    at: datetime = _EPOCH,
    seed: int = 1,
    order: str = "",
) -> bytes:
    """An ORU^R01 message: one report with a result for each of `labs`, some of them outside the reference range."""
    chance = random.Random(f"{seed}/{person.number}/{control_id}")
    order = order or f"L{control_id}"
    doctor = _xcn(_DOCTORS[person.number % len(_DOCTORS)])
    obr = ["OBR", "1", "", order, "26436-6^实验室检查^LN", "", "", _ts(at), *[""] * 8, doctor, *[""] * 5]
    obr += [_ts(at + timedelta(hours=1)), "", "LAB", "F"]
    segments = [
        _msh(hospital, "ORU^R01^ORU_R01", control_id, at),
        _pid(person),
        "|".join(obr),
        *(_obx(n, lab, at, chance) for n, lab in enumerate(labs, 1)),
    ]
    return _encoded(hospital, segments)


def story(hospital: Hospital, everyone: Iterable[Person], seed: int = 1) -> Iterator[bytes]:
    """What a hospital sends about people over some weeks: registration or admission, results, discharge."""
    for person in everyone:
        chance = random.Random(f"{seed}/{hospital.id}/{person.number}")
        at = _EPOCH + timedelta(days=chance.randrange(60), minutes=chance.randrange(600))
        found = chance.sample(DIAGNOSES, chance.randint(1, 2))
        if chance.random() < 0.15:
            found.append(chance.choice(SENSITIVE_DIAGNOSES))
        stem = f"{seed}-{person.number:06d}"
        admitted = chance.random() < 0.4
        yield adt(hospital, person, "A01" if admitted else "A04", f"{stem}-1", found, at)
        labs = chance.sample(LABS, chance.randint(3, len(LABS)))
        yield oru(hospital, person, f"{stem}-2", labs, at + timedelta(hours=2), seed)
        if admitted:
            yield adt(hospital, person, "A03", f"{stem}-3", found, at)


def _encoded(hospital: Hospital, segments: list[str]) -> bytes:
    return ("\r".join(segments) + "\r").encode(hospital.charset)


def _msh(hospital: Hospital, kind: str, control_id: str, at: datetime) -> str:
    facility = next((one for one in hospital.facilities if one != ANY), hospital.id)
    application = next((one for one in hospital.applications if one != ANY), "HIS")
    sent = _ts(at)
    fields = ("MSH", "^~\\&", escape(application), escape(facility), "HIE", "REGION", sent, "", kind, control_id, "P", "2.5.1")
    return "|".join(fields) + f"||||||{_CHARSETS[hospital.charset]}"


def _pid(person: Person) -> str:
    record = f"MR{person.number:07d}^^^^MR"
    card = f"{person.id_card}^^^^NI"
    name = f"{escape(person.family)}^{escape(person.given)}^^^^^L"
    home = person.address
    address = f"{escape(home.street)}^^{home.city}^新疆维吾尔自治区^{home.postcode}^CHN^H^^{home.district}"
    gender = "M" if person.gender == "male" else "F"
    phone = f"{person.phone}^PRN^CP"
    return f"PID|1||{record}~{card}||{name}||{person.birth:%Y%m%d}|{gender}|||{address}||{phone}"


def _pv1(person: Person, visit: str, at: datetime, inpatient: bool, discharged: datetime | None) -> str:
    fields = [""] * 46
    ward = _WARDS[person.number % len(_WARDS)]
    fields[0:3] = "PV1", "1", "I" if inpatient else "O"
    fields[3] = f"{ward}^{person.number % 20 + 1:02d}^{person.number % 4 + 1}" if inpatient else ward
    fields[7] = _xcn(_DOCTORS[person.number % len(_DOCTORS)])
    fields[19] = f"{visit}^^^^VN"
    fields[44], fields[45] = _ts(at), _ts(discharged) if discharged else ""
    return "|".join(fields).rstrip("|")


def _dg1(number: int, diagnosis: Diagnosis, at: datetime) -> str:
    kind = "A" if number == 1 else "W"
    return f"DG1|{number}||{diagnosis.code}^{escape(diagnosis.text)}^I10||{_ts(at)}|{kind}"


def _obx(number: int, lab: Lab, at: datetime, chance: random.Random) -> str:
    spread = lab.high - lab.low
    value = round(chance.uniform(lab.low - spread / 8, lab.high + spread / 8), lab.digits)
    flag = "L" if value < lab.low else "H" if value > lab.high else "N"
    code, unit = f"{lab.code}^{lab.name}^LN", f"{lab.unit}^{lab.unit}^UCUM"
    fields = ("OBX", str(number), "NM", code, "", f"{value:.{lab.digits}f}", unit, f"{lab.low:g}-{lab.high:g}", flag)
    return "|".join((*fields, "", "", "F", "", "", _ts(at)))


def _xcn(doctor: tuple[str, str, str]) -> str:
    return "^".join(doctor)


def _ts(at: datetime) -> str:
    return at.astimezone(_BEIJING).strftime("%Y%m%d%H%M%S")
