"""Data keys, one per Patient, wrapped under the master key and kept apart from the database, its oplog and its backups.

Destroying a person's keys makes every sealed body about that person unreadable wherever copies of it lie (DESIGN 3).
A new key lives in memory until `save`, which commit lanes call once for a batch, before they commit what it seals.
"""

import asyncio
import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from fhir_server.store.secrets import Secrets

CACHED_KEYS = 100_000
LOOKUP_CHUNK = 500


KeysUnavailable = sqlite3.OperationalError
"""The file is full, read-only, locked or away: the text says which, and names nobody. What is new is saved the next time."""


class KeyErased(LookupError):
    """The data key of this Patient is gone: the body can never be read again."""


class KeyTaken(RuntimeError):
    """Another process made a key for the same owner first; it is in use now: seal again."""


class KeyStore:
    """Wrapped AES-256 keys in one SQLite file; safe for several processes of one machine."""

    def __init__(self, path: Path, secrets: Secrets) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._wrapping = secrets.derive("data keys")
        self._cache: OrderedDict[bytes, AESGCM] = OrderedDict()
        self._new: dict[bytes, bytes] = {}
        self.lost = 0  # how many times another process was first to make a key
        self._saving = asyncio.Lock()
        self._writer = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._writer.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
            "CREATE TABLE IF NOT EXISTS keys (owner BLOB PRIMARY KEY, wrapped BLOB) WITHOUT ROWID"
        )
        self._reader = sqlite3.connect(path, isolation_level=None, timeout=30)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def key(self, owner: bytes) -> AESGCM:
        """The key of one owner; raises KeyErased when there is none."""
        known = self._cache.get(owner)
        if known is None:
            self.load((owner,))
            known = self._cache.get(owner)
        if known is None:
            raise KeyErased("this record was erased: its data key no longer exists")
        return known

    def load(self, owners: Iterable[bytes]) -> set[bytes]:
        """Bring keys into memory in one query; returns the owners that have none."""
        missing = {owner for owner in owners if owner not in self._cache}
        for chunk in _chunks(sorted(missing)):
            for owner, wrapped in self._stored(chunk).items():
                self._remember(owner, wrapped)
                missing.discard(owner)
        return missing

    def ensure(self, owners: Iterable[bytes]) -> None:
        """Make keys for owners that have none. Nothing that they seal may be stored before `save`."""
        for owner in self.load(owners):
            self._new[owner] = aes_key_wrap(self._wrapping, AESGCM.generate_key(256))
            self._remember(owner, self._new[owner])

    async def save(self, lost: int) -> None:
        """Make new keys durable: one journaled write for all of them.

        KeyTaken if another process was first for any since `lost` was read, which is to be before anything was sealed: it may
        have been sealed with that one, also where it was another lane that made and saved it.
        """
        async with self._saving:  # a lane that used another's new key waits for it here
            if self._new:
                await self._save(dict(self._new))
        if self.lost != lost:
            raise KeyTaken

    async def _save(self, fresh: dict[bytes, bytes]) -> None:
        await asyncio.to_thread(self._insert, fresh)
        for owner in fresh:
            del self._new[owner]
        stored = {owner: wrapped for chunk in _chunks(sorted(fresh)) for owner, wrapped in self._stored(chunk).items()}
        for owner, wrapped in fresh.items():
            if stored.get(owner) != wrapped:
                self._cache.pop(owner, None)
                self.lost += 1

    async def establish(self, owner: bytes) -> None:
        """Make sure of one key at start, whichever process is first."""
        self.ensure((owner,))
        with suppress(KeyTaken):
            await self.save(self.lost)

    async def erase(self, owners: Collection[bytes]) -> None:
        """Destroy keys for ever; other processes keep theirs until they `forget`."""
        async with self._saving:
            await asyncio.to_thread(self._delete, owners)
            for owner in owners:
                self._new.pop(owner, None)
            self.forget(owners)

    @contextmanager
    def erasing(self) -> Iterator[bool]:
        """Whether no other process erases now, nor will until the end of the block: the kernel frees it where one is killed."""
        with self._path.with_suffix(".erasing").open("w") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def forget(self, owners: Iterable[bytes]) -> None:
        """Read these keys anew the next time; one that is not saved yet is kept."""
        for owner in owners:
            if owner not in self._new:
                self._cache.pop(owner, None)

    def _stored(self, owners: list[bytes]) -> dict[bytes, bytes]:
        marks = ",".join("?" * len(owners))
        return dict(self._reader.execute(f"SELECT owner, wrapped FROM keys WHERE owner IN ({marks})", owners).fetchall())  # noqa: S608

    def _insert(self, fresh: dict[bytes, bytes]) -> None:
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", fresh.items())

    def _delete(self, owners: Collection[bytes]) -> None:
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany("DELETE FROM keys WHERE owner = ?", [(owner,) for owner in owners])
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _remember(self, owner: bytes, wrapped: bytes) -> None:
        self._cache[owner] = AESGCM(aes_key_unwrap(self._wrapping, wrapped))
        if len(self._cache) > CACHED_KEYS + len(self._new):
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = next(owner for owner in self._cache if owner not in self._new)
        del self._cache[oldest]


def _chunks(items: list[bytes]) -> Iterable[list[bytes]]:
    return (items[start : start + LOOKUP_CHUNK] for start in range(0, len(items), LOOKUP_CHUNK))
