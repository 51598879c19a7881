"""Many searches of many people at the same moment: each answers as if it had been alone (docs/decisions/0034)."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from consent.caller import Caller
from fhir_server.r4.json import read
from fhir_server.record.context import Record
from fhir_server.record.searching import search
from fhir_server.search.query import parse
from tests.gate.building import ICD_10, about, condition, consent, keep, observation, patient, transaction
from tests.serving import Door

Resource = dict[str, Any]
PEOPLE, CODES, ROUNDS = 40, 3, 8
CROWDED, LINKED, RULED = "p0", ("p2", "p3"), "p4"
DENIED = {"type": "deny"}
HOSPITAL = Caller("his", "system", organization="a", scopes=("system/*.rs",))
DOCTOR = Caller("li", "practitioner", organization="b", practitioner="li", scopes=("user/*.rs",))
Pairs = list[tuple[str, str]]


async def test_searches_at_the_same_moment_answer_as_alone(door: Door) -> None:
    """One with many records and many with few, so that looks are put together and some of these end early; records about two of
    them, a person of two Patients, one who keeps all back, graves; by code, by who is in the focus, sorted, in small pages."""
    chance = random.Random(34)
    records = _records(chance)
    hospital = door.system("a")
    await keep(hospital, *(patient(f"p{number}", name=f"Li {number}") for number in range(PEOPLE)))
    for start in range(0, len(records), 50):
        assert (await hospital.post("", json=transaction(*records[start : start + 50]))).status_code == 200
    for one in records[::9]:
        assert (await hospital.delete(f"/{one['resourceType']}/{one['id']}")).status_code == 204
    stand = [one for number, one in enumerate(records) if number % 9]
    other = {"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": f"Patient/{LINKED[1]}"}]}
    assert (await door.admin().post(f"/Patient/{LINKED[0]}/$link", json=other)).status_code == 204
    await keep(door.patient(RULED), consent("kept-back", RULED, DENIED))
    seen = [one for one in stand if RULED not in _people(one)]
    for at_once in [30, 2] * ROUNDS:  # where few are asked for, one with many ends their branch early
        asked = [_search(chance, CROWDED if at_once == 2 else None)]
        asked += [_search(chance) for _ in range(at_once - 1)]
        sights = [(caller, there, one) for one in asked for caller, there in ((HOSPITAL, stand), (DOCTOR, seen))]
        answered = await asyncio.gather(*(_found(door.exchange.record, caller, *one[:2]) for caller, _, one in sights))
        for (caller, there, (*query, meets)), found in zip(sights, answered, strict=True):
            assert found == sorted(one["id"] for one in there if meets(one)), (caller.id, query)


async def test_what_a_canonical_names_is_nobody_it_is_about(door: Door) -> None:
    """Looks are told apart by Patient: a url that reads like a reference to one tells nothing of whose the record is."""
    coded = {"code": {"coding": [{"system": ICD_10, "code": "c1"}]}, "instantiatesCanonical": ["Patient/p1"]}
    group = {"resourceType": "RequestGroup", "id": "g", "status": "active", "intent": "plan", **about("p0"), **coded}
    await keep(door.system("a"), patient("p0"), patient("p1", name="Li Si"), group)
    of_other: list[Pairs] = [[("patient", "Patient/p0"), ("code", f"{ICD_10}|c2")], [("instantiates-canonical", "Patient/p1")]]
    for _ in range(3):
        asked = (_found(door.exchange.record, HOSPITAL, "RequestGroup", pairs) for pairs in of_other)
        assert await asyncio.gather(*asked) == [[], ["g"]]


def _records(chance: random.Random) -> list[Resource]:
    made = []
    for number in range(260):
        subject = CROWDED if number % 2 else f"p{chance.randrange(1, PEOPLE)}"
        if chance.random() < 0.25:
            made.append(condition(f"r{number}", subject, f"c{chance.randrange(CODES)}"))
            continue
        codes = [{"system": ICD_10, "code": f"c{code}"} for code in chance.sample(range(CODES), chance.choice((1, 1, 2)))]
        other: Resource = {"focus": [{"reference": f"Patient/p{chance.randrange(PEOPLE)}"}]} if chance.random() < 0.2 else {}
        day = f"2020-01-{chance.randrange(1, 4):02d}"
        made.append(observation(f"r{number}", subject, effectiveDateTime=day, **other) | {"code": {"coding": codes}})
    return made


def _search(chance: random.Random, who: str | None = None) -> tuple[str, Pairs, Callable[[Resource], bool]]:
    """A query, and what it is to find."""
    kind, by, who = chance.choice(("Observation", "Observation", "Condition")), "subject", who or f"p{chance.randrange(PEOPLE)}"
    if kind == "Observation" and chance.random() < 0.3:
        by = "focus"
    person = LINKED if who in LINKED else (who,)
    code = f"c{chance.randrange(CODES)}" if chance.random() < 0.5 else None
    wanted = [(by, f"Patient/{who}"), *([("code", f"{ICD_10}|{code}")] if code else [])]
    wanted += chance.choice(([], [], [("_sort", "-_lastUpdated")], [("_total", "accurate")]))
    wanted += chance.choice(([], [("_count", "1")], [("_count", "10")], [("_count", "15")]))

    def meets(one: Resource) -> bool:
        named = {reference["reference"][8:] for reference in _list(one.get(by))}
        coded = {coding["code"] for coding in one["code"]["coding"]}
        return one["resourceType"] == kind and not named.isdisjoint(person) and (code is None or code in coded)

    return kind, wanted, meets


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _people(one: Resource) -> set[str]:
    return {reference["reference"][8:] for name in ("subject", "focus") for reference in _list(one.get(name))}


async def _found(record: Record, caller: Caller, kind: str, pairs: Pairs) -> list[str]:
    """The ids on all pages, sorted; a total, where there is one, is of them all."""
    query, found, totals = parse(kind, pairs), list[str](), set[int | None]()
    page = await search(record, caller, query, "")
    while True:
        found += [read(one)["id"] for one in page.matches]
        totals.add(page.total)
        if page.next is None:
            break
        page = await search(record, caller, query, "", page.next)
    assert totals <= {None, len(found)}, pairs
    return sorted(found)
