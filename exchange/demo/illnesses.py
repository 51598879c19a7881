"""What people of the demo region come with: illnesses by age and sex, vaccinations, and what is measured of children."""

from collections.abc import Mapping
from typing import NamedTuple

from exchange.demo.messages import LABS, Diagnosis, Lab, Panel, Procedure


class Illness(NamedTuple):
    """Who has it (`sex` empty: either; ages in years), and what the laboratory finds: LOINC code -> above (1), below (-1)."""

    diagnosis: Diagnosis
    youngest: int
    oldest: int
    leaning: Mapping[str, int] = {}
    inpatient: bool = False
    sex: str = ""
    procedures: tuple[Procedure, ...] = ()


class Vaccination(NamedTuple):
    """A dose at an age in days: why it is given, what is done."""

    days: int
    reason: Diagnosis
    dose: Procedure


LEUCOCYTES, HAEMOGLOBIN, GLUCOSE, CREATININE, CHOLESTEROL = "6690-2", "718-7", "14749-6", "14682-9", "14647-2"
BY_CODE = {lab.code: lab for lab in LABS}

ILLNESSES = (
    Illness(Diagnosis("J06.900", "急性上呼吸道感染"), 1, 99, {LEUCOCYTES: 1}),
    Illness(Diagnosis("J18.000", "支气管肺炎"), 1, 12, {LEUCOCYTES: 1}, inpatient=True),
    Illness(Diagnosis("J45.900", "哮喘"), 5, 60),
    Illness(Diagnosis("S52.000", "尺骨上端骨折"), 6, 80, inpatient=True),
    Illness(
        Diagnosis("K35.300", "急性阑尾炎伴局限性腹膜炎"), 8, 60, {LEUCOCYTES: 1}, inpatient=True,
        procedures=(Procedure("47.0901", "阑尾切除术"),),
    ),
    Illness(Diagnosis("D50.900", "缺铁性贫血"), 15, 49, {HAEMOGLOBIN: -1}, sex="female"),
    Illness(Diagnosis("K29.500", "慢性胃炎"), 18, 90),
    Illness(Diagnosis("M54.500", "下背痛"), 25, 90),
    Illness(
        Diagnosis("K80.200", "胆囊结石不伴有胆囊炎"), 30, 85, inpatient=True, procedures=(Procedure("51.2200", "胆囊切除术"),)
    ),
    Illness(Diagnosis("I10.x00", "特发性（原发性）高血压"), 40, 95, {CHOLESTEROL: 1}),
    Illness(Diagnosis("E11.900", "2型糖尿病"), 40, 95, {GLUCOSE: 1}),
    Illness(Diagnosis("N18.300", "慢性肾脏病3期"), 45, 95, {CREATININE: 1, HAEMOGLOBIN: -1}),
    Illness(Diagnosis("I25.100", "动脉硬化性心脏病"), 50, 95, {CHOLESTEROL: 1}, inpatient=True),
    Illness(Diagnosis("J44.900", "慢性阻塞性肺病"), 50, 95),
    Illness(Diagnosis("N40.x00", "前列腺增生"), 50, 95, sex="male"),
)  # fmt: skip
SENSITIVE = (
    Illness(Diagnosis("F32.100", "中度抑郁发作"), 18, 80),
    Illness(Diagnosis("B24.x01", "艾滋病"), 20, 70, {LEUCOCYTES: -1}),
)
"""What the table of sensitive codes (consent/tables) keeps from everybody whom the patient has not let see it."""

BIRTH = Diagnosis("Z38.000", "单胎，在医院内出生")
DELIVERY = Illness(Diagnosis("O80.900", "单胎顺产"), 15, 49, sex="female", inpatient=True)
CHECK_UP = Diagnosis("Z00.100", "儿童常规健康检查")
IMMUNISED_SINCE = 1978
"""China's Expanded Programme on Immunization began in this year."""
BCG = Procedure("99.3300", "抗结核接种")
VACCINATIONS = (
    Vaccination(61, Diagnosis("Z24.000", "为抗脊髓灰质炎采取必要的免疫"), Procedure("99.4100", "脊髓灰质炎疫苗应用")),
    Vaccination(
        92,
        Diagnosis("Z27.100", "为抗白喉-破伤风-百日咳联合采取必要的免疫[DTP]"),
        Procedure("99.3900", "白喉-百日咳-破伤风的三联混合菌应用"),
    ),
    Vaccination(245, Diagnosis("Z24.400", "仅为抗麻疹采取必要的免疫"), Procedure("99.4500", "抗麻疹接种")),
)

GROWTH = Panel("8716-3", "生命体征")
AT_BIRTH = (
    Lab("8339-4", "出生体重", "g", 2600, 4000, 0),
    Lab("89269-5", "出生身长", "cm", 47, 53, 0),
    Lab("9274-2", "5分钟Apgar评分", "{score}", 8, 10, 0),
)
AT_ONE_YEAR = (Lab("29463-7", "体重", "kg", 8, 11.5, 1), Lab("8302-2", "身高", "cm", 71, 79, 1))
