"""The people, organizations and places that fields name -> references to Practitioner, Organization and Location."""

from adapters.hl7v2 import codes, datatypes
from adapters.hl7v2.building import Build, Resource, coded, compact, reference
from adapters.hl7v2.parse import Repetition


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


def organization(rep: Repetition, _: Build) -> Resource | None:
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
