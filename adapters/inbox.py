"""The way in: a message is stored before anything else, then parsed, converted and submitted, then acknowledged.

What fails stays in the inbox with the reason, and is tried again by a replay or when the hospital sends it again.
"""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from adapters.hl7v2.ack import Ack, peek
from adapters.hl7v2.convert import Converted, convert, patient_ids, patients
from adapters.hl7v2.errors import INTERNAL, UNKNOWN_KEY, Hl7Error
from adapters.hl7v2.parse import Message, parse
from adapters.hl7v2.updating import Update, one_after_another
from adapters.hospitals import Hospital
from fhir_server.aside import aside
from fhir_server.r4.errors import FhirError

Submit = Callable[[Hospital, Converted, bool], Awaitable[bool]]
"""Commits the Bundle of what was converted; at most once, if that is asked for: whether it stood already."""
ACKNOWLEDGED = ("done", "erased")
log = logging.getLogger(__name__)


class Entry(Protocol):
    """A message as it was received (ms since the epoch); `state` is `received`, `done`, `failed` or `erased`: with the
    person whom it was about, after it was done. `is_known`: it is not being put for the first time."""

    @property
    def id(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def raw(self) -> bytes: ...

    @property
    def sender(self) -> str: ...

    @property
    def received(self) -> int: ...

    @property
    def is_known(self) -> bool: ...


class InboxStore(Protocol):
    """Where entries are kept. `put` is durable when it returns, and gives the known entry for the same sender, control id
    and content; the entry goes when one of the `patients` (ids) is erased. `about` says so of an entry that nobody could read
    before. `kept` are those in a state, `later` those `done` about any of these patients that came after an entry, whatever
    clocks said: oldest first."""

    async def put(self, sender: str, control_id: str, raw: bytes, patients: Sequence[str], /) -> Entry: ...

    async def done(self, entry_id: str, unmapped: list[str], notes: list[str], /) -> None: ...

    async def failed(self, entry_id: str, reason: str, /) -> None: ...

    async def about(self, entry_id: str, patients: Sequence[str], /) -> None: ...

    async def get(self, entry_id: str, /) -> Entry: ...

    def kept(self, state: str, /) -> AsyncIterator[Entry]: ...

    def later(self, patients: Sequence[str], entry_id: str, /) -> AsyncIterator[Entry]: ...


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the flow needs: the store, where bundles go (persons and record), the key of ids, and the turns of patients."""

    store: InboxStore
    submit: Submit
    secret: bytes
    turns: "Turns" = field(default_factory=lambda: Turns())


class Turns:
    """Messages about the same patient are applied one after the other, in the order in which they asked."""

    def __init__(self) -> None:
        self._last: dict[Hashable, asyncio.Event] = {}

    @asynccontextmanager
    async def of(self, keys: Iterable[Hashable]) -> AsyncIterator[None]:
        """Wait for everyone who asked before for any of these keys. All are asked for at once, so nobody waits in a ring."""
        mine, wanted = asyncio.Event(), list(keys)
        before = [self._last[key] for key in wanted if key in self._last]
        self._last.update(dict.fromkeys(wanted, mine))
        try:
            for other in before:
                await other.wait()
            yield
        finally:
            mine.set()
            for key in wanted:
                if self._last.get(key) is mine:
                    del self._last[key]


async def take(inbox: Inbox, hospital: Hospital, raw: bytes) -> Ack:
    """Take in one message: AA when its resources are committed, AE or AR with the reason when they are not."""
    outline = _outline(hospital, raw, inbox.secret)
    async with inbox.turns.of(outline.turns):
        try:
            entry = await inbox.store.put(hospital.id, outline.control_id, raw, outline.patients)
        except FhirError as error:
            return Ack("AR", str(error), INTERNAL)
        if entry.state in ACKNOWLEDGED:
            return Ack("AA")
        return await _process(inbox, hospital, entry, outline, is_late=entry.is_known)


async def _process(inbox: Inbox, hospital: Hospital, entry: Entry, outline: "_Outline", is_late: bool) -> Ack:
    """Convert a stored message and submit it. Safe to repeat: the same message makes the same resources.

    What is late may be older than what stands: also what is `received`, when nobody could say any more what became of it.
    """
    try:
        converted = await _submitted(inbox, hospital, entry, outline, is_late, once=entry.state != "done")
    except Exception as error:
        ack = _refusal(error, entry.id)
        await inbox.store.failed(entry.id, ack.reason)
        return ack
    await inbox.store.done(entry.id, converted.unmapped, converted.notes)
    return Ack("AA")


async def _submitted(
    inbox: Inbox, hospital: Hospital, entry: Entry, outline: "_Outline", is_late: bool, once: bool
) -> Converted:
    converted = await aside(len(entry.raw), _converted, inbox, hospital, entry, outline.message)
    if is_late and outline.patients:
        await inbox.store.about(entry.id, outline.patients)
        await _leave_what_is_newer(inbox, hospital, entry, outline, converted)
    stood = "entry" in converted.bundle and await inbox.submit(hospital, converted, once)
    if stood and is_late:  # committed, which nobody could say: something older may have been put over it since
        return await _submitted(inbox, hospital, entry, outline, is_late, once=False)
    return converted


async def replay(inbox: Inbox, hospitals: Mapping[str, Hospital], entry_id: str) -> Ack:
    """Process one entry again, whatever became of it before."""
    return await _again(inbox, hospitals, await inbox.store.get(entry_id))


async def resume(inbox: Inbox, hospitals: Mapping[str, Hospital]) -> int:
    """Process what a crash left behind, in the order received; returns how many there were."""
    count = 0
    async for entry in inbox.store.kept("received"):
        try:
            await _again(inbox, hospitals, entry)
        except Exception as error:  # one message keeps nobody from starting; where it is the store that fails, this does too
            await inbox.store.failed(entry.id, _refusal(error, entry.id).reason)
        count += 1
    return count


async def _again(inbox: Inbox, hospitals: Mapping[str, Hospital], entry: Entry) -> Ack:
    if entry.state == "erased":
        return Ack("AR", "the person was erased, and the message with them; let the hospital send what it still has")
    hospital = hospitals.get(entry.sender)
    if hospital is None:
        ack = Ack("AR", "the sender is no longer a hospital of this region; restore its entry", UNKNOWN_KEY)
        await inbox.store.failed(entry.id, ack.reason)
        return ack
    outline = _outline(hospital, entry.raw, inbox.secret)
    async with inbox.turns.of(outline.turns):
        return await _process(inbox, hospital, entry, outline, is_late=True)


def _converted(inbox: Inbox, hospital: Hospital, entry: Entry, message: Message | None = None) -> Converted:
    received = datetime.fromtimestamp(entry.received / 1000, UTC)
    return convert(message or parse(entry.raw, hospital.charset), hospital, inbox.secret, received)


async def _leave_what_is_newer(
    inbox: Inbox, hospital: Hospital, entry: Entry, outline: "_Outline", converted: Converted
) -> None:
    """What messages that came later said stands; what they did not tell, the old one may: it is followed by all of them, in
    their order."""
    newer: dict[str, list[Update]] = {}
    async for one in inbox.store.later(outline.patients, entry.id):
        later = await aside(len(one.raw), _converted, inbox, hospital, one)
        for name, change in later.updates.items():
            newer.setdefault(name, []).append(change)
    for name, change in converted.updates.items():
        if name in newer:
            converted.updates[name] = one_after_another((change, *newer[name]))
            converted.notes.append(f"{name.partition('/')[0]}: what a later message said stands")


@dataclass(frozen=True, slots=True)
class _Outline:
    """What is known of a message before it is looked into; of one that cannot be read nothing, and it is stored all the same.

    `turns`: the patients whose messages wait for each other; `patients`: the ids of those whom it is about."""

    control_id: str = ""
    message: Message | None = None
    turns: tuple[tuple[str, ...], ...] = ()
    patients: tuple[str, ...] = ()


def _outline(hospital: Hospital, raw: bytes, secret: bytes) -> _Outline:
    control_id = ""
    try:
        control_id = peek(raw, hospital.charset).control_id
        message = parse(raw, hospital.charset)
        return _Outline(control_id, message, patients(message, hospital), patient_ids(message, hospital, secret))
    except Hl7Error:
        return _Outline(control_id)


def _refusal(error: Exception, entry_id: str) -> Ack:
    if isinstance(error, Hl7Error):
        return Ack(error.code, error.text, error.condition, error.location)
    if isinstance(error, FhirError):
        text = "; ".join(f"{issue.expression}: {issue.text}" if issue.expression else issue.text for issue in error.issues)
        return Ack("AE", text, INTERNAL)
    # The text of an unforeseen error may quote the message; its kind and place do not.
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("inbox entry %s: %s at %s:%s", entry_id, type(error).__name__, place.name, place.lineno)
    return Ack("AE", "internal error; the message is kept and can be replayed", INTERNAL)
