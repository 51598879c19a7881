"""PID, PD1, NK1, IN1 and the people and places named in other segments -> Patient, RelatedPerson, Coverage, Practitioner,
Location."""

from collections.abc import Sequence
from typing import Any

from adapters.hl7v2 import codes, datatypes, times, updating
from adapters.hl7v2.building import Build, Resource, coded, compact, extension, reference
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.rows import Row, fill, leave_backwards, tell
from adapters.hospitals import Hospital
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD, found_by

_EXT = codes.FHIR_EXTENSION


def _country(rep: Repetition, build: Build) -> Resource | None:
    concept = datatypes.codeable(rep, build)
    return {"extension": [extension("code", valueCodeableConcept=concept)]} if concept else None


def _nested(url: str) -> Any:
    def convert(rep: Repetition, build: Build) -> Resource | None:
        inner = _country(rep, build)
        return {"url": url, **inner} if inner else None

    return convert


def _language(rep: Repetition, build: Build) -> Resource | None:
    concept = datatypes.codeable(rep, build)
    return {"language": concept} if concept else None


def _social_number(rep: Repetition, build: Build) -> Resource | None:
    # PID-19 is the citizen's number: in China the resident ID card's, where it is one.
    return datatypes.identified(rep, build, rep[1], RESIDENT_ID_CARD, "SB")


def _licence(rep: Repetition, build: Build) -> Resource | None:
    return datatypes.identified(rep, build, rep[1], build.hospital.system("identifier", "DL"), "DL")


def _birth_place(rep: Repetition, _: Build) -> Resource | None:
    place = rep.text()
    return extension(f"{_EXT}patient-birthPlace", valueAddress={"text": place}) if place else None


def _alias(rep: Repetition, build: Build) -> Resource | None:
    """One that does not say of what kind it is would go with the next PID-5."""
    name = datatypes.human_name(rep, build)
    return name and {"use": "nickname", **name}


PATIENT = (
    Row(2, "identifier", datatypes.identifier, True),
    Row(3, "identifier", datatypes.identifier, True),
    Row(4, "identifier", datatypes.identifier, True),
    Row(19, "identifier", _social_number, True),
    Row(20, "identifier", _licence, True),
    Row(5, "name", datatypes.human_name, True),
    Row(9, "name", _alias, True),
    Row(6, "extension", datatypes.extended(f"{_EXT}patient-mothersMaidenName", "valueString", datatypes.plain_name), True),
    Row(7, "birthDate", datatypes.date),
    Row(8, "gender", datatypes.code_of(codes.GENDER)),
    Row(11, "address", datatypes.address, True),
    Row(13, "telecom", datatypes.telecom("home"), True),
    Row(14, "telecom", datatypes.telecom("work"), True),
    Row(40, "telecom", datatypes.telecom(), True),
    Row(15, "communication", _language, True),
    Row(16, "maritalStatus", datatypes.mapped(codes.MARITAL, f"{codes.V3}MaritalStatus")),
    Row(17, "extension", datatypes.extended(f"{_EXT}patient-religion", "valueCodeableConcept", datatypes.codeable), True),
    Row(23, "extension", _birth_place, True),
    Row(25, "multipleBirthInteger", datatypes.positive),
    Row(26, "extension", _nested(f"{_EXT}patient-citizenship"), True),
    Row(28, "extension", _nested(f"{_EXT}patient-nationality"), True),
    Row(29, "deceasedDateTime", datatypes.date_time),
)
# Said less precisely elsewhere in the segment: mapped where the better field is empty.
PATIENT_ELSE = ((25, Row(24, "multipleBirthBoolean", datatypes.yes)), (29, Row(30, "deceasedBoolean", datatypes.yes)))


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
    build.change(build.patient, updating.update(build.patient, build.told, updating.PATIENT, ("PD1", 12)))
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


def _practice(rep: Repetition, build: Build) -> Resource | None:
    named = organization(rep, build)
    return {"type": "Organization", **named} if named else None


def pd1(segment: Segment, build: Build) -> None:
    """PD1 -> Patient: general practitioners, disability, place of worship, protection."""
    if build.patient is None:
        return
    rows = (
        Row(3, "generalPractitioner", _practice, True),
        Row(4, "generalPractitioner", practitioner, True),
        Row(6, "extension", datatypes.extended(f"{_EXT}patient-disability", "valueCodeableConcept", datatypes.codeable), True),
        Row(12, "meta.security", datatypes.protected, True),
        Row(14, "extension", datatypes.extended(f"{_EXT}patient-congregation", "valueString", datatypes.label), True),
    )
    fill(build.patient, segment, rows, build)
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


def practitioner(rep: Repetition, build: Build) -> Resource | None:
    """XCN -> reference to a Practitioner; one without a number is only named, since names alone would mix people up."""
    name = datatypes.practitioner_name(rep, build)
    display = name["text"] if name else ""
    if not datatypes.is_number(rep[1]):
        return {"display": display} if display else None
    system = datatypes.hd_uri(rep, 9) or build.hospital.system("practitioner", *filter(None, (rep[9],)))
    kind = coded(f"{codes.V2}0203", rep[13]) if rep[13] else None
    known = [compact(type=kind, system=system, value=rep[1], assigner=datatypes.assigner(rep, 9))]
    made = compact(resourceType="Practitioner", identifier=known, name=[name] if name else None)
    made["id"] = build.identity("Practitioner", system, rep[1])
    return reference(build.put(made, only_if_absent=True), display)


def organization(rep: Repetition, build: Build) -> Resource | None:
    """XON -> a reference that names the organization, and gives its number where it has one."""
    number = rep[10] or rep[3]
    known = compact(system=datatypes.hd_uri(rep, 6), value=number) if number else None
    return compact(identifier=known, display=rep[1]) or None


def producer(rep: Repetition, build: Build) -> Resource | None:
    """CWE (OBX-15) -> a reference that names the organization by code and text."""
    known = compact(system=build.hospital.code_system(rep[3]), value=rep[1]) if rep[1] else None
    return compact(identifier=known, display=rep[9] or rep[2] or rep[1]) or None


_PLACES = (
    (3, "bd", "Bed"),
    (2, "ro", "Room"),
    (1, "wa", "Ward"),
    (8, "lvl", "Level"),
    (7, "bu", "Building"),
    (4, "si", "Site"),
)
_LARGE_TO_SMALL = (4, 7, 8, 1, 2, 3)


def location(rep: Repetition, build: Build) -> Resource | None:
    """PL -> reference to a Location: the most granular place, named with those it lies in."""
    parts = [rep[n] for n in _LARGE_TO_SMALL if rep[n]]
    name = " ".join(parts) or rep[9]
    if not name:
        return None
    kind = next(((code, display) for n, code, display in _PLACES if rep[n]), None)
    made = compact(
        resourceType="Location",
        name=name,
        description=rep[9],
        mode="instance",
        physicalType=coded(f"{codes.HL7}location-physical-type", *kind) if kind else None,
        managingOrganization={"reference": f"Organization/{build.hospital.id}"},
    )
    made["id"] = build.identity("Location", *parts, rep[9])
    return reference(build.put(made, only_if_absent=True), name)


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
