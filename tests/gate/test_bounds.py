"""Where an answer becomes too costly is told by what the caller may see (DESIGN 4): what is hidden moves no bound."""

from pathlib import Path

import httpx
import pytest

from tests import serving

LATER = "Observation/_history?_at=2099&_count=3"  # when all but the last versions had been replaced: they are passed over
VISIBLE, FOUND = 40, (3, 15, 16, 29)  # Observations of the hospital, and which of these hold the word that is looked for


def observation(known: str, day: int, text: str) -> dict[str, object]:
    when = f"2024-{1 + day // 28:02}-{1 + day % 28:02}"
    about = {"subject": {"reference": "Patient/p"}, "code": {"text": text}}
    return {"resourceType": "Observation", "id": known, "status": "final", "effectiveDateTime": when, **about}


async def keep_twice(client: httpx.AsyncClient, made: dict[str, object]) -> None:
    for status in ("preliminary", "final"):
        assert (await client.put(f"/Observation/{made['id']}", json=made | {"status": status})).is_success


async def outcomes(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str]]]:
    """Status and ids of what each page of searches and histories comes to, under one bound after the other."""
    told = []
    for bound in range(1, VISIBLE, 3):
        for room in ("candidates", "histories"):
            monkeypatch.setattr(f"fhir_server.record.{room}.SCAN", bound)
        for query in ("Observation?_content=sought&_count=1", "Observation?_content=sought&_count=2", LATER):
            url: str | None = query
            while url:
                answer = await client.get(url)
                body = answer.json()
                told.append((answer.status_code, [one["resource"]["id"] for one in body.get("entry", ())]))
                url = next((link["url"] for link in body.get("link", ()) if link["relation"] == "next"), None)
    return told


async def test_what_is_hidden_moves_no_bound(
    mongodb_uri: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hospitals, each of which sees its own only; the other's come between, in time and in order."""
    for room in ("candidates", "histories"):
        monkeypatch.setattr(f"fhir_server.record.{room}.CHUNK", 8)
    async with serving.door(mongodb_uri, database, tmp_path, default_policy="deny") as door:
        hospital, other = door.system("hospital-a"), door.system("hospital-b")
        for number in range(VISIBLE):
            text = "sought" if number in FOUND else "other"
            await keep_twice(hospital, observation(f"a-{number}", 3 * number, text))
        before = await outcomes(hospital, monkeypatch)
        for number in range(1, 3 * VISIBLE - 2, 2):  # 59 of them: chunks begin elsewhere
            await keep_twice(other, observation(f"b-{number}", number, "sought"))
        assert await outcomes(hospital, monkeypatch) == before
    assert {status for status, _ in before} == {200, 403}
