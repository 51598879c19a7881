"""What /metadata claims works; what it does not claim is refused (R4 http.html#capabilities, capabilitystatement.html)."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from fhir_server.search.parameters import parameters, unsupported
from tests import serving
from tests.fixtures import FIXTURES
from tests.gate.building import encounter
from tests.r4.test_examples import BROKEN_EXAMPLES
from tests.serving import Door
from tests.store.region import exact, stripped

Resource = dict[str, Any]
JSON = {"Content-Type": "application/fhir+json"}
ASKING = {"Accept": "application/fhir+json"}  # else a Binary is read by its content
AT_ONCE = 16
CLAUSES = 40
VALUES = {
    "token": "x", "string": "x", "date": "2020", "number": "1", "quantity": "1", "uri": "urn:x", "reference": "x",
    "special": "43.8|87.6",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Served:
    """An exchange, what it says it can do, and a hospital's client."""

    door: Door
    client: httpx.AsyncClient
    statement: Resource

    @property
    def types(self) -> list[Resource]:
        return list(self.statement["rest"][0]["resource"])

    async def statuses(self, paths: Iterator[str]) -> dict[str, int]:
        """Of GET on each path."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(path: str) -> tuple[str, int]:
            async with gate:
                return path, (await self.client.get(path)).status_code

        return dict(await asyncio.gather(*(ask(path) for path in paths)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving.door(mongodb_uri, "test_capabilities", tmp_path_factory.mktemp("capabilities")) as door:
        yield Served(door, door.system("hospital-a"), read((await door.client().get("/metadata")).content))
        await door.exchange.database.client.drop_database("test_capabilities")


def test_the_statement_is_valid(served: Served) -> None:
    """capabilitystatement.html: R4, of this instance, all resource types, without a token"""
    validate(served.statement)
    assert (served.statement["fhirVersion"], served.statement["kind"]) == ("4.0.1", "instance")
    assert served.statement["implementation"]["url"] == served.door.base_url
    assert len(served.types) >= 146
    (oauth,) = served.statement["rest"][0]["security"]["extension"]  # StructureDefinition/oauth-uris: both are 1..1
    assert {"token", "authorize"} == {one["url"] for one in oauth["extension"]}


async def test_every_claimed_search_parameter_is_accepted(served: Served) -> None:
    """search.html: on an empty store each gives an empty page"""
    statuses = await served.statuses(_searches(served.types, "searchParam"))
    assert {path: status for path, status in statuses.items() if status != 200} == {}


async def test_every_claimed_include_is_accepted(served: Served) -> None:
    """search.html#include, #revinclude"""
    for claim in ("searchInclude", "searchRevInclude"):
        statuses = await served.statuses(_searches(served.types, claim))
        assert {path: status for path, status in statuses.items() if status != 200} == {}


def _searches(types: list[Resource], claim: str) -> Iterator[str]:
    for one in types:
        asked = [ASKED[claim](one["type"], each) for each in one.get(claim, [])]
        for start in range(0, len(asked), CLAUSES):
            yield f"/{one['type']}?{'&'.join(asked[start : start + CLAUSES])}"


ASKED = {
    "searchParam": lambda kind, one: f"{one['name']}={_value(kind, one)}",
    "searchInclude": lambda kind, one: f"_include={one}",
    "searchRevInclude": lambda kind, one: f"_revinclude={one}",
}


def _value(kind: str, one: Resource) -> str:
    if one["type"] != "composite":
        return VALUES[one["type"]]
    return "$".join(VALUES[component.type] for component in parameters(kind)[one["name"]].components)


async def test_what_is_not_claimed_is_refused(served: Served) -> None:
    """search.html#errors: official parameters that are not offered, and parameters that are none, on every type"""
    claimed = {one["type"]: {each["name"] for each in one["searchParam"]} for one in served.types}
    official = {kind: unsupported(kind) for kind in claimed}
    assert all(official[kind].isdisjoint(claimed[kind]) for kind in claimed)
    paths = [f"/{kind}?{name}=x" for kind in claimed for name in (*sorted(official[kind])[:3], "nothing")]
    statuses = await served.statuses(iter(paths))
    assert {path: status for path, status in statuses.items() if status != 400} == {}


async def test_every_claimed_operation_answers_and_no_other(served: Served) -> None:
    """operations.html: what is claimed answers somebody; what is not is absent for everybody"""
    await served.client.put("/Patient/p", json={"resourceType": "Patient", "id": "p"})
    await served.client.put("/Encounter/p", json=encounter("p", "p"))
    claimed = {(one["type"], operation["name"]) for one in served.types for operation in one.get("operation", [])}
    assert ("Patient", "everything") in claimed
    of_all = {operation for kind, operation in claimed if kind == "Account"}
    claimed = {(kind, name) for kind, name in claimed if kind == "Patient" or name not in of_all}
    assert of_all == {"validate", "meta", "meta-add", "meta-delete"}
    for kind, name in [*claimed, ("Patient", "lastn"), ("Observation", "expand"), ("Observation", "nothing")]:
        answers = [
            await client.request(method, path, json={"resourceType": "Parameters"} if method == "POST" else None)
            for client in (served.client, served.door.patient("p"))
            for method in ("GET", "POST")
            for path in (f"/{kind}/p/${name}", f"/{kind}/${name}")
        ]
        absent = {answer.status_code for answer in answers} == {404}
        assert absent is ((kind, name) not in claimed), (kind, name)


# -- on HL7's examples of all types --


async def test_the_openapi_has_what_the_statement_claims(served: Served) -> None:
    """http.html#summary: Bundles at the base URL, histories at each level with their parameters"""
    paths = (await served.client.get(served.door.base_url.removesuffix("/fhir") + "/openapi.json")).json()["paths"]
    assert paths["/"].keys() == {"get", "post"}
    (schema,) = (body["schema"] for body in paths["/"]["post"]["requestBody"]["content"].values())
    assert schema == {"$ref": "#/components/schemas/Bundle"}
    for place in ("", "/{type}", "/{type}/{id}"):
        asked = {one["name"] for one in paths[f"{place}/_history"]["get"]["parameters"] if one["in"] == "query"}
        assert asked == {"_since", "_at", "_count", "_summary"}, place


def examples() -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((FIXTURES / "r4-examples").glob("*.json"))}


async def test_every_example_is_stored_and_read_back(served: Served) -> None:
    """http.html#update, #read: HL7's examples of all types; refused are those that break their own definitions"""
    gate = asyncio.Semaphore(AT_ONCE)

    async def put(name: str, data: bytes) -> tuple[str, str]:
        sent = exact(data)
        path = f"/{sent['resourceType']}/{sent['id']}"
        async with gate:
            written = await served.client.put(path, content=data, headers=JSON)
            if written.status_code == 400:
                return name, "refused"
            read_back = await served.client.get(path, headers=ASKING)
        assert written.status_code in (200, 201), (name, written.text[:300])
        return name, "equal" if stripped(exact(read_back.content)) == stripped(sent) else "different"

    found = await asyncio.gather(*(put(name, data) for name, data in examples().items() if "id" in json.loads(data)))
    assert {name for name, what in found if what == "refused"} == set(BROKEN_EXAMPLES)
    assert {name for name, what in found if what == "different"} == set()
    assert len(found) > 400


async def test_every_claimed_interaction_works_on_every_type(served: Served) -> None:
    """capabilitystatement.html: the eight interactions, on an example of each type"""
    first = {json.loads(data)["resourceType"]: data for name, data in examples().items() if name not in BROKEN_EXAMPLES}
    claimed = {one["type"]: {each["code"] for each in one["interaction"]} for one in served.types}
    assert len(first) > 100
    gate = asyncio.Semaphore(AT_ONCE)

    async def live(kind: str, data: bytes) -> None:
        assert claimed[kind] == {
            "create", "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "search-type",
        }  # fmt: skip
        async with gate:
            await _life(served.client, kind, data)

    await asyncio.gather(*(live(kind, data) for kind, data in first.items()))


async def _life(client: httpx.AsyncClient, kind: str, data: bytes) -> None:
    created = await client.post(f"/{kind}", content=data, headers=JSON)
    assert created.status_code == 201, (kind, created.text[:300])
    path = f"/{kind}/{created.json()['id']}"
    changed = read(created.content) | {"language": "ug"}
    updated = await client.put(path, json=changed, headers={"If-Match": created.headers["etag"]})
    assert (updated.status_code, updated.headers["etag"]) == (200, 'W/"2"')
    assert (await client.get(f"{path}/_history/1", headers=ASKING)).content == created.content
    assert (await client.get(path, headers=ASKING)).content == updated.content
    assert (await client.get(f"{path}/_history")).json()["total"] == 2
    assert (await client.get(f"/{kind}/_history?_count=1")).status_code == 200
    (match,) = (await client.get(f"/{kind}?_id={created.json()['id']}")).json()["entry"]
    assert match["resource"]["language"] == "ug"
    await _patched(client, path, updated.content)
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 410


async def _patched(client: httpx.AsyncClient, path: str, before: bytes) -> None:
    """http.html#patch: nothing but the language, version and moment is changed."""
    change = [{"op": "test", "path": "/language", "value": "ug"}, {"op": "replace", "path": "/language", "value": "zh"}]
    answer = await client.patch(path, content=json.dumps(change), headers={"Content-Type": "application/json-patch+json"})
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"3"')
    assert stripped(exact(answer.content)) == stripped(exact(before)) | {"language": "zh"}
