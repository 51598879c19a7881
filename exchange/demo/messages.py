"""HL7 v2.5.1 messages about synthetic people, as the hospitals of the demo region would send them."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from adapters.hl7v2.escape import escape
from adapters.hospitals import ANY, Hospital
from exchange.demo.people import Person
from fhir_server.r4.dates import BEIJING

_EPOCH = datetime(2024, 3, 4, 1, 0, tzinfo=UTC)
_CHARSETS = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000"}
_DOCTORS = (("1001", "王", "建国"), ("1002", "", "艾力·吐尔逊"), ("1003", "李", "静"), ("1004", "", "玛依拉·买买提"))
_WARDS = ("内一科", "外二科", "妇产科", "急诊科")


class Diagnosis(NamedTuple):
    """Code and text of the insurance ICD-10."""

    code: str
    text: str


class Procedure(NamedTuple):
    """Code and text of the insurance ICD-9-CM-3."""

    code: str
    text: str


class Panel(NamedTuple):
    """What is reported on: a LOINC code, its name, and the section of table 0074 that reports."""

    code: str
    name: str
    section: str = ""


class Visit(NamedTuple):
    """A visit to a hospital from `at`, to `until` where it has ended; `ward` empty: any."""

    number: str
    at: datetime
    until: datetime | None = None
    inpatient: bool = False
    ward: str = ""
    diagnoses: Sequence[Diagnosis] = ()
    procedures: Sequence[Procedure] = ()


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
LABORATORY = Panel("26436-6", "实验室检查", "LAB")


def adt(
    hospital: Hospital,
    person: Person,
    event: str,
    control_id: str,
    diagnoses: Sequence[Diagnosis] = (),
    at: datetime = _EPOCH,
) -> bytes:
    """An ADT message of one trigger event (A01, A03, A04, A08) about a visit that began `at`; A03 ends it three days on."""
    inpatient = event in ("A01", "A03")
    until = at + timedelta(days=3) if event == "A03" else None
    visit = Visit(f"V{person.number:06d}", at, until, inpatient, diagnoses=tuple(diagnoses))
    return adt_of(hospital, person, event, control_id, visit, until or at)


def adt_of(
    hospital: Hospital, person: Person, event: str, control_id: str, visit: Visit, sent: datetime, mother: Person | None = None
) -> bytes:
    """An ADT message about a person and a visit as they are when it is `sent`; of a newborn, with the mother."""
    segments = [
        _msh(hospital, f"ADT^{event}^ADT_A01", control_id, sent),
        f"EVN|{event}|{_ts(sent)}",
        _pid(person),
        *([_nk1(mother)] if mother else ()),
        _pv1(person, visit),
        *(_dg1(n, diagnosis, visit.at) for n, diagnosis in enumerate(visit.diagnoses, 1)),
        *(_pr1(n, procedure, visit.at) for n, procedure in enumerate(visit.procedures, 1)),
    ]
    return _encoded(hospital, segments)


def oru(
    hospital: Hospital,
    person: Person,
    control_id: str,
    labs: Sequence[Lab] = LABS,
    at: datetime = _EPOCH,
    seed: int = 1,
    leaning: Mapping[str, int] = MappingProxyType({}),
    panel: Panel = LABORATORY,
) -> bytes:
    """An ORU^R01 message: one report with a result for each of `labs`, some of them outside the reference range.

    `leaning`: of these LOINC codes the result lies above the range (1) or below it (-1).
    """
    chance = random.Random(f"{seed}/{person.number}/{control_id}")
    order = f"L{control_id}"
    doctor = _xcn(_DOCTORS[person.number % len(_DOCTORS)])
    obr = ["OBR", "1", "", order, f"{panel.code}^{panel.name}^LN", "", "", _ts(at), *[""] * 8, doctor, *[""] * 5]
    obr += [_ts(at + timedelta(hours=1)), "", panel.section, "F"]
    segments = [
        _msh(hospital, "ORU^R01^ORU_R01", control_id, at),
        _pid(person),
        "|".join(obr),
        *(_obx(n, lab, at, _value(lab, leaning.get(lab.code, 0), chance)) for n, lab in enumerate(labs, 1)),
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
    card = f"~{person.id_card}^^^^NI" if person.id_card else ""
    script = f"~^{escape(person.script)}^^^^^A" if person.script else ""
    home = person.address
    address = f"{escape(home.street)}^^{home.city}^新疆维吾尔自治区^{home.postcode}^CHN^H^^{home.district}"
    gender = "M" if person.gender == "male" else "F"
    return f"PID|1||{record}{card}||{_xpn(person)}{script}||{person.birth:%Y%m%d}|{gender}|||{address}||{_xtn(person)}"


def _nk1(mother: Person) -> str:
    fields = ["NK1", "1", _xpn(mother), "MTH^母亲^HL70063", "", _xtn(mother), *[""] * 10, f"{mother.birth:%Y%m%d}"]
    return "|".join(fields) + (f"{'|' * 17}{mother.id_card}^^^^NI" if mother.id_card else "")


def _xpn(person: Person) -> str:
    return f"{escape(person.family)}^{escape(person.given)}^^^^^L"


def _xtn(person: Person) -> str:
    return f"{person.phone}^PRN^CP"


def _pv1(person: Person, visit: Visit) -> str:
    fields = [""] * 46
    ward = visit.ward or _WARDS[person.number % len(_WARDS)]
    fields[0:3] = "PV1", "1", "I" if visit.inpatient else "O"
    fields[3] = f"{ward}^{person.number % 20 + 1:02d}^{person.number % 4 + 1}" if visit.inpatient else ward
    fields[7] = _xcn(_DOCTORS[person.number % len(_DOCTORS)])
    fields[19] = f"{visit.number}^^^^VN"
    fields[44], fields[45] = _ts(visit.at), _ts(visit.until) if visit.until else ""
    return "|".join(fields).rstrip("|")


def _dg1(number: int, diagnosis: Diagnosis, at: datetime) -> str:
    kind = "A" if number == 1 else "W"
    return f"DG1|{number}||{diagnosis.code}^{escape(diagnosis.text)}^I10||{_ts(at)}|{kind}"


def _pr1(number: int, procedure: Procedure, at: datetime) -> str:
    return f"PR1|{number}||{procedure.code}^{escape(procedure.text)}^I9C||{_ts(at)}"


def _value(lab: Lab, leaning: int, chance: random.Random) -> float:
    """Mostly within the range; beyond it by up to half its width where it leans."""
    spread = lab.high - lab.low
    if leaning:
        beyond = chance.uniform(0.1, 0.5) * spread
        return round(lab.high + beyond if leaning > 0 else lab.low - beyond, lab.digits)
    return round(chance.uniform(lab.low - spread / 8, lab.high + spread / 8), lab.digits)


def _obx(number: int, lab: Lab, at: datetime, value: float) -> str:
    flag = "L" if value < lab.low else "H" if value > lab.high else "N"
    code, unit = f"{lab.code}^{lab.name}^LN", f"{lab.unit}^{lab.unit}^UCUM"
    fields = ("OBX", str(number), "NM", code, "", f"{value:.{lab.digits}f}", unit, f"{lab.low:g}-{lab.high:g}", flag)
    return "|".join((*fields, "", "", "F", "", "", _ts(at)))


def _xcn(doctor: tuple[str, str, str]) -> str:
    return "^".join(doctor)


def _ts(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")
