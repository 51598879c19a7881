"""31 Synthea patients through transaction Bundles: every resource counted, every search as a naive oracle finds it."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests import serving
from tests.store import naive, region
from tests.store.naive import PARAMETERS, at, matching, span, values
from tests.store.region import Resource, everything, exact, pages, place, stripped

ENTRIES = 13_696


@dataclass(frozen=True, slots=True, repr=False)
class Region:
    client: httpx.AsyncClient
    loaded: region.Loaded
    stored: dict[str, list[Resource]]
    door: serving.Door

    async def found(self, kind: str, pairs: list[tuple[str, str]], count: int = 1000) -> list[str]:
        """The ids of all matches, page by page."""
        return [one["id"] for one in await everything(self.client, f"{kind}?{urlencode([*pairs, ('_count', str(count))])}")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def synthea(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Region]:
    """The exchange with all of Synthea's patients in it, and what is stored by type."""
    data: Path = tmp_path_factory.mktemp("synthea")
    watch = serving.Watch()
    async with serving.door(mongodb_uri, "test_synthea", data, now=watch, default_policy="permit-treatment") as door:
        client = door.client("system", organization="synthea", lifetime=3600)
        loaded = await region.load(client, region.bundles())
        kinds = {one["resourceType"] for one in loaded.resources}
        stored = {kind: await everything(client, f"{kind}?_count=1000") for kind in sorted(kinds)}
        naive.MOMENT["ms"] = watch.stop()
        yield Region(client, loaded, stored, door)
        await door.exchange.database.client.drop_database("test_synthea")


def test_every_resource_is_counted(synthea: Region) -> None:
    """http.html#transaction: what is in the store by type equals what was sent; conditional creates happen once."""
    answers = [answer for response in synthea.loaded.responses for answer in response["entry"]]
    assert len(answers) == ENTRIES
    statuses = Counter(answer["response"]["status"] for answer in answers)
    assert statuses.keys() <= {"200", "201"}
    assert len({place(answer) for answer in answers if answer["response"]["status"] == "201"}) == statuses["201"]
    sent = Counter(one["resourceType"] for one in synthea.loaded.resources)
    assert {kind: len(found) for kind, found in synthea.stored.items()} == sent
    assert sum(sent.values()) == statuses["201"]


def test_every_resource_is_stored_as_it_was_sent(synthea: Region) -> None:
    """http.html#trules: ids given, urn:uuid and conditional references resolved everywhere, all else untouched."""
    stored = {f"{one['resourceType']}/{one['id']}": stripped(one) for found in synthea.stored.values() for one in found}
    assert stored == {f"{one['resourceType']}/{one['id']}": stripped(one) for one in synthea.loaded.resources}
    references = [reference for one in stored.values() for reference in _references(one)]
    assert len(references) > 50_000
    assert not [reference for reference in references if "?" in reference or reference.startswith("urn:")]
    assert {reference for reference in references if not reference.startswith("#")} <= stored.keys()


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for one in node for found in _references(one)]
    if not isinstance(node, dict):
        return []
    own = [node["reference"]] if isinstance(node.get("reference"), str) else []
    return own + [found for one in node.values() for found in _references(one)]


async def test_loading_the_directory_again_changes_nothing(synthea: Region) -> None:
    """http.html#ccreate: If-None-Exist matches what is there."""
    directory = [entry for bundle in region.bundles(0) for entry in json.loads(bundle)["entry"]]
    conditional = [entry for entry in directory if "ifNoneExist" in entry["request"]]
    assert len(conditional) == 583
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": conditional[::6]}
    answered = (await synthea.client.post("", json=sent)).json()
    assert {answer["response"]["status"] for answer in answered["entry"]} == {"200"}


# -- a table of queries on values that occur --

MODIFIED = {"token": ["", ":not"], "string": ["", ":exact", ":contains"], "uri": ["", ":below"]}
PREFIXED = {"date": ["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"], "quantity": ["", "ne", "gt", "lt", "ge", "le"]}
MANY = 400  # what a query finds of more than this is narrowed to one patient, for the time it takes
SEARCHED = [(kind, name) for kind, named in PARAMETERS.items() for name in named]


def askable(kind: str, element: Any) -> list[str]:
    """Values of a parameter of this kind that an element of a resource suggests."""
    match kind, element:
        case "token", str():
            return [element]
        case "token", dict():
            system, code = element.get("system", ""), str(element.get("code", element.get("value", "")))
            return [f"{system}|{code}", code, f"{system}|"]
        case "string", str():
            return [element, element[:4], element.upper()]
        case "reference", dict() if "/" in element.get("reference", "") and element["reference"][0] != "#":
            return [element["reference"], element["reference"].partition("/")[2]]
        case "uri", str():
            return [element, element.rpartition("/")[0]]
        case "date", _:
            text = element.get("start", "") if isinstance(element, dict) else element
            return [text, text[:10], text[:7], text[:4]] if text else []
        case "quantity", dict() if "value" in element:
            number = element["value"]
            return [f"{number}", f"{number}|{element['system']}|{element['code']}", str(round(float(number)))]
    return []


def _asked(found: list[Resource], kind: str, name: str) -> list[tuple[str, str]]:
    """A few pairs for a parameter: values of three resources, with each modifier or prefix in turn."""
    sort = PARAMETERS[kind][name][0]
    having = [one for one in found if values(one, name)]
    texts = [text for one in having[:: max(1, len(having) // 3)][:3] for text in askable(sort, values(one, name)[0])]
    plain = [text for text in dict.fromkeys(texts) if not set(text) & set(",$\\")]
    modifiers, prefixes = MODIFIED.get(sort, [""]), PREFIXED.get(sort, [""])
    pairs = [(name + modifiers[n % len(modifiers)], prefixes[n % len(prefixes)] + text) for n, text in enumerate(plain)]
    return [*pairs[:6], (name, ",".join(plain[:2])), (f"{name}:missing", "true")]


@pytest.mark.parametrize(("kind", "name"), SEARCHED, ids=[f"{kind}-{name}" for kind, name in SEARCHED])
async def test_search_agrees_with_the_oracle(synthea: Region, kind: str, name: str) -> None:
    """search.html: token, reference, string, date with prefixes, quantity, uri, _id, _lastUpdated, :missing, alternatives."""
    found = synthea.stored[kind]
    asked = _asked(found, kind, name)
    assert len(asked) >= 3
    for pair in asked:
        pairs = [pair] if len(matching(found, kind, [pair])) < MANY else [pair, _patient(found[0])]
        assert sorted(await synthea.found(kind, pairs)) == sorted(matching(found, kind, pairs)), pairs


@pytest.mark.parametrize(("kind", "name"), [one for one in SEARCHED if PARAMETERS[one[0]][one[1]][0] == "date"])
async def test_what_is_about_a_date_agrees_with_the_oracle(synthea: Region, kind: str, name: str) -> None:
    """search.html#prefix: `ap` is 10 % of the gap between now and the date; also within a person, and counted"""
    found = synthea.stored[kind]
    elements = [element for one in found for element in values(one, name)]
    for text in askable("date", elements[len(elements) // 2])[:4]:
        pair = (name, f"ap{text}")
        pairs = [pair] if len(matching(found, kind, [pair])) < MANY or kind == "Patient" else [pair, _patient(found[0])]
        expected = matching(found, kind, pairs)
        assert sorted(await synthea.found(kind, pairs)) == sorted(expected), pairs
        counted = await synthea.client.get(f"{kind}?{urlencode([*pairs, ('_summary', 'count')])}")
        assert counted.json()["total"] == len(expected)


def _patient(resource: Resource) -> tuple[str, str]:
    return "patient", (resource.get("subject") or resource["patient"])["reference"]


@settings(max_examples=50, deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_any_search_agrees_with_the_oracle(synthea: Region, data: st.DataObject) -> None:
    """search.html: one to three criteria of a resource that exists, any page size; every match on exactly one page."""
    kind = data.draw(st.sampled_from(sorted(PARAMETERS)))
    found = synthea.stored[kind]
    one = found[data.draw(st.integers(0, len(found) - 1))]
    names = data.draw(st.lists(st.sampled_from(sorted(PARAMETERS[kind])), min_size=1, max_size=3, unique=True))
    pairs = [pair for name in names if (pair := _drawn(data, one, kind, name))]
    expected = matching(found, kind, pairs)
    if len(expected) > MANY and "patient" in PARAMETERS[kind]:
        pairs.append(_patient(one))
        expected = matching(found, kind, pairs)
    count = data.draw(st.integers(1 + len(expected) // 5, 1000))
    got = await synthea.found(kind, pairs, count)
    assert sorted(got) == sorted(expected), pairs


def _drawn(data: st.DataObject, one: Resource, kind: str, name: str) -> tuple[str, str] | None:
    sort = PARAMETERS[kind][name][0]
    texts = [text for element in values(one, name) for text in askable(sort, element) if not set(text) & set(",$\\")]
    if not texts:
        return None
    modifier, prefix = (data.draw(st.sampled_from(among.get(sort, [""]))) for among in (MODIFIED, PREFIXED))
    return name + modifier, prefix + data.draw(st.sampled_from(texts))


# -- how results are wanted --


@pytest.mark.parametrize(("kind", "pairs", "count"), [
    ("Patient", [], 7), ("Condition", [], 100), ("Observation", [("code", "http://loinc.org|8302-2")], 7),
    ("Observation", [("_lastUpdated", "gt2020"), ("_sort", "-_lastUpdated")], 250),
])  # fmt: skip
async def test_pages_give_each_match_exactly_once(synthea: Region, kind: str, pairs: list[tuple[str, str]], count: int) -> None:
    """search.html#count, http.html#paging; hundreds of resources of one transaction share an instant"""
    got = await synthea.found(kind, pairs, count)
    assert sorted(got) == sorted(matching(synthea.stored[kind], kind, [pair for pair in pairs if pair[0] != "_sort"]))


@pytest.mark.parametrize("sort", ["_lastUpdated", "-_lastUpdated", "date", "-date", "status"])
async def test_pages_of_one_large_transaction(door: serving.Door, sort: str) -> None:
    """http.html#paging: a thousand resources of one instant, and page links that stay short"""
    client = door.system("a")
    one = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/a"}}
    entry = {"resource": one, "request": {"method": "POST", "url": "Observation"}}
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 1000}
    assert (await client.post("", json=sent)).status_code == 200
    got = await everything(client, f"Observation?_sort={sort}&_count=300")
    assert len({one["id"] for one in got}) == len(got) == 1000


SORTS = [
    ("Patient", "family", "name.family"), ("Patient", "birthdate", "birthDate"), ("Patient", "gender", "gender"),
    ("Condition", "onset-date", "onsetDateTime"), ("Condition", "recorded-date", "recordedDate"),
    ("Encounter", "date", "period"), ("Immunization", "date", "occurrenceDateTime"),
    ("Immunization", "_lastUpdated", "meta.lastUpdated"),
    ("MedicationRequest", "authoredon", "authoredOn"), ("Organization", "name", "name"),
    ("ExplanationOfBenefit", "_lastUpdated", "meta.lastUpdated"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "path"), SORTS, ids=[f"{kind}-{name}" for kind, name, _ in SORTS])
@pytest.mark.parametrize("sign", ["", "-"])
async def test_sorted_results_are_in_order_across_pages(synthea: Region, kind: str, name: str, path: str, sign: str) -> None:
    """search.html#sort"""
    got = await everything(synthea.client, f"{kind}?_sort={sign}{name}&_count=90")
    assert sorted(one["id"] for one in got) == sorted(one["id"] for one in synthea.stored[kind])
    keys = [(max if sign else min)(_key(value) for value in at(one, path)) for one in got]
    assert keys == sorted(keys, reverse=bool(sign))


def _key(value: Any) -> Any:
    dated = isinstance(value, dict) or value[:2] in ("19", "20")
    return span(value)[0] if dated else value.lower()


async def test_sort_by_two_keys(synthea: Region) -> None:
    """search.html#sort: the second key orders what the first leaves equal"""
    got = await everything(synthea.client, "Patient?_sort=gender,-birthdate&_count=10")
    keys = [(one["gender"], -span(one["birthDate"])[0]) for one in got]
    assert keys == sorted(keys)
    assert len(got) == len(synthea.stored["Patient"])


@pytest.mark.parametrize(
    ("query", "include", "paths"),
    [
        ("Encounter?class=IMP&_count=1000", "Encounter:service-provider", ["serviceProvider"]),
        ("Encounter?class=EMER&_count=1000", "Encounter:participant:Practitioner", ["participant.individual"]),
        ("DiagnosticReport?category=http://loinc.org%7C34117-2&_count=20", "DiagnosticReport:subject", ["subject"]),
        ("Condition?_count=15", "Condition:encounter", ["encounter"]),
    ],
)
async def test_include(synthea: Region, query: str, include: str, paths: list[str]) -> None:
    """search.html#include: what the matches refer to, each once"""
    [page] = (await pages(synthea.client, f"{query}&_include={include}"))[:1]
    entries = [(entry["search"]["mode"], entry["resource"]) for entry in page["entry"]]
    matches = [one for mode, one in entries if mode == "match"]
    wanted = {reference["reference"] for one in matches for path in paths for reference in at(one, path)}
    included = [f"{one['resourceType']}/{one['id']}" for mode, one in entries if mode == "include"]
    assert sorted(included) == sorted(wanted)
    assert included


@pytest.mark.parametrize(("source", "name"), [("Condition", "patient"), ("Encounter", "subject"), ("Immunization", "patient")])
async def test_revinclude(synthea: Region, source: str, name: str) -> None:
    """search.html#revinclude: what refers to the matches"""
    for patient in synthea.stored["Patient"][:5]:
        [page] = await pages(synthea.client, f"Patient?_id={patient['id']}&_revinclude={source}:{name}")
        included = [entry["resource"]["id"] for entry in page["entry"] if entry["search"]["mode"] == "include"]
        path = {"Condition": "subject", "Encounter": "subject", "Immunization": "patient"}[source]
        expected = [one["id"] for one in synthea.stored[source] if one[path]["reference"] == f"Patient/{patient['id']}"]
        assert sorted(included) == sorted(expected)


COUNTED = [
    "Condition?",
    "Observation?",
    "Observation?code=http://loinc.org|8302-2",
    "Patient?gender=female",
    "Observation?code=8302-2",
    "Observation?patient=none",
    "Encounter?date=ge2015&class=AMB",
]


@pytest.mark.parametrize("query", COUNTED)
async def test_totals_are_exact(synthea: Region, query: str) -> None:
    """search.html#total, #summary: a total is the number of matches, whatever the page shows"""
    matches = len(await everything(synthea.client, f"{query}&_count=1000"))
    accurate = exact((await synthea.client.get(f"/{query}&_total=accurate&_count=3")).content)
    counted = exact((await synthea.client.get(f"/{query}&_summary=count")).content)
    assert (accurate["total"], counted["total"]) == (matches, matches)
    assert "entry" not in counted


async def test_a_total_that_cannot_be_exact_is_not_given(synthea: Region) -> None:
    """search.html#total: never a wrong number"""
    page = (await synthea.client.get("/Observation?date=ge1900&_total=accurate&_count=2")).json()
    assert "total" not in page
    assert page["entry"][-1]["resource"]["issue"][0]["code"] == "too-costly"
    assert (await synthea.client.get("/Observation?date=ge1900&_summary=count")).status_code == 403


async def test_post_search_is_get_search(synthea: Region) -> None:
    """search.html#get-post"""
    for asked in ({"code": "8302-2", "_sort": "date"}, {"date": "ge2015", "category": "laboratory", "_count": "5"}):
        got = (await synthea.client.get("/Observation", params=asked)).json()
        posted = (await synthea.client.post("/Observation/_search", data=asked)).json()
        assert got.pop("link")[0] == posted.pop("link")[0]
        assert got == posted


async def test_a_reference_may_be_a_full_url(synthea: Region) -> None:
    """search.html#reference"""
    known = synthea.stored["Patient"][0]["id"]
    full = await synthea.found("Condition", [("subject", f"{synthea.door.base_url}/Patient/{known}")])
    assert sorted(full) == sorted(naive.matching(synthea.stored["Condition"], "Condition", [("patient", f"Patient/{known}")]))
