"""Observation/$lastn and $stats, and Composition/$document, over HTTP: what the caller may see, and nothing else."""

import asyncio
from typing import Any

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.gate.building import about, consent, found, keep, labelled, observation, patient, provision
from tests.serving import Door

Resource = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"


def measured(known: str, subject: str, value: Any, day: int, code: str = "8867-4", unit: str = "/min", **more: Any) -> Resource:
    quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    coded = {"code": {"coding": [{"system": LOINC, "code": code}]}, "effectiveDateTime": f"2024-01-{day:02d}T08:00:00+08:00"}
    category = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}]
    return observation(known, subject) | {"valueQuantity": quantity, "category": category} | coded | more


async def a_life(door: Door) -> None:
    """Six measurements of p by two hospitals, one of them restricted."""
    a, b = door.system("a"), door.system("b")
    await keep(
        a, patient("p"), patient("q"), measured("p1", "p", 60, 1), measured("p2", "p", 70, 2), measured("q1", "q", 200, 9)
    )
    await keep(
        b,
        measured("p3", "p", 80, 3),
        measured("t1", "p", 36.6, 1, "8310-5", "Cel"),
        measured("t2", "p", 37.0, 2, "8310-5", "Cel"),
    )
    await keep(b, measured("p4", "p", 190, 4, **labelled("R")))


async def ids(client: Any, query: str) -> list[str]:
    answer = await client.get(f"/Observation/$lastn?{query}")
    assert answer.status_code == 200, answer.text
    bundle = read(answer.content)
    validate(bundle)
    assert bundle["total"] == len(bundle.get("entry", ()))
    return [one["resource"]["id"] for one in bundle.get("entry", ())]


async def test_lastn_gives_the_newest_of_each_code(door: Door) -> None:
    """observation-operation-lastn.html, from all hospitals, without what is hidden"""
    await a_life(door)
    doctor, patient_self = door.doctor("li", "c"), door.patient("p")
    assert await ids(doctor, "patient=p&category=vital-signs") == ["p3", "t2"]
    assert set(await ids(doctor, "patient=p&category=vital-signs&max=2")) == {"p2", "p3", "t1", "t2"}
    assert await ids(patient_self, f"subject=Patient/p&code={LOINC}|8867-4&max=2") == ["p4", "p3"]
    assert await ids(doctor, f"patient=p&code={LOINC}|8867-4&date=lt2024-01-03") == ["p2"]
    assert await ids(doctor, "patient=nobody&category=vital-signs") == []
    assert await ids(patient_self, "patient=q&category=vital-signs") == []
    sent = {"resourceType": "Parameters", "parameter": [
        {"name": "patient", "valueString": "p"}, {"name": "category", "valueString": "vital-signs"},
        {"name": "max", "valuePositiveInt": 1}]}  # fmt: skip
    posted = (await doctor.post("/Observation/$lastn", json=sent)).json()
    assert [one["resource"]["id"] for one in posted["entry"]] == ["p3", "t2"]


async def test_lastn_needs_a_subject_and_a_code_or_category(door: Door) -> None:
    client = door.system("a")
    for query in ("category=x", "patient=p", "patient=p,q&code=x", "patient=p&code=x&max=0", "patient=p&code=x&_sort=date"):
        assert (await client.get(f"/Observation/$lastn?{query}")).status_code == 400, query


async def stats(client: Any, query: str, status: int = 200) -> Resource:
    answer = await client.get(f"/Observation/$stats?{query}")
    assert answer.status_code == status, answer.text
    parameters = read(answer.content)
    validate(parameters)
    return parameters


def told(statistics: Resource) -> dict[str, Any]:
    """Statistic -> (value, unit), None where there is none."""
    return {
        one["code"]["coding"][0]["code"]: (float(one["valueQuantity"]["value"]), one["valueQuantity"]["code"])
        if "valueQuantity" in one
        else None
        for one in statistics["component"]
    }


async def test_stats_of_what_may_be_seen(door: Door) -> None:
    """observation-operation-stats.html: an Observation for each code, from all hospitals"""
    await a_life(door)
    asked = (
        f"subject=Patient/p&system={LOINC}&code=8867-4&statistic=average&statistic=max,min,count,median,variance,total-count"
    )
    (of_doctor,) = (await stats(door.doctor("li", "c"), asked))["parameter"]
    assert told(of_doctor["resource"]) == {
        "average": (70, "/min"), "maximum": (80, "/min"), "minimum": (60, "/min"), "count": (3, "1"),
        "median": (70, "/min"), "variance": (100, "(/min)2"), "total-count": (3, "1"),
    }  # fmt: skip
    assert of_doctor["resource"]["subject"] == {"reference": "Patient/p"}
    (own,) = (await stats(door.patient("p"), asked))["parameter"]
    assert told(own["resource"])["average"] == (100, "/min")
    both = await stats(door.patient("p"), f"{asked}&code=8310-5&include=true&limit=3")
    assert [one["name"] for one in both["parameter"]] == ["statistics"] * 2 + ["source"] * 3
    assert told(both["parameter"][1]["resource"])["average"] == (36.8, "Cel")
    (nobody,) = (await stats(door.doctor("li", "c"), asked.replace("Patient/p", "Patient/nobody")))["parameter"]
    assert told(nobody["resource"])["count"] == (0, "1")
    assert told(nobody["resource"])["average"] is None


async def test_stats_count_only_what_is_a_measurement(door: Door) -> None:
    """Entered in error and modified ones are left out; a bound, another unit system or no value is only counted in total"""
    client = door.system("a")
    good = measured("o1", "p", 60, 1)
    bound = good["valueQuantity"] | {"comparator": "<"}
    modified = [{"url": "urn:not", "valueBoolean": True}]
    await keep(client, patient("p"), good, measured("o2", "p", 90, 2, status="entered-in-error"))
    await keep(client, measured("o3", "p", 5, 3, valueQuantity=bound), measured("o4", "p", 5, 4, modifierExtension=modified))
    asked = f"subject=Patient/p&system={LOINC}&code=8867-4&statistic=average&statistic=count&statistic=total-count"
    (one,) = (await stats(client, asked))["parameter"]
    assert told(one["resource"]) == {"average": (60, "/min"), "count": (1, "1"), "total-count": (2, "1")}
    await keep(client, measured("o5", "p", 1, 5, unit="/s"))
    assert (await stats(client, asked, 422))["issue"][0]["code"] == "business-rule"


async def test_stats_within_a_time(door: Door) -> None:
    """duration, in hours until now, or a period"""
    await a_life(door)
    client = door.doctor("li", "c")
    asked = f"subject=Patient/p&system={LOINC}&code=8867-4&statistic=count"
    (recent,) = (await stats(client, f"{asked}&duration=24"))["parameter"]
    assert told(recent["resource"])["count"] == (0, "1")
    assert recent["resource"]["effectivePeriod"].keys() == {"start", "end"}
    period = {"name": "period", "valuePeriod": {"start": "2024-01-02", "end": "2024-01-02"}}
    given = [{"name": "subject", "valueUri": "Patient/p"}, {"name": "statistic", "valueCode": "count"}, period,
             {"name": "coding", "valueCoding": {"system": LOINC, "code": "8867-4"}}]  # fmt: skip
    posted = await client.post("/Observation/$stats", json={"resourceType": "Parameters", "parameter": given})
    assert told(posted.json()["parameter"][0]["resource"])["count"] == (1, "1")


async def test_regression_has_a_gradient_and_an_intercept(door: Door) -> None:
    """observation-operation-stats.html: of time in days since the first measurement"""
    client = door.system("a")
    await keep(client, patient("p"), *(measured(f"o{day}", "p", 60 + 2.5 * day, day) for day in (1, 2, 5)))
    asked = f"subject=Patient/p&system={LOINC}&code=8867-4&statistic=regression"
    (one,) = (await stats(client, asked))["parameter"]
    found = {part["code"]["text"]: part["valueQuantity"] for part in one["resource"]["component"]}
    assert {text: (float(value["value"]), value["code"]) for text, value in found.items()} == {
        "gradient": (2.5, "(/min)/d"), "intercept": (62.5, "/min"),
    }  # fmt: skip
    await client.delete("/Observation/o1")
    await client.delete("/Observation/o2")
    (alone,) = (await stats(client, asked))["parameter"]
    assert ["dataAbsentReason" in part for part in alone["resource"]["component"]] == [True, True]


async def test_stats_says_what_it_needs(door: Door) -> None:
    client = door.system("a")
    whole = {"subject": "Patient/p", "system": LOINC, "code": "x", "statistic": "count"}
    wrong = [whole | {"statistic": "nothing"}, whole | {"subject": "Group/g"}, whole | {"duration": "-1"}]
    for asked in [*wrong, *({k: v for k, v in whole.items() if k != name} for name in whole)]:
        assert (await client.get("/Observation/$stats", params=asked)).status_code == 400, asked


# -- documents --


def composition(known: str, *entries: str) -> Resource:
    return {
        "resourceType": "Composition", "id": known, "status": "final", "type": {"text": "discharge"}, "date": "2024-01-05",
        "title": "出院小结", "subject": {"reference": "Patient/p"}, "author": [{"reference": "Practitioner/a-li"}],
        "section": [{"title": "vital signs", "section": [{"entry": [{"reference": f"Observation/{one}"} for one in entries]}]}],
    }  # fmt: skip


async def test_a_document_holds_all_that_the_composition_refers_to(door: Door) -> None:
    """documents.html, composition-operation-document.html: the Composition first, subject, author and entries of sections"""
    await a_life(door)
    a = door.system("a")
    await keep(a, {"resourceType": "Practitioner", "id": "a-li"}, composition("d", "p1", "p3"))
    doctor = door.doctor("li", "c")
    answer = await doctor.get("/Composition/d/$document")
    assert answer.status_code == 200, answer.text
    document = read(answer.content)
    validate(document)
    assert (document["type"], document["timestamp"][:2]) == ("document", "20")
    names = ["Composition/d", "Patient/p", "Practitioner/a-li", "Observation/p1", "Observation/p3"]
    assert [one["fullUrl"] for one in document["entry"]] == [f"{door.base_url}/{name}" for name in names]
    for path in ("/Composition/$document?id=d", "/Composition/$document?id=Composition/d&persist=false"):
        again = (await doctor.get(path)).json()
        assert (again["entry"], again["identifier"]) == (document["entry"], document["identifier"])
    assert await found(a, "/Bundle") == set()


async def test_a_document_holds_the_version_that_was_referred_to(door: Door) -> None:
    """bundle.html#references, bdl-7, bdl-8: what was attested may have been amended, or deleted, since"""
    client = door.system("a")
    await keep(client, patient("p"), observation("o", "p", "first"), observation("gone", "p"))
    await keep(client, observation("o", "p", "second"))
    old, own, gone = (f"Observation/{one}" for one in ("o/_history/1", "o/_history/2", "gone/_history/1"))
    entries = ("Observation/o", old, f"{door.base_url}/{own}", gone)
    made: Resource = {
        "resourceType": "Composition",
        "id": "v",
        "status": "final",
        "type": {"text": "x"},
        "date": "2020",
        "title": "x",
    }
    made |= {"author": [{"reference": "Patient/p"}]} | about("p")
    await keep(client, made | {"section": [{"entry": [{"reference": one} for one in entries]}]})
    await client.delete("/Observation/gone")
    document = read((await client.get("/Composition/v/$document")).raise_for_status().content)
    validate(document)
    held = [(one["fullUrl"].rpartition("fhir/")[2], one["resource"]["meta"]["versionId"]) for one in document["entry"]]
    assert held[2:] == [("Observation/o", "2"), ("Observation/o", "1"), ("Observation/gone", "1")]
    for other in ("Observation/o/_history/3", "Observation/o/_history/x", "Observation/gone"):
        await keep(client, made | {"section": [{"entry": [{"reference": other}]}]})
        assert (await client.get("/Composition/v/$document")).status_code == 422


async def test_what_a_document_refers_to_is_looked_up_once(door: Door) -> None:
    """References to one version, 50,000 times, were as many looks: after a minute it was a 503"""
    client, entries = door.system("a"), [{"reference": "Observation/o/_history/1"}] * 20_000
    await keep(client, {"resourceType": "Practitioner", "id": "a-li"}, patient("p"), observation("o", "p"))
    await keep(client, composition("many") | {"section": [{"title": "x", "entry": entries}]})
    document = (await asyncio.wait_for(client.get("/Composition/many/$document"), 30)).raise_for_status().json()
    assert len(document["entry"]) == 4


async def test_a_document_of_too_many_parts_says_so(door: Door) -> None:
    """operations.html#outcome: it said that a part was not here, which was"""
    client = door.system("a")
    await keep(client, composition("large", *(str(number) for number in range(1_001))))
    answer = await client.get("/Composition/large/$document")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "too-costly")


async def test_a_document_is_whole_or_an_error(door: Door) -> None:
    """Either a full document bundle, or an error: hidden and absent are the same"""
    await a_life(door)
    await keep(door.system("a"), {"resourceType": "Practitioner", "id": "a-li"})
    await keep(door.system("a"), composition("hidden", "p1", "p4"), composition("absent", "p1", "zz"))
    doctor = door.doctor("li", "c")
    hidden, absent = [await doctor.get(f"/Composition/{known}/$document") for known in ("hidden", "absent")]
    assert (hidden.status_code, hidden.content) == (422, absent.content)
    assert hidden.json()["issue"][0]["expression"] == ["Composition.section[0].section[0].entry[1].reference"]
    assert (await door.patient("p").get("/Composition/hidden/$document")).status_code == 200
    for method, status in (("GET", 400), ("POST", 422)):
        answer = await doctor.request(method, "/Composition/hidden/$document?persist=true", json={"resourceType": "Parameters"})
        assert answer.status_code == status
    assert (await door.patient("q").get("/Composition/hidden/$document")).status_code == 404
    await keep(door.system("a"), consent("no", "p", provision("deny")))
    assert (await doctor.get("/Composition/hidden/$document")).status_code == 404


async def test_a_persisted_document_is_stored_once_under_the_labels_of_its_parts(door: Door) -> None:
    """composition-operation-document.html: persist; Location says where it is; who may not see a part does not see the whole"""
    await a_life(door)
    a, doctor = door.system("a"), door.doctor("li", "c")
    await keep(a, {"resourceType": "Practitioner", "id": "a-li"}, composition("plain", "p1"))
    await keep(a, composition("closed", "p1") | {"confidentiality": "R"})
    asked = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}
    first, again = [await a.post("/Composition/plain/$document", json=asked) for _ in range(2)]
    assert (first.status_code, first.headers["location"]) == (200, again.headers["location"])
    stored = await a.get(first.headers["location"])
    assert (stored.content, read(stored.content)["type"]) == (first.content, "document")
    assert await found(a, "/Bundle") == {f"Bundle/{first.json()['id']}"}
    assert (await doctor.get(first.headers["location"])).status_code == 200
    closed = await a.post("/Composition/closed/$document", json=asked)
    assert closed.json()["meta"]["security"][0]["code"] == "R"
    assert (await doctor.get(closed.headers["location"])).status_code == 404
    assert (await door.system("b").get(closed.headers["location"])).status_code == 404
    narrow = door.client("system", organization="a", scope="system/*.rs")
    assert (await narrow.post("/Composition/plain/$document", json=asked)).status_code == 403


GRAPH = "urn:region:with-context"


def graph(*links: Resource, **more: Any) -> Resource:
    told = {"url": GRAPH, "version": "1", "name": "Context", "status": "active", "start": "Composition"}
    return {"resourceType": "GraphDefinition", "id": "context", **told, "link": list(links), **more}


def link(path: str, kind: str, *below: Resource, **more: Any) -> Resource:
    return {"path": path, "target": [{"type": kind, **({"link": list(below)} if below else {})}], **more}


def back(params: str, kind: str, *below: Resource, **more: Any) -> Resource:
    return {"target": [{"type": kind, "params": params, **({"link": list(below)} if below else {})}], **more}


async def names(client: Any, path: str) -> list[str]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    document = read(answer.content)
    validate(document)
    return ["/".join(one["fullUrl"].split("/")[-2:]) for one in document["entry"]]


async def test_a_graph_says_what_a_document_holds_besides(door: Door) -> None:
    """composition-operation-document.html graph, graphdefinition.html: paths and searches, each from what the last led to"""
    await a_life(door)
    a, doctor = door.system("a"), door.doctor("li", "c")
    derived = measured("d1", "p", 1, 5) | {"derivedFrom": [{"reference": "Observation/p1"}, {"reference": "Observation/p4"}]}
    await keep(a, {"resourceType": "Practitioner", "id": "a-li"}, derived, composition("d", "d1"))
    plain = ["Composition/d", "Patient/p", "Practitioner/a-li", "Observation/d1"]
    for links, more in (
        ([link("Composition.section.section.entry", "Observation", link("derivedFrom", "Observation"))], ["Observation/p1"]),
        ([link("*", "Observation", link("*", "Resource"))], ["Observation/p1"]),
        ([link("subject", "Patient", back("subject={ref}&code=8310-5", "Observation"))], ["Observation/t2", "Observation/t1"]),
        ([link("subject", "Practitioner")], []),
        ([link("subject", "Patient", back("patient={ref}&code=none", "Observation"), min=1, max="1")], []),
    ):  # fmt: skip
        await keep(a, graph(*links))
        for canonical in (GRAPH, f"{GRAPH}|1"):
            assert await names(doctor, f"/Composition/d/$document?graph={canonical}") == [*plain, *more], links
        assert await names(doctor, "/Composition/d/$document") == plain
    await keep(a, graph(link("*", "Observation", link("derivedFrom", "Observation"))))
    assert "Observation/p4" in await names(door.patient("p"), f"/Composition/d/$document?graph={GRAPH}")
    await keep(a, consent("no", "p", provision("deny")))
    assert (await doctor.get(f"/Composition/d/$document?graph={GRAPH}")).status_code == 404


async def test_a_graph_that_cannot_be_followed_is_refused(door: Door) -> None:
    """422 says what to do; nothing is told of what is hidden"""
    await a_life(door)
    a, doctor = door.system("a"), door.doctor("li", "c")
    await keep(a, {"resourceType": "Practitioner", "id": "a-li"}, composition("d", "p1"))
    subject = link("subject", "Patient")
    rule = {"use": "requirement", "code": "Patient", "rule": "identical"}
    for wrong, said in (
        (graph(subject, start="Patient"), "start at a Composition"), (graph({"target": [{"type": "Patient"}]}), "neither"),
        (graph(link("subject.nothing(", "Patient")), "FHIRPath"), (graph(subject | {"sliceName": "x"}), "leave it out"),
        (graph({"path": "subject", "target": [{"type": "Patient", "compartment": [rule]}]}), "leave it out"),
        (graph(link("subject", "Patient", min=2)), "2 to *"), (graph(link("*", "Resource", max="1")), "0 to 1"),
        (graph(link(f"{'%resource.descendants().select(' * 5}section{')' * 5}", "Patient")), "takes too"),
    ):  # fmt: skip
        stored = await a.put("/GraphDefinition/context", json=wrong)
        assert stored.status_code in (200, 201), stored.text
        answer = await doctor.get(f"/Composition/d/$document?graph={GRAPH}")
        assert (answer.status_code, said in answer.text) == (422, True), (wrong["link"], answer.text)
    assert (await doctor.get("/Composition/d/$document?graph=urn:nothing")).status_code == 422
    await keep(a, graph(subject, back("subject=Patient/p&_count=1", "Observation")))
    assert (await doctor.get(f"/Composition/d/$document?graph={GRAPH}")).status_code == 400
    wide = graph(*(link("*", "Resource", *(link("*", "Resource", *(link("*", "Resource"),) * 12),) * 12),) * 12)
    await keep(a, wide)
    assert (await doctor.get(f"/Composition/d/$document?graph={GRAPH}")).json()["issue"][0]["code"] == "too-costly"
