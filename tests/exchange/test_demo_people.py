"""Issue 3.3: the demo's 60 people and their lives are consistent, and every message is understood whole."""

import json
import re
from collections import Counter
from datetime import date, datetime
from pathlib import Path

from adapters import hospitals
from exchange.demo.illnesses import BCG, BIRTH, CHECK_UP, DELIVERY, ILLNESSES, SENSITIVE, VACCINATIONS
from exchange.demo.lives import illnesses_of, messages
from exchange.demo.people import UNASSIGNED_DIVISIONS, Person
from exchange.demo.residents import AS_OF, KNOWN_BY, PEOPLE, age, known, knows, mother_of, residents
from exchange.demo.story.stage import HEROINE
from exchange.settings import DEMO_REGION
from fhir_server.persons import idcard
from fhir_server.r4 import json as fhir_json
from fhir_server.r4.validation import validate
from tests.adapters.support import converted
from tests.fixtures import FIXTURES

HOSPITALS = hospitals.load(DEMO_REGION)
EVERYONE = residents()
SENT = {name: messages(hospital, EVERYONE) for name, hospital in HOSPITALS.items()}
TIMES = re.compile(r"\|(\d{14})(?=[|\r])")


def text(institution: str, message: bytes) -> str:
    return message.decode(HOSPITALS[institution].charset)


def of(person: Person) -> list[str]:
    """All messages about a person, whoever sent them."""
    return [told for name, sent in SENT.items() for one in sent if f"|MR{person.number:07d}^" in (told := text(name, one))]


def test_the_same_people_and_messages_every_time() -> None:
    assert residents() == EVERYONE and len(EVERYONE) == PEOPLE == 60
    assert all(messages(hospital, EVERYONE) == SENT[name] for name, hospital in HOSPITALS.items())


def test_no_id_card_can_be_a_real_persons() -> None:
    """GB 11643 check character; a division code that GB/T 2260 assigns to no place; birth and sex agree; no number twice."""
    assigned = json.loads((FIXTURES / "china" / "gbt2260-xinjiang.json").read_text("utf-8"))
    for one in EVERYONE:
        assert idcard.valid(one.id_card) and one.id_card[:6] in UNASSIGNED_DIVISIONS and one.id_card[:6] not in assigned
        assert one.id_card[6:14] == f"{one.birth:%Y%m%d}"
        assert (int(one.id_card[16]) % 2 == 1) == (one.gender == "male")
    assert len({one.id_card for one in EVERYONE}) == PEOPLE


def test_names_are_of_their_culture() -> None:
    """Uyghur and Kazakh names: no family name, the father's name behind an interpunct, and their own script."""
    assert {one.culture for one in EVERYONE} == {"han", "uyghur", "kazakh", "hui"}
    for one in EVERYONE:
        if one.culture in ("uyghur", "kazakh"):
            assert one.family == "" and one.given.count("·") == 1 and re.fullmatch("[\u0600-\u06ff ]+", one.script)
        else:
            assert one.family and one.given and not one.script


def test_the_readme_counts_right() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert f"send {sum(map(len, SENT.values()))} HL7 v2 messages about {PEOPLE} synthetic people" in readme


def test_who_knows_whom() -> None:
    """Everybody was born in the clinic's quarter; ten are known to it alone, thirty to two, twenty to all three."""
    assert Counter(sum(knows(name, one) for name in KNOWN_BY) for one in EVERYONE) == {1: 10, 2: 30, 3: 20}
    assert KNOWN_BY.keys() == HOSPITALS.keys()
    for name, sent in SENT.items():
        seen = {int(found) for one in sent for found in re.findall(r"\|MR(\d{7})\^", text(name, one))}
        assert seen == {one.number for one in known(name, EVERYONE)}


def test_lives_begin_at_birth_and_end_before_today() -> None:
    """No time before birth (but the mother's), none after AS_OF, which is in the past; in the order of time."""
    assert datetime.now().date() > AS_OF
    for one in EVERYONE:
        moments = [datetime.strptime(found, "%Y%m%d%H%M%S") for told in of(one) for found in TIMES.findall(told)]
        assert min(moments).date() == one.birth
        assert max(moments).date() <= AS_OF
    for name, sent in SENT.items():
        headers = [text(name, one).split("|")[6] for one in sent]
        assert headers == sorted(headers)


def test_a_life_is_told_by_all_message_types() -> None:
    kinds = Counter(text(name, one).split("|")[8] for name, sent in SENT.items() for one in sent)
    assert kinds.keys() == {f"ADT^{event}^ADT_A01" for event in ("A01", "A03", "A04", "A08")} | {"ORU^R01^ORU_R01"}
    assert kinds["ADT^A08^ADT_A01"] == PEOPLE  # each newborn gets a name and a number


def test_newborns_are_their_mothers() -> None:
    """Before the name and the number, a child is its mother's; mothers are women of the right age."""
    for child in EVERYONE:
        mother = mother_of(child, EVERYONE)
        assert mother.gender == "female" and 20 <= age(mother, child.birth) <= 38 and mother.culture == child.culture
        (first, *_) = (told for told in of(child) if BIRTH.code in told)
        assert f"{mother.given}之" in first and child.id_card not in first and "|MTH^" in first
    assert sum(mother_of(child, EVERYONE) in EVERYONE for child in EVERYONE) > 20


def test_illnesses_fit_age_and_sex() -> None:
    for person in EVERYONE:
        had = illnesses_of(person)
        assert [day for day, _ in had] == sorted(day for day, _ in had)
        for day, illness in had:
            assert illness.youngest <= age(person, day) <= illness.oldest and illness.sex in ("", person.gender)
        stays = [illness.diagnosis for _, illness in had if illness.inpatient]
        assert len(set(stays)) == len(stays)


def test_vaccinations_are_of_their_time() -> None:
    """China's Expanded Programme on Immunization began in 1978."""
    doses = [BCG, *(one.dose for one in VACCINATIONS)]
    for person in EVERYONE:
        given = [dose for dose in doses if any(dose.code in told for told in of(person))]
        assert given == (doses if person.birth >= date(1978, 1, 1) else [])


def test_codes_are_of_the_insurance_tables() -> None:
    """ICD-10 and ICD-9-CM-3, medical insurance editions, with their Chinese names."""
    illnesses = (*ILLNESSES, *SENSITIVE, DELIVERY)
    diagnoses = {BIRTH, CHECK_UP, *(one.diagnosis for one in illnesses), *(one.reason for one in VACCINATIONS)}
    procedures = {BCG, *(done for one in illnesses for done in one.procedures), *(one.dose for one in VACCINATIONS)}
    for name, codes in (("icd10-cn.dat", diagnoses), ("icd9cm3-cn.dat", procedures)):
        lines = (FIXTURES / "china" / name).read_text("utf-8").splitlines()
        table = dict(line.split(" ", 1) for line in lines if " " in line)
        assert all(table[code] == display for code, display in codes)


def test_every_message_converts_whole_and_valid() -> None:
    """No field is unmapped, no note is made, each resource is valid R4."""
    for name, sent in SENT.items():
        for raw in sent:
            result = converted(raw, HOSPITALS[name])
            assert result.unmapped == [] and result.notes == []
            for entry in result.bundle["entry"]:
                validate(fhir_json.read(fhir_json.write(entry["resource"])))


def test_the_heroine_fits_her_part() -> None:
    """Known to all three, an adult, of a culture with its own script, with one sensitive diagnosis, which is hospital A's."""
    heroine = EVERYONE[HEROINE]
    assert all(knows(name, heroine) for name in KNOWN_BY) and heroine.script and heroine.gender == "female"
    assert age(heroine, AS_OF) >= 18
    sensitive = [one for _, one in illnesses_of(heroine) if one in SENSITIVE]
    assert len(sensitive) == 1
    told = [text("hospital-a", one) for one in SENT["hospital-a"]]
    assert any(sensitive[0].diagnosis.code in one and f"MR{HEROINE:07d}" in one for one in told)
