"""A hospital that any message may come from, and an inbox store in memory: the InboxStore protocol as its tests need it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from adapters.hl7v2.convert import Converted, convert
from adapters.hl7v2.parse import parse
from adapters.hospitals import ANY, Hospital

RECEIVED = datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
SECRET = b"a key of thirty-two bytes or so.."
OPEN = Hospital(id="hospital-a", name="Hospital A", facilities=(ANY,), peers=("127.0.0.1/32",))
CHINESE = Hospital(id="hospital-b", name="Hospital B", facilities=("HOSPITAL-B",), charset="gb18030", peers=("127.0.0.1/32",))


def message(*segments: str, kind: str = "ADT^A01", control_id: str = "1") -> bytes:
    """A message of the segments, behind an MSH of that kind."""
    header = f"MSH|^~\\&|HIS|HOSPITAL-A|HIE|REGION|20240501083000||{kind}|{control_id}|P|2.5.1"
    return "\r".join((header, *segments, "")).encode()


def segment(name: str, fields: Mapping[int, str]) -> str:
    """A segment of these fields, by their numbers."""
    return "|".join((name, *(fields.get(number, "") for number in range(1, max(fields, default=0) + 1))))


def converted(raw: bytes, hospital: Hospital = OPEN) -> Converted:
    return convert(parse(raw, hospital.charset), hospital, SECRET, RECEIVED)


def resources(result: Converted, resource_type: str) -> list[dict[str, Any]]:
    found = (entry["resource"] for entry in result.bundle.get("entry", ()))
    return [resource for resource in found if resource["resourceType"] == resource_type]


def only(result: Converted, resource_type: str) -> dict[str, Any]:
    (resource,) = resources(result, resource_type)
    return resource


@dataclass(frozen=True)
class Stored:
    id: str
    state: str
    raw: bytes
    sender: str
    received: int
    reason: str = ""
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    is_known: bool = True


class Store:
    """InboxStore in memory."""

    def __init__(self) -> None:
        self.entries: dict[str, Stored] = {}
        self.keys: dict[tuple[str, str, bytes], str] = {}

    async def put(self, sender: str, control_id: str, raw: bytes, patients: Sequence[str] = (), /) -> Stored:
        is_known = (sender, control_id, raw) in self.keys
        name = self.keys.setdefault((sender, control_id, raw), str(len(self.keys)))
        received = int(RECEIVED.timestamp() * 1000) + int(name)
        kept = self.entries.setdefault(name, Stored(name, "received", raw, sender, received, patients=tuple(patients)))
        return replace(kept, is_known=is_known)

    async def done(self, entry_id: str, unmapped: list[str], notes: list[str], /) -> None:
        self._set(entry_id, state="done", reason="", unmapped=tuple(unmapped), notes=tuple(notes))

    async def failed(self, entry_id: str, reason: str, /) -> None:
        self._set(entry_id, state="failed", reason=reason)

    async def get(self, entry_id: str, /) -> Stored:
        return self.entries[entry_id]

    async def about(self, entry_id: str, patients: Sequence[str], /) -> None:
        self._set(entry_id, patients=tuple(patients))

    async def kept(self, state: str, /) -> AsyncIterator[Stored]:
        for entry in [one for one in self.entries.values() if one.state == state]:
            yield entry

    async def later(self, patients: Sequence[str], entry_id: str, /) -> AsyncIterator[Stored]:
        received = self.entries[entry_id].received
        for entry in [one for one in self.entries.values() if one.state == "done" and one.received > received]:
            if not set(patients).isdisjoint(entry.patients):
                yield entry

    def _set(self, entry_id: str, **changes: Any) -> None:
        self.entries[entry_id] = replace(self.entries[entry_id], **changes)
