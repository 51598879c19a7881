"""What can be read without the keys (DESIGN 3): nothing of a person in the data files, the oplog or the logs."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from exchange.embedded import running
from tests import serving
from tests.serving import Door
from tests.store import region

Resource = dict[str, Any]

# Shorter texts occur by chance in ciphertext; two Chinese characters are six bytes.
LEAST = 6
PREALLOCATED = re.compile(rb"\0{512,}")
CLEAR = re.compile(rb"[\x20-\x7e]{6,}|(?:[\xe0-\xef][\x80-\xbf]{2}|\xc2\xb7){2,}")

PEOPLE: list[Resource] = [
    {
        "resourceType": "Patient", "id": "wang-xiaoming-7731",
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.19", "value": "HC65010077310001"}],
        "name": [{"text": "王晓明测试", "family": "王晓明", "given": ["测试甲乙"]}], "birthDate": "1931-07-19",
        "telecom": [{"system": "phone", "value": "13900017731"}],
        "address": [{"text": "乌鲁木齐市天山区人民路七十七号", "city": "乌鲁木齐", "postalCode": "830731"}],
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">王晓明测试，男，慢性肾病</div>'},
    },
    {
        "resourceType": "Patient", "id": "ayguel-7732",
        "identifier": [{"system": "urn:oid:2.16.156.10011.1.19", "value": "HC65010077310001"}],
        "name": [{"text": "阿依古丽·买买提"}, {"text": "Ayguel Memet-Test"}, {"text": "ئايگۈل مەمەت"}],
        "birthDate": "1977-03-12",
    },
    {
        "resourceType": "Condition", "id": "nierenleiden-7733", "subject": {"reference": "Patient/wang-xiaoming-7731"},
        "code": {"coding": [{"system": "urn:icd-10", "code": "N18.5x01", "display": "慢性肾功能衰竭尿毒症期"}]},
        "note": [{"text": "患者自述乏力三个月余"}],
    },
]  # fmt: skip
REASON = "unconscious in the ward 昏迷不醒"
# A word of English, as "completed" or "Patient" is, stands in the logs and metadata of any database; six or seven digits occur
# by chance in its times.
ORDINARY = re.compile(r"[A-Z]?[a-z]+|hospital-a|\d{6,7}")


@dataclass(frozen=True, slots=True)
class Seen:
    """All that somebody sees who has no keys: what the database gives over the wire, the files, the log lines."""

    wire: bytes
    files: bytes
    logs: str
    collections: set[str]
    ids: set[str]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def values() -> list[str]:
    """Every text of every record of three Synthea patients and of the people above; ids as well."""
    sent = [json.loads(bundle) for bundle in region.bundles(3)[2:]]
    resources = [entry["resource"] for bundle in sent for entry in bundle["entry"]] + PEOPLE
    found = {text for one in resources for text in texts(one)}
    parts = {part for text in found for part in re.split(r"[\s,.;/|<>\"=]+", text)}
    every = {*found, *parts, REASON, *REASON.split()}
    return [text for text in every if len(text.encode()) >= LEAST and not ORDINARY.fullmatch(text)]


def texts(node: Any) -> Iterator[str]:
    """What a resource says; not its types and systems, which are everybody's."""
    if isinstance(node, str):
        yield node
    for one in node if isinstance(node, list) else ():
        yield from texts(one)
    for name, one in node.items() if isinstance(node, dict) else ():
        if name not in ("resourceType", "system", "url", "profile", "xmlns"):
            yield from texts(one)


class Lines(logging.Handler):
    """Log records as one text; the client's own, which knows what it sends, left out."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in ("httpx", "httpcore", "asyncio"):
            self.lines.append(self.format(record))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seen(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seen]:
    """A mongod of its own, filled, asked for everything by name, dumped, and stopped."""
    data, lines, root = tmp_path_factory.mktemp("secrecy"), Lines(), logging.getLogger()
    level = root.level
    root.addHandler(lines)
    root.setLevel(logging.INFO)
    try:
        async with running(data, cache_gb=0.25) as uri, serving.door(uri, "hie", data) as door:
            ids = await use(door)
            wire, collections = await dump(uri, data)
    finally:
        root.setLevel(level)
        root.removeHandler(lines)
    files = b"\n".join(clear(path.read_bytes()) for path in sorted(data.rglob("*")) if path.is_file())
    yield Seen(clear(wire), files, "\n".join(lines.lines), collections, ids)


async def use(door: Door) -> set[str]:
    """Load, search by names, refuse, fail, break the glass; the ids that patients' records now have."""
    hospital, doctor = door.system("hospital-a"), door.doctor("dr", "hospital-a")
    loaded = await region.load(hospital, region.bundles(3))
    for one in PEOPLE:
        assert (await hospital.put(f"/{one['resourceType']}/{one['id']}", json=one)).status_code == 201
    assert (await hospital.put("/Patient/ayguel-7732", json=PEOPLE[1] | {"gender": "female"})).status_code == 200
    assert (await hospital.delete("/Condition/nierenleiden-7733")).status_code == 204
    patients = [one for one in loaded.resources if one["resourceType"] == "Patient"]
    await asyncio.gather(*(ask(doctor, one) for one in (*patients, PEOPLE[0])))
    await hospital.post("/Patient", content=json.dumps(PEOPLE[0])[:-9], headers=region.FHIR_JSON)
    await hospital.post("/Patient", json=PEOPLE[0] | {"gender": "阿依古丽·买买提"})
    reason = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": REASON}]}
    assert (await doctor.post(f"/Patient/{PEOPLE[0]['id']}/$break-glass", json=reason)).status_code == 200
    kinds = ("Practitioner", "Organization", "Location", "PractitionerRole")
    return {one["id"] for one in loaded.resources if one["resourceType"] not in kinds}


async def ask(doctor: httpx.AsyncClient, patient: Resource) -> None:
    name, address = patient["name"][0], patient["address"][0]
    asked = {"name": name["family"], "given": name["given"][0], "address": address["city"], "nothing": name["family"]}
    for query in asked.items():
        await doctor.get("/Patient", params=[query])
    await doctor.post("/Patient/_search", data={"birthdate": patient["birthDate"], "name": name["family"]})
    assert (await doctor.get(f"/Patient/{patient['id']}/$everything")).status_code == 200


async def dump(uri: str, data: Path) -> tuple[bytes, set[str]]:
    """Raw BSON of every collection, system collections and oplog too, read as the cluster's own user."""
    port = int(re.search(r":(\d+)/", uri)[1])  # type: ignore[index]  # the URI has a port
    key = (data / "mongodb" / "key").read_text()
    raw: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
    parts, names = [], set()
    async with AsyncMongoClient[Any](
        "127.0.0.1", port, username="__system", password=key, authSource="local", directConnection=True
    ) as cluster:
        await cluster.admin.command("fsync")
        for database in await cluster.list_database_names():
            for name in await cluster[database].list_collection_names():
                names.add(f"{database}.{name}")
                found = cluster.get_database(database, codec_options=raw)[name].find({})
                parts += [document.raw async for document in found]
    return b"".join(parts), names


def clear(raw: bytes) -> bytes:
    """What in it could be text."""
    return b"\n".join(CLEAR.findall(PREALLOCATED.sub(b"", raw)))


def readable(text: bytes, values: list[str]) -> list[str]:
    return [value for value in values if value.encode() in text]


def test_the_search_would_find_what_is_there(seen: Seen) -> None:
    """Organizations are no secret: what is stored in clear is found, so the search looks in the right places"""
    assert {"hie.resources", "hie.history", "hie.audit", "hie.persons", "hie.reviews", "local.oplog.rs"} <= seen.collections
    assert readable(seen.wire, ["hospital-a"])
    assert len(seen.wire) > 100_000
    assert readable(seen.files, ["WiredTiger", "hospital-a"])
    assert "GET /fhir 200" in seen.logs


def test_nothing_of_a_person_is_in_the_database(seen: Seen, values: list[str]) -> None:
    """Names, identifiers, addresses, diagnoses, narratives, codes, dates, reasons: in no collection, not in the oplog"""
    assert len(values) > 3_000
    assert readable(seen.wire, values) == []


def test_nothing_of_a_person_is_in_the_files(seen: Seen, values: list[str]) -> None:
    """Data files, journal, key store, anchors and mongod's log, after a clean stop"""
    assert readable(seen.files, values) == []


def test_nothing_of_a_person_is_in_the_logs(seen: Seen, values: list[str]) -> None:
    """At INFO, while people were searched for by name and bad input was refused"""
    assert [value for value in values if value in seen.logs] == []


def test_no_id_is_in_clear(seen: Seen) -> None:
    """Ids, server-given or a hospital's own, are keyed hashes"""
    ids = [*seen.ids, *(one["id"] for one in PEOPLE)]
    assert len(ids) > 500
    assert readable(seen.wire, ids) == readable(seen.files, ids) == [one for one in ids if one in seen.logs] == []
