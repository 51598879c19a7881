"""Keyed hashes and derived keys: what the database sees instead of ids, identifiers and codes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secrets:
    """Functions of the region's master key. Keys that decide identity have 128 bits, search terms 64 (DESIGN 3)."""

    master: bytes

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose (HKDF-Expand, RFC 5869)."""
        return HKDFExpand(SHA256(), KEY_BYTES, purpose.encode()).derive(self.master)


def identity_hash(secrets: Secrets) -> Callable[[str], bytes]:
    """text -> 16 bytes; for `_id`s, persons and unique keys."""
    return partial(_identity, hashlib.blake2b(digest_size=16, key=secrets.derive("identity")))


def term_hash(secrets: Secrets) -> Callable[[str], int]:
    """text -> signed 64-bit number; for search terms, range keys and labels."""
    return partial(_term, hashlib.blake2b(digest_size=8, key=secrets.derive("terms")))


def _identity(keyed: hashlib.blake2b, text: str) -> bytes:
    hashed = keyed.copy()  # twice as fast as beginning with the key each time
    hashed.update(text.encode())
    return hashed.digest()


def _term(keyed: hashlib.blake2b, text: str) -> int:
    hashed = keyed.copy()
    hashed.update(text.encode())
    return int.from_bytes(hashed.digest(), "big", signed=True)
