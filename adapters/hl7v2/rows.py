"""Segment maps as tables: a row takes a field to an element, by a data type map."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from adapters.hl7v2.building import Build, Resource
from adapters.hl7v2.datatypes import extended
from adapters.hl7v2.parse import Repetition, Segment
from adapters.hl7v2.updating import Of, Said, elements, extending, is_backwards, whole

PROTECTION = "meta.security"
Convert = Callable[[Repetition, Build], Any]


class Row(NamedTuple):
    """Field number, FHIR element (`a.b` for one inside another), data type map, whether every repetition is taken, which of the
    element's items the field is for, and whether other fields have such items, too."""

    field: int
    element: str
    convert: Convert
    many: bool = False
    of: Of = whole
    anywhere: bool = False


def in_extension(field: int, url: str, value: str, convert: Convert) -> Row:
    """The row of a field whose repetitions are extensions; `value` is their `value[x]`."""
    return Row(field, "extension", extended(url, value, convert), True, extending(url))


def fill(resource: Resource, segment: Segment, rows: Iterable[Row], build: Build) -> Resource:
    """Put the fields of a segment into a resource; elements that repeat are appended to. What says anything is told: of
    protection also that it is not asked for."""
    for row in rows:
        is_filled = row.field in segment and _fill(resource, segment, row, build)
        if is_filled or (row.element == PROTECTION and segment.text(row.field)) or segment.is_null(row.field):
            build.told.add((segment.name, row.field))
    return resource


def said_by(name: str, rows: Iterable[Row]) -> Iterable[Said]:
    """What the fields of a segment change (updating.py); of protection it is said otherwise."""
    return (Said(name, row.field, row.element, row.of, row.anywhere) for row in rows if row.element != PROTECTION)


def tell(resource: Resource, segment: Segment, rows: Sequence[Row], build: Build) -> None:
    """Put a resource that a segment tells of: it changes in the elements that the segment tells.

    Where another segment of the message asks for its protection, this one cannot take that away.
    """
    gone = [row.element for row in rows if segment.is_null(row.field)]
    is_protection_told = any(segment.text(row.field) or row.element in gone for row in rows if row.element == PROTECTION)
    build.tell(resource, elements(resource, gone, is_protection_told and not build.protects(resource)))


def leave_backwards(resource: Resource, segment: Segment, fields: tuple[int, int], build: Build) -> None:
    """A period that these fields make end before it starts (per-1) is not worth the message."""
    if is_backwards(resource.get("period", {})):
        del resource["period"]
        segment[fields[1]].reject("an end before the start")
        build.told.difference_update((segment.name, field) for field in fields)


def _fill(resource: Resource, segment: Segment, row: Row, build: Build) -> bool:
    repetitions = segment.repetitions(row.field)
    chosen = repetitions if row.many else repetitions[:1]
    values = [value for rep in chosen if (value := row.convert(rep, build)) is not None]
    if not values:
        return False
    *path, name = row.element.split(".")
    for step in path:
        resource = resource.setdefault(step, {})
    if row.many:
        resource.setdefault(name, []).extend(values)
    else:
        resource.setdefault(name, values[0])
    return True
