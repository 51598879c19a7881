"""The audit log (DESIGN 4): each access leaves one entry, and none is answered without it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests import serving
from tests.gate.building import consent, provision
from tests.store.auditing import Log, observation, patient

DATABASE = "test_audit"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def log(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Log]:
    """Doctors see nobody here, hospitals their own."""
    async with serving.door(mongodb_uri, DATABASE, tmp_path_factory.mktemp("audit"), default_policy="deny") as door:
        hospital = door.system("hospital-a")
        await hospital.put("/Practitioner/dr", json={"resourceType": "Practitioner", "id": "dr"})
        for number in range(18):
            above = {"partOf": {"reference": f"Organization/o-{number + 1}"}}
            made = {"resourceType": "Organization", "id": f"o-{number}", "name": "O"} | above
            assert (await hospital.put(f"/Organization/o-{number}", json=made)).status_code == 201
        for known in ("a", "b"):
            assert (await hospital.put(f"/Patient/{known}", json=patient(known))).status_code == 201
            assert (await hospital.put(f"/Observation/o-{known}", json=observation(f"o-{known}", known))).status_code == 201
        yield Log(door, hospital)
        await door.exchange.database.client.drop_database(DATABASE)


# -- one entry for each access --


def bundle(kind: str, *entries: tuple[str, str, Any]) -> dict[str, Any]:
    made = [{"request": {"method": method, "url": url}} | ({"resource": body} if body else {}) for method, url, body in entries]
    return {"resourceType": "Bundle", "type": kind, "entry": made}


def parameters(**given: str) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, "valueString": value} for name, value in given.items()]}


TRANSACTION = bundle("transaction", ("PUT", "Patient/a", patient("a")), ("POST", "Observation", observation("y", "b")))

REFUSED = bundle("transaction", ("PUT", "Patient/a", patient("a")), ("PUT", "Observation/o-b", observation("o-b", "b")))
PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "Patient.gender.nothing[7]"}],
        }
    ],
}
META = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}

# who, method, path, body -> status, interaction, outcome, persons
ACCESSES: list[tuple[str, str, str, Any, int, str, str, str]] = [
    ("hospital", "GET", "/Patient/a", None, 200, "read", "permit", "a"),
    ("hospital", "GET", "/Patient/none", None, 404, "read", "absent", ""),
    ("doctor", "GET", "/Patient/a", None, 404, "read", "deny", "a"),
    ("doctor", "GET", "/Observation/o-b", None, 404, "read", "deny", "b"),
    ("doctor", "GET", "/Patient/a/_history", None, 404, "history-instance", "deny", "a"),
    ("doctor", "GET", "/Patient/a/_history/1", None, 404, "vread", "deny", "a"),
    ("doctor", "GET", "/Observation", None, 200, "search-type", "permit", ""),
    ("doctor", "GET", "/Patient/b/$everything", None, 404, "operation-everything", "deny", "b"),
    ("hospital", "GET", "/Patient/a/_history/1", None, 200, "vread", "permit", "a"),
    ("hospital", "GET", "/Patient/a/_history/7", None, 404, "vread", "absent", "a"),
    ("hospital", "GET", "/Patient/a/_history", None, 200, "history-instance", "permit", "a"),
    ("hospital", "GET", "/Observation?_include=Observation:subject", None, 200, "search-type", "permit", "ab"),
    ("hospital", "GET", "/Observation?patient=b", None, 200, "search-type", "permit", "b"),
    ("hospital", "GET", "/Observation?code=nothing", None, 200, "search-type", "permit", ""),
    ("hospital", "GET", "/Observation?_summary=count", None, 200, "search-type", "permit", ""),
    ("hospital", "GET", "/Observation?patient=a&_summary=count", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/Observation?patient=a,b&_count=0", None, 200, "search-type", "permit", "ab"),
    ("hospital", "GET", "/Observation?patient=none&_summary=count", None, 200, "search-type", "permit", ""),
    ("hospital", "GET", "/Observation?patient=a&code=nothing&_total=accurate", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/Patient/a/Observation?_summary=count", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/Patient/b/*?_summary=count", None, 200, "search-type", "permit", "b"),
    ("hospital", "GET", "/Patient?_id=a&_summary=count", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/Observation?patient.identifier=of-a&_summary=count", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/Observation?patient.identifier=of-a&code=nothing", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/Observation?identifier=of-b&_summary=count", None, 200, "search-type", "permit", "b"),
    ("hospital", "GET", "/Observation?_id=o-b&code=nothing", None, 200, "search-type", "permit", "b"),
    ("hospital", "GET", "/Observation?derived-from=Observation/o-b&_summary=count", None, 200, "search-type", "permit", "b"),
    ("hospital", "GET", "/Patient?_has:Observation:patient:_id=o-a&_count=0", None, 200, "search-type", "permit", "a"),
    ("hospital", "GET", "/?_type=Patient,Observation&_id=b&_summary=count", None, 200, "search-type", "permit", "b"),
    ("hospital", "GET", "/Organization?_id=o-0&_include:iterate=Organization:partof", None, 403, "search-type", "refused", ""),
    ("doctor", "GET", "/Observation?patient.identifier=of-a&_summary=count", None, 200, "search-type", "permit", ""),
    ("doctor", "GET", "/Observation?_id=o-b&_summary=count", None, 200, "search-type", "permit", ""),
    ("doctor", "GET", "/Observation?patient=a&_summary=count", None, 200, "search-type", "permit", ""),
    ("doctor", "GET", "/Patient/a/Observation", None, 200, "search-type", "permit", ""),
    ("hospital", "GET", "/Patient/a/$everything", None, 200, "operation-everything", "permit", "a"),
    ("hospital", "GET", "/Patient/a/$everything?_type=Immunization", None, 200, "operation-everything", "permit", "a"),
    ("hospital", "GET", "/Patient/a/$everything?_since=2100", None, 200, "operation-everything", "permit", "a"),
    ("hospital", "GET", "/Patient/b/$everything?_count=0", None, 200, "operation-everything", "permit", "b"),
    ("hospital", "PUT", "/Patient/a", patient("a") | {"gender": "female"}, 200, "update", "permit", "a"),
    ("hospital", "PUT", "/Patient/a", patient("a") | {"gender": 1}, 400, "update", "refused", ""),
    ("other", "PUT", "/Patient/a", patient("a"), 403, "update", "refused", "a"),
    ("other", "PUT", "/Observation/o-b", observation("o-b", "a"), 403, "update", "refused", "b"),
    ("other", "DELETE", "/Patient/a", None, 204, "delete", "permit", ""),
    ("other", "PATCH", "/Patient/a", PATCH, 404, "patch", "refused", "a"),
    ("hospital", "PATCH", "/Patient/a", PATCH, 422, "patch", "refused", "a"),
    ("other", "POST", "", REFUSED, 403, "transaction", "refused", "ab"),
    ("hospital", "PATCH", "/Patient/none", PATCH, 404, "patch", "refused", ""),
    ("patient", "POST", "/Consent", consent("z", "b", provision("deny")), 403, "create", "refused", "b"),
    ("patient", "POST", "/Consent", consent("z", "none", provision("deny")), 403, "create", "refused", ""),
    ("other", "POST", "/Patient/a/$meta-add", META, 404, "operation-meta-add", "deny", "a"),
    ("other", "POST", "/Patient/a/$link", parameters(other="Patient/b"), 403, "link", "refused", "ab"),
    ("other", "POST", "/Patient/a/$erase", {"resourceType": "Parameters"}, 403, "operation-erase", "refused", "a"),
    ("other", "POST", "/Patient/a/$break-glass", parameters(reason="an emergency"), 403, "break-glass", "refused", "a"),
    ("other", "POST", "/Patient/a/$unbind", {"resourceType": "Parameters"}, 403, "unbind", "refused", "a"),
    ("hospital", "POST", "/Observation", observation("x", "b"), 201, "create", "permit", "b"),
    ("hospital", "DELETE", "/Observation/o-a", None, 204, "delete", "permit", "a"),
    ("hospital", "DELETE", "/Observation/none", None, 204, "delete", "permit", ""),
    ("hospital", "POST", "", TRANSACTION, 200, "transaction", "permit", "ab"),
    ("narrow", "GET", "/Patient/a", None, 403, "read", "refused", ""),
    ("narrow", "GET", "/Patient", None, 403, "search-type", "refused", ""),
    ("narrow", "POST", "/Patient", patient("z"), 403, "create", "refused", ""),
    ("patient", "GET", "/Patient/a/$access-log", None, 200, "operation-access-log", "permit", "a"),
    ("patient", "GET", "/Patient/b/$access-log", None, 404, "operation-access-log", "deny", "b"),
    ("doctor", "GET", "/Patient/a/$access-log", None, 404, "operation-access-log", "deny", "a"),
]  # fmt: skip


@pytest.mark.parametrize("access", ACCESSES, ids=[f"{one[0]}-{one[1]}{one[2][:40]}" for one in ACCESSES])
async def test_each_access_leaves_exactly_one_entry(log: Log, access: tuple[Any, ...]) -> None:
    """DESIGN 4: allowed or denied, naming every person disclosed or touched"""
    who, method, path, body, status, interaction, outcome, persons = access
    clients = {
        "hospital": log.hospital,
        "other": log.door.system("hospital-b"),
        "doctor": log.door.doctor("dr", "hospital-a"),
        "patient": log.door.patient("a"),
        "narrow": log.door.client("system", organization="hospital-a", scope="system/Basic.cruds"),
    }
    before = await log.entries()
    kind = {"Content-Type": "application/fhir+json"} if body else {}
    response = await clients[who].request(method, path, json=body, headers=kind)
    assert response.status_code == status, response.text
    (entry,) = [one for key, one in (await log.entries()).items() if key not in before]
    assert (entry["interaction"], entry["outcome"]) == (interaction, outcome)
    assert entry["p"] == log.keys(*persons)


async def test_a_batch_leaves_an_entry_for_each_of_its_entries(log: Log) -> None:
    """DESIGN 4"""
    before = await log.entries()
    asked = bundle("batch", ("GET", "Patient/a", None), ("GET", "Patient/none", None), ("GET", "Observation?patient=b", None))
    assert (await log.hospital.post("", json=asked)).status_code == 200
    made = [one for key, one in (await log.entries()).items() if key not in before]
    assert sorted((one["interaction"], one["outcome"], len(one["p"])) for one in made) == [
        ("read", "absent", 0), ("read", "permit", 1), ("search-type", "permit", 1)
    ]  # fmt: skip


UNHEARD: list[tuple[str, str, Any]] = [
    ("GET", "/Patient/a", None),
    ("GET", "/Patient/none", None),
    ("GET", "/Patient", None),
    ("GET", "/Patient/a/_history", None),
    ("GET", "/Patient/a/$everything", None),
    ("PUT", "/Patient/c", patient("c")),
    ("PUT", "/Patient/c", patient("c") | {"gender": 1}),
    ("POST", "", bundle("transaction", ("PUT", "Patient/c", patient("c")))),
    ("DELETE", "/Patient/a", None),
]


async def test_nothing_is_answered_while_the_audit_cannot_be_written(log: Log) -> None:
    """DESIGN 4: no read without its entry; a write and its entry commit together or not at all"""
    database = log.door.exchange.database.database
    await database.command("collMod", "audit", validator={"nothing": {"$exists": True}})
    try:
        for method, path, body in UNHEARD:
            response = await log.hospital.request(method, path, json=body)
            assert response.status_code == 500, (method, path)
            assert "Person" not in response.text
    finally:
        await database.command("collMod", "audit", validator={})
    assert (await log.hospital.get("/Patient/c")).status_code == 404
    assert (await log.hospital.get("/Patient/a")).status_code == 200
    assert await log.findings() == []
