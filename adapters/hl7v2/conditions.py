"""DG1, AL1, IAM, PR1 -> Condition, AllergyIntolerance, Procedure."""

from datetime import datetime, timedelta
from typing import Any

from adapters.hl7v2 import codes, datatypes
from adapters.hl7v2.building import Build, Resource, coded, compact, name_of, reference
from adapters.hl7v2.directory import location, practitioner
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.rows import Row, fill, tell
from adapters.hl7v2.updating import take_away

CONDITION = (
    Row(5, "onsetDateTime", datatypes.date_time),
    Row(16, "asserter", practitioner),
    Row(19, "recordedDate", datatypes.date_time),
    Row(20, "identifier", datatypes.entity(), True),
    Row(18, "meta.security", datatypes.protected, True),
)


def dg1(segment: Segment, build: Build) -> None:
    """DG1 -> Condition, and Encounter.diagnosis. The same code in the same visit is the same Condition."""
    code = _described(segment, build)
    if build.patient is None or not code:
        return
    condition: Resource = {"resourceType": "Condition", "subject": reference(build.patient), "code": code}
    condition["category"] = [coded(f"{codes.HL7}condition-category", "encounter-diagnosis", "Encounter Diagnosis")]
    condition.update(compact(encounter=reference(build.encounter) if build.encounter else None))
    fill(condition, segment, CONDITION, build)
    verified = "entered-in-error" if segment.text(21) == "D" else codes.VERIFICATION.get(segment.text(6))
    if verified:
        condition["verificationStatus"] = coded(f"{codes.HL7}condition-ver-status", verified)
    about = (build.encounter or build.patient)["id"]
    condition["id"] = build.identity("Condition", about, datatypes.number(segment.text(20)) or _signature(code))
    tell(condition, segment, CONDITION, build)
    build.told.add(("DG1", 3))
    if 21 in segment:
        build.told.add(("DG1", 21))
    build.diagnosed.add(name_of(condition))
    if build.encounter is not None and verified != "entered-in-error":
        build.encounter.setdefault("diagnosis", []).append(_use(segment, condition, build))
    elif build.encounter is not None:  # added before in the same message
        take_away(build.encounter, "diagnosis", lambda one: one["condition"] == reference(condition))


def _described(segment: Segment, build: Build) -> Resource:
    """Code (field 3, of the coding method in field 2) and description (field 4) of a DG1 or PR1."""
    code = datatypes.codeable(segment[3], build) or {}
    method = build.hospital.code_system(segment.text(2))
    for coding in code.get("coding", [])[:1]:
        coding.update({} if "system" in coding or not method else {"system": method})
    text = segment[4].text() if 4 in segment else ""
    return {**code, "text": text} if text else code


def _use(segment: Segment, condition: Resource, build: Build) -> Resource:
    role = codes.DIAGNOSIS_ROLE.get(segment.text(6))
    use = coded(f"{codes.HL7}diagnosis-role", *role) if role else datatypes.codeable(segment[6], build)
    rank = datatypes.positive(segment[15], build)
    return compact(condition=reference(condition), use=use, rank=rank)


def al1(segment: Segment, build: Build) -> None:
    """AL1 -> AllergyIntolerance."""
    _allergy(segment, build, Row(6, "onsetDateTime", datatypes.date_time), None)


def iam(segment: Segment, build: Build) -> None:
    """IAM -> AllergyIntolerance; IAM-6 D takes it back."""
    onset = Row(11, "onsetDateTime", datatypes.date_time)
    _allergy(segment, build, onset, "entered-in-error" if segment.text(6) == "D" else None)


def _allergy(segment: Segment, build: Build, onset: Row, verified: str | None) -> None:
    if build.patient is None or 3 not in segment:
        return
    allergy: Resource = {"resourceType": "AllergyIntolerance", "patient": reference(build.patient)}
    if verified:
        allergy["verificationStatus"] = coded(f"{codes.HL7}allergyintolerance-verification", verified)
    else:
        allergy["clinicalStatus"] = coded(f"{codes.HL7}allergyintolerance-clinical", "active")
    rows = (Row(3, "code", datatypes.codeable), onset)
    fill(allergy, segment, rows, build)
    kind = segment.text(2)
    category = codes.ALLERGY_CATEGORY.get(kind)
    severity = segment.text(4)
    allergy.update(compact(type=codes.ALLERGY_TYPE.get(kind), category=[category] if category else None))
    allergy.update(compact(criticality=codes.CRITICALITY.get(severity), reaction=_reactions(segment, severity)))
    if kind and kind not in codes.ALLERGY_TYPE:
        segment[2].reject("a code that the mapping does not know")
    if severity and not allergy.keys() & {"criticality", "reaction"}:
        segment[4].reject("a severity without a reaction")
    allergy["id"] = build.identity("AllergyIntolerance", build.patient["id"], _signature(allergy.get("code", {})))
    tell(allergy, segment, rows, build)


def _reactions(segment: Segment, severity: str) -> list[Resource]:
    shown = [{"text": text} for rep in segment.repetitions(5) if (text := rep.text())]
    return [compact(manifestation=shown, severity=codes.SEVERITY.get(severity))] if shown else []


def _performer(function: str = "") -> Any:
    def convert(rep: Repetition, build: Build) -> Resource | None:
        who = practitioner(rep, build)
        role = coded("http://snomed.info/sct", function) if function else None
        return compact(function=role, actor=who) if who else None

    return convert


PROCEDURE = (
    Row(6, "category", datatypes.codeable),
    Row(8, "performer", _performer("88189002"), True),
    Row(11, "performer", _performer("304292004"), True),
    Row(12, "performer", _performer(), True),
    Row(15, "reasonCode", datatypes.codeable, True),
    Row(19, "identifier", datatypes.entity(), True),
    Row(23, "location", location),
)


def pr1(segment: Segment, build: Build) -> None:
    """PR1 -> Procedure (completed: the segment reports what was done); PR1-20 D takes it back."""
    code = _described(segment, build)
    if build.patient is None or not code:
        return
    status = "entered-in-error" if segment.text(20) == "D" else "completed"
    procedure: Resource = {"resourceType": "Procedure", "status": status, "subject": reference(build.patient)}
    procedure["code"] = code
    procedure.update(compact(encounter=reference(build.encounter) if build.encounter else None))
    procedure.update(_performed(segment, build))
    fill(procedure, segment, PROCEDURE, build)
    about = (build.encounter or build.patient)["id"]
    own = datatypes.number(segment.text(19)) or _signature(procedure["code"])
    procedure["id"] = build.identity("Procedure", about, own, segment.text(5))
    tell(procedure, segment, PROCEDURE, build)


_LONGEST = 7 * 24 * 60


def _performed(segment: Segment, build: Build) -> Resource:
    start = datatypes.date_time(segment[5], build)
    minutes = datatypes.positive(segment[7], build)
    if not start or not minutes or minutes > _LONGEST or "T" not in start:
        return compact(performedDateTime=start)
    end = datetime.fromisoformat(start) + timedelta(minutes=minutes)
    return {"performedPeriod": {"start": start, "end": end.isoformat()}}


def _signature(concept: Resource) -> str:
    coding = (concept.get("coding") or [{}])[0]
    is_code = datatypes.is_number(coding.get("code", ""))
    return f"{coding.get('system', '')}|{coding['code']}" if is_code else concept.get("text", "")
