"""The audit log: durable before the answer leaves, anchored outside the database, verified link by link."""

import asyncio
import hmac
import json
import logging
import os
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from errno import ENOSPC
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.r4.json import read
from fhir_server.store.batching import settle
from fhir_server.store.chain import CHAIN_BYTES, GENESIS, Entry, Head, extend, holds, is_key
from fhir_server.store.database import Database
from fhir_server.store.sealing import unseal
from fhir_server.store.secrets import Secrets

log = logging.getLogger("hie.audit")

ANCHOR_SECONDS = 2.0
BATCH = 200


@dataclass(slots=True)
class AuditLog:
    """Where audit entries go. `heads` are the chains this process writes, one per lane."""

    database: Database
    anchors: Path
    sealing: AESGCM
    mac_key: bytes
    heads: dict[int, Head] = field(default_factory=dict)
    ended: list[Head] = field(default_factory=list)
    _queue: asyncio.Queue[tuple[Entry, asyncio.Future[None]]] = field(default_factory=asyncio.Queue)

    def link(self, lane: int, entries: list[Entry]) -> tuple[list[dict[str, Any]], Head]:
        """Documents that continue the chain of `lane`; call `advance` once they are committed."""
        return extend(self.heads.setdefault(lane, Head()), entries, self.sealing, self.mac_key)

    def advance(self, lane: int, head: Head) -> None:
        self.heads[lane] = head

    def abandon(self, lane: int) -> None:
        """After a commit whose outcome is unknown: go on in a new chain; the old one is anchored where it ends."""
        if lane in self.heads:
            self.ended.append(self.heads[lane])
        self.heads[lane] = Head()

    async def record(self, entry: Entry) -> None:
        """Returns when the entry is durable; raises when it could not be written, and then nothing may be answered."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((entry, written))
        await written

    async def run(self, lane: int) -> None:
        """Write what `record` was given, many entries to one journaled write; runs until cancelled."""
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(0)  # who is about to, writes along
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._write(lane, batch)

    async def _write(self, lane: int, batch: list[tuple[Entry, asyncio.Future[None]]]) -> None:
        try:
            documents, head = self.link(lane, [entry for entry, _ in batch])
            await self.database.insert("audit", documents)
        except Exception as error:
            self.abandon(lane)
            settle((written for _, written in batch), error)
            return
        self.advance(lane, head)
        settle((written for _, written in batch), None)

    async def anchor_for_ever(self, anchored: dict[bytes, int]) -> None:
        """Every few seconds append the heads that moved to the anchor file; `anchored` remembers which."""
        while True:
            await asyncio.sleep(ANCHOR_SECONDS)
            try:
                await asyncio.to_thread(self.anchor, anchored)
            except OSError as error:
                log.error("the audit heads could not be anchored: %s", error.strerror)

    def anchor(self, anchored: dict[bytes, int]) -> None:
        ended = list(self.ended)
        moved = [head for head in (*ended, *self.heads.values()) if head.sequence > anchored.get(head.chain, 0)]
        if moved:
            self._append(b"".join(_signed(self.mac_key, head) for head in moved))
        anchored.update((head.chain, head.sequence) for head in moved)
        del self.ended[: len(ended)]

    def _append(self, lines: bytes) -> None:
        self.anchors.parent.mkdir(parents=True, exist_ok=True)
        with self.anchors.open("ab", buffering=0) as file:
            flock(file, LOCK_EX)  # all processes write here
            size = os.fstat(file.fileno()).st_size
            try:
                if file.write(lines) != len(lines):
                    raise OSError(ENOSPC, "the disk is full")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)  # half a line would look like one that somebody changed
                raise

    async def of_persons(
        self, patients: Collection[bytes], limit: int, until: int | None = None, passed: Collection[bytes] = ()
    ) -> AsyncIterator[dict[str, Any]]:
        """What was recorded about these Patients, newest first, with all whom it names (`persons`): up to the moment `until`
        (ms), without what was `passed`."""
        wanted: dict[str, Any] = {"p": {"$in": list(patients)}}
        if until is not None:
            wanted |= {"at": {"$lte": until}, "_id": {"$nin": list(passed)}}
        async for document in self.database["audit"].find(wanted, sort={"at": -1}, limit=limit):
            yield self.open(document) | {"persons": document["p"]}

    async def marked(self, mark: str, limit: int) -> AsyncIterator[dict[str, Any]]:
        """What was recorded under a mark, newest first."""
        async for document in self.database["audit"].find({"m": mark}, sort={"at": -1}, limit=limit):
            yield self.open(document)

    def open(self, document: dict[str, Any]) -> dict[str, Any]:
        """The recorded access in clear, with its id and time."""
        what = read(unseal(self.sealing, document["b"], document["_id"]))
        return what | {"id": document["_id"].hex(), "at": document["at"]}

    async def verify(self) -> AsyncIterator[str]:
        """Walk every chain; yields one line for each thing that is not as it was written. No line: the log is whole."""
        anchors = dict(self._read_anchors())
        if None in anchors:
            yield f"anchor file {self.anchors.name}: a line was changed"
        head = Head(b"")
        async for document in self.database["audit"].find({}, sort={"_id": 1}):
            if not is_key(document["_id"]):
                yield "a record stands under a key that is none"
                continue
            chain, sequence = document["_id"][:CHAIN_BYTES], int.from_bytes(document["_id"][CHAIN_BYTES:], "big")
            if chain != head.chain:
                head = Head(chain, 0, GENESIS)
            if sequence != head.sequence + 1:
                yield f"chain {chain.hex()}: records {head.sequence + 1} to {sequence - 1} are missing"
            elif not holds(self.mac_key, head.mac, document):
                yield f"chain {chain.hex()}: record {sequence} was changed, moved or made by somebody else"
            found = document.get("h")
            for missing in _passed(anchors, chain, sequence, found):
                yield missing
            head = Head(chain, sequence, found if isinstance(found, bytes) else GENESIS)
        for anchor in anchors:
            if anchor is not None:
                yield f"chain {anchor[0].hex()}: record {anchor[1]} was anchored and is gone"

    def _read_anchors(self) -> Iterator[tuple[tuple[bytes, int] | None, bytes]]:
        """(chain, sequence) -> MAC of each anchor; None stands for a line that is not ours."""
        if not self.anchors.exists():
            return
        for line in self.anchors.read_bytes().splitlines():
            with suppress(ValueError, KeyError):
                fields = json.loads(line)
                head = Head(bytes.fromhex(fields["chain"]), fields["sequence"], bytes.fromhex(fields["mac"]))
                if _signed(self.mac_key, head).strip() == line.strip():
                    yield (head.chain, head.sequence), head.mac
                    continue
            yield None, b""


def audit_log(database: Database, anchors: Path, secrets: Secrets) -> AuditLog:
    return AuditLog(database, anchors, AESGCM(secrets.derive("audit")), secrets.derive("audit chain"))


def _passed(anchors: dict[tuple[bytes, int] | None, bytes], chain: bytes, sequence: int, found: Any) -> Iterator[str]:
    expected = anchors.pop((chain, sequence), found)
    if expected != found:
        yield f"chain {chain.hex()}: record {sequence} is not the one that was anchored"


def _signed(key: bytes, head: Head) -> bytes:
    fields = {"chain": head.chain.hex(), "sequence": head.sequence, "mac": head.mac.hex()}
    text = json.dumps(fields, sort_keys=True)
    signature = hmac.digest(key, b"anchor" + text.encode(), sha256).hex()
    return json.dumps(fields | {"signature": signature}, sort_keys=True).encode() + b"\n"
