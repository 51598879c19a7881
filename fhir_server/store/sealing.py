"""Sealed bodies: zstd with a shipped dictionary, then AES-256-GCM bound to the document they belong to.

Layout of sealed bytes: dictionary number (1) | nonce (12) | ciphertext and tag.
"""

import os
from functools import cache
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DICTIONARIES = Path(__file__).parent / "dictionaries"
CURRENT = 1
NONCE_BYTES = 12
LEVEL = 3


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict((DICTIONARIES / f"{number}.zdict").read_bytes())


@cache
def _compressor() -> zstandard.ZstdCompressor:
    dictionary = _dictionary(CURRENT)
    dictionary.precompute_compress(level=LEVEL)
    return zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary, write_dict_id=False, write_checksum=False)


@cache
def _decompressor(number: int) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary(number))


def seal(key: AESGCM, plain: bytes, bound_to: bytes) -> bytes:
    """Compress and encrypt; `bound_to` (ids, version) must be given again to open, so a body cannot be moved elsewhere."""
    nonce = os.urandom(NONCE_BYTES)
    return bytes((CURRENT,)) + nonce + key.encrypt(nonce, _compressor().compress(plain), bound_to)


def unseal(key: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    """The plain bytes; raises cryptography's InvalidTag when anything was changed or moved."""
    compressed = key.decrypt(sealed[1 : NONCE_BYTES + 1], sealed[NONCE_BYTES + 1 :], bound_to)
    return _decompressor(sealed[0]).decompress(compressed)
