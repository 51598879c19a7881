"""Issue 3.2: the timeline of the life by date and hospital, and one report in detail."""

import json
from typing import Any

import httpx
import pytest_asyncio

from tests.gate.building import Resource, about, appointment, condition, consent, encounter, keep, observation, provision
from tests.portal.world import LI, LI_ID, Region, data, problem

INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"


def report(known: str, subject: str, text: str = "血常规", **more: Any) -> Resource:
    return {
        "resourceType": "DiagnosticReport",
        "id": known,
        "status": "final",
        "code": {"text": text},
        **about(subject),
        **more,
    }


def measured(known: str, subject: str, name: str, flag: str | None = None, **more: Any) -> Resource:
    flagged = {"interpretation": [{"coding": [{"system": INTERPRETATION, "code": flag}]}]} if flag else {}
    return observation(known, subject, name, **flagged, **more)


def quantity(value: float, unit: str, **more: Any) -> Resource:
    return {"valueQuantity": {"value": value, "unit": unit, **more}}


HAEMOGLOBIN = '{"value":103.0,"unit":"g/L"}'
RESULTS = (
    measured(
        "glucose",
        "a-1",
        "葡萄糖",
        "H",
        **quantity(7.25, "mmol/L"),
        referenceRange=[{"low": {"value": 3.9}, "high": {"value": 6.1}}],
        effectiveDateTime="2026-03-04T02:00:00Z",
    ),
    measured("crp", "a-1", "C反应蛋白", "N", **quantity(0.5, "mg/L", comparator="<"), referenceRange=[{"high": {"value": 10}}]),
    measured("hbsag", "a-1", "乙肝表面抗原", "NEG", valueCodeableConcept={"text": "阴性"}, referenceRange=[{"text": "阴性"}]),
    measured(
        "pressure",
        "a-1",
        "血压",
        component=[
            {"code": {"text": "收缩压"}, **quantity(150, "mmHg"), "interpretation": [{"text": "偏高"}]},
            {"code": {"text": "舒张压"}, **quantity(80, "mmHg")},
        ],
    ),
    measured("titre", "a-1", "滴度", valueRatio={"numerator": {"value": 1}, "denominator": {"value": 128}}),
    measured("missing", "a-1", "未做", dataAbsentReason={"text": "标本溶血"}),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lives(shared: Region) -> Region:
    """Aygul at two hospitals over the years, and Li."""
    a, b = shared.world.a, shared.world.b
    await keep(
        a,
        encounter("visit", "a-1", period={"start": "2026-03-04T01:30:00Z"}, reasonCode=[{"text": "头晕"}]),
        *RESULTS,
        report(
            "blood",
            "a-1",
            effectiveDateTime="2026-03-04T02:00:00Z",
            issued="2026-03-04T16:30:00Z",
            conclusion="血糖偏高",
            result=[{"reference": f"Observation/{one['id']}"} for one in RESULTS],
        ),
        condition("born-with", "a-1", onsetDateTime="1980"),
        encounter("of-li", "a-2", period={"start": "2026-05-01"}),
        report("report-of-li", "a-2", result=[{"reference": "Observation/of-li"}]),
        measured("of-li", "a-2", "秘密", **quantity(1, "x")),
    )
    vaccine = {"resourceType": "Immunization", "id": "jab", "status": "completed", "vaccineCode": {"text": "流感疫苗"}}
    await keep(
        b,
        {**vaccine, "patient": {"reference": "Patient/b-1"}, "occurrenceDateTime": "2026-10-01"},
        *(
            encounter(f"stay-{n:02d}", "b-1", period={"start": "2025-06-01T00:00:00+08:00"}) | {"class": {"code": "IMP"}}
            for n in range(7)
        ),
    )
    return shared


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def aygul(lives: Region) -> httpx.AsyncClient:
    return await lives.bound("aygul")


async def test_the_timeline_is_the_life_at_both_hospitals(aygul: httpx.AsyncClient) -> None:
    """Newest first; moments in Beijing time, days and years as they were written."""
    items = data(await aygul.get("/timeline", params={"count": "100"}))["items"]
    told = [(one["date"], one["typeText"], one["title"], one["hospital"]["name"], one["reference"]) for one in items]
    assert told[:3] == [
        ("2026-10-01", "预防接种", "流感疫苗", "喀什和平医院", "Immunization/jab"),
        ("2026-03-04T10:00:00+08:00", "检查检验报告", "血常规", "天山人民医院", "DiagnosticReport/blood"),
        ("2026-03-04T09:30:00+08:00", "门诊", "头晕", "天山人民医院", "Encounter/visit"),
    ]
    assert {one[:4] for one in told[3:10]} == {("2025-06-01T00:00:00+08:00", "住院", "住院", "喀什和平医院")}
    assert told[10:] == [("1980", "诊断", "J10", "天山人民医院", "Condition/born-with")]


async def test_pages_follow_one_another(aygul: httpx.AsyncClient) -> None:
    """Seven stays began at one moment: none is twice, none is left out."""
    whole = [one["reference"] for one in data(await aygul.get("/timeline"))["items"]]
    for count in (1, 2, 4, len(whole)):
        seen, cursor = [], None
        while True:
            page = data(await aygul.get("/timeline", params={"count": count} | ({"cursor": cursor} if cursor else {})))
            seen += [one["reference"] for one in page["items"]]
            assert len(page["items"]) <= count
            if (cursor := page["next"]) is None:
                break
        assert sorted(seen) == sorted(whole) and len(set(seen)) == len(seen)


async def test_one_hospital_only(aygul: httpx.AsyncClient) -> None:
    items = data(await aygul.get("/timeline", params={"hospital": "b"}))["items"]
    assert {one["hospital"]["id"] for one in items} == {"b"} and len(items) == 8
    assert data(await aygul.get("/timeline", params={"hospital": "nowhere"})) == {"items": [], "next": None}


async def test_a_cursor_is_for_one_list_of_one_person(lives: Region, aygul: httpx.AsyncClient) -> None:
    """Opaque, sealed, bound to the account and the list."""
    cursor = data(await aygul.get("/timeline", params={"count": 1}))["next"]
    li = await lives.bound("li", {"card": "resident-id", "number": LI_ID, "name": LI})
    wrong = [
        await li.get("/timeline", params={"cursor": cursor}),
        await aygul.get("/accesses", params={"cursor": cursor}),
        await aygul.get("/timeline", params={"cursor": cursor, "hospital": "b"}),
        await aygul.get("/timeline", params={"cursor": cursor[:-2] + "AA"}),
        await aygul.get("/timeline", params={"cursor": "none"}),
    ]
    assert {problem(one) for one in wrong} == {(400, "bad-request")}
    assert [one["reference"] for one in data(await li.get("/timeline"))["items"]] == [
        "Encounter/of-li",
        "DiagnosticReport/report-of-li",
    ]


async def test_a_report_in_detail(aygul: httpx.AsyncClient) -> None:
    """Name, value as it was written, unit, reference range, flag; components are lines of their own."""
    found = data(await aygul.get("/reports/blood"))
    results = found.pop("results")
    assert found == {
        "id": "blood",
        "title": "血常规",
        "status": "final",
        "statusText": "已出报告",
        "date": "2026-03-04T10:00:00+08:00",
        "issued": "2026-03-05T00:30:00+08:00",
        "hospital": {"id": "a", "name": "天山人民医院"},
        "conclusion": "血糖偏高",
    }
    keys = ("name", "value", "unit", "referenceRange", "flag", "flagText")
    assert [tuple(one[key] for key in keys) for one in results] == [
        ("葡萄糖", "7.25", "mmol/L", "3.9–6.1", "H", "偏高"),
        ("C反应蛋白", "<0.5", "mg/L", "≤10", "N", "正常"),
        ("乙肝表面抗原", "阴性", "", "阴性", "NEG", "阴性"),
        ("收缩压", "150", "mmHg", "", "", "偏高"),
        ("舒张压", "80", "mmHg", "", "", ""),
        ("滴度", "1:128", "", "", "", ""),
        ("未做", "标本溶血", "", "", "", ""),
    ]
    assert results[0]["date"] == "2026-03-04T10:00:00+08:00"


async def test_decimals_keep_their_precision(lives: Region, aygul: httpx.AsyncClient) -> None:
    """R4 datatypes.html#decimal: 103.0 is not 103."""
    blank = json.dumps(measured("hb", "a-1", "血红蛋白") | {"valueQuantity": "?"})
    content = blank.replace('"?"', HAEMOGLOBIN).encode()
    headers = {"Content-Type": "application/fhir+json"}
    assert (await lives.world.a.put("/Observation/hb", content=content, headers=headers)).status_code == 201
    await keep(lives.world.a, report("hb-report", "a-1", result=[{"reference": "Observation/hb"}]))
    (only,) = data(await aygul.get("/reports/hb-report"))["results"]
    assert (only["value"], only["unit"]) == ("103.0", "g/L")
    assert (await lives.world.a.delete("/DiagnosticReport/hb-report")).status_code == 204
    assert problem(await aygul.get("/reports/hb-report")) == (404, "not-found")


async def test_anothers_report_is_not_there(lives: Region, aygul: httpx.AsyncClient) -> None:
    """DESIGN 4: 404, the same as for one that does not exist; nor do others' results come in through a report."""
    answers = [await aygul.get(f"/reports/{known}") for known in ("report-of-li", "nothing", "glucose")]
    answers += [await aygul.get(f"/documents/{known}") for known in ("report-of-li", "nothing", "blood")]
    assert {problem(one) for one in answers} == {(404, "not-found")}
    assert len({one.json()["message"] for one in answers}) == 1
    await keep(
        lives.world.a, report("mixed", "a-1", result=[{"reference": "Observation/of-li"}, {"reference": "Observation/crp"}])
    )
    assert [one["name"] for one in data(await aygul.get("/reports/mixed"))["results"]] == ["C反应蛋白"]
    assert (await lives.world.a.delete("/DiagnosticReport/mixed")).status_code == 204


async def test_what_is_about_two_people_is_shown_to_neither(lives: Region, aygul: httpx.AsyncClient) -> None:
    """DESIGN 4: the most restrictive of the persons decides."""
    both = encounter("both", "a-1", period={"start": "2026-11-11"}, participant=[{"individual": {"display": "x"}}])
    both["extension"] = [{"url": "urn:x", "valueReference": {"reference": "Patient/a-2"}}]
    await keep(lives.world.a, both)
    assert "Encounter/both" not in (await aygul.get("/timeline")).text
    assert (await lives.world.a.delete("/Encounter/both")).status_code == 204


ENDS_OF_TIME = [
    # as a hospital writes it, as it is shown (R4 dateTime: the years 0001 to 9999, with any offset)
    ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+08:00"),
    ("9999-12-31T23:59:59+08:00", "9999-12-31T23:59:59+08:00"),
    ("0001-01-01T00:00:00+08:00", "0001-01-01T00:00:00+08:00"),
    ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+08:00"),
    ("9999-12-31", "9999-12-31"),
]


async def test_a_date_at_the_end_of_time_stands_in_the_way_of_nothing(shared: Region) -> None:
    """R4 dateTime; systems write 9999-12-31 for ever. In Beijing that is the year 10000, which no calendar has."""
    person = await shared.newcomer()
    app = await shared.own(person)
    for at, (written, _) in enumerate(ENDS_OF_TIME):
        await keep(shared.world.a, encounter(f"end-{at}", person.a, period={"start": written}))
    items = {one["reference"]: one["date"] for one in data(await app.get("/timeline"))["items"]}
    assert items == {f"Encounter/end-{at}": shown for at, (_, shown) in enumerate(ENDS_OF_TIME)}
    ever = {"effect": "deny", "start": "0001-01-01", "end": "9999-12-31"}
    (rule,) = data(await app.post("/consents", json=ever))["provisions"]
    assert (rule["start"], rule["end"]) == ("0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59+08:00")
    assert len(data(await app.get("/consents"))["items"]) == 1


UNKNOWN = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]}


async def test_an_element_that_only_an_extension_stands_for_is_shown_empty(shared: Region) -> None:
    """R4 json.html#primitive: a required element may have an extension instead of a value."""
    person = await shared.newcomer()
    app = await shared.own(person)
    note = {"type": {"text": "小结"}, "date": "2026-01-01", "author": [{"display": "x"}], **about(person.a)}
    given = consent("no-status", person.a, provision("deny")) | {"_status": UNKNOWN}
    times = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:30:00Z"}
    visit = appointment("no-status", person.a) | {"_status": UNKNOWN, **times}
    await keep(
        shared.world.a,
        {"resourceType": "Composition", "id": "no-status", "_title": UNKNOWN, "_status": UNKNOWN, **note},
        *({name: value for name, value in one.items() if name != "status"} for one in (given, visit)),
        {name: value for name, value in report("no-status", person.a).items() if name != "status"} | {"_status": UNKNOWN},
    )
    document, found = [data(await app.get(f"/{one}/no-status")) for one in ("documents", "reports")]
    assert (document["title"], document["status"], found["status"], found["title"]) == ("", "", "", "血常规")
    for listed in ("consents", "appointments"):
        (only,) = data(await app.get(f"/{listed}"))["items"]
        assert (only["id"], only["status"], only["statusText"]) == ("no-status", "", "")
