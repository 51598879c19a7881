"""Pages in any order: what is unchanged throughout appears exactly once (http.html#paging); dates at any size."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.r4.dates import interval
from tests import serving
from tests.gate.building import about, keep, observation, patient
from tests.serving import Door, Watch
from tests.store.region import everything

SORTS = ("name", "-name", "gender,-name", "-birthdate", "_id", "-_lastUpdated", "_lastUpdated", "")
NAMES = "abcdef"


def person(dice: Random, number: int) -> dict[str, Any]:
    """Many share a name, some have none to sort by."""
    name = dice.choice((*NAMES, "x" * 300 + dice.choice(NAMES)))
    born = dice.choice(("1980", "1980-02", "1990-03-04"))
    return patient(f"p{number}", name=name, born=born, **({"gender": "male"} if dice.random() < 0.5 else {}))


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("seed", range(2))
async def test_what_is_unchanged_appears_exactly_once(door: Door, sort: str, seed: int) -> None:
    """Between two pages some are changed, removed or added, those that were delivered last among them"""
    dice, client = Random(seed), door.system("a")
    await keep(client, *(person(dice, number) for number in range(24)))
    changed: set[str] = set()
    delivered: list[str] = []
    url: str | None = f"/Patient?_count=5&_sort={sort}" if sort else "/Patient?_count=5"
    while url:
        page = (await client.get(url)).json()
        delivered += [one["resource"]["id"] for one in page.get("entry", ())]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        touched = {delivered[-1], f"p{dice.randrange(24)}", f"p{dice.randrange(24, 30)}"}
        changed |= touched
        for known in sorted(touched):
            if dice.random() < 0.5:
                await client.delete(f"/Patient/{known}")
            else:
                await keep(client, person(dice, int(known[1:])))
    unchanged = [known for known in delivered if known not in changed]
    assert sorted(unchanged) == sorted({f"p{number}" for number in range(24)} - changed)


DATES = ("2020-01-01", "2020-01-02T10:00:00Z", "2021", "2019-05", None)


def report(dice: Random, number: int) -> dict[str, Any]:
    """Its clinical date is the effective one or, where there is none, when it was issued."""
    told: dict[str, Any] = {"resourceType": "DiagnosticReport", "id": f"r{number}", "status": "final", "code": {"text": "x"}}
    told |= {"issued": "2020-06-01T00:00:00Z"} if dice.random() < 0.5 else {}
    effective = dice.choice(DATES)
    return told | ({"effectiveDateTime": effective} if effective else {}) | about("p" if number % 2 else "q")


@pytest.mark.parametrize("query", ["DiagnosticReport?", "DiagnosticReport?patient=p&", "?_type=DiagnosticReport,Observation&"])
async def test_the_best_date_of_a_type_is_an_order_at_any_size(door: Door, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    """search.html#sort: what lacks the value comes first, last if descending, whatever other dates it has"""
    monkeypatch.setattr("fhir_server.record.searching.BOUND", 3)
    client, dice = door.system("a"), Random(1)
    reports = [report(dice, number) for number in range(30)]
    await keep(client, patient("p"), patient("q"), *reports)
    expected = {one["id"]: one.get("effectiveDateTime") for one in reports if "patient" not in query or int(one["id"][1:]) % 2}
    for sort, count in (("date", 4), ("-date", 4), ("-date", 1000), ("date", 7)):
        got = [expected[one["id"]] for one in await everything(client, f"{query}_sort={sort}&_count={count}")]
        starts = [interval(one)[0] if one else -(2**60) for one in got]
        assert starts == sorted(starts, reverse=sort[0] == "-") and len(got) == len(expected)
    too_much = await client.get("/DiagnosticReport?_sort=issued")
    assert too_much.status_code == 403 and too_much.json()["issue"][0]["code"] == "too-costly"


async def test_birth_dates_are_sorted_though_no_index_orders_them(door: Door) -> None:
    """search.html#sort; DESIGN 3: ordered values of what identifies are not kept, also where it is a type's only date"""
    client = door.system("a")
    born = {"r1": "1990-03", "r2": "1950", "r3": "2001-02-03", "r4": "1970-01-01", "r5": "1969-12-31"}
    await keep(
        client,
        patient("p"),
        *(
            {"resourceType": "RelatedPerson", "id": known, "birthDate": one, "patient": about("p")["subject"]}
            for known, one in born.items()
        ),
    )
    for sign in ("", "-"):
        got = [born[one["id"]] for one in await everything(client, f"RelatedPerson?_sort={sign}birthdate&_count=2")]
        assert got == sorted(born.values(), reverse=sign == "-")


PERIODS = {"end": "2020-05-01"}, {"start": "2020-04-01"}, {"start": "2020-06-01", "end": "2020-07"}, {"end": "2020-03-01"}, None


async def test_a_period_without_a_start_stands_where_it_ends(door: Door) -> None:
    """search.html#sort: by a date alone and with other keys, within a type and across several"""
    client = door.system("a")
    made = [observation(f"o{n}", "p") | ({"effectivePeriod": one} if one else {}) for n, one in enumerate(PERIODS)]
    await keep(client, patient("p"), *made)
    for query in ("Observation?", "?_type=Observation,Immunization&"):
        for sort in ("date", "date,_id", "date,-status"):
            got = [one["id"] for one in await everything(client, f"{query}_sort={sort}&_count=2")]
            assert got == ["o4", "o3", "o1", "o0", "o2"]
            got = [one["id"] for one in await everything(client, f"{query}_sort=-{sort}&_count=2")]
            assert got == ["o2", "o0", "o1", "o3", "o4"]


NOW, YEAR = interval("2026-01-01T00:00:00.000Z")[0], 365 * 24 * 3600 * 1000


@pytest.mark.parametrize("sort", ["", "&_sort=date", "&_sort=-code", "&_sort=_lastUpdated", "&patient=p"])
async def test_now_is_the_same_on_all_pages(mongodb_uri: str, database: str, tmp_path: Path, sort: str) -> None:
    """search.html#prefix: what is approximate is so by when the search began, however late a page is asked for"""
    watch = Watch(NOW)
    async with serving.door(mongodb_uri, database, tmp_path, now=watch) as door:
        client = door.client("system", organization="a", lifetime=2 * YEAR)
        days = [
            f"2024-{month:02}-{day:02}" for month in (10, 11, 12) for day in (1, 11, 21, 25, 29)
        ]  # 365 before now: 36.5 off
        await keep(client, *(observation(f"o{day}", "p", day, effectiveDateTime=day) for day in days))
        near = [f"o{day}" for day in days if day >= "2024-11-25"]
        url: str | None = f"/Observation?date=ap2025-01-01&_count=2&_total=accurate{sort}"
        found: list[str] = []
        while url:
            page = (await client.get(url)).json()
            assert page["total"] == len(near)
            found += [one["resource"]["id"] for one in page["entry"]]
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
            watch.stands = NOW + YEAR  # 730 days: 73 off
        assert sorted(found) == near
        again = (await client.get(f"/Observation?date=ap2025-01-01&_summary=count{sort}")).json()
        assert again["total"] == len([day for day in days if day >= "2024-10-20"])
        for how in ({"If-None-Exist": "date=ap2025-01-01"}, {"If-None-Exist": "code-value-date=x$ap2025-01-01"}):
            refused = await client.post("/Observation", json=observation("x", "p"), headers=how)
            assert (refused.status_code, "from when to when" in refused.text) == (400, True), refused.text
