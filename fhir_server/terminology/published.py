"""The resources this package ships (generator.py made the table): loaded when first asked for, parsed one by one."""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson
import zstandard

TABLE = Path(__file__).parent / "tables" / "resources.zst"

Resource = dict[str, Any]


def published(kind: str, canonical: str) -> Resource | None:
    """The CodeSystem, ValueSet or ConceptMap with this canonical `url` or `url|version`. Not to be changed."""
    exact = _parsed(kind, canonical)  # some official urls have a bar in them
    url, _, version = canonical.partition("|")
    found = exact or _parsed(kind, url)
    return found if exact or not found or version == found.get("version") else None


@cache
def concept_maps() -> tuple[Resource, ...]:
    """All ConceptMaps."""
    return tuple(orjson.loads(line) for (kind, _), line in _lines().items() if kind == "ConceptMap")


@cache
def _lines() -> dict[tuple[str, str], bytes]:
    rows = (line.split(b"\t", 2) for line in zstandard.decompress(TABLE.read_bytes()).split(b"\n"))
    return {(kind.decode(), url.decode()): line for kind, url, line in rows}


@lru_cache(maxsize=256)
def _parsed(kind: str, url: str) -> Resource | None:
    line = _lines().get((kind, url))
    return None if line is None else orjson.loads(line)
