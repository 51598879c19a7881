"""Sessions of patients' apps: a row for each login. What its tokens are is not kept, only keyed hashes of them.

_id  hash of the session's name (128 random bits, which only its tokens say)      account  whose it is
a, r  hashes of the access and the refresh token in force    a_until, until  when they end, ms     gone  when the row may go
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from fhir_server.store.database import Database
from fhir_server.store.documents import Codec


@dataclass(frozen=True, slots=True)
class Sessions:
    """Sessions in MongoDB, the same for every process. Times are ms of the caller's clock."""

    database: Database
    codec: Codec

    async def begin(self, name: str, account: bytes, access: str, refresh: str, access_until: int, until: int) -> None:
        """A new session; `until` is its end, however often it is refreshed."""
        row = {"_id": self._key(name), "account": account, **self._tokens(access, refresh), "a_until": access_until}
        gone = datetime.fromtimestamp(until / 1000, UTC)
        await self.database["sessions"].insert_one(row | {"until": until, "gone": gone})

    async def holder(self, name: str, access: str, now: int) -> bytes | None:
        """The account whose access token this is; None if it is not in force."""
        row = await self.database["sessions"].find_one({"_id": self._key(name)})
        in_force = row is not None and now < min(row["a_until"], row["until"]) and row["a"] == self._access(access)
        return bytes(row["account"]) if row is not None and in_force else None

    async def rotate(
        self, name: str, refresh: str, new_access: str, new_refresh: str, access_until: int, now: int
    ) -> bytes | None:
        """New tokens for the refresh token in force; returns whose they are. Any other ends the session (None)."""
        current = {"_id": self._key(name), "r": self._refresh(refresh), "until": {"$gt": now}}
        change = {"$set": self._tokens(new_access, new_refresh) | {"a_until": access_until}}
        row = await self.database["sessions"].find_one_and_update(current, change)
        if row is None:
            await self.database["sessions"].delete_one({"_id": self._key(name)})
            return None
        return bytes(row["account"])

    async def end(self, name: str, access: str) -> bool:
        """End the session of its newest access token, also when that is over; whether there was one."""
        gone = await self.database["sessions"].delete_one({"_id": self._key(name), "a": self._access(access)})
        return gone.deleted_count == 1

    def _tokens(self, access: str, refresh: str) -> dict[str, bytes]:
        return {"a": self._access(access), "r": self._refresh(refresh)}

    def _key(self, name: str) -> bytes:
        return self.codec.identity(f"session/{name}")

    def _access(self, token: str) -> bytes:
        return self.codec.identity(f"session/access/{token}")

    def _refresh(self, token: str) -> bytes:
        return self.codec.identity(f"session/refresh/{token}")
