"""ORC, OBR, OBX -> ServiceRequest, DiagnosticReport, Observation."""

from typing import Any

from adapters.hl7v2 import codes, datatypes, times, values
from adapters.hl7v2.building import Build, Resource, coded, compact, extension, reference
from adapters.hl7v2.directory import organization, practitioner, producer
from adapters.hl7v2.listing import confirmed, labelled, listed
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.people import patient_id
from adapters.hl7v2.rows import Row, fill, in_extension


def orc(segment: Segment, build: Build) -> None:
    """ORC goes before the OBR that it is about, and waits for it."""
    build.order = segment


def obr(segment: Segment, build: Build) -> None:
    """OBR -> ServiceRequest and DiagnosticReport."""
    patient = subject(build)
    order, build.order = build.order, None
    build.security = _security(order, build)
    build.category = _category(segment)
    build.report_key = _report_key(segment, order, patient, build)
    build.request = build.annotated = _request(segment, order, build)
    build.report = _report(segment, order, build)
    build.specimen = None


def _identifier(kind: str) -> Any:
    return datatypes.entity(kind)


def _interpreter(rep: Repetition, build: Build) -> Resource | None:
    # NDL.1 is a CNN: the components of an XCN as subcomponents.
    name = " ".join(filter(None, (rep.sub(1, 6), rep.sub(1, 3), rep.sub(1, 2))))
    if not rep.sub(1, 1):
        return {"display": name} if name else None
    system = build.hospital.system("practitioner")
    made = compact(
        resourceType="Practitioner",
        id=build.identity("Practitioner", system, rep.sub(1, 1)),
        identifier=[{"system": system, "value": rep.sub(1, 1)}],
        name=[{"text": name}] if name else None,
    )
    return reference(build.put(made, only_if_absent=True), name)


REQUEST_ORDER = (
    Row(2, "identifier", _identifier("PLAC"), True),
    Row(3, "identifier", _identifier("FILL"), True),
    Row(4, "requisition", _identifier("PGN")),
    Row(12, "requester", practitioner),
    Row(9, "authoredOn", datatypes.date_time),
)
REQUEST = (
    Row(4, "code", datatypes.codeable),
    Row(5, "priority", datatypes.code_of(codes.ORDER_PRIORITY)),
    Row(16, "requester", practitioner),
    Row(6, "occurrenceDateTime", datatypes.date_time),
    Row(31, "reasonCode", datatypes.codeable, True),
    Row(46, "orderDetail", datatypes.codeable, True),
    Row(47, "orderDetail", datatypes.codeable, True),
    Row(53, "identifier", datatypes.identifier, True),
)


def _request(segment: Segment, order: Segment | None, build: Build) -> Resource:
    request: Resource = {"resourceType": "ServiceRequest", **_about(build)}
    request["intent"] = "reflex-order" if segment.text(11) == "G" else "order"
    request["status"] = _order_status(segment, order)
    if order is not None:
        fill(request, order, REQUEST_ORDER, build)
    own = tuple(row for row in REQUEST_ORDER[:2] if order is None or row.field not in order)
    fill(request, segment, (*own, *REQUEST), build)
    if "orderDetail" in request:
        request.setdefault("code", {"text": "unspecified"})
    request["id"] = build.identity("ServiceRequest", *build.report_key)
    return build.put(labelled(request, build))


def _order_status(segment: Segment, order: Segment | None) -> str:
    given = (codes.ORDER_STATUS.get(order.text(5)) or codes.ORDER_CONTROL.get(order.text(1))) if order is not None else None
    return given or ("completed" if segment.text(25) in ("F", "C") else "active")


REPORT = (
    Row(2, "identifier", _identifier("PLAC"), True),
    Row(3, "identifier", _identifier("FILL"), True),
    Row(4, "code", datatypes.codeable),
    Row(32, "resultsInterpreter", _interpreter, True),
    Row(34, "performer", _interpreter, True),
    Row(35, "performer", _interpreter, True),
)


def _report(segment: Segment, order: Segment | None, build: Build) -> Resource:
    report: Resource = {"resourceType": "DiagnosticReport", **_about(build)}
    report["status"] = codes.REPORT_STATUS.get(segment.text(25), "unknown")
    _reject_unless(segment[25], segment.text(25) in codes.REPORT_STATUS, "a status that the mapping does not know")
    assert build.request is not None
    report["basedOn"] = [reference(build.request)]
    fill(report, segment, REPORT, build)
    if order is not None and "identifier" not in report:
        fill(report, order, REPORT[:2], build)
    report.setdefault("code", {"text": "unspecified"})
    report.update(compact(**_effective(segment, build), issued=times.instant(segment.text(22), build.zone)))
    _reject_unless(segment[22], "issued" in report, "not a date and time to the second")
    report.update(compact(category=_sections(segment)))
    report["id"] = build.identity("DiagnosticReport", *build.report_key)
    made, build.units = build.put(labelled(report, build)), {}
    if made["status"] != "cancelled":
        build.change(made, listed(made, build.units, build))
    return made


def _sections(segment: Segment) -> list[Resource]:
    section = segment.text(24)
    return [coded(f"{codes.V2}0074", " ".join(section.split()))] if section else []


def _effective(segment: Segment, build: Build) -> Resource:
    start, end = datatypes.date_time(segment[7], build), datatypes.date_time(segment[8], build)
    return {"effectivePeriod": compact(start=start, end=end)} if end else {"effectiveDateTime": start}


def _report_key(segment: Segment, order: Segment | None, patient: Resource, build: Build) -> tuple[str, ...]:
    """The filler's order number and the panel; a laboratory gives one number to several panels."""
    code = segment.text(4) or segment[4][2]
    for source, number in ((segment, 3), (order, 3), (segment, 2), (order, 2)):
        if source is not None and datatypes.is_number(source.text(number)):
            return _numbered(build, patient["id"], str(number), source.text(number), code)
    if 7 in segment and code:
        return _numbered(build, patient["id"], segment.text(7), code)
    return _numbered(build, *build.message_key(), code)


def _numbered(build: Build, *key: str) -> tuple[str, ...]:
    return (*key, build.nth("OBR", *key))


_EXT = f"{codes.FHIR_EXTENSION}observation-"
OBSERVATION = (
    Row(3, "code", datatypes.codeable),
    Row(14, "effectiveDateTime", datatypes.date_time),
    Row(16, "performer", practitioner, True),
    Row(25, "performer", practitioner, True),
    Row(23, "performer", organization, True),
    Row(15, "performer", producer, True),
    Row(17, "method", datatypes.codeable),
    Row(20, "bodySite", datatypes.codeable),
    Row(21, "identifier", _identifier("FILL"), True),
    in_extension(19, f"{_EXT}analysis-date-time", "valueDateTime", datatypes.date_time),
    in_extension(10, f"{_EXT}nature-of-abnormal-test", "valueCodeableConcept", datatypes.codeable),
)
_ATTACHMENTS = ("ED", "RP")


def obx(segment: Segment, build: Build) -> None:
    """OBX -> Observation; a document (ED, RP) -> DiagnosticReport.presentedForm."""
    subject(build)
    if segment.text(2) in _ATTACHMENTS:
        _document(segment, build)
    else:
        _observation(segment, build)


def _document(segment: Segment, build: Build) -> None:
    if codes.OBSERVATION_STATUS.get(segment.text(11)) == "entered-in-error":
        return build.note("OBX-11: a document was taken back; the report is without it")
    title = (datatypes.codeable(segment[3], build) or {}).get("text", "")
    for rep in segment.repetitions(5):
        made = values.attachment(rep, segment.text(2), title) if build.report is not None else None
        if made and build.report is not None:
            build.report.setdefault("presentedForm", []).append(made)
        else:
            rep.reject("a document outside a report, or not readable as one")


def _observation(segment: Segment, build: Build) -> None:
    observation: Resource = {"resourceType": "Observation", **_about(build), "status": _observed_status(segment, build)}
    fill(observation, segment, OBSERVATION, build)
    observation.setdefault("code", {"text": "unspecified"})
    _measured(observation, segment, build)
    _inherit(observation, build)
    _sub_id(observation, segment)
    device = datatypes.entity_identifier(segment[18], build, "") if 18 in segment else None
    observation.update(compact(category=build.category, interpretation=_interpretation(segment, build)))
    observation.update(compact(device={"identifier": device} if device else None))
    unit = _observation_key(segment, build)
    observation["id"] = build.identity("Observation", *unit, build.nth("OBX", *unit))
    build.annotated = build.put(labelled(observation, build))
    if segment.text(11) == "U" and not any(segment.repetitions(5)):
        build.change(observation, confirmed(build.annotated))
    if build.report is not None:
        build.units[unit] = None
        if observation["status"] != "entered-in-error":
            build.report.setdefault("result", []).append(reference(observation))


def _sub_id(observation: Resource, segment: Segment) -> None:
    """OBX-4 says what belongs together, as a germ and what it is sensitive to."""
    text = segment[4].text() if 4 in segment else ""
    if text:
        original = extension("original-sub-identifier", valueString=text)
        grouped = {"url": f"{codes.FHIR_EXTENSION}observation-v2-subid", "extension": [original]}
        observation.setdefault("extension", []).append(grouped)


def _observed_status(segment: Segment, build: Build) -> str:
    given = codes.OBSERVATION_STATUS.get(segment.text(11))
    _reject_unless(segment[11], given is not None, "a status that the mapping does not know")
    by_report = build.report["status"] if build.report is not None else "unknown"
    return given or {"partial": "preliminary"}.get(by_report, by_report)


def _measured(observation: Resource, segment: Segment, build: Build) -> None:
    of = values.unit(segment[6], build) if 6 in segment else {}
    repetitions = [rep for rep in segment.repetitions(5) if rep]
    found = [made for rep in repetitions if (made := values.value(rep, segment.text(2), of, build))]
    if found and all(name == "valueString" for name, _ in found):
        found = [("valueString", "\n".join(text for _, text in found))]
    if len(found) == 1:
        observation.update(found)
    elif found:
        # Observation has one value: repetitions become components of the same code (obs-7 then forbids a value).
        observation["component"] = [{"code": observation["code"], name: made} for name, made in found]
    reason = codes.ABSENT_REASON.get(segment.text(11))
    if reason and not found:
        observation["dataAbsentReason"] = coded(f"{codes.HL7}data-absent-reason", reason)
    limits = segment[7].text() if 7 in segment else ""
    if limits:
        observation["referenceRange"] = [values.reference_range(limits, of)]


def _interpretation(segment: Segment, build: Build) -> list[Resource]:
    made = [datatypes.codeable(rep, build) for rep in segment.repetitions(8)]
    return [_known_flag(concept) for concept in made if concept]


def _known_flag(concept: Resource) -> Resource:
    coding = (concept.get("coding") or [{}])[0]
    flag = codes.INTERPRETATION_SYNONYMS.get(coding.get("code", ""), coding.get("code"))
    if flag not in codes.INTERPRETATION:
        return concept
    return {**concept, "coding": [{"system": f"{codes.V3}ObservationInterpretation", "code": flag}]}


def _inherit(observation: Resource, build: Build) -> None:
    """An OBX without its own time has that of its report (OBR-7), and the specimen that was named before it."""
    if "effectiveDateTime" not in observation and build.report is not None:
        observation.update({k: v for k, v in build.report.items() if k.startswith("effective")})
    if build.specimen is not None:
        observation["specimen"] = reference(build.specimen)


def _observation_key(segment: Segment, build: Build) -> tuple[str, ...]:
    """Report, code and sub-id; without a report the time tells results apart, and a result with neither is its message's."""
    patient = subject(build)["id"]
    about = build.report_key if build.report is not None else (patient, segment.text(14))
    own = (*about, segment.text(3) or segment[3][2], segment[3][3], segment[4].text() if 4 in segment else "")
    if build.report is None and 14 not in segment:
        own = (*build.message_key(), *own)
    if build.report is not None and "effectiveDateTime" not in build.report:
        own = (*own, segment.text(14))
    return own


def subject(build: Build) -> Resource:
    """The current Patient. Results about nobody would be seen by everybody, so they get a Patient of their own."""
    if build.patient is None:
        build.note("PID is missing: the results are about a Patient of their own, whom no later message can find")
        build.patient = build.put({"resourceType": "Patient", "id": patient_id((), build)}, only_if_absent=True)
    return build.patient


def _about(build: Build) -> Resource:
    visit = reference(build.encounter) if build.encounter else None
    return compact(subject=reference(subject(build)), encounter=visit)


def _security(order: Segment | None, build: Build) -> list[Resource]:
    given = order.repetitions(28) if order is not None else []
    return [label for rep in given if (label := datatypes.confidential(rep, build))]


def _category(segment: Segment) -> list[Resource]:
    category = codes.SECTION_CATEGORY.get(segment.text(24))
    return [coded(f"{codes.HL7}observation-category", category)] if category else []


def _reject_unless(rep: Repetition, used: bool, why: str) -> None:
    if rep and not used:
        rep.reject(why)
