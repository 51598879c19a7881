"""PID, PD1, NK1, IN1 -> Patient, RelatedPerson, Coverage."""

from collections.abc import Sequence

from adapters.hl7v2 import codes, datatypes, times
from adapters.hl7v2.building import Build, Resource, coded, compact, extension, reference
from adapters.hl7v2.directory import organization, practitioner
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.rows import Row, fill, in_extension, leave_backwards, said_by, tell
from adapters.hl7v2.updating import Said, extending, numbered, other, update, used
from adapters.hospitals import Hospital
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD, found_by

_EXT = codes.FHIR_EXTENSION
PROTECTION = ("PD1", 12)


def _language(rep: Repetition, build: Build) -> Resource | None:
    concept = datatypes.codeable(rep, build)
    return {"language": concept} if concept else None


def _social_number(rep: Repetition, build: Build) -> Resource | None:
    # PID-19 is the citizen's number: in China the resident ID card's, where it is one.
    return datatypes.identified(rep, build, rep[1], RESIDENT_ID_CARD, "SB")


def _licence(rep: Repetition, build: Build) -> Resource | None:
    return datatypes.identified(rep, build, rep[1], build.hospital.system("identifier", "DL"), "DL")


def _place(rep: Repetition, _: Build) -> Resource | None:
    return compact(text=rep.text()) or None


def _practice(rep: Repetition, build: Build) -> Resource | None:
    named = organization(rep, build)
    return {"type": "Organization", **named} if named else None


def _is_practice(one: Resource) -> bool:
    """Of PD1-3, not of PD1-4."""
    has_number_only = "identifier" in one and "reference" not in one and "type" not in one
    return has_number_only or one.get("type") == "Organization" or "Organization/" in one.get("reference", "")


def _alias(rep: Repetition, build: Build) -> Resource | None:
    """One that does not say of what kind it is would go with the next PID-5."""
    name = datatypes.human_name(rep, build)
    return name and {"use": "nickname", **name}


def _country(field: int, name: str) -> Row:
    """An extension of a country, which is an extension of that."""
    url = f"{_EXT}{name}"

    def convert(rep: Repetition, build: Build) -> Resource | None:
        concept = datatypes.codeable(rep, build)
        return {"url": url, "extension": [extension("code", valueCodeableConcept=concept)]} if concept else None

    return Row(field, "extension", convert, True, extending(url))


_ALIAS, _WORK = used("anonymous", "maiden", "nickname", "old"), used("work")
_SOCIAL, _LICENCE = numbered("SB"), numbered("DL")
_OWN = other(numbered("SB", "DL"))

PATIENT = (
    Row(2, "identifier", datatypes.identifier, True, _OWN),
    Row(3, "identifier", datatypes.identifier, True, _OWN),
    Row(4, "identifier", datatypes.identifier, True, _OWN),
    Row(19, "identifier", _social_number, True, _SOCIAL, True),
    Row(20, "identifier", _licence, True, _LICENCE, True),
    Row(5, "name", datatypes.human_name, True, other(_ALIAS)),
    Row(9, "name", _alias, True, _ALIAS, True),
    in_extension(6, f"{_EXT}patient-mothersMaidenName", "valueString", datatypes.plain_name),
    Row(7, "birthDate", datatypes.date),
    Row(8, "gender", datatypes.code_of(codes.GENDER)),
    Row(11, "address", datatypes.address, True),
    Row(13, "telecom", datatypes.telecom("home"), True, other(_WORK)),
    Row(14, "telecom", datatypes.telecom("work"), True, _WORK, True),
    Row(40, "telecom", datatypes.telecom(), True),
    Row(15, "communication", _language, True),
    Row(16, "maritalStatus", datatypes.mapped(codes.MARITAL, f"{codes.V3}MaritalStatus")),
    in_extension(17, f"{_EXT}patient-religion", "valueCodeableConcept", datatypes.codeable),
    in_extension(23, f"{_EXT}patient-birthPlace", "valueAddress", _place),
    Row(25, "multipleBirthInteger", datatypes.positive),
    _country(26, "patient-citizenship"),
    _country(28, "patient-nationality"),
    Row(29, "deceasedDateTime", datatypes.date_time),
)
# Said less precisely elsewhere in the segment: mapped where the better field is empty.
PATIENT_ELSE = ((25, Row(24, "multipleBirthBoolean", datatypes.yes)), (29, Row(30, "deceasedBoolean", datatypes.yes)))
PATIENT_MORE = (
    Row(3, "generalPractitioner", _practice, True, _is_practice),
    Row(4, "generalPractitioner", practitioner, True, other(_is_practice)),
    in_extension(6, f"{_EXT}patient-disability", "valueCodeableConcept", datatypes.codeable),
    Row(12, "meta.security", datatypes.protected, True),
    in_extension(14, f"{_EXT}patient-congregation", "valueString", datatypes.label),
)
WHO = (
    *said_by("PID", (*PATIENT, *(row for _, row in PATIENT_ELSE))),
    Said("PID", 12, "address", lambda one: one.keys() == {"district"}, True),
    *said_by("PD1", PATIENT_MORE),
)


def pid(segment: Segment, build: Build) -> None:
    """PID -> Patient, which changes the stored one where the event is about who the patient is (updating.py)."""
    build.told, build.diagnosed = set(), set()
    patient: Resource = fill({"resourceType": "Patient"}, segment, PATIENT, build)
    for better, row in PATIENT_ELSE:
        if better not in segment or segment[better].null():
            fill(patient, segment, (row,), build)
    _county(segment, patient)
    _birth_time(segment, patient, build)
    key = patient_key(segment, build.hospital)
    if not key:
        build.note("PID-3 has no number: this Patient stands alone, and no later message can find it")
    patient["id"] = patient_id(key, build)
    is_told = build.snapshot and build.event in codes.DEMOGRAPHIC_EVENTS
    build.patient = build.put(patient, only_if_absent=not is_told)
    build.change(build.patient, update(build.patient, build.told, WHO, PROTECTION))
    build.encounter = build.request = build.report = build.specimen = build.annotated = build.order = None


def patient_id(key: tuple[str, ...], build: Build) -> str:
    """The Patient's id, by the key that names the patient; without one that of a Patient of this very message."""
    return build.identity("Patient", *(key or (*build.message_key(), build.nth("Patient"))))


def patient_key(segment: Segment, hospital: Hospital, fields: Sequence[int] = (3, 2, 4)) -> tuple[str, ...]:
    """System and value of the identifier that names the hospital's patient: its own number before a card's."""
    found = [rep for n in fields for rep in segment.repetitions(n) if datatypes.is_number(rep[1])]
    if not found:
        return ()
    chosen = min(found, key=_key_rank)
    return found_by(datatypes.identifier_system(chosen, hospital), chosen[1])


def pd1(segment: Segment, build: Build) -> None:
    """PD1 -> Patient: general practitioners, disability, place of worship, protection."""
    if build.patient is None:
        return
    fill(build.patient, segment, PATIENT_MORE, build)
    if "security" in build.patient.get("meta", {}) and build.snapshot:
        build.put(build.patient)  # whatever the event: what asks for protection gets it


def mrg(segment: Segment, build: Build) -> None:
    """MRG-1 (else 4): another number of the same patient, where the event says so."""
    key = patient_key(segment, build.hospital, (1, 4))
    if build.patient is not None and key and build.event in codes.REPLACING_EVENTS:
        build.same.append((build.patient["id"], patient_id(key, build)))


RELATED = (
    Row(2, "name", datatypes.human_name, True),
    Row(30, "name", datatypes.human_name, True),
    Row(3, "relationship", datatypes.mapped(codes.RELATIONSHIP, f"{codes.V3}RoleCode"), True),
    Row(7, "relationship", datatypes.codeable, True),
    Row(4, "address", datatypes.address, True),
    Row(32, "address", datatypes.address, True),
    Row(5, "telecom", datatypes.telecom("home"), True),
    Row(6, "telecom", datatypes.telecom("work"), True),
    Row(31, "telecom", datatypes.telecom(), True),
    Row(40, "telecom", datatypes.telecom(), True),
    Row(41, "telecom", datatypes.telecom(), True),
    Row(8, "period.start", datatypes.date_time),
    Row(9, "period.end", datatypes.date_time),
    Row(12, "identifier", datatypes.identifier, True),
    Row(33, "identifier", datatypes.identifier, True),
    Row(37, "identifier", _social_number, True),
    Row(15, "gender", datatypes.code_of(codes.GENDER)),
    Row(16, "birthDate", datatypes.date),
    Row(20, "communication", _language, True),
)


def nk1(segment: Segment, build: Build) -> None:
    """NK1 -> RelatedPerson."""
    if build.patient is None:
        return
    person = fill({"resourceType": "RelatedPerson", "patient": reference(build.patient)}, segment, RELATED, build)
    leave_backwards(person, segment, (8, 9), build)
    name = person.get("name", [{}])[0].get("text", "")
    own = datatypes.number(segment[33][1]) or datatypes.number(segment[12][1]) or name
    key = (build.patient["id"], own, segment[3][1]) if own else (build.patient["id"], *build.message_key(), build.nth("NK1"))
    tell({**person, "id": build.identity("RelatedPerson", *key)}, segment, RELATED, build)


COVERAGE = (
    Row(15, "type", datatypes.codeable),
    Row(12, "period.start", datatypes.date_time),
    Row(13, "period.end", datatypes.date_time),
    Row(17, "relationship", datatypes.codeable),
    Row(36, "subscriberId", datatypes.first),
    Row(2, "identifier", datatypes.identifier, True),
    Row(49, "identifier", datatypes.identifier, True),
)


def in1(segment: Segment, build: Build) -> None:
    """IN1 -> Coverage; the payor is named, not made a resource: the message knows little about it."""
    payor = segment[4][1] or segment[3][1]
    if build.patient is None or not payor:
        return
    coverage: Resource = {"resourceType": "Coverage", "status": "active", "beneficiary": reference(build.patient)}
    fill(coverage, segment, COVERAGE, build)
    leave_backwards(coverage, segment, (12, 13), build)
    company = datatypes.identifier(segment[3], build) if 3 in segment else None
    coverage["payor"] = [compact(identifier=company, display=payor)]
    coverage.update(compact(**{"class": _classes(segment)}))
    key = (build.patient["id"], segment.text(2), segment.text(3), payor, segment.text(36), segment.text(49))
    tell({**coverage, "id": build.identity("Coverage", *key)}, segment, COVERAGE, build)


def _key_rank(rep: Repetition) -> int:
    if rep[5] in codes.CARD_TYPES:
        return len(codes.PATIENT_KEY_TYPES) + 1
    return codes.PATIENT_KEY_TYPES.index(rep[5]) if rep[5] in codes.PATIENT_KEY_TYPES else len(codes.PATIENT_KEY_TYPES)


def _county(segment: Segment, patient: Resource) -> None:
    county = segment.text(12)
    if not county:
        return
    addresses = patient.setdefault("address", [])
    if len(addresses) == 1 and addresses[0].get("district") in (None, county):
        addresses[0]["district"] = county
    else:
        addresses.append({"district": county})


def _birth_time(segment: Segment, patient: Resource, build: Build) -> None:
    if "birthDate" in patient and len(segment.text(7)) > 8:
        moment = times.date_time(segment.text(7), build.zone)
        patient["_birthDate"] = {"extension": [extension(f"{_EXT}patient-birthTime", valueDateTime=moment)]}


def _classes(segment: Segment) -> list[Resource]:
    system = f"{codes.HL7}coverage-class"
    groups = (("group", segment.text(8), segment.text(9)), ("plan", segment.text(2), segment[2][2]))
    return [compact(type=coded(system, kind), value=value, name=name) for kind, value, name in groups if value]
