"""The profiles and extension definitions of the official package (profiles_generator.py made the table)."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import orjson
import zstandard

from fhir_server.r4.definitions import TABLES

Structure = dict[str, Any]


def shipped(canonical: str) -> Structure | None:
    """The StructureDefinition with this canonical `url` or `url|version`. Not to be changed."""
    url, _, version = canonical.partition("|")
    found = _parsed(url)
    return found if found and version in ("", found["version"]) else None


@cache
def profiles_of_resources() -> Mapping[str, Sequence[str]]:
    """Resource type -> the profiles of it."""
    found: dict[str, list[str]] = {}
    for url in _lines():
        structure = _parsed(url)
        if structure and structure["kind"] == "resource":
            found.setdefault(structure["type"], []).append(url)
    return found


@lru_cache(maxsize=512)
def _parsed(url: str) -> Structure | None:
    line = _lines().get(url)
    return None if line is None else orjson.loads(line)


@cache
def _lines() -> dict[str, bytes]:
    lines = zstandard.decompress((TABLES / "profiles.zst").read_bytes()).split(b"\n")
    return {orjson.loads(line)["url"]: line for line in lines}
