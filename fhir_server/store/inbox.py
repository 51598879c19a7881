"""The durable inbox: what hospitals sent, as it came, sealed; with what became of it.

_id  keyed hash of (sender, control id, content)   raw  sealed bytes   state  received | done | failed | erased
at   when it came, by our clock (ms)   n  in which order messages came, which the database says: clocks differ, and are set back
p    Patients it is about, identity hashes: the data key of the first seals it, that of the region where there is none
Of a message about somebody who was erased nothing is left but that it was acknowledged (store/erasing.py).
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from bson import Timestamp
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from fhir_server.r4.errors import FhirError
from fhir_server.store.batching import batched
from fhir_server.store.database import DUPLICATE_KEY, Database
from fhir_server.store.documents import MAX_SEALED, Codec, data_key_owner, resource_key
from fhir_server.store.keystore import KeyErased, KeyTaken
from fhir_server.store.sealing import seal, unseal

MOST, LONGEST = 1_000, 200  # entries that are kept of a list, and characters of each: with the message they are one document
UNSET = Timestamp(0, 0)  # mongod puts its logical time in the place of this, which only rises, whoever inserts
STATES = ("received", "done", "failed", "erased")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the inbox; `received` in ms. `reason` says why it failed, `unmapped` names fields without a mapping;
    `is_known`: it was there already."""

    id: str
    sender: str
    state: str
    raw: bytes
    received: int
    attempts: int = 0
    reason: str = ""
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_known: bool = True


class Inbox:
    """The inbox in MongoDB; `clock` gives ms. Messages that come at the same time share a journaled write."""

    def __init__(self, database: Database, codec: Codec, clock: Callable[[], int]) -> None:
        self.database = database
        self.codec = codec
        self.clock = clock
        self._fresh: dict[bytes, dict[str, Any]] = {}
        self._changes: dict[bytes, dict[str, Any]] = {}
        self._known = batched(self._insert)
        self._changed = batched(self._update)

    async def put(self, sender: str, control_id: str, raw: bytes, patients: Sequence[str] = ()) -> Message:
        """Store a message about these Patients (ids) durably; the one that is there already when the same was sent before."""
        key = self.codec.identity(f"inbox/{sender}/{control_id}/{hashlib.sha256(raw).hexdigest()}")
        about = [resource_key(self.codec, "Patient", one) for one in patients]
        sealed = await self._sealed(data_key_owner(about), raw, key)
        if len(sealed) > MAX_SEALED:
            raise FhirError(
                413, "too-long", f"the message is larger than {MAX_SEALED} bytes packed; send what is in it in parts"
            )
        document = {"_id": key, "sender": sender, "state": "received", "at": self.clock(), "raw": sealed, "attempts": 0}
        self._fresh[key] = document | {"n": UNSET} | ({"p": about} if about else {})
        known = await self._known(key)
        return replace(self._message(known or document, raw), is_known=known is not None)

    async def done(self, message_id: str, unmapped: list[str], notes: list[str]) -> None:
        kept = {"unmapped": [one[:LONGEST] for one in unmapped[:MOST]], "notes": [one[:LONGEST] for one in notes[:MOST]]}
        await self._set(message_id, {"state": "done", "reason": "", **kept})

    async def failed(self, message_id: str, reason: str) -> None:
        await self._set(message_id, {"state": "failed", "reason": reason[: MOST * LONGEST]})

    async def get(self, message_id: str) -> Message:
        """Raises LookupError for an id that is none."""
        try:
            document = await self.database["inbox"].find_one({"_id": bytes.fromhex(message_id)})
        except ValueError:
            document = None
        if document is None:
            raise LookupError("no message with this id: see `hie inbox list`")
        return self._message(document)

    async def newest(self, state: str | None = None, limit: int = 100) -> list[Message]:
        """The newest messages, of one state or of all."""
        found = self.database["inbox"].find({"state": state} if state else {}, sort={"at": -1}, limit=limit)
        return [self._message(document) async for document in found]

    async def kept(self, state: str) -> AsyncIterator[Message]:
        """The messages in a state, oldest first: `received` and not finished is what a crash left."""
        async for document in self.database["inbox"].find({"state": state}, sort={"at": 1}):
            yield self._message(document)

    async def later(self, patients: Sequence[str], message_id: str) -> AsyncIterator[Message]:
        """The messages about any of these Patients (ids) that came after that one and are done, oldest first."""
        about = [resource_key(self.codec, "Patient", one) for one in patients]
        one = await self.database["inbox"].find_one({"_id": bytes.fromhex(message_id)}, {"n": 1, "at": 1})
        assert one is not None
        unordered = {"n": {"$exists": False}, "at": {"$gt": one["at"]}}  # of before there was an order
        after = {"$or": [{"n": {"$gt": one.get("n", UNSET)}}, unordered]}
        wanted = {"p": {"$in": about}, "state": "done", **after}
        async for document in self.database["inbox"].find(wanted, sort={"n": 1, "at": 1}):
            yield self._message(document)

    async def about(self, message_id: str, patients: Sequence[str]) -> None:
        """File a message that could not be read before under its Patients (ids), the first of whom has the key for it."""
        unfiled = {"_id": bytes.fromhex(message_id), "p": {"$exists": False}, "raw": {"$exists": True}}
        if document := await self.database["inbox"].find_one(unfiled):
            about = [resource_key(self.codec, "Patient", one) for one in patients]
            sealed = await self._sealed(data_key_owner(about), self._message(document).raw, document["_id"])
            await self.database["inbox"].update_one(unfiled, {"$set": {"raw": sealed, "p": about}})

    async def _sealed(self, owner: bytes, raw: bytes, key: bytes) -> bytes:
        """Under the owner's data key, which may have to be made for it."""
        keys = self.codec.keys
        while True:
            lost = keys.lost
            keys.ensure((owner,))
            sealed = seal(keys.key(owner), raw, key)
            with suppress(KeyTaken):
                await keys.save(lost)
                return sealed

    async def _set(self, message_id: str, fields: dict[str, Any]) -> None:
        key = bytes.fromhex(message_id)
        self._changes[key] = fields
        await self._changed(key)

    async def _insert(self, keys: list[bytes]) -> dict[bytes, dict[str, Any]]:
        """Insert the fresh messages; returns those that were there already."""
        fresh = [self._fresh.pop(key) for key in keys]
        try:
            await self.database["inbox"].insert_many(fresh, ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"] if error.details else []
            if not failed or any(one["code"] != DUPLICATE_KEY for one in failed):
                raise
            known = [one["op"]["_id"] for one in failed]
            return {one["_id"]: one async for one in self.database["inbox"].find({"_id": {"$in": known}})}
        return {}

    async def _update(self, keys: list[bytes]) -> dict[bytes, None]:
        changes = [UpdateOne({"_id": key}, {"$set": self._changes.pop(key), "$inc": {"attempts": 1}}) for key in keys]
        await self.database["inbox"].bulk_write(changes, ordered=False)
        return {}

    def _message(self, document: dict[str, Any], raw: bytes | None = None) -> Message:
        """`raw`: where it is known, as to who sends it again."""
        opened = self._opened(document) if raw is None else raw
        return Message(
            id=document["_id"].hex(),
            sender=document["sender"],
            state="erased" if opened is None else document["state"],
            raw=opened or b"",
            received=document["at"],
            attempts=document["attempts"],
            reason=document.get("reason", ""),
            unmapped=tuple(document.get("unmapped", ())),
            notes=tuple(document.get("notes", ())),
        )

    def _opened(self, document: dict[str, Any]) -> bytes | None:
        """None where it was erased, or its key was."""
        if "raw" not in document:
            return None
        try:
            return unseal(self.codec.keys.key(data_key_owner(document.get("p", []))), document["raw"], document["_id"])
        except KeyErased:
            return None
