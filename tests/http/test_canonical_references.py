"""Chains, `_has` and includes over references by canonical url (R4 references.html#canonical): to a version, or to any."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.gate.building import keep, patient
from tests.serving import Door

URL = "http://example.org/Q"


def questionnaire(known: str, version: str | None, name: str, **more: Any) -> dict[str, Any]:
    told = {"resourceType": "Questionnaire", "id": known, "status": "active", "url": URL, "name": name, **more}
    return told | ({"version": version} if version else {})


def response(known: str, of: str, status: str) -> dict[str, Any]:
    about = {"subject": {"reference": "Patient/p"}, "questionnaire": of, "status": status}
    return {"resourceType": "QuestionnaireResponse", "id": known, **about}


@pytest_asyncio.fixture(loop_scope="session")
async def client(door: Door) -> httpx.AsyncClient:
    client = door.system("a")
    await keep(client, patient("p"), questionnaire("q1", "1", "First"), questionnaire("q2", "2", "Second"))
    await keep(client, questionnaire("other", None, "First", url=f"{URL}/other"))
    await keep(client, response("r1", f"{URL}|1", "completed"), response("r2", f"{URL}|2", "amended"))
    await keep(client, response("r-any", URL, "stopped"), response("r-none", f"{URL}|9", "completed"))
    return client


@pytest.mark.parametrize(
    ("query", "matches", "included"),
    [
        ("QuestionnaireResponse?questionnaire.name=first", "r-any r1", ""),
        ("QuestionnaireResponse?questionnaire:Questionnaire.version=2&patient=p", "r-any r2", ""),
        ("QuestionnaireResponse?questionnaire.name=third", "", ""),
        ("Patient?_has:QuestionnaireResponse:subject:questionnaire.version=2", "p", ""),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed", "q1", ""),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:status=stopped", "q1 q2", ""),
        ("QuestionnaireResponse?_id=r1&_include=QuestionnaireResponse:questionnaire", "r1", "q1"),
        ("QuestionnaireResponse?_id=r-any&_include=*", "r-any", "p q1 q2"),
        ("QuestionnaireResponse?_id=r-none&_include=QuestionnaireResponse:questionnaire:Questionnaire", "r-none", ""),
        ("Patient?_id=p&_revinclude=QuestionnaireResponse:subject&_include:iterate=QuestionnaireResponse:questionnaire",
         "p", "q1 q2 r-any r-none r1 r2"),
        ("Questionnaire?_id=q2&_revinclude=QuestionnaireResponse:questionnaire", "q2", "r-any r2"),
        ("Questionnaire?_id=q2&_revinclude=*", "q2", "r-any r2"),
        (f"QuestionnaireResponse?questionnaire:below={URL}|1", "r1", ""),
        (f"QuestionnaireResponse?questionnaire:below={URL}&_sort=_id", "r-any r-none r1 r2", ""),
        (f"Patient?_has:QuestionnaireResponse:subject:questionnaire:below={URL}|2", "p", ""),
        (f"Questionnaire?url={URL}|2", "q2", ""),
        (f"Questionnaire?url={URL}|3,{URL}|1", "q1", ""),
        ("Questionnaire?_id=other&_revinclude=QuestionnaireResponse:questionnaire", "other", ""),
    ],
)  # fmt: skip
async def test_a_canonical_url_leads_to_what_has_it(client: httpx.AsyncClient, query: str, matches: str, included: str) -> None:
    """search.html#chaining, #has, #include; references.html#canonical: with a version, to that version only"""
    answer = await client.get(f"/{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, list[str]] = {"match": [], "include": []}
    for one in answer.json().get("entry", ()):
        found[one["search"]["mode"]].append(one["resource"]["id"])
    assert " ".join(sorted(found["match"])) == matches
    assert " ".join(sorted(found["include"])) == included
