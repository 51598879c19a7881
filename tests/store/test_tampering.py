"""The audit log (DESIGN 4): whatever is done to it behind the exchange's back is found, up to the last anchor."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fhir_server.store.documents import resource_key
from tests import serving
from tests.serving import Door
from tests.store.auditing import Document, Log, patient

WRITTEN = 24  # Patients: a hash tells the lane of each, and every lane is to have some


@dataclass(frozen=True, slots=True)
class Evidence:
    """An honest log at rest: its documents in order, and the lines of its anchors."""

    log: Log
    documents: list[Document]
    anchors: Path
    lines: list[bytes]

    async def findings(self, documents: list[Document], lines: list[bytes] | None = None) -> list[str]:
        """What is found when the log is made to be this."""
        self.anchors.write_bytes(b"".join(self.lines if lines is None else lines))
        await self.log.collection.delete_many({})
        await self.log.collection.insert_many(documents)
        return await self.log.findings()

    def chain(self) -> list[int]:
        """Positions of the longest chain."""
        chains: dict[bytes, list[int]] = {}
        for position, one in enumerate(self.documents):
            chains.setdefault(one["_id"][:8], []).append(position)
        return max(chains.values(), key=len)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def evidence(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Evidence]:
    """After a mixed load of concurrent reads, searches, writes, refusals and broken glass; anchored as the exchange closed."""
    data = tmp_path_factory.mktemp("evidence")
    async with serving.door(mongodb_uri, "test_evidence", data) as door:
        await load(Log(door, door.system("hospital-a")))
    async with serving.door(mongodb_uri, "test_evidence", data) as door:
        log = Log(door, door.system("hospital-a"))
        anchors = data / "anchors" / "audit.jsonl"
        documents = await log.collection.find({}, sort={"_id": 1}).to_list()
        yield Evidence(log, documents, anchors, anchors.read_bytes().splitlines(keepends=True))
        await door.exchange.database.client.drop_database("test_evidence")


async def load(log: Log) -> None:
    doctor = log.door.doctor("dr", "hospital-a")
    reason = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "found unconscious"}]}
    for round_ in range(3):
        changed = {"active": bool(round_ % 2)}
        writes = [log.hospital.put(f"/Patient/p-{n}", json=patient(f"p-{n}") | changed) for n in range(WRITTEN)]
        wrong = [log.hospital.put("/Patient/x", json=patient("y")), log.hospital.post("/Patient", json=patient("x") | {"x": 1})]
        reads = [doctor.get(f"/Patient/p-{n}") for n in range(8)] + [doctor.get("/Patient?_count=5")]
        await asyncio.gather(*writes, *wrong, *reads, doctor.post(f"/Patient/p-{round_}/$break-glass", json=reason))


async def test_an_honest_log_is_whole(evidence: Evidence) -> None:
    """Concurrent load leaves nothing to be found; several chains, each anchored at its end"""
    assert await evidence.findings(evidence.documents) == []
    assert len(evidence.documents) > 50
    assert len({one["_id"][:8] for one in evidence.documents}) >= 3
    assert len(evidence.chain()) >= 5


def flipped(value: Any) -> Any:
    """The same with one bit changed, at the least."""
    match value:
        case bytes():
            return value[:-1] + bytes((value[-1] ^ 1,))
        case int():
            return value ^ 1
        case str():
            return value + "."
        case [first, *rest]:
            return [flipped(first), *rest]
    return [bytes(16)]


@pytest.mark.parametrize("field", ["b", "p", "at", "m", "h"])
async def test_a_flipped_bit_is_found_in_every_record(evidence: Evidence, field: str) -> None:
    """Each field of each record"""
    for position, one in enumerate(evidence.documents):
        changed = {**one, field: flipped(one.get(field, "mark" if field == "m" else None))}
        found = await evidence.findings([*evidence.documents[:position], changed, *evidence.documents[position + 1 :]])
        assert any(one["_id"][:8].hex() in line for line in found), position


async def test_a_record_of_another_shape_is_found(evidence: Evidence) -> None:
    """Fields taken away, added, of other types; two persons run together so that a patient's own log passes them over"""
    documents = evidence.documents
    position = next(n for n, one in enumerate(documents) if len(one["p"]) > 1)
    one = documents[position]
    shapes = [{name: value for name, value in one.items() if name != field} for field in ("b", "p", "at", "h")]
    shapes += [one | {"note": 1}, one | {"p": [b"".join(one["p"])]}, one | {"p": None}, one | {"at": -1}, one | {"at": 2**62}]
    shapes += [one | {"at": str(one["at"])}, one | {"h": one["h"].hex()}, one | {"b": one["b"].hex()}]
    shapes += [one | {"m": 7}, one | {"p": [7]}]
    for shape in shapes:
        assert await evidence.findings([*documents[:position], shape, *documents[position + 1 :]]) != [], shape.keys()


Tamper = Callable[[list[Document], list[int]], Any]


def _swap(documents: list[Document], first: int, second: int, *fields: str) -> None:
    for name in fields:
        documents[first][name], documents[second][name] = documents[second][name], documents[first][name]


def _forged(documents: list[Document], chain: list[int], key: bytes) -> None:
    documents.append(copy.deepcopy(documents[chain[-1]]) | {"_id": key})


def _next(documents: list[Document], chain: list[int]) -> bytes:
    last = documents[chain[-1]]["_id"]
    return last[:8] + (int.from_bytes(last[8:], "big") + 1).to_bytes(8, "big")


TAMPERED: dict[str, Tamper] = {
    "the first dropped": lambda log, chain: log.pop(chain[0]),
    "one dropped": lambda log, chain: log.pop(chain[2]),
    "the last before the anchor dropped": lambda log, chain: log.pop(chain[-1]),
    "all from the third on dropped": lambda log, chain: [log.pop(at) for at in reversed(chain[2:])],
    "a whole chain dropped": lambda log, chain: [log.pop(at) for at in reversed(chain)],
    "everything dropped but one": lambda log, chain: log.__delitem__(slice(1, None)),
    "two reordered": lambda log, chain: _swap(log, chain[1], chain[2], "at", "p", "b", "h"),
    "bodies swapped": lambda log, chain: _swap(log, chain[1], chain[2], "b"),
    "times swapped": lambda log, chain: _swap(log, chain[0], chain[-1], "at", "h"),
    "a forged one at the end": lambda log, chain: _forged(log, chain, _next(log, chain)),
    "a forged one in a chain of its own": lambda log, chain: _forged(log, chain, bytes(15) + b"\1"),
    "a forged one under no key": lambda log, chain: _forged(log, chain, b"short"),
    "one moved to another chain": lambda log, chain: log[chain[-1]].update(_id=bytes(15) + b"\1"),
    "one replaced by its neighbour": lambda log, chain: log[chain[1]].update(log[chain[2]] | {"_id": log[chain[1]]["_id"]}),
}


@pytest.mark.parametrize("name", TAMPERED)
async def test_a_tampered_log_is_found(evidence: Evidence, name: str) -> None:
    """Dropped, reordered, truncated, swapped, forged"""
    documents = copy.deepcopy(evidence.documents)
    TAMPERED[name](documents, evidence.chain())
    assert await evidence.findings(documents) != []


async def test_changed_anchors_are_found(evidence: Evidence) -> None:
    """An anchor is signed: neither edited, nor made by somebody else"""
    for position, line in enumerate(evidence.lines):
        fields = json.loads(line)
        for name, value in fields.items():
            edited = fields | {name: value + 1 if name == "sequence" else flipped(value)}
            line = json.dumps(edited, sort_keys=True).encode() + b"\n"
            lines = [*evidence.lines[:position], line, *evidence.lines[position + 1 :]]
            assert any("anchor file" in found for found in await evidence.findings(evidence.documents, lines)), name
    assert await evidence.findings(evidence.documents, [*evidence.lines, b"{}\n"]) != []


async def test_what_cannot_be_found(evidence: Evidence) -> None:
    """Said honestly: what was never anchored, or whose anchors are gone as well, can be cut off at its end unseen.

    That is why anchors are to be kept where who administers the database cannot write.
    """
    without_last = [one for position, one in enumerate(evidence.documents) if position != evidence.chain()[-1]]
    chain = evidence.documents[evidence.chain()[0]]["_id"][:8].hex().encode()
    others = [line for line in evidence.lines if chain not in line]
    assert await evidence.findings(evidence.documents, others) == []
    assert await evidence.findings(without_last, others) == []
    assert await evidence.findings(without_last) != []


async def test_a_chain_that_ended_in_doubt_is_anchored_where_it_ended(door: Door) -> None:
    """After a failed commit a lane goes on in a new chain; the end of the old one may not be cut off unseen"""
    hospital, database, audit = door.system("hospital-a"), door.exchange.database, door.exchange.record.audit
    assert (await hospital.put("/Patient/a", json=patient("a"))).status_code == 201
    await database.database.command("collMod", "audit", validator={"nothing": {"$exists": True}})
    assert (await hospital.put("/Patient/a", json=patient("a") | {"active": True})).status_code == 500
    await database.database.command("collMod", "audit", validator={})
    await asyncio.to_thread(audit.anchor, {})
    await database["audit"].delete_one({"p": resource_key(door.exchange.record.codec, "Patient", "a")})
    assert [line async for line in audit.verify()] != []
