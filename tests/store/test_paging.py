"""What is unchanged throughout a paging appears exactly once, whatever happens around it (http.html#paging, issue 4)."""

from random import Random
from typing import Any

import pytest

from tests.gate.building import keep, patient
from tests.serving import Door

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
