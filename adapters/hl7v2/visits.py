"""EVN, PV1, PV2 -> Provenance, Encounter."""

from typing import Any

from adapters.hl7v2 import codes, datatypes
from adapters.hl7v2.building import Build, Resource, coded, compact, reference
from adapters.hl7v2.directory import location, practitioner
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.rows import Row, fill, in_extension, leave_backwards, said_by
from adapters.hl7v2.updating import Of, Said, Update, anew, is_backwards, numbered, other, take_away, update
from fhir_server.r4.ucum import UCUM

PROTECTION = ("PV2", 22)


def evn(segment: Segment, build: Build) -> None:
    """EVN -> Provenance, and the time of the event."""
    segment.text(1)
    rows = (
        Row(6, "occurredDateTime", datatypes.date_time),
        Row(2, "occurredDateTime", datatypes.date_time),
        Row(4, "reason", datatypes.codeable, True),
        Row(5, "agent", _operator, True),
        Row(7, "location", _facility),
    )
    fill(build.provenance, segment, rows, build)
    build.event_time = build.provenance.get("occurredDateTime", "")


def _facility(rep: Repetition, _: Build) -> Resource | None:
    uri = datatypes.universal(rep[2], rep[3])
    known = {"system": "urn:ietf:rfc:3986", "value": uri} if uri else None
    return compact(identifier=known, display=rep[1]) or None


def _operator(rep: Repetition, build: Build) -> Resource | None:
    who = practitioner(rep, build)
    return {"type": coded(f"{codes.HL7}provenance-participant-type", "enterer"), "who": who} if who else None


def _participant(code: str, display: str) -> Any:
    kind = [coded(f"{codes.V3}ParticipationType", code, display)]

    def convert(rep: Repetition, build: Build) -> Resource | None:
        who = practitioner(rep, build)
        return {"type": kind, "individual": who} if who else None

    return convert


def _place(status: str) -> Any:
    def convert(rep: Repetition, build: Build) -> Resource | None:
        where = location(rep, build)
        return {"location": where, "status": status} if where else None

    return convert


def _placed(status: str) -> Of:
    return lambda one: one.get("status") == status


def _acting(code: str) -> Of:
    """Participants of this type."""
    return lambda one: any(coding.get("code") == code for kind in one.get("type", ()) for coding in kind.get("coding", ()))


def _named_place(rep: Repetition, _: Build) -> Resource | None:
    name = rep[9] or rep[1]
    return {"display": name} if name else None


def _visit_number(rep: Repetition, build: Build) -> Resource | None:
    made = datatypes.identifier(rep, build)
    return {**made, "type": coded(f"{codes.V2}0203", "VN", "Visit number")} if made else None


ENCOUNTER = (
    Row(3, "location", _place("active"), True, _placed("active")),
    Row(6, "location", _place("completed"), True, _placed("completed")),
    Row(11, "location", _place("active"), True, lambda _: False),  # it cannot be told from the bed that it is left for
    Row(42, "location", _place("reserved"), True, _placed("reserved")),
    Row(4, "type", datatypes.codeable, True),
    Row(5, "hospitalization.preAdmissionIdentifier", datatypes.identifier),
    Row(7, "participant", _participant("ATND", "attender"), True, _acting("ATND")),
    Row(8, "participant", _participant("REF", "referrer"), True, _acting("REF")),
    Row(9, "participant", _participant("CON", "consultant"), True, _acting("CON")),
    Row(17, "participant", _participant("ADM", "admitter"), True, _acting("ADM")),
    Row(52, "participant", _participant("PART", "Participation"), True, _acting("PART")),
    Row(10, "serviceType", datatypes.codeable),
    Row(13, "hospitalization.reAdmission", datatypes.codeable),
    Row(14, "hospitalization.admitSource", datatypes.codeable),
    Row(15, "hospitalization.specialArrangement", datatypes.codeable, True),
    Row(16, "hospitalization.specialCourtesy", datatypes.codeable, True),
    Row(19, "identifier", _visit_number, True, numbered("VN")),
    Row(50, "identifier", datatypes.identifier, True, other(numbered("VN"))),
    Row(36, "hospitalization.dischargeDisposition", datatypes.codeable),
    Row(37, "hospitalization.destination", _named_place),
    Row(38, "hospitalization.dietPreference", datatypes.codeable, True),
    Row(44, "period.start", datatypes.date_time),
    Row(45, "period.end", datatypes.date_time),
)


def pv1(segment: Segment, build: Build) -> None:
    """PV1 -> Encounter. Class N says that there is none."""
    if build.patient is None or (segment.text(2) == "N" and 19 not in segment):
        return
    encounter: Resource = {"resourceType": "Encounter", "subject": reference(build.patient)}
    fill(encounter, segment, ENCOUNTER, build)
    encounter["class"] = _class(segment.text(2), segment[2][2])
    encounter["status"] = _status(segment, build)
    encounter["serviceProvider"] = {"reference": f"Organization/{build.hospital.id}"}
    _end(encounter, build)
    leave_backwards(encounter, segment, (44, 45), build)
    encounter["id"] = build.identity("Encounter", *_visit_key(segment, build))
    build.encounter = build.put(encounter, only_if_absent=not build.snapshot)
    build.change(build.encounter, _changed(build.encounter, segment, build))


def _changed(said: Resource, segment: Segment, build: Build) -> Update:
    """How the visit changes: as the table of its fields says, and by its diagnoses, which come whole (v2.5.1 2.10.4.1) unless
    they say what becomes of each of them (DG1-21)."""
    told, diagnosed, event = build.told, build.diagnosed, build.event  # not the build, which would be kept in a ring
    diagnoses = Said(
        "DG1", 3, "diagnosis", lambda one: ("DG1", 21) not in told or one["condition"].get("reference") in diagnosed
    )
    change, start = update(said, told, (*VISIT, diagnoses), PROTECTION), anew(said, told, PROTECTION)
    untold = ("serviceProvider", *(() if 2 in segment else ("class",)))

    def over(stands: Resource) -> Resource:
        if _is_another(said, stands, event):
            return start(stands)
        left = (*untold, "status") if _leaves_status(said, stands, event) else untold
        made = change(_reopened(stands) if "status" not in left and said["status"] not in codes.OVER else stands)
        return {**made, **{name: stands[name] for name in left if name in stands}}

    return over


def _is_another(said: Resource, stands: Resource, event: str) -> bool:
    """Some systems number visits afresh: what starts after the end of what stood, or is registered on another day."""
    start, stood = said.get("period", {}).get("start"), stands.get("period", {})
    if not start or event not in codes.STARTING_EVENTS:
        return False
    days = {start[:10], stood.get("start", start)[:10]}
    is_another_day = event == "A04" and len(days) == 2 and all(len(day) == 10 for day in days)
    return is_another_day or is_backwards({"start": start, "end": stood.get("end")})


def _leaves_status(said: Resource, stands: Resource, event: str) -> bool:
    """Where the event does not tell it, and where what is over would be opened again by less than what cancels its end."""
    if said["status"] == "finished":
        return False
    if event in codes.STARTING_EVENTS:
        return stands["status"] == "finished" and "start" in said.get("period", {})
    return codes.EVENTS.get(event) is None or (event in codes.WITHIN_EVENTS and stands["status"] in codes.OVER)


def _reopened(stands: Resource) -> Resource:
    """What goes on has no end, and nobody was discharged."""
    if stands["status"] not in codes.OVER:
        return stands
    made = dict(stands)
    for element in ("period.end", "hospitalization.dischargeDisposition", "hospitalization.destination"):
        take_away(made, element)
    return made


def _class(code: str, display: str) -> Resource:
    if code in codes.ENCOUNTER_CLASS:
        known, name = codes.ENCOUNTER_CLASS[code]
        return {"system": f"{codes.V3}ActCode", "code": known, "display": name}
    return compact(system=f"{codes.V2}0004", code=" ".join(code.split()) or "U", display=display)


def _status(segment: Segment, build: Build) -> str:
    by_event = codes.EVENTS.get(build.event)
    if by_event and build.event in codes.DECISIVE_EVENTS:
        return by_event
    if 45 in segment:
        return "finished"
    return by_event or codes.CLASS_STATUS.get(segment.text(2), "unknown")


def _end(encounter: Resource, build: Build) -> None:
    """A discharge (A03) ends the visit when it happened; cancelling it (A13) opens the visit again."""
    period = encounter.get("period", {})
    if build.event == "A13":
        period.pop("end", None)
    if build.event == "A03" and "end" not in period and build.event_time:
        period["end"] = build.event_time
    encounter.pop("period", None)
    encounter.update(compact(period=period))


def _visit_key(segment: Segment, build: Build) -> tuple[str, ...]:
    # With the patient, since some systems number visits afresh each day; without the authority, which systems give or not.
    patient = build.patient["id"] if build.patient else ""
    for number in (19, 50):
        if datatypes.is_number(segment.text(number)):
            return (patient, "visit", segment.text(number))
    if 44 in segment:
        return (patient, segment.text(44), segment.text(2))
    build.note("PV1-19, PV1-50 and PV1-44 are empty: no later message can update this visit")
    return (*build.message_key(), build.nth("Encounter"))


def _priority(rep: Repetition, build: Build) -> Resource | None:
    known = codes.PRIORITY.get(rep[1])
    return coded(f"{codes.V3}ActPriority", *known) if known else datatypes.codeable(rep, build)


def _days(rep: Repetition, build: Build) -> Resource | None:
    days = datatypes.positive(rep, build)
    return {"value": days, "unit": "d", "system": UCUM, "code": "d"} if days else None


_PLANNED = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Encounter.planned"


ENCOUNTER_MORE = (
    Row(1, "location", _place("planned"), True, _placed("planned")),
    Row(3, "reasonCode", datatypes.codeable, True),
    in_extension(8, f"{_PLANNED}StartDate", "valueDateTime", datatypes.date_time),
    in_extension(9, f"{_PLANNED}EndDate", "valueDateTime", datatypes.date_time),
    Row(11, "length", _days),
    Row(13, "participant", _participant("REF", "referrer"), True, _acting("REF")),
    Row(22, "meta.security", datatypes.protected, True),
    Row(25, "priority", _priority),
)


VISIT = (*said_by("PV1", ENCOUNTER), *said_by("PV2", ENCOUNTER_MORE))


def pv2(segment: Segment, build: Build) -> None:
    """PV2 -> Encounter."""
    if build.encounter is not None:
        fill(build.encounter, segment, ENCOUNTER_MORE, build)
