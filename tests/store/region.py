"""A region with Synthea's people in it: loaded as a hospital would, and what must be in the store afterwards."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.fixtures import FIXTURES

Resource = dict[str, Any]
FHIR_JSON = {"Content-Type": "application/fhir+json"}
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was sent: each resource with the id, and the references, that it must have now."""

    resources: list[Resource]
    responses: list[Resource]


def bundles(patients: int | None = None) -> list[bytes]:
    """Synthea's transaction Bundles: two of the directory, then `patients` (all, if None)."""
    paths = sorted((FIXTURES / "synthea").glob("*.json"), key=lambda path: (not path.name.startswith("0-"), path.name))
    return [path.read_bytes() for path in paths[: None if patients is None else patients + 2]]


async def load(client: httpx.AsyncClient, wanted: list[bytes]) -> Loaded:
    """Load them as transactions: the directory first, then the patients, a few at a time."""
    responses = [await _post(client, one) for one in wanted[:2]]
    gate = asyncio.Semaphore(AT_ONCE)

    async def post(one: bytes) -> Resource:
        async with gate:
            return await _post(client, one)

    responses += await asyncio.gather(*(post(one) for one in wanted[2:]))
    return Loaded(expected([exact(one) for one in wanted], responses), responses)


async def _post(client: httpx.AsyncClient, bundle: bytes) -> Resource:
    response = await client.post("", content=bundle, headers=FHIR_JSON)
    assert response.status_code == 200, response.text
    return dict(response.json())


def exact(data: bytes | str) -> Resource:
    """JSON with decimals as they are written."""
    return dict(json.loads(data, parse_float=str))


def expected(sent: list[Resource], responses: list[Resource]) -> list[Resource]:
    """The resources that now must be there, once each: ids as the responses say, references rewritten (http.html#trules)."""
    named = [(entry, place(answer)) for bundle, response in zip(sent, responses, strict=True)
             for entry, answer in zip(bundle["entry"], response["entry"], strict=True)]  # fmt: skip
    targets = {entry["fullUrl"]: name for entry, name in named}
    targets |= {query: name for entry, name in named for query in _queries(entry["resource"])}
    made = {name: _rewritten(entry["resource"], targets) | {"id": name.partition("/")[2]} for entry, name in reversed(named)}
    return list(made.values())


def place(answer: Resource) -> str:
    """`Type/id` of a response entry's location."""
    kind, known = answer["response"]["location"].split("/")[-4:-2]
    return f"{kind}/{known}"


def _queries(resource: Resource) -> Iterable[str]:
    return (f"{resource['resourceType']}?identifier={one['system']}|{one['value']}" for one in resource.get("identifier", []))


def _rewritten(node: Any, targets: dict[str, str], name: str = "") -> Any:
    if isinstance(node, dict):
        return {key: _rewritten(value, targets, key) for key, value in node.items()}
    if isinstance(node, list):
        return [_rewritten(one, targets, name) for one in node]
    return targets.get(node, node) if isinstance(node, str) and name in ("reference", "uri", "url") else node


async def everything(client: httpx.AsyncClient, query: str) -> list[Resource]:
    """The matches of a search on all its pages, as exact JSON."""
    entries = [entry for page in await pages(client, query) for entry in page.get("entry", [])]
    return [entry["resource"] for entry in entries if entry["search"]["mode"] == "match"]


async def pages(client: httpx.AsyncClient, query: str) -> list[Resource]:
    """All pages of a search, following the links."""
    found: list[Resource] = []
    url: str | None = f"/{query}"
    while url:
        response = await client.get(url)
        assert response.status_code == 200, (query, response.text[:500])
        found.append(exact(response.content))
        url = next((link["url"] for link in found[-1]["link"] if link["relation"] == "next"), None)
    return found


def stripped(resource: Resource) -> Resource:
    """Without what the server adds to meta."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ("versionId", "lastUpdated")}
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return rest | ({"meta": meta} if meta else {})
