"""The words that stand beside codes, so that `:text` asks the index for the codes that have them (decision 33).

    _id  keyed hash of the others   k  hashed path   x  hashed term of the code   b  sealed display
Rows are only ever added, before the resource that needs them is committed: there may be one too many, and none is missing.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import UpdateOne

from fhir_server.search.index import Display
from fhir_server.store.database import Database
from fhir_server.store.sealing import seal, unseal
from fhir_server.store.sharing import Branch

MOST = 100_000  # rows of all paths; beyond, a resource is found by its body
Words = dict[bytes, tuple[str, int]]
"""Of one path, by row: a display, and the hashed term of a code that has it."""


class Counts:
    """How many rows paths have, as lookups that share commands."""

    def branches(self, paths: Sequence[int]) -> list[Branch]:
        return [Branch("displays", [{"$match": {"k": one}}, {"$count": "n"}]) for one in paths]

    def answers(self, paths: Sequence[int], found: Sequence[list[dict[str, Any]]]) -> dict[int, int]:
        return {one: rows[0]["n"] if rows else 0 for one, rows in zip(paths, found, strict=True)}


@dataclass(slots=True)
class Displays:
    """The rows, as far as this process has met them."""

    database: Database
    key: Callable[[], AESGCM]
    identity: Callable[[str], bytes]
    term: Callable[[str], int]
    count: Callable[[int], Awaitable[int]]
    _known: set[Display] = field(default_factory=set)
    _rows: set[bytes] = field(default_factory=set)
    _words: dict[int, Words] = field(default_factory=dict)

    async def ensure(self, displays: Iterable[Display]) -> set[str]:
        """Make the rows that are missing. The paths whose resources must be found by their bodies, since there are too many."""
        unknown = {self.identity("\n".join(one)): one for one in displays if one not in self._known}
        if not unknown:
            return set()
        rows = self.database["displays"]
        if not self._rows:  # this process has just begun
            self._rows.update([row["_id"] async for row in rows.find({}, {"_id": 1})])
        missing = {row: one for row, one in unknown.items() if row not in self._rows}
        if len(self._rows) + len(missing) > MOST:
            return {one.path for one in missing.values()}
        if missing:
            await rows.bulk_write([self._update(row, one) for row, one in missing.items()], ordered=False)
            self._rows.update(missing)
        if len(self._known) < MOST:
            self._known.update(unknown.values())
        return set()

    async def codes(self, path: str, is_meant: Callable[[str], bool]) -> set[int]:
        """The hashed terms of the codes beside which such words stand."""
        return {code for text, code in (await self._of(self.term(path))).values() if is_meant(text)}

    async def _of(self, path: int) -> Words:
        """All that was committed before: a row never changes, so as many rows as are known are the same."""
        rows, known = self.database["displays"], self._words.setdefault(path, {})
        if await self.count(path) > len(known):
            async for row in rows.find({"k": path}):
                if row["_id"] not in known:
                    known[row["_id"]] = unseal(self.key(), row["b"], row["_id"]).decode(), row["x"]
        return known

    def _update(self, row: bytes, one: Display) -> UpdateOne:
        made = {"k": self.term(one.path), "x": self.term(one.code), "b": seal(self.key(), one.text.encode(), row)}
        return UpdateOne({"_id": row}, {"$setOnInsert": made}, upsert=True)
