"""A search looks into the index before it knows who the persons named are: once for nearly everybody, anew for the linked."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace

import pytest

from consent.caller import Caller
from fhir_server.record.searching import search
from fhir_server.search.query import parse
from fhir_server.store.documents import Document
from fhir_server.store.finding import Find
from tests.gate.building import keep, observation, patient
from tests.serving import Door

DOCTOR = Caller("li", "practitioner", organization="b", practitioner="li", scopes=("user/*.rs",))
SEARCHES = (
    [("patient", "pa")],
    [("patient", "pa"), ("code", "1")],
    [("patient", "pa"), ("date", "ge1900"), ("_sort", "-date")],
    [("patient", "pa"), ("_sort", "code")],
)


async def _looks(door: Door, pairs: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """How many records are found, and how many looks into the index that takes."""
    looks: list[Find] = []
    record = door.exchange.record

    def seen(find: Find) -> Awaitable[list[Document] | None]:
        looks.append(find)
        return record.find_shared(find)

    page = await search(replace(record, find_shared=seen), DOCTOR, parse("Observation", pairs), "")
    return len(page.matches), len(looks)


@pytest.mark.parametrize("pairs", SEARCHES)
async def test_one_look_unless_the_person_has_several_patients(door: Door, pairs: Sequence[tuple[str, str]]) -> None:
    code = {"coding": [{"code": "1"}]}
    observations = [observation(f"o-{one}", one, code=code, effectiveDateTime="2020-01-01") for one in ("pa", "pb")]
    await keep(door.system("a"), patient("pa"), patient("pb", name="Li Si"), *observations)
    assert await _looks(door, pairs) == (1, 1)
    other = {"resourceType": "Parameters", "parameter": [{"name": "other", "valueString": "Patient/pb"}]}
    assert (await door.admin().post("/Patient/pa/$link", json=other)).status_code == 204
    assert await _looks(door, pairs) == (2, 2)
