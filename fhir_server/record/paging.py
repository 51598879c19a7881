"""Page links: opaque, sealed, and good only for the caller they were given to."""

import base64
import os
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.caller import Caller
from fhir_server.r4.errors import FhirError

NONCE_BYTES = 12
MAX_LINK = 16_384


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: the last resource, and either the value of the index's order with those delivered at it, in the
    `part` of the search that it is of, or `keys`, what the last resource was sorted by; `now`: when the search began (ms)."""

    last: bytes
    value: int | None = None
    tied: tuple[bytes, ...] = ()
    keys: tuple[tuple[int, Any], ...] = ()
    part: int = 0
    now: int = 0


def link(key: bytes, caller: Caller, pairs: list[tuple[str, str]], cursor: Cursor) -> str:
    """A search and where it stands, as one URL-safe token."""
    where = [cursor.last.hex(), cursor.value, [one.hex() for one in cursor.tied], cursor.keys, cursor.part, cursor.now]
    plain = orjson.dumps([pairs, *where])
    nonce = os.urandom(NONCE_BYTES)
    return base64.urlsafe_b64encode(nonce + _sealing(key).encrypt(nonce, plain, _holder(caller))).decode().rstrip("=")


def follow(key: bytes, caller: Caller, token: str) -> tuple[list[tuple[str, str]], Cursor]:
    """What `link` was given; 400 for any token that was not given to this caller."""
    try:
        sealed = base64.urlsafe_b64decode(token[:MAX_LINK] + "=" * (-len(token) % 4))
        pairs, last, value, tied, keys, part, now = orjson.loads(
            _sealing(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _holder(caller))
        )
    except (ValueError, InvalidTag) as error:
        raise FhirError(400, "invalid", "this page link was not given to you, or was changed; repeat the search") from error
    names = tuple(bytes.fromhex(one) for one in tied)
    cursor = Cursor(bytes.fromhex(last), value, names, tuple((rank, key) for rank, key in keys), part, now)
    return [(name, text) for name, text in pairs], cursor


@cache
def _sealing(key: bytes) -> AESGCM:
    return AESGCM(key)


@lru_cache(maxsize=16_384)
def _holder(caller: Caller) -> bytes:
    return orjson.dumps([caller.id, caller.kind, caller.organization, caller.practitioner, caller.patient, caller.purpose])
