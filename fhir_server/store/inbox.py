"""The durable inbox: what hospitals sent, as it came, sealed; with what became of it.

_id  keyed hash of (sender, control id, content)   raw  sealed bytes   state  received | done | failed
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_server.store.database import Database
from fhir_server.store.documents import REGION, Codec
from fhir_server.store.sealing import seal, unseal


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the inbox; `received` in ms. `reason` says why it failed, `unmapped` names fields without a mapping."""

    id: str
    sender: str
    state: str
    raw: bytes
    received: int
    attempts: int = 0
    reason: str = ""
    unmapped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inbox:
    """The inbox in MongoDB; `clock` gives ms."""

    database: Database
    codec: Codec
    clock: Any

    async def put(self, sender: str, control_id: str, raw: bytes) -> Message:
        """Store a message durably; the one that is there already when the same was sent before."""
        key = self.codec.identity(f"inbox/{sender}/{control_id}/{hashlib.sha256(raw).hexdigest()}")
        sealed = seal(self.codec.keys.key(REGION), raw, key)
        document = {"_id": key, "sender": sender, "state": "received", "at": self.clock(), "raw": sealed, "attempts": 0}
        try:
            await self.database["inbox"].insert_one(document)
        except DuplicateKeyError:
            return await self.get(key.hex())
        return self._message(document, raw)

    async def done(self, message_id: str, unmapped: list[str], notes: list[str]) -> None:
        await self._set(message_id, {"state": "done", "reason": "", "unmapped": unmapped, "notes": notes})

    async def failed(self, message_id: str, reason: str) -> None:
        await self._set(message_id, {"state": "failed", "reason": reason})

    async def get(self, message_id: str) -> Message:
        """Raises LookupError for an id that is none."""
        try:
            document = await self.database["inbox"].find_one({"_id": bytes.fromhex(message_id)})
        except ValueError:
            document = None
        if document is None:
            raise LookupError("no message with this id: see `hie inbox list`")
        return self._message(document)

    async def list(self, state: str | None = None, limit: int = 100) -> list[Message]:
        """The newest messages, of one state or of all."""
        found = self.database["inbox"].find({"state": state} if state else {}, sort={"at": -1}, limit=limit)
        return [self._message(document) async for document in found]

    async def pending(self) -> AsyncIterator[Message]:
        """What was received and not finished, oldest first: left by a crash."""
        async for document in self.database["inbox"].find({"state": "received"}, sort={"at": 1}):
            yield self._message(document)

    async def _set(self, message_id: str, fields: dict[str, Any]) -> None:
        change = {"$set": fields, "$inc": {"attempts": 1}}
        await self.database["inbox"].update_one({"_id": bytes.fromhex(message_id)}, change)

    def _message(self, document: dict[str, Any], raw: bytes | None = None) -> Message:
        opened = raw if raw is not None else unseal(self.codec.keys.key(REGION), document["raw"], document["_id"])
        return Message(
            id=document["_id"].hex(),
            sender=document["sender"],
            state=document["state"],
            raw=opened,
            received=document["at"],
            attempts=document["attempts"],
            reason=document.get("reason", ""),
            unmapped=tuple(document.get("unmapped", ())),
            notes=tuple(document.get("notes", ())),
        )
