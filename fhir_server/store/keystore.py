"""Data keys, one per Patient, wrapped under the master key and kept apart from the database, its oplog and its backups.

Destroying a person's keys makes every sealed body about that person unreadable wherever copies of it lie (DESIGN 3).
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection, Iterable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap

from fhir_server.store.secrets import Secrets

CACHED_KEYS = 100_000
LOOKUP_CHUNK = 500


class KeyErased(LookupError):
    """The data key of this Patient is gone: the body can never be read again."""


class KeyStore:
    """Wrapped AES-256 keys in one SQLite file; safe for several processes of one machine."""

    def __init__(self, path: Path, secrets: Secrets) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._wrapping = secrets.derive("data keys")
        self._cache: OrderedDict[bytes, AESGCM] = OrderedDict()
        self._file = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._file.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
            "CREATE TABLE IF NOT EXISTS keys (owner BLOB PRIMARY KEY, wrapped BLOB) WITHOUT ROWID"
        )

    def close(self) -> None:
        self._file.close()

    def key(self, owner: bytes) -> AESGCM:
        """The key of one owner; raises KeyErased when there is none."""
        self.load((owner,))
        try:
            return self._cache[owner]
        except KeyError:
            raise KeyErased("this record was erased: its data key no longer exists") from None

    def load(self, owners: Iterable[bytes]) -> set[bytes]:
        """Bring keys into memory in one query; returns the owners that have none."""
        missing = {owner for owner in owners if owner not in self._cache}
        for chunk in _chunks(sorted(missing)):
            marks = ",".join("?" * len(chunk))
            for owner, wrapped in self._file.execute(f"SELECT owner, wrapped FROM keys WHERE owner IN ({marks})", chunk):  # noqa: S608
                self._remember(owner, wrapped)
                missing.discard(owner)
        return missing

    def ensure(self, owners: Iterable[bytes]) -> None:
        """Make keys for owners that have none; durable when this returns."""
        missing = self.load(owners)
        if not missing:
            return
        rows = [(owner, aes_key_wrap(self._wrapping, AESGCM.generate_key(256))) for owner in missing]
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", rows)
        self.load(missing)

    def erase(self, owners: Collection[bytes]) -> None:
        """Destroy keys for ever; other processes forget them when they restart."""
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("DELETE FROM keys WHERE owner = ?", [(owner,) for owner in owners])
        self._file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for owner in owners:
            self._cache.pop(owner, None)

    def _remember(self, owner: bytes, wrapped: bytes) -> None:
        self._cache[owner] = AESGCM(aes_key_unwrap(self._wrapping, wrapped))
        if len(self._cache) > CACHED_KEYS:
            self._cache.popitem(last=False)


def _chunks(items: list[bytes]) -> Iterable[list[bytes]]:
    return (items[start : start + LOOKUP_CHUNK] for start in range(0, len(items), LOOKUP_CHUNK))
