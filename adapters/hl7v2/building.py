"""What one conversion holds while it walks the segments: the resources made, and which of them are current."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapters.hl7v2 import times
from adapters.hl7v2.parse import Message, Segment
from adapters.hl7v2.updating import Update, is_backwards, one_after_another
from adapters.hospitals import Hospital

Resource = dict[str, Any]


@dataclass(slots=True)
class Build:
    """`snapshot`: the message carries the whole Encounter and, if its event is about that, what changes of the Patient (ADT); a
    result (ORU) names them in passing, and creates them only where there are none.

    `told`: fields of tables (rows.py) that say anything since the last PID, `diagnosed`: names of the Conditions of its DG1.
    `updates` and `same` are those of Converted.
    `units`: keys of the results of the current report (listing.py).
    """

    message: Message
    hospital: Hospital
    mac: hmac.HMAC
    received: datetime
    event: str
    snapshot: bool
    notes: list[str] = field(default_factory=list)
    entries: dict[str, tuple[Resource, bool]] = field(default_factory=dict)
    seen: dict[tuple[str, ...], int] = field(default_factory=dict)
    event_time: str = ""
    provenance: Resource = field(default_factory=dict)
    patient: Resource | None = None
    told: set[tuple[str, int]] = field(default_factory=set)
    diagnosed: set[str] = field(default_factory=set)
    updates: dict[str, Update] = field(default_factory=dict)
    same: list[tuple[str, str]] = field(default_factory=list)
    encounter: Resource | None = None
    order: Segment | None = None
    request: Resource | None = None
    report: Resource | None = None
    report_key: tuple[str, ...] = ()
    units: dict[tuple[str, ...], None] = field(default_factory=dict)
    category: list[Resource] = field(default_factory=list)
    security: list[Resource] = field(default_factory=list)
    specimen: Resource | None = None
    annotated: Resource | None = None

    @property
    def zone(self) -> str:
        return self.hospital.timezone

    def identity(self, resource_type: str, *key: str) -> str:
        """The resource's id: the same for the same natural key, and no clue to it without the secret."""
        code = self.mac.copy()  # setting up the key anew would cost more than all the rest
        code.update("\x1f".join((resource_type, *key)).encode())
        return f"{self.hospital.id}-{code.hexdigest()[:32]}"

    def message_key(self) -> tuple[str, ...]:
        """For what has no key of its own: this very message."""
        return ("message", self.message.text)

    def nth(self, *key: str) -> str:
        """How often this key came before in the message: tells equal ones apart by their order."""
        self.seen[key] = self.seen.get(key, -1) + 1
        return str(self.seen[key])

    def put(self, resource: Resource, only_if_absent: bool = False) -> Resource:
        """Add a resource to the bundle; a full one takes the place of one made in passing."""
        name = name_of(resource)
        known = self.entries.get(name)
        if known is None or not only_if_absent:
            self.entries[name] = (resource, only_if_absent)
        return self.entries[name][0]

    def change(self, resource: Resource, update: Update) -> None:
        """Say how the resource, which is put, changes what stands under its name."""
        self.updates[name_of(resource)] = update

    def tell(self, resource: Resource, update: Update) -> None:
        """Put a resource, and how it changes what stands, be it of another segment of this message."""
        name = name_of(resource)
        before = self.updates.get(name)
        self.put(update(self.entries[name][0]) if before else resource)
        self.updates[name] = one_after_another((before, update)) if before else update

    def protects(self, resource: Resource) -> bool:
        """Whether the message has asked for the protection of what has this name."""
        made, _ = self.entries.get(name_of(resource), ({}, False))
        return "security" in made.get("meta", {})

    def note(self, text: str) -> None:
        """Something a person should know about this message; names fields, never values."""
        if text not in self.notes:
            self.notes.append(text)


def name_of(resource: Resource) -> str:
    """`Type/id`"""
    return f"{resource['resourceType']}/{resource['id']}"


def reference(resource: Resource, display: str = "") -> Resource:
    """A literal reference to a resource of the bundle."""
    target = {"reference": name_of(resource)}
    return {**target, "display": display} if display else target


def compact(**elements: Any) -> dict[str, Any]:
    """The elements that have a value: FHIR knows no empty ones."""
    return {name: value for name, value in elements.items() if value or value == 0}


def period_of(start: str, end: str, build: Build) -> Resource | None:
    """Two DTM -> Period."""
    made = compact(start=times.date_time(start, build.zone), end=times.date_time(end, build.zone))
    if is_backwards(made):  # not worth the message (per-1)
        build.note("a period that ends before it starts is left out")
        return None
    return made or None


def coded(system: str, code: str, display: str = "") -> Resource:
    """A CodeableConcept of one coding."""
    return {"coding": [compact(system=system, code=code, display=display)]}


def extension(url: str, **value: Any) -> Resource:
    """An Extension with one `value[x]`."""
    return {"url": url, **value}
