"""SPM and NTE, which follow what they are about -> Specimen, notes."""

from adapters.hl7v2 import codes, datatypes, values
from adapters.hl7v2.building import Build, Resource, compact, reference
from adapters.hl7v2.directory import practitioner
from adapters.hl7v2.listing import labelled
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.results import subject
from adapters.hl7v2.rows import Row, fill


def nte(segment: Segment, build: Build) -> None:
    """NTE -> note of the order or the observation before it."""
    if build.annotated is None:
        return
    text = "\n".join(rep.text() for rep in segment.repetitions(3))
    coded_comment = datatypes.label(segment[9], build) if 9 in segment else None
    author = practitioner(segment[5], build) if 5 in segment else None
    written = datatypes.date_time(segment[6], build) if 6 in segment else None
    if text or coded_comment:
        note = {**_written_by(author or {}), **compact(time=written, text=text or coded_comment)}
        build.annotated.setdefault("note", []).append(note)


def _written_by(author: Resource) -> Resource:
    return {"authorReference": author} if "reference" in author else compact(authorString=author.get("display"))


def _amount(rep: Repetition, _: Build) -> Resource | None:
    return values.quantity(rep[1], compact(unit=rep.sub(2, 2) or rep.sub(2, 1)))


def _collected(rep: Repetition, build: Build) -> Resource | None:
    if rep[2]:
        return compact(collectedPeriod=datatypes.period(rep, build))
    return compact(collectedDateTime=datatypes.date_time(rep, build))


SPECIMEN = (
    Row(4, "type", datatypes.codeable),
    Row(7, "collection.method", datatypes.codeable),
    Row(8, "collection.bodySite", datatypes.codeable),
    Row(12, "collection.quantity", _amount),
    Row(18, "receivedTime", datatypes.date_time),
    Row(20, "status", datatypes.code_of(codes.SPECIMEN_STATUS)),
    Row(24, "condition", datatypes.codeable, True),
    Row(30, "accessionIdentifier", datatypes.identifier),
    Row(31, "identifier", datatypes.identifier, True),
)


def spm(segment: Segment, build: Build) -> None:
    """SPM -> Specimen of the report before it."""
    specimen: Resource = {"resourceType": "Specimen", "subject": reference(subject(build))}
    numbers = datatypes.pair(segment[2], build) if 2 in segment else []
    specimen.update(compact(identifier=numbers))
    fill(specimen, segment, SPECIMEN, build)
    when = _collected(segment[17], build) if 17 in segment else None
    specimen.update(compact(collection={**specimen.get("collection", {}), **(when or {})}))
    described = segment[14].text() if 14 in segment else ""
    specimen.update(compact(note=[{"text": described}] if described else None))
    _container(specimen, segment, build)
    own = tuple(number["value"] for number in numbers) or (*build.report_key, build.nth("SPM"))
    about = subject(build)["id"]
    specimen["id"] = build.identity("Specimen", about, *(own if numbers or build.report_key else build.message_key()))
    build.specimen = build.put(labelled(specimen, build))
    if build.report is not None:
        _attach(build.report, specimen)


def _attach(report: Resource, specimen: Resource) -> None:
    target = reference(specimen)
    if target not in report.setdefault("specimen", []):
        report["specimen"].append(target)


def _container(specimen: Resource, segment: Segment, build: Build) -> None:
    rows = (Row(27, "type", datatypes.codeable), Row(6, "additiveCodeableConcept", datatypes.codeable))
    container = fill({}, segment, rows, build)
    specimen.update(compact(container=[container] if container else None))
