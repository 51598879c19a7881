"""An HL7 v2 message -> a FHIR transaction Bundle, following HL7's v2-to-FHIR maps. Pure: same message, same Bundle.

Ids are made from natural keys (Build.identity), so a replay or a correction updates what the message made before.
An ADT message says what changes of the visit; one about who the patient is (an admission, a registration, a change) also what
changes of the patient. Others have the fields that tell whom they are about, and leave what changed to an A08 (v2.5.1 3.3.2,
3.3.3, 3.3.40): they only create the patient where absent. So does a result, and it treats the visit alike; its report is
replaced but for results that the message does not name (listing.py).
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapters.hl7v2 import codes, conditions, datatypes, people, results, specimens, times, visits
from adapters.hl7v2.ack import Header, header
from adapters.hl7v2.building import Build, Resource, coded, compact, name_of, reference
from adapters.hl7v2.errors import SEGMENT_SEQUENCE, UNSUPPORTED_EVENT, UNSUPPORTED_TYPE, Hl7Error
from adapters.hl7v2.parse import Message, Segment, unmapped
from adapters.hl7v2.updating import Update
from adapters.hospitals import Hospital

HANDLERS: dict[str, Callable[[Segment, Build], None]] = {
    "EVN": visits.evn,
    "PID": people.pid,
    "PD1": people.pd1,
    "MRG": people.mrg,
    "NK1": people.nk1,
    "PV1": visits.pv1,
    "PV2": visits.pv2,
    "DG1": conditions.dg1,
    "AL1": conditions.al1,
    "IAM": conditions.iam,
    "PR1": conditions.pr1,
    "IN1": people.in1,
    "ORC": results.orc,
    "OBR": results.obr,
    "OBX": results.obx,
    "NTE": specimens.nte,
    "SPM": specimens.spm,
}
_PROVENANCE = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


@dataclass(frozen=True, slots=True)
class Converted:
    """A transaction Bundle (possibly of nothing), the populated fields it does not carry (`PID-15`, `ZXX-3`), and notes.

    `updates`, by name: how resources that the Bundle puts, and not only where there are none, change where they stand, since
    the message does not tell all of them.
    `same`: pairs of Patients (ids) of which the message says that they are one.
    """

    bundle: Resource
    unmapped: list[str]
    notes: list[str]
    updates: dict[str, Update] = field(default_factory=dict, compare=False)
    same: Sequence[tuple[str, str]] = ()


def convert(message: Message, hospital: Hospital, secret: bytes, received: datetime) -> Converted:
    """Convert a message of a hospital; `secret` keys the ids, `received` is Provenance.recorded. Hl7Error if unsupported."""
    head = header(message)
    _require_supported(head, message)
    build = Build(message, hospital, _mac(hospital, secret), received, head.event, _is_snapshot(head))
    for segment in message.segments:
        if segment.name in HANDLERS:
            HANDLERS[segment.name](segment, build)
    _provenance(head, build)
    if head.event in codes.MERGE_EVENTS:
        build.note("MRG: records stay under the number they came with; whether both are one person an administrator says")
    rejections = [f"{path}: {why}" for path, why in message.trace.rejected]
    entries = [_entry(resource, absent) for resource, absent in build.entries.values()]
    sent = times.instant(message.header.text(7), hospital.timezone)
    bundle = {"resourceType": "Bundle", "type": "transaction", **compact(timestamp=sent, entry=entries)}
    notes = list(dict.fromkeys((*build.notes, *rejections)))
    updates = {name: one for name, one in build.updates.items() if not build.entries[name][1]}
    return Converted(bundle, unmapped(message), notes, updates, build.same)


def patients(message: Message, hospital: Hospital) -> tuple[tuple[str, ...], ...]:
    """The keys of the patients a message is about: messages that share one are applied in the order they came."""
    keys = (people.patient_key(segment, hospital) for segment in message.segments if segment.name == "PID")
    return tuple(dict.fromkeys((hospital.id, *key) for key in keys if key))


def patient_ids(message: Message, hospital: Hospital, secret: bytes) -> tuple[str, ...]:
    """The ids of the Patients of the message (PID), then of those that it names besides (MRG-1, MRG-4), whatever it is."""
    build = Build(message, hospital, _mac(hospital, secret), datetime.min, "", snapshot=False)
    made = [people.patient_id(people.patient_key(one, hospital), build) for one in message.segments if one.name == "PID"]
    merged = (people.patient_key(one, hospital, (1, 4)) for one in message.segments if one.name == "MRG")
    made = made or [people.patient_id((), build)]  # results of nobody in particular
    return tuple(dict.fromkeys((*made, *(people.patient_id(key, build) for key in merged if key))))


def _is_snapshot(head: Header) -> bool:
    return head.type == "ADT" and head.event not in codes.MERGE_EVENTS


def _mac(hospital: Hospital, secret: bytes) -> hmac.HMAC:
    return hmac.new(secret, f"{hospital.id}\x1f".encode(), "sha256")


def _require_supported(head: Header, message: Message) -> None:
    if head.type not in ("ADT", "ORU"):
        raise Hl7Error("message type not supported; send ADT or ORU", "AR", UNSUPPORTED_TYPE, "MSH-9")
    if head.event not in (codes.EVENTS if head.type == "ADT" else ("R01",)):
        raise Hl7Error("trigger event not supported for this message type", "AR", UNSUPPORTED_EVENT, "MSH-9.2")
    if head.type == "ADT" and not any(segment.name == "PID" for segment in message.segments):
        raise Hl7Error("segment PID is missing", condition=SEGMENT_SEQUENCE, location="PID")


def _entry(resource: Resource, only_if_absent: bool) -> Resource:
    request = {"method": "PUT", "url": name_of(resource), **({"ifNoneMatch": "*"} if only_if_absent else {})}
    return {"resource": resource, "request": request}


def _provenance(head: Header, build: Build) -> None:
    """Who said it, when, in which message, about everything in the bundle."""
    if not build.entries:
        build.note("nothing in the message makes a resource")
        return
    agents = [_author(build), *build.provenance.pop("agent", [])]
    occurred = build.provenance.pop("occurredDateTime", None) or datatypes.date_time(build.message.header[7], build)
    source = {"identifier": {"system": build.hospital.system("message"), "value": head.control_id or "unnumbered"}}
    build.put(
        {
            "resourceType": "Provenance",
            "id": build.identity("Provenance", head.control_id, build.message.text),
            "target": [reference(resource) for resource, _ in build.entries.values()],
            **compact(occurredDateTime=occurred),
            "recorded": build.received.isoformat(timespec="milliseconds"),
            "activity": coded(f"{codes.V2}0003", head.event),
            **build.provenance,
            "agent": agents,
            "entity": [{"role": "source", "what": source}],
        }
    )


def _author(build: Build) -> Resource:
    who = {"reference": f"Organization/{build.hospital.id}", "display": build.hospital.name}
    return {"type": coded(_PROVENANCE, "author"), "who": who}
