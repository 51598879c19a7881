"""The audit chain: each record carries a MAC over the one before it, so that any flip, drop or reorder shows.

An audit document: _id = chain (8 bytes) | sequence (8 bytes); at, ms; p, the Patients disclosed; m, a mark;
b, sealed record; h, MAC.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.r4.json import write
from fhir_server.store.sealing import seal

CHAIN_BYTES, PERSON_BYTES = 8, 16
FIELDS = frozenset({"_id", "at", "p", "m", "b", "h"})
GENESIS = bytes(32)


class Entry(NamedTuple):
    """One access, allowed or denied: when (ms), whose records it disclosed or touched, and what happened (plain JSON).

    `mark` stays in clear, for what somebody must be able to list: break-glass.
    """

    at: int
    persons: tuple[bytes, ...]
    what: dict[str, Any]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of a chain. A new process, and a lane unsure of its last commit, start a new chain."""

    chain: bytes = field(default_factory=lambda: os.urandom(CHAIN_BYTES))
    sequence: int = 0
    mac: bytes = GENESIS


def extend(head: Head, entries: Sequence[Entry], sealing: AESGCM, mac_key: bytes) -> tuple[list[dict[str, Any]], Head]:
    """The documents of `entries` in order, and the new head; nothing is written."""
    documents = []
    last = head.mac
    for sequence, entry in enumerate(entries, head.sequence + 1):
        key = head.chain + sequence.to_bytes(8, "big")
        sealed = seal(sealing, write(entry.what), key)
        made: dict[str, Any] = {"_id": key, "at": entry.at, "p": list(entry.persons), "b": sealed}
        if entry.mark:
            made["m"] = entry.mark
        made["h"] = last = mac(mac_key, last, made)
        documents.append(made)
    return documents, Head(head.chain, head.sequence + len(documents), last)


def mac(key: bytes, previous: bytes, document: dict[str, Any]) -> bytes:
    """HMAC-SHA256 over the previous MAC and everything in the document, lengths included."""
    persons = b"".join(document["p"])
    mark = document.get("m", "").encode()
    lengths = len(persons).to_bytes(4, "big") + len(mark).to_bytes(4, "big")
    parts = (previous, document["_id"], document["at"].to_bytes(8, "big"), lengths, persons, mark, document["b"])
    return hmac.digest(key, b"".join(parts), hashlib.sha256)


def is_key(key: Any) -> bool:
    """Whether this can be the _id of an audit document."""
    return isinstance(key, bytes) and len(key) == CHAIN_BYTES + 8


def holds(key: bytes, previous: bytes, document: dict[str, Any]) -> bool:
    """Whether a stored document is as it was made, whatever somebody may have made of it: fields, types and lengths, too."""
    try:
        whole = document.keys() <= FIELDS and all(len(person) == PERSON_BYTES for person in document["p"])
        return whole and hmac.compare_digest(mac(key, previous, document), document["h"])
    except (KeyError, TypeError, AttributeError, OverflowError):
        return False
