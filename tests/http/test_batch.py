"""batch and transaction (R4 http.html#transaction, #trules): whole or not at all, in whatever order the entries come."""

from typing import Any

import pytest

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.serving import Door

Resource = dict[str, Any]
UUIDS = [f"urn:uuid:6b7a1c3e-0d8f-4a55-9a0e-00000000000{n}" for n in range(6)]


def entry(method: str, url: str, resource: Resource | None = None, full_url: str | None = None, **more: str) -> Resource:
    made: Resource = {"request": {"method": method, "url": url} | more}
    return made | ({"resource": resource} if resource else {}) | ({"fullUrl": full_url} if full_url else {})


def bundle(kind: str, *entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": kind} | ({"entry": list(entries)} if entries else {})


def basic(known: str | None = None, subject: str | None = None, text: str = "x", identifier: str | None = None) -> Resource:
    made: Resource = {"resourceType": "Basic", "code": {"text": text}} | ({"id": known} if known else {})
    made |= {"identifier": [{"system": "urn:x", "value": identifier}]} if identifier else {}
    return made | ({"subject": {"reference": subject}} if subject else {})


async def run(door: Door, kind: str, *entries: Resource, prefer: str = "") -> list[Resource]:
    """The response's entries; the response is a valid Bundle of the right type."""
    response = await door.system("hospital-a").post("", json=bundle(kind, *entries), headers={"Prefer": prefer})
    assert response.status_code == 200, response.text
    answered = read(response.content)
    validate(answered)
    assert answered["type"] == f"{kind}-response"
    found = answered.get("entry", [])
    assert len(found) == len(entries)
    return list(found)


def statuses(answers: list[Resource]) -> list[str]:
    return [answer["response"]["status"] for answer in answers]


def name(answer: Resource) -> str:
    return "/".join(answer["response"]["location"].split("/")[-4:-2])


async def seen(door: Door, path: str) -> Resource:
    return dict((await door.system("hospital-a").get(f"/{path}")).json())


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_statuses_etags_and_locations(door: Door, kind: str) -> None:
    """http.html#transaction-response: one entry for each, in the order of the request"""
    await run(door, kind, entry("PUT", "Basic/b-1", basic("b-1")), entry("PUT", "Basic/b-2", basic("b-2")))
    answers = await run(
        door,
        kind,
        entry("GET", "Basic/b-2"),
        entry("PUT", "Basic/b-1", basic("b-1", text="changed")),
        entry("POST", "Basic", basic()),
        entry("PUT", "Basic/b-3", basic("b-3")),
        entry("DELETE", "Basic/b-4"),
        entry("GET", "Basic?_id=b-2&_summary=count"),
        entry("GET", "Basic/b-2/_history/1"),
    )
    assert statuses(answers) == ["200", "200", "201", "201", "204", "200", "200"]
    assert [answer["response"].get("etag") for answer in answers] == ['W/"1"', 'W/"2"', 'W/"1"', 'W/"1"', None, None, 'W/"1"']
    assert answers[1]["response"]["location"] == f"{door.base_url}/Basic/b-1/_history/2"
    made = await seen(door, name(answers[2]))
    assert (made["code"], made["meta"]["lastUpdated"]) == ({"text": "x"}, answers[2]["response"]["lastModified"])
    assert answers[0]["resource"]["id"] == answers[6]["resource"]["id"] == "b-2"
    assert answers[5]["resource"]["total"] == 1
    assert "resource" not in answers[1]


async def test_return_representation(door: Door) -> None:
    """http.html#ops: Prefer"""
    (answer,) = await run(door, "transaction", entry("POST", "Basic", basic()), prefer="return=representation")
    assert answer["resource"] == await seen(door, name(answer))


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_nothing_to_do(door: Door, kind: str) -> None:
    """http.html#transaction: an empty Bundle"""
    assert await run(door, kind) == []


async def test_references_between_entries_are_resolved_in_both_directions(door: Door) -> None:
    """http.html#trules: full urls of the Bundle, whatever the order, circles, absolute urls of this server, and a PUT's own"""
    answers = await run(
        door,
        "transaction",
        entry("POST", "Basic", basic(subject=UUIDS[1]), UUIDS[0]),
        entry("POST", "Basic", basic(subject=UUIDS[0]), UUIDS[1]),
        entry("POST", "Basic", basic(subject=f"{door.base_url}/Basic/b-9"), UUIDS[2]),
        entry("PUT", "Basic/b-9", basic("b-9", subject=UUIDS[2]), f"{door.base_url}/Basic/b-9"),
        entry("POST", "Basic", basic(subject="Basic/elsewhere"), UUIDS[3]),
    )
    names = [name(answer) for answer in answers]
    subjects = [(await seen(door, one))["subject"]["reference"] for one in names]
    assert subjects == [names[1], names[0], "Basic/b-9", names[2], "Basic/elsewhere"]


async def test_any_name_will_do_for_references_between_entries(door: Door) -> None:
    """bundle.html#fullUrl: a UUID, or what a client takes for one; no two entries have the same (bdl-7)"""
    first, second = "urn:uuid:first", "urn:uuid:second"
    answers = await run(
        door, "transaction", entry("POST", "Basic", basic(), first), entry("POST", "Basic", basic(subject=first), second)
    )
    assert (await seen(door, name(answers[1])))["subject"] == {"reference": name(answers[0])}
    twice = bundle("transaction", entry("POST", "Basic", basic(), first), entry("POST", "Basic", basic(), first))
    assert (await door.system("hospital-a").post("", json=twice)).status_code == 400


async def test_a_relative_reference_is_to_what_its_own_server_sent_along(door: Door) -> None:
    """bundle.html#references: relative to the base of the entry's full url; only if that is not in the Bundle it is ours"""
    there, elsewhere = "https://north.example/fhir", "http://south.example/fhir"
    answers = await run(
        door,
        "transaction",
        entry("POST", "Basic", basic("1", subject="Basic/3"), f"{there}/Basic/1"),
        entry("POST", "Basic", basic("1", subject="Basic/3"), f"{elsewhere}/Basic/1"),
        entry("POST", "Basic", basic(subject="Basic/3"), UUIDS[0]),
        entry("POST", "Basic", basic("3", subject="Basic/1"), f"{there}/Basic/3"),
        entry("PUT", "Basic/b-4", basic("b-4", subject="Basic/1"), f"{there}/Basic/b-4"),
        entry("POST", "Basic", basic(subject="Basic/b-4"), f"{there}/Basic/5"),
        entry("POST", "Basic", basic(subject="Basic/3/_history/7"), f"{there}/Basic/6"),
        entry("POST", "Basic", basic(subject=f"{there}/Basic/3/_history/7"), UUIDS[1]),
        entry("POST", "Basic", basic(subject="Basic/b-4/_history/7"), UUIDS[2]),
    )
    names = [name(answer) for answer in answers]
    subjects = [(await seen(door, one))["subject"]["reference"] for one in names]
    assert subjects == [
        names[3],
        "Basic/3",
        "Basic/3",
        names[0],
        names[0],
        "Basic/b-4",
        names[3],
        names[3],
        "Basic/b-4/_history/7",
    ]


async def test_the_url_by_which_a_definition_is_known_stays(door: Door) -> None:
    """resource.html#canonical: in HL7's own Bundles it is the full url; a code's system is no link to what is stored here"""
    url = "http://example.org/fhir/CodeSystem/colours"
    system = {"resourceType": "CodeSystem", "url": url, "status": "active", "content": "complete", "concept": [{"code": "red"}]}
    values = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": url}]}}
    used = basic(subject=url) | {
        "code": {"coding": [{"system": url, "code": "red"}]},
        "extension": [{"url": url, "valueUri": url}],
    }
    answers = await run(
        door,
        "transaction",
        entry("POST", "CodeSystem", system, url),
        entry("POST", "ValueSet", values),
        entry("POST", "Basic", used),
    )
    stored = [await seen(door, name(answer)) for answer in answers]
    assert [stored[0]["url"], stored[1]["compose"]] == [url, values["compose"]]
    assert (stored[2]["code"], stored[2]["extension"]) == (used["code"], used["extension"])
    assert stored[2]["subject"] == {"reference": name(answers[0])}


async def test_a_bundle_that_is_stored_stays_what_it_is(door: Door) -> None:
    """bundle.html#references: what it holds refers to its own entries, also where a transaction has the same full urls"""
    inner = bundle("transaction", entry("POST", "Basic", basic(), UUIDS[0]), entry("POST", "Basic", basic(subject=UUIDS[0])))
    inner["entry"].append(entry("POST", "Basic", basic(subject="Basic?identifier=urn:x|none")))
    alone = await door.system("hospital-a").post("/Bundle", json=inner)
    assert (alone.status_code, alone.json()["entry"]) == (201, inner["entry"])
    answers = await run(
        door, "transaction", entry("POST", "Basic", basic(), UUIDS[0]), entry("POST", "Bundle", inner, UUIDS[1])
    )
    assert (await seen(door, name(answers[1])))["entry"] == inner["entry"]


async def test_conditional_creates_and_references(door: Door) -> None:
    """http.html#ccreate, #trules: what is there is used, and referred to as if it had been made"""
    (first,) = await run(door, "transaction", entry("POST", "Basic", basic(identifier="1")))
    answers = await run(
        door,
        "transaction",
        entry("POST", "Basic", basic(identifier="1", text="again"), UUIDS[0], ifNoneExist="identifier=urn:x|1"),
        entry("POST", "Basic", basic(identifier="2"), UUIDS[1], ifNoneExist="identifier=urn:x|2"),
        entry("POST", "Basic", basic(subject=UUIDS[0])),
        entry("POST", "Basic", basic(subject=UUIDS[1])),
        entry("POST", "Basic", basic(subject="Basic?identifier=urn:x|1")),
    )
    assert statuses(answers) == ["200", "201", "201", "201", "201"]
    assert name(answers[0]) == name(first)
    assert (await seen(door, name(first)))["code"] == {"text": "x"}
    subjects = [(await seen(door, name(answer)))["subject"]["reference"] for answer in answers[2:]]
    assert subjects == [name(first), name(answers[1]), name(first)]


async def test_reads_see_what_the_transaction_wrote(door: Door) -> None:
    """http.html#trules: GET comes last, wherever it stands; a deletion comes before it, too"""
    await run(door, "transaction", entry("PUT", "Basic/b-1", basic("b-1")), entry("PUT", "Basic/b-2", basic("b-2")))
    answers = await run(
        door,
        "transaction",
        entry("GET", "Basic/b-1"),
        entry("GET", "Basic?_sort=_lastUpdated"),
        entry("PUT", "Basic/b-1", basic("b-1", text="new")),
        entry("DELETE", "Basic/b-2"),
        entry("GET", "Basic/b-2"),
    )
    assert statuses(answers) == ["200", "200", "200", "204", "410"]
    assert answers[0]["resource"]["code"] == {"text": "new"}
    assert [one["resource"]["id"] for one in answers[1]["resource"]["entry"]] == ["b-1"]


FAILING: dict[str, tuple[Resource, int]] = {
    "invalid": (entry("POST", "Basic", {"resourceType": "Basic", "code": 1}), 400),
    "another version": (entry("PUT", "Basic/b-1", basic("b-1", text="new"), ifMatch='W/"5"'), 412),
    "somebody else's": (entry("PUT", "Basic/theirs", basic("theirs", text="new")), 403),
    "an unresolvable reference": (entry("POST", "Basic", basic(subject="Basic?identifier=urn:x|none")), 412),
    "matched by several": (entry("PUT", "Basic?code:text=x", basic(text="new")), 412),
    "several there already": (entry("POST", "Basic", basic(), ifNoneExist="code:text=x"), 412),
    "nothing there to patch": (entry("PATCH", "Basic/none", {"resourceType": "Parameters"}), 404),
    "changed and matched at once": (entry("POST", "Basic", basic(), ifNoneExist="identifier=urn:x|1"), 400),
}


@pytest.mark.parametrize("why", FAILING)
async def test_a_transaction_is_whole_or_not_at_all(door: Door, why: str) -> None:
    """http.html#transaction-response: when one entry fails, none has happened, and the outcome says which"""
    await door.system("hospital-b").put("/Basic/theirs", json=basic("theirs"))
    there = (entry("PUT", "Basic/b-1", basic("b-1")), entry("PUT", "Basic/b-2", basic("b-2", identifier="1")))
    await run(door, "transaction", *there)
    failing, status = FAILING[why]
    entries = [
        entry("DELETE", "Basic/b-2"),
        entry("POST", "Basic", basic(text="never")),
        entry("PUT", "Basic/b-3", basic("b-3")),
    ]
    response = await door.system("hospital-a").post("", json=bundle("transaction", *entries, failing))
    assert response.status_code == status
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    if why != "changed and matched at once":  # which is about two of them
        assert outcome["issue"][0]["expression"][0].startswith("Bundle.entry[3]")
    found = (await seen(door, "Basic"))["entry"]
    assert sorted(one["resource"]["id"] for one in found) == ["b-1", "b-2"]
    assert {one["resource"]["meta"]["versionId"] for one in found} == {"1"}


@pytest.mark.parametrize("why", list(FAILING)[:4])
async def test_an_entry_of_a_batch_fails_alone(door: Door, why: str) -> None:
    """http.html#transaction: a batch is as if each were sent by itself"""
    await door.system("hospital-b").put("/Basic/theirs", json=basic("theirs"))
    await run(door, "batch", entry("PUT", "Basic/b-1", basic("b-1")))
    failing, status = FAILING[why]
    answers = await run(door, "batch", entry("PUT", "Basic/b-2", basic("b-2")), failing, entry("POST", "Basic", basic()))
    assert statuses(answers) == ["201", str(status), "201"]
    assert answers[1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert (await seen(door, "Basic?_summary=count"))["total"] == 3


async def test_a_repeated_transaction_of_updates_changes_nothing(door: Door) -> None:
    """http.html#update: no new version for what is the same"""
    entries = [entry("PUT", f"Basic/b-{n}", basic(f"b-{n}")) for n in range(3)]
    assert statuses(await run(door, "transaction", *entries)) == ["201"] * 3
    again = await run(door, "transaction", *entries)
    assert statuses(again) == ["200"] * 3
    assert {answer["response"]["etag"] for answer in again} == {'W/"1"'}


async def test_an_invalid_entry_is_named_by_its_place(door: Door) -> None:
    """Each error names its element: of the Bundle that was sent, not only of the resource."""
    bad = {"resourceType": "Patient", "id": "a-2", "gender": "unheard of"}
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"Patient/{one['id']}"}}
        for one in ({"resourceType": "Patient", "id": "a-1"}, bad)
    ]
    answer = await door.system("hospital-a").post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.gender"]
