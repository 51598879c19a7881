"""`:text` on codes finds what a walk through all resources finds, by the codes beside which the words stand (decision 33)."""

from random import Random
from typing import Any

import httpx

from tests.serving import Door

Resource = dict[str, Any]
SYSTEM = "urn:test:codes"
WORDS = ("Acute bronchitis", "acute  pharyngitis", "Хронический бронхит", "急性支气管炎", "Bronchitis", "x" * 250)


def concept(dice: Random) -> Resource:
    """A concept with every combination of system, code, display and text that there may be."""
    codings = [
        {
            name: value
            for name, value in (("system", SYSTEM), ("code", dice.choice("abcd")), ("display", dice.choice(WORDS)))
            if dice.random() < 0.8
        }
        for _ in range(dice.randrange(3))
    ]
    made: Resource = {"coding": [one for one in codings if one]} if any(codings) else {}
    if not made or dice.random() < 0.5:
        displays = [one["display"] for one in codings if "display" in one]
        made["text"] = dice.choice(displays or WORDS) if dice.random() < 0.5 else dice.choice(WORDS)
    return made


def words_of(one: Resource) -> list[str]:
    return [text for text in (one.get("text"), *(coding.get("display") for coding in one.get("coding", ()))) if text]


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


async def found(client: httpx.AsyncClient, word: str, rest: str = "") -> set[str]:
    answer = await client.get("/Condition", params=[("code:text", word), ("_count", "500")])
    assert answer.status_code == 200, answer.text
    return {entry["resource"]["id"] for entry in answer.json().get("entry", ())}


async def test_text_finds_codes_by_their_words(doors: tuple[Door, Door]) -> None:
    """search.html#modifiers, :text on token; what one process acknowledged, another finds at once"""
    one, two = doors[0].system("hospital-a"), doors[1].system("hospital-a")
    dice, kept = Random(5), dict[str, Resource]()
    await one.put("/Patient/p", json={"resourceType": "Patient", "id": "p"})
    for number in range(120):
        name, code = f"c-{dice.randrange(80)}", concept(dice)
        made = {"resourceType": "Condition", "id": name, "code": code, "subject": {"reference": "Patient/p"}}
        writer, reader = (one, two) if number % 2 else (two, one)
        assert (await writer.put(f"/Condition/{name}", json=made)).status_code in (200, 201)
        kept[name] = code
        word = dice.choice(words_of(code) or WORDS)[: dice.randrange(3, 12)]
        meant = {key for key, some in kept.items() if any(folded(text).startswith(folded(word)) for text in words_of(some))}
        assert await found(reader, word) == meant, word
    assert await found(one, "no such words") == set()


async def test_displays_are_kept_sealed(doors: tuple[Door, Door]) -> None:
    """DESIGN 3: clear text stands only in sealed bodies"""
    hospital = doors[0].system("hospital-a")
    code = {"coding": [{"system": SYSTEM, "code": "c0de-7", "display": "Secret words"}]}
    basic = {"resourceType": "Basic", "code": code}
    assert (await hospital.post("/Basic", json=basic)).status_code == 201
    rows = [row async for row in doors[0].exchange.database["displays"].find({})]
    assert len(rows) == 1 and not any(word in repr(rows).lower() for word in ("secret", "c0de"))
