"""Searches by date across persons walk only where matches may be; stores of earlier releases are searched without such help."""

from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.r4 import dates
from fhir_server.r4.identifier_systems import RESIDENT_ID_CARD
from fhir_server.search.text import folded
from tests import serving
from tests.serving import Door
from tests.store.parameters import indexed
from tests.store.test_totals import SYSTEM, kept, observation, recounted, total

Resource = dict[str, Any]
YEARS = (1790, 1999, 2000, 2001, 2002, 2150)
FOREVER = 1 << 60
CARD = "99000019900307002"


def moment(dice: Random) -> str:
    year = dice.choice(YEARS)
    return dice.choice((f"{year}", f"{year}-{dice.randrange(1, 13):02}", f"{year}-{dice.randrange(1, 13):02}-11"))


def period(dice: Random) -> Resource:
    """Of every kind: an end alone, a start alone, neither, long, short."""
    start = moment(dice)
    end = dice.choice((start, f"{int(start[:4]) + 2}", f"{start[:4]}-12-31"))
    return {name: value for name, value in (("start", start), ("end", end)) if dice.random() < 0.7}


def interval(one: Resource) -> tuple[int, int] | None:
    low = dates.interval(one["start"])[0] if "start" in one else -FOREVER
    high = dates.interval(one["end"])[1] if "end" in one else FOREVER
    return (low, high) if one else None


def meets(prefix: str, asked: str, found: tuple[int, int] | None) -> bool:
    """search.html#prefix, written down once more."""
    if found is None:
        return False
    (low, high), (start, end) = found, dates.interval(asked)
    inside = low >= start and high <= end
    return {
        "eq": inside, "ne": not inside, "gt": high > end, "lt": low < start, "sa": low > end, "eb": high < start,
        "ge": high > end or low >= start, "le": low < start or high <= end,
    }[prefix]  # fmt: skip


async def names(client: httpx.AsyncClient, query: str) -> list[str]:
    """All matches, page by page."""
    url, found = f"/{query}&_count=7", []
    while url:
        page = (await client.get(url)).json()
        found += [entry["resource"]["id"] for entry in page.get("entry", ()) if entry["search"]["mode"] == "match"]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return found


async def test_a_range_of_dates_finds_what_a_walk_finds(doors: tuple[Door, Door]) -> None:
    """search.html#date, #prefix: on Periods of every kind, in both orders, one value and several"""
    hospital, dice = doors[0].system("hospital-a"), Random(11)
    kept_: dict[str, Resource] = {}
    await hospital.put("/Patient/p", json={"resourceType": "Patient", "id": "p"})
    for number in range(90):
        name = f"e-{number}"
        kept_[name] = period(dice)
        made = {"resourceType": "Encounter", "id": name, "status": "finished", "class": {"code": "AMB"}, "period": kept_[name]}
        made = {key: value for key, value in made.items() if value} | {"subject": {"reference": "Patient/p"}}
        assert (await hospital.put(f"/Encounter/{name}", json=made)).status_code == 201
    for _ in range(60):
        prefixes = [dice.choice(("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")) for _ in range(dice.choice((1, 1, 2)))]
        values = [(prefix, moment(dice)) for prefix in prefixes]
        asked = ",".join(f"{prefix}{value}" for prefix, value in values)
        wanted = {name for name, one in kept_.items() if any(meets(*value, interval(one)) for value in values)}
        order = dice.choice(("", "&_sort=date", "&_sort=-date"))
        found = await names(hospital, f"Encounter?date={asked}{order}")
        assert (set(found), len(found)) == (wanted, len(wanted)), asked


@pytest_asyncio.fixture(loop_scope="session")
async def earlier(mongodb_uri: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    """A store of a release that kept no totals, words, loose dates and pairs, fewer prefixes, and took x for another than X."""
    monkeypatch.setattr("fhir_server.search.index.pairs", lambda *given: ())
    monkeypatch.setattr("fhir_server.search.text.PREFIXES", (2, 3, 5, 8))
    monkeypatch.setattr("fhir_server.search.index.normalise", folded)
    monkeypatch.setattr("fhir_server.search.elements.fragment", lambda value: "")
    monkeypatch.setattr("fhir_server.search.elements.found_by", lambda system, value: (system, value))
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        hospital = door.system("hospital-a")
        identifier = [{"system": RESIDENT_ID_CARD, "value": f"{CARD}x"}]
        person = {"name": [{"text": "persona", "family": "O'Brien"}], "identifier": identifier}
        await hospital.put("/Patient/p", json={"resourceType": "Patient", "id": "p"} | person)
        for number in range(5):
            made = observation(f"o-{number}", "p", "a", "final")
            made["code"]["coding"][0]["display"] = "Body height"
            made["effectivePeriod"] = {"end": "2001-01-01"}
            assert (await hospital.put(f"/Observation/o-{number}", json=made)).status_code == 201
        drug = {"resourceType": "Medication", "id": "m", "code": {"coding": [{"system": SYSTEM, "code": "a"}]}}
        order = {"resourceType": "MedicationRequest", "id": "mr", "status": "active", "intent": "order", "contained": [drug]}
        about = {"subject": {"reference": "Patient/p"}, "medicationReference": {"reference": "#m"}}
        assert (await hospital.put("/MedicationRequest/mr", json=order | about)).status_code == 201
        await kept(door)
        collections = door.exchange.database
        loose = door.exchange.record.codec.term("Observation<")
        await collections["resources"].update_many({}, {"$unset": {"n": ""}, "$pull": {"x": loose}})
        for name in ("totals", "displays", "counters"):
            await collections[name].delete_many({})
    monkeypatch.undo()
    return door


QUERIES = (f"Observation?code={SYSTEM}|a", "Observation?code:text=body", "Observation?date=lt2000", "Observation?status=final")


async def test_an_earlier_store_is_searched_as_exactly(earlier: Door, mongodb_uri: str, tmp_path: Path) -> None:
    """Without what it lacks; re-indexed whole, with it from the next start on"""
    database = earlier.exchange.settings.database
    for is_indexed in (False, True):
        async with serving.door(mongodb_uri, database, tmp_path) as door:
            hospital = door.system("hospital-a")
            assert door.exchange.record.codec.is_indexed is is_indexed
            assert [await total(hospital, query) for query in QUERIES] == [5, 5, 5, 5]
            assert [len(await names(hospital, query)) for query in QUERIES] == [5, 5, 5, 5]
            for name in ("pers", "person", "persona"):
                assert await names(hospital, f"Patient?name={name}") == ["p"]
            for name in ("O'B", "O'Brien", "o'brien", *(("obrien", "obr") if is_indexed else ())):
                assert await names(hospital, f"Patient?family={name}") == ["p"]
            for number in (f"{CARD}x", f"{CARD}X", f"{RESIDENT_ID_CARD}|{CARD}x", f"{RESIDENT_ID_CARD}|{CARD}X"):
                assert await names(hospital, f"Patient?identifier={number}") == ["p"]
            assert len(await names(hospital, f"Observation?patient=p&code={SYSTEM}|a&date=lt2000")) == 5
            assert await names(hospital, "MedicationRequest?patient=p&medication.code=a") == ["mr"]
            if is_indexed:
                assert await names(hospital, "MedicationRequest?medication.code=a") == ["mr"]
            if not is_indexed:
                admin = door.admin()
                posted = await admin.post("/SearchParameter/$reindex", json={"resourceType": "Parameters"})
                assert posted.status_code == 202
                await indexed(admin)
            else:
                assert await kept(door) == await recounted(door)
