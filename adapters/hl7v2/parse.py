"""HL7 v2 in its ER7 encoding (v2.5.1 chapter 2): text -> segments -> fields -> repetitions -> components.

Parts are split when they are read, and remember that they were: `unmapped` lists what nobody read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from adapters.hl7v2.charset import decode
from adapters.hl7v2.errors import DATA_TYPE, SEGMENT_SEQUENCE, Hl7Error
from adapters.hl7v2.escape import STANDARD, Delimiters, unescape

MAX_BYTES = 256 * 1024 * 1024  # the listener refuses much smaller ones; this bounds every other way in
MAX_SEGMENTS = 10_000
MAX_FIELDS = 512
MAX_REPETITIONS = 1_000
MAX_UNMAPPED = 1_000  # paths that are listed
NULL = '""'

_WHOLE = 0
_STRIDE = 1 << 20
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}$")
_SET_ID = frozenset(["PID", "PV1", "NK1", "OBX", "OBR", "NTE", "AL1", "DG1", "PR1", "IN1", "SPM", "IAM"])


@dataclass(slots=True)
class Trace:
    """What a conversion could not use: the field, and why."""

    charset: str
    delimiters: Delimiters
    rejected: list[tuple[str, str]] = field(default_factory=list)


class Repetition:
    """One repetition of a field. `rep[n]` is component n (from 1), unescaped; `""` when absent or explicitly null."""

    __slots__ = ("_components", "_read", "_trace", "path", "raw")

    def __init__(self, path: str, raw: str, trace: Trace) -> None:
        self.path = path
        self.raw = raw
        self._trace = trace
        self._components = raw.split(trace.delimiters[1])
        self._read: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self.raw) and self.raw != NULL

    def __len__(self) -> int:
        return len(self._components)

    def __getitem__(self, component: int) -> str:
        components = self._components
        if component > len(components):
            return ""
        self._read.add(component)
        raw = components[component - 1]
        if not raw or raw == NULL:
            return ""
        delimiters = self._trace.delimiters
        mark = delimiters[4]
        if mark in raw:
            raw = raw.partition(mark)[0]
        return self._meaning(raw) if delimiters[3] in raw or raw == NULL else raw.strip()

    def sub(self, component: int, subcomponent: int) -> str:
        """Subcomponent `subcomponent` (from 1) of a component."""
        if component > len(self._components):
            return ""
        self._read.add(_mark(component, subcomponent))
        parts = self._components[component - 1].split(self._trace.delimiters[4])
        return self._meaning(parts[subcomponent - 1]) if subcomponent <= len(parts) else ""

    def null(self) -> bool:
        """Sent as `""`: the sender says that there is no value, where an absent field says nothing (2.5.3.4)."""
        return self.raw == NULL

    def text(self) -> str:
        """The whole repetition as text: free text whose sender forgot to escape its delimiters loses nothing."""
        self._read.add(_WHOLE)
        return self._meaning(self.raw)

    def reject(self, why: str) -> None:
        """Note that the value was read but cannot be used; it is listed as unmapped."""
        self._trace.rejected.append((self.path, why))

    def unread(self) -> list[str]:
        """Paths of the populated parts that nobody read: `PID-5`, `PID-5.4`, `PID-5.1.3`."""
        read, mark = self._read, self._trace.delimiters[4]
        if not read:
            return [self.path]
        if _WHOLE in read:
            return []
        doubtful = [n for n, part in enumerate(self._components, 1) if part and (n not in read or mark in part)]
        return [path for number in doubtful for path in self._unread(number, self._components[number - 1])] if doubtful else []

    def _unread(self, number: int, component: str) -> Iterator[str]:
        mark = self._trace.delimiters[4]
        if mark not in component:
            yield f"{self.path}.{number}"
            return
        for sub, part in enumerate(component.split(mark), 1):
            if part and _mark(number, sub) not in self._read:
                yield f"{self.path}.{number}.{sub}"

    def _meaning(self, raw: str) -> str:
        if raw == NULL:
            return ""
        trace = self._trace
        return (unescape(raw, trace.delimiters, trace.charset) if trace.delimiters[3] in raw else raw).strip()


def _mark(component: int, subcomponent: int) -> int:
    """What `_read` remembers; a component's own number stands for its first subcomponent."""
    return component + (subcomponent - 1) * _STRIDE


class Segment:
    """One segment. `segment[n]` is the first repetition of field n, falsy when there is none."""

    __slots__ = ("_fields", "_read", "_trace", "name")

    def __init__(self, name: str, fields: list[str], trace: Trace) -> None:
        self.name = name
        self._fields = fields
        self._trace = trace
        self._read: dict[int, list[Repetition]] = {}

    def __getitem__(self, number: int) -> Repetition:
        return (self.repetitions(number) or [Repetition(f"{self.name}-{number}", "", self._trace)])[0]

    def __contains__(self, number: int) -> bool:
        fields = self._fields
        return number < len(fields) and bool(fields[number]) and fields[number] != NULL

    def is_null(self, number: int) -> bool:
        """Whether it is sent as `""` (2.5.3.4)."""
        return number < len(self._fields) and self._fields[number] == NULL

    def repetitions(self, number: int) -> list[Repetition]:
        """The populated repetitions of a field, an explicit null among them."""
        known = self._read.get(number)
        if known is None:
            known = self._read[number] = self._split(number)
        return known

    def text(self, number: int) -> str:
        """Component 1 of the first repetition."""
        return self[number][1] if number in self else ""

    def unread(self) -> list[str]:
        """Paths of populated parts that nobody read; set ids only number the segments."""
        first = _first_data_field(self.name)
        paths: list[str] = []
        for number, raw in enumerate(self._fields):
            if raw and number >= first:
                paths += self._unread(number)
        return paths

    def _unread(self, number: int) -> list[str]:
        repetitions = self._read.get(number)
        if repetitions is None:
            return [f"{self.name}-{number}"]
        if len(repetitions) == 1:
            return repetitions[0].unread()
        return [path for repetition in repetitions for path in repetition.unread()]

    def _split(self, number: int) -> list[Repetition]:
        raw = self._fields[number] if number < len(self._fields) else ""
        if not raw:
            return []
        path = f"{self.name}-{number}"
        if self._trace.delimiters[2] not in raw:
            return [Repetition(path, raw, self._trace)]
        parts = raw.split(self._trace.delimiters[2])
        if len(parts) > MAX_REPETITIONS:
            raise Hl7Error(f"{path} repeats more than {MAX_REPETITIONS} times", condition=DATA_TYPE, location=path)
        return [Repetition(path if i == 1 else f"{path}[{i}]", part, self._trace) for i, part in enumerate(parts, 1) if part]


@dataclass(frozen=True, slots=True)
class Message:
    """A parsed message; `charset` is the Python name of the encoding it came in."""

    segments: list[Segment]
    trace: Trace
    text: str

    @property
    def header(self) -> Segment:
        return self.segments[0]

    @property
    def charset(self) -> str:
        return self.trace.charset


def parse(raw: bytes, charset: str = "utf-8") -> Message:
    """Parse one message; MSH-18 decides the charset, else `charset`. Hl7Error says what is wrong and where."""
    if len(raw) > MAX_BYTES:
        raise Hl7Error(f"the message is larger than {MAX_BYTES} bytes", code="AR")
    text, charset = decode(raw, charset)
    lines = [line for line in text.replace("\n", "\r").split("\r") if line.strip()]
    trace = Trace(charset, _delimiters(lines[0] if lines else ""))
    if len(lines) > MAX_SEGMENTS:
        raise Hl7Error(f"more than {MAX_SEGMENTS} segments", code="AR")
    return Message([_segment(line, position, trace) for position, line in enumerate(lines, 1)], trace, text)


def unmapped(message: Message) -> list[str]:
    """Every populated field, component or subcomponent that was not used, once, in the order of the message; of very many the
    first."""
    rejected = (path for path, _ in message.trace.rejected)
    unread = (path for segment in message.segments for path in segment.unread())
    found: dict[str, None] = {}
    for path in chain(rejected, unread):
        found[path] = None
        if len(found) == MAX_UNMAPPED:
            break
    return list(found)


def _first_data_field(name: str) -> int:
    return 3 if name == "MSH" else 2 if name in _SET_ID else 1


def _delimiters(header: str) -> Delimiters:
    if not header.startswith("MSH") or len(header) < 8:
        raise Hl7Error("the message does not begin with an MSH segment", "AR", SEGMENT_SEQUENCE, "MSH")
    sign = header[3]
    encoding = header[4:].split(sign, 1)[0]
    given = Delimiters(sign, *encoding[:4], *STANDARD[1 + len(encoding[:4]) :])
    if len(encoding) < 2 or len(set(given)) < len(given) or any(mark.isalnum() or mark.isspace() for mark in given):
        raise Hl7Error("MSH-1 and MSH-2 must be different punctuation characters, usually |^~\\&", "AR", DATA_TYPE, "MSH-2")
    return given


def _segment(line: str, position: int, trace: Trace) -> Segment:
    name, *fields = line.split(trace.delimiters.field)
    name = name.strip()
    if not _NAME.match(name):
        raise Hl7Error(f"segment {position} has no name of three letters", condition=SEGMENT_SEQUENCE)
    if name == "MSH" and position > 1:
        raise Hl7Error("a second MSH: send one message in a frame", condition=SEGMENT_SEQUENCE, location="MSH")
    if len(fields) > MAX_FIELDS:
        raise Hl7Error(f"{name} has more than {MAX_FIELDS} fields", condition=DATA_TYPE, location=name)
    if name == "MSH":
        fields = [trace.delimiters.field, *fields]
    return Segment(name, [name, *fields], trace)
