"""Modifiers, composites, units, compartments, several types, parts of resources over the town, against a walk of the JSON."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Any

import pytest

from tests.store.naive import at
from tests.store.region import Resource, everything, exact, pages
from tests.store.town import KINDS, LOINC, PERSONS, UCUM, Town

Holds = Callable[[Resource], bool]


def texts(path: str, *wanted: str) -> Holds:
    """What `:text` finds: words of a code that start so."""
    return lambda one: any(
        word.lower().startswith(wanted) for code in at(one, path) for word in (*at(code, "text"), *at(code, "coding.display"))
    )


def _quantities(one: Resource, code: str, parts: str) -> list[tuple[float, str]]:
    """(value, unit) of the resource itself or of its components that have this code."""
    nodes = [*([one] if "own" in parts else []), *(one.get("component", ()) if "component" in parts else ())]
    coded = (node for node in nodes if code in at(node, "code.coding.code") and "valueQuantity" in node)
    return [(float(node["valueQuantity"]["value"]), node["valueQuantity"]["code"]) for node in coded]


WORTH = {
    "g/dL": 10.0,
    "g/L": 1.0,
    "mg/dL": 0.01,
    "mmol/L": 1.0,
    "umol/L": 0.001,
    "mm[Hg]": 1.0,
    "kPa": 7.50063755419211,
    "cm": 1.0,
}


def above(code: str, least: float, parts: str) -> Holds:
    return lambda one: any(value * WORTH[unit] > least for value, unit in _quantities(one, code, parts) if unit in WORTH)


V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"
SEARCHES: list[tuple[str, list[tuple[str, str]], Holds]] = [
    ("Condition", [("code:text", "viral")], texts("code", "viral")),
    ("Condition", [("code:text", "ACUTE,viral")], texts("code", "acute", "viral")),
    ("Observation", [("code:text", "血糖"), ("patient", "bek")], lambda one: _of(one, "bek") and texts("code", "血糖")(one)),
    ("Observation", [("code", "2885-2"), ("value-quantity", f"gt69|{UCUM}|g/L")], above("2885-2", 69, "own")),
    ("Observation", [("value-quantity", f"gt7|{UCUM}|mmol/L"), ("code", "15074-8")], above("15074-8", 7, "own")),
    ("Observation", [("code-value-quantity", f"{LOINC}|2885-2$gt69|{UCUM}|g/L")], above("2885-2", 69, "own")),
    ("Observation", [("component-code-value-quantity", f"8480-6$gt130|{UCUM}|mm[Hg]")], above("8480-6", 130, "component")),
    ("Observation", [("component-code-value-quantity", f"8462-4$gt130|{UCUM}|mm[Hg]")], lambda one: False),
    ("Observation", [("combo-code-value-quantity", f"8302-2$gt170|{UCUM}|cm")], above("8302-2", 170, "own component")),
    ("Observation", [("code-value-quantity", "8302-2$gt170,2885-2$gt70")], lambda one: any(
        value > least for code, least in (("8302-2", 170), ("2885-2", 70)) for value, _ in _quantities(one, code, "own")
    )),
    ("Observation", [("value-quantity", f"38.5|{UCUM}|Cel")], lambda one: one["id"] == "fever-1"),
    ("Device", [("identifier:of-type", f"{V2_0203}|MR|R7")], lambda one: one["id"] == "pump"),
    ("Encounter", [("participant:identifier", "urn:staff|77")], lambda one: one["id"] == "visit"),
    ("Observation", [("_text", "哮喘")], lambda one: one["id"] == "protein-1"),
    ("Observation", [("_content", "血糖 mg/dl"), ("patient", "gul-b")], lambda one: one["id"] == "protein-3"),
    ("Observation", [("_content", "umol/l"), ("patient", "gul-a")], lambda one: one["id"] == "sugar-2"),
    ("Patient", [("name:contains", "丽")], lambda one: "古丽" in list(at(one, "name.text"))),
    ("Location", [("near", "43.8|87.6|50|km")], lambda one: one["id"] in ("urumqi", "changji")),
    ("Location", [("near", "43.8|87.6|20")], lambda one: one["id"] == "urumqi"),
]  # fmt: skip


def _of(one: Resource, patient: str) -> bool:
    names = next((person for person in PERSONS if patient in person), {patient})
    return any(str(name).removeprefix("Patient/") in names for name in at(one, "subject.reference"))


@pytest.mark.parametrize(("kind", "pairs", "holds"), SEARCHES, ids=[f"{kind}-{pairs}" for kind, pairs, _ in SEARCHES])
async def test_search_agrees_with_a_walk(town: Town, kind: str, pairs: list[tuple[str, str]], holds: Holds) -> None:
    """search.html#modifiers, #combining, #quantity, #text, #content; location.html#search"""
    expected = sorted(one["id"] for one in town.stored[kind] if holds(one))
    assert sorted(await town.found(kind, *pairs)) == expected
    assert sorted(await town.found(kind, *pairs, count=2)) == expected


async def test_a_scan_ends_at_its_bound(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """search.html#errors: too-costly, with what to do; what is narrowed is answered"""
    monkeypatch.setattr("fhir_server.record.candidates.SCAN", 20)
    answer = await town.client.get("/Observation?_content=nothing-has-this")
    assert answer.status_code == 403 and answer.json()["issue"][0]["code"] == "too-costly"
    assert (await town.client.get("/Observation?_content=umol&patient=gul-b")).json()["total"] == 1


# -- compartments and several types --


async def test_a_patient_compartment(town: Town) -> None:
    """http.html#vsearch, compartmentdefinition-patient: one type and all, the whole person, with criteria and pages"""
    for known in ("gul-a", "gul-b", "bek"):
        expected = {f"Observation/{one['id']}" for one in town.stored["Observation"] if _of(one, known)}
        assert await _names(town, f"Patient/{known}/Observation?_count=2") == expected
        everywhere = await _names(town, f"Patient/{known}/*?_count=3")
        assert everywhere >= expected | {f"Patient/{known}"}
        around = {f"{kind}/{one['id']}" for kind in ("Encounter", "List") for one in town.stored[kind] if _of(one, known)}
        assert everywhere - expected == around | {f"Patient/{known}"}
    assert await _names(town, "Patient/gul-a/Observation?code=15074-8") == {f"Observation/sugar-{n}" for n in (1, 2, 3)}
    assert await _names(town, "Patient/nobody/*") == set()
    assert await _names(town, "Patient/bek/Patient?_id=bek") == await _names(town, "Patient/bek/Patient") == {"Patient/bek"}
    assert await _names(town, "Patient/bek/*?_id=fever-1") == {"Observation/fever-1"}
    counted = (await town.client.get("/Patient/gul-a/*?_type=Observation,Encounter&_summary=count")).json()
    assert counted["total"] == 7


async def test_other_compartments(town: Town) -> None:
    """compartmentdefinition-practitioner, -encounter"""
    assert await _names(town, "Practitioner/wu/Observation") == {"Observation/sugar-1"}
    assert await _names(town, "Encounter/visit/Observation") == {"Observation/sugar-3"}
    assert await _names(town, "Encounter/visit/*") == {"Encounter/visit", "Observation/sugar-3"}
    assert await _names(town, "Encounter/visit/Encounter") == {"Encounter/visit"}
    assert "Patient/gul-a" in await _names(town, "Practitioner/wu/*")


@pytest.mark.parametrize(
    "path", ["Patient/a/Organization", "Organization/first/Patient", "Patient/a/nothing", "Patient/a/$nothing"]
)
async def test_what_is_in_no_compartment_is_absent(town: Town, path: str) -> None:
    assert (await town.client.get(f"/{path}")).status_code == 404


async def test_several_types(town: Town) -> None:
    """http.html#search: system level with _type, in one order over all types, by GET and POST"""
    query = "?_type=Patient,Location,Encounter&_sort=-_lastUpdated&_count=40"
    got = [entry["resource"] for page in await pages(town.client, query) for entry in page["entry"]]
    assert [one["meta"]["lastUpdated"] for one in got] == sorted((one["meta"]["lastUpdated"] for one in got), reverse=True)
    assert sorted(one["id"] for one in got) == sorted(
        one["id"] for k in ("Patient", "Location", "Encounter") for one in town.stored[k]
    )
    assert await _names(town, "?_type=Device&_contained=false") == {f"Device/{one['id']}" for one in town.stored["Device"]}
    posted = await town.client.post("/_search", data={"_type": "Device,List", "_total": "accurate"})
    assert posted.json()["total"] == len(town.stored["Device"]) + len(town.stored["List"])
    about = await _names(town, "?_type=Observation,Encounter&patient=gul-b")
    assert about == {f"{k}/{o['id']}" for k in ("Observation", "Encounter") for o in town.stored[k] if _of(o, "gul-b")}


def _code(one: Resource, which: Callable[..., str] = min) -> str:
    """What a token sorts by: the least code, the greatest if descending; what has none comes first."""
    return which(map(str, at(one, "code.coding.code")), default="")


def _started(one: Resource) -> float:
    paths = ("effectiveDateTime", "effectivePeriod.start", "period.start", "performedPeriod.start", "performedDateTime")
    found = [value for path in paths for value in at(one, path)]
    return datetime.fromisoformat(str(found[0])).timestamp() if found else -inf


def _updated(one: Resource) -> str:
    return str(one["meta"]["lastUpdated"])


SORTS: list[tuple[str, Callable[[Resource], Any], bool]] = [
    ("?_type=Observation,Condition&_sort=code", _code, False),
    ("?_type=Observation,Condition&patient=bek&_sort=-code", _code, True),
    ("?_type=Observation,Condition,Procedure&_sort=code,_lastUpdated", lambda one: (_code(one), _updated(one)), False),
    ("?_type=Observation,Encounter,DiagnosticReport&_sort=-date", _started, True),
    ("?_type=Procedure,Observation&_sort=date&encounter.class=AMB", _started, False),
    ("?_type=Observation,Procedure&_sort=-date,-code", lambda one: (_started(one), _code(one, max)), True),
]


@pytest.mark.parametrize(("query", "key", "descending"), SORTS, ids=[query for query, *_ in SORTS])
async def test_one_order_over_several_types(town: Town, query: str, key: Callable[[Resource], Any], descending: bool) -> None:
    """search.html#sort: by what the types share, by several keys, page by page; nothing twice, nothing lost"""
    whole = await everything(town.client, f"{query}&_count=1000")
    paged = await everything(town.client, f"{query}&_count=170")
    assert [one["id"] for one in paged] == [one["id"] for one in whole]
    keys = [key(one) for one in whole]
    assert keys == sorted(keys, reverse=descending) and len(set(map(str, keys))) > 2
    types = query.partition("_type=")[2].partition("&")[0].split(",")
    assert {one["resourceType"] for one in whole} >= set(types) - {"Procedure", "Condition", "Encounter"}


LINKED: list[tuple[str, Callable[[Town, Resource], bool]]] = [
    ("?_type=Observation,Encounter,List&subject:Patient.name=古丽", lambda town, one: _of(one, "gul-a")),
    ("?_type=Observation,Encounter&subject:Patient.gender=female&patient=gul-b", lambda town, one: _of(one, "gul-a")),
    ("?_type=Observation,Device&_list=round", lambda town, one: one["id"] in ("sugar-1", "fever-1")),
    ("?_type=Observation,Device&_has:List:item:status=current", lambda town, one: one["id"] in ("sugar-1", "fever-1")),
    ("?_type=Patient,Encounter&_has:Observation:encounter:code=15074-8", lambda town, one: one["id"] == "visit"),
    ("Patient/gul-a/Patient?_has:Observation:patient:code=15074-8", lambda town, one: one["id"] in ("gul-a",)),
    ("Patient/gul-a/Patient?_has:Observation:patient:code=8310-5", lambda town, one: False),
    ("Patient/bek/*?_has:List:item:subject=Patient/bek", lambda town, one: one["id"] == "fever-1"),
]


@pytest.mark.parametrize(("query", "holds"), LINKED, ids=[query for query, _ in LINKED])
async def test_links_from_several_types(town: Town, query: str, holds: Callable[[Town, Resource], bool]) -> None:
    """search.html#chaining, #has, #list: each type on its own way; the same found from afar and from each candidate"""
    types = query.partition("_type=")[2].partition("&")[0].split(",") if query[0] == "?" else KINDS
    if "Patient,Encounter" in query:  # refers to no Patient: the criterion makes no sense for that type
        assert (await town.client.get(f"/{query}")).status_code == 400
        query, types = query.replace("Patient,Encounter", "Encounter"), ["Encounter"]
    expected = {f"{kind}/{one['id']}" for kind in types for one in town.stored[kind] if holds(town, one)}
    assert await _names(town, f"{query}&_count=2") == expected


async def test_links_from_several_types_are_followed_where_many_stand_at_the_far_end(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision 17: both ways find the same"""
    monkeypatch.setattr("fhir_server.record.chaining.LOOKED_UP", 0)
    for query, holds in LINKED[:4]:
        types = query.partition("_type=")[2].partition("&")[0].split(",")
        expected = {f"{kind}/{one['id']}" for kind in types for one in town.stored[kind] if holds(town, one)}
        assert await _names(town, f"{query}&_count=2") == expected


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?", "_type=Observation"), ("?_type=Nothing", "no resource type"),
        ("?_type=Device,Immunization&_sort=manufacturer", "same kind"), ("?_type=Patient,Observation&_sort=code", "unknown"),
        ("?_type=Patient,Observation&name=x", "unknown"), ("?_type=Observation,Location&patient.name=x", "unknown"),
        ("Patient?_type=Observation", "several types"), ("Patient/bek/Observation?_type=Condition", "leave one out"),
        ("Patient?_summary=text&_include=*", "no _include"),
        ("Patient?_contained=true", "false only"), ("Observation?date=ge2015-03-01T00:00:00+08:00", "%2B"),
        ("Patient?_summary=true&_elements=name", "exclude"), ("Patient/bek?_summary=count", "for searches"),
        ("Patient/bek?_elements=shoe", "no element"),
    ],
)  # fmt: skip
async def test_what_cannot_be_combined_is_refused(town: Town, query: str, said: str) -> None:
    answer = await town.client.get(f"/{query}")
    assert answer.status_code == 400 and said in answer.text


async def _names(town: Town, query: str) -> set[str]:
    found = await everything(town.client, query)
    names = [f"{one['resourceType']}/{one['id']}" for one in found]
    assert len(names) == len(set(names))
    return set(names)


# -- parts of resources --

TAG = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


@pytest.mark.parametrize(
    ("asked", "kept", "left_out"),
    [
        ("_summary=true", {"status", "code", "subject", "valueQuantity", "component"}, {"text", "category"}),
        ("_summary=data", {"status", "code", "subject", "valueQuantity", "component", "category"}, {"text"}),
        ("_summary=text", {"status", "code", "text"}, {"subject", "valueQuantity", "component", "category"}),
        ("_elements=value,subject", {"status", "code", "subject", "valueQuantity"}, {"text", "category", "component"}),
    ],
)
async def test_parts_of_resources(town: Town, asked: str, kept: set[str], left_out: set[str]) -> None:
    """search.html#summary, #elements: the same in a search and in a read; mandatory elements stay; tagged, values untouched"""
    found = {one["id"]: one for one in await everything(town.client, f"Observation?{asked}&_count=500")}
    assert len(found) == len(town.stored["Observation"])
    read = await asyncio.gather(*(town.client.get(f"/Observation/{known}?{asked}") for known in sorted(found)[:5]))
    assert [exact(one.content) for one in read] == [found[known] for known in sorted(found)[:5]]
    for whole in town.stored["Observation"]:
        part = found[whole["id"]]
        assert TAG in part["meta"]["tag"] and part.keys() <= whole.keys()
        assert kept & whole.keys() <= part.keys() and not left_out & part.keys()
        assert all(part[name] == whole[name] for name in part.keys() - {"meta", "component"})


async def test_a_summary_goes_into_backbone_elements(town: Town) -> None:
    """Observation.component is in the summary, its interpretation is not; an include is summarised, too"""
    client = town.door.system("a")
    part: dict[str, Any] = {"code": {"text": "x"}, "valueString": "y", "interpretation": [{"text": "high"}]}
    about = {"subject": {"reference": "Patient/nobody"}}
    sent = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "component": [part, part], **about}
    made = (await client.post("/Observation", json=sent)).json()
    (entry,) = (await client.get(f"/Observation?_id={made['id']}&_summary=true")).json()["entry"]
    assert entry["resource"]["component"] == [{"code": {"text": "x"}, "valueString": "y"}] * 2
    assert entry["fullUrl"].endswith(made["id"])
    assert (await client.delete(f"/Observation/{made['id']}")).status_code == 204
    (page,) = await pages(town.client, "Observation?_id=sugar-3&_summary=true&_include=Observation:encounter")
    assert all(TAG in one["resource"]["meta"]["tag"] for one in page["entry"]) and len(page["entry"]) == 2


async def test_a_summary_of_a_document_is_without_the_document(town: Town) -> None:
    """datatypes.html#Attachment: data is not in the summary, the rest is; so lists of documents are short"""
    client, file = town.door.system("a"), {"contentType": "text/plain", "title": "letter", "size": 3}
    absent = {"attachment": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]}}
    content, about = [{"attachment": file | {"data": "YWJj"}}, absent], {"subject": {"reference": "Patient/nobody"}}
    sent = {"resourceType": "DocumentReference", "status": "current", "content": content, **about}
    made = (await client.post("/DocumentReference", json=sent)).json()
    (entry,) = (await client.get(f"/DocumentReference?_id={made['id']}&_summary=true")).json()["entry"]
    assert entry["resource"]["content"] == [{"attachment": file}, absent]
    assert (await client.get(f"/DocumentReference/{made['id']}")).json()["content"] == content
    assert (await client.delete(f"/DocumentReference/{made['id']}")).status_code == 204


async def test_sort_by_several_keys_and_units(town: Town) -> None:
    """search.html#sort: quantities by size in base units"""
    got = await everything(town.client, "Observation?code=2885-2&subject:missing=false&_sort=value-quantity&_count=2")
    ours = [one["id"] for one in got if one["id"].startswith("protein")]
    assert ours == ["protein-2", "protein-3", "protein-1"]
