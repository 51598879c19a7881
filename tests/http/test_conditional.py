"""Conditional update, patch and delete (R4 http.html#cond-update, #patch, #delete): criteria say which record is meant."""

from typing import Any
from urllib.parse import quote

import pytest

from fhir_server.record.targets import MAX_DELETED
from tests.http.test_batch import UUIDS, basic, bundle, entry, name, run, seen, statuses
from tests.serving import Door

Resource = dict[str, Any]
BY_1, BY_2, BY_3 = (f"Basic?identifier=urn:x|{number}" for number in (1, 2, 3))
REPLACED = [{"op": "replace", "path": "/code/text", "value": "patched"}]
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FHIRPATH_PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Basic.code.text"},
                {"name": "value", "valueString": "patched"},
            ],
        }
    ],
}


def numbered(*known: str, number: str = "1") -> list[Resource]:
    """PUTs of resources that share one identifier."""
    return [entry("PUT", f"Basic/{one}", basic(one, identifier=number)) for one in known]


async def found(door: Door, query: str = "Basic") -> list[tuple[str, str, str]]:
    """(id, version, text) of what is there."""
    entries = (await seen(door, f"{query}{'&' if '?' in query else '?'}_count=500")).get("entry", [])
    told = [one["resource"] for one in entries]
    return sorted((one["id"], one["meta"]["versionId"], one["code"]["text"]) for one in told)


# What is there, the id that is sent, and what becomes of it: status, and id, version and text of what stands then.
UPDATES: dict[str, tuple[list[str], str | None, int, list[tuple[str, str, str]]]] = {
    "one match": (["b-1"], None, 200, [("b-1", "2", "new")]),
    "one match with its id": (["b-1"], "b-1", 200, [("b-1", "2", "new")]),
    "one match with another id": (["b-1"], "b-2", 400, [("b-1", "1", "x")]),
    "no match, with an id": ([], "b-2", 201, [("b-2", "1", "new")]),
    "several": (["b-1", "b-2"], None, 412, [("b-1", "1", "x"), ("b-2", "1", "x")]),
}


@pytest.mark.parametrize("how", ["alone", "batch", "transaction"])
@pytest.mark.parametrize("case", UPDATES)
async def test_conditional_update(door: Door, case: str, how: str) -> None:
    """http.html#cond-update: none makes one, one is updated unless another id is sent, several are too many"""
    there, sent, status, expected = UPDATES[case]
    await run(door, "transaction", *numbered(*there))
    resource = basic(sent, text="new", identifier="1")
    client = door.system("hospital-a")
    if how == "alone":
        answer = await client.put(f"/{BY_1}", json=resource)
        assert answer.status_code == status, answer.text
        if status < 300:
            assert answer.headers["location"] == f"{door.base_url}/Basic/{expected[0][0]}/_history/{expected[0][1]}"
            assert answer.json()["meta"]["versionId"] == expected[0][1]
    elif how == "batch" or status < 300:
        assert statuses(await run(door, how, entry("PUT", BY_1, resource))) == [str(status)]
    else:
        answer = await client.post("", json=bundle(how, entry("PUT", BY_1, resource)))
        assert answer.status_code == status
    assert await found(door) == expected


async def test_no_match_and_no_id_makes_one_with_an_id_of_the_server(door: Door) -> None:
    """http.html#cond-update; a repetition finds it, and changes nothing"""
    client = door.system("hospital-a")
    first, again = [await client.put(f"/{BY_1}", json=basic(identifier="1")) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.content == again.content
    assert len(await found(door)) == 1


async def test_an_id_that_is_used_is_not_taken_by_what_matches_nothing(door: Door) -> None:
    """http.html#cond-update as R5 makes it precise: one's own record with this id is not overwritten; a deleted one is free"""
    client = door.system("hospital-a")
    await client.put("/Basic/b-1", json=basic("b-1"))
    await door.system("hospital-b").put("/Basic/theirs", json=basic("theirs", identifier="1"))
    answers = [await client.put(f"/{BY_1}", json=basic(known, text="new", identifier="1")) for known in ("b-1", "theirs")]
    assert [answer.status_code for answer in answers] == [409, 403]
    await client.delete("/Basic/b-1")
    answer = await client.put(f"/{BY_1}", json=basic("b-1", text="new", identifier="1"))
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"3"')


@pytest.mark.parametrize("how", ["alone", "batch", "transaction"])
async def test_conditional_patch(door: Door, how: str) -> None:
    """http.html#patch: 404 for none, one is patched, 412 for several; both formats"""
    await run(door, "transaction", *numbered("b-1"), *numbered("b-2", "b-3", number="2"))
    client, answers = door.system("hospital-a"), []
    for criteria in (BY_1, BY_2, BY_3):
        if how == "alone":
            answer = await client.patch(f"/{criteria}", json=REPLACED, headers=JSON_PATCH)
        else:
            answer = await client.post("", json=bundle(how, entry("PATCH", criteria, FHIRPATH_PATCH)))
        answers.append(int(answer.json()["entry"][0]["response"]["status"]) if how == "batch" else answer.status_code)
    assert answers == [200, 412, 404]
    assert await found(door) == [("b-1", "2", "patched"), ("b-2", "1", "x"), ("b-3", "1", "x")]


@pytest.mark.parametrize("how", ["alone", "batch", "transaction"])
async def test_conditional_delete_of_none_one_and_many(door: Door, how: str) -> None:
    """http.html#delete: all that match, in one transaction; none is no error"""
    await run(door, "transaction", *numbered("b-1"), *numbered("b-2", "b-3", number="2"), *numbered("b-4", number="4"))
    client = door.system("hospital-a")
    for criteria in (BY_1, BY_2, BY_3):
        if how == "alone":
            answer = await client.delete(f"/{criteria}")
            assert (answer.status_code, answer.content) == (204, b"")
        else:
            assert statuses(await run(door, how, entry("DELETE", criteria))) == ["204"]
    assert await found(door) == [("b-4", "1", "x")]
    versions = [(await client.get(f"/Basic/b-{number}/_history")).json()["total"] for number in range(1, 5)]
    assert versions == [2, 2, 2, 1]


async def test_a_conditional_delete_of_more_than_its_bound_deletes_nothing(door: Door) -> None:
    """http.html#delete: 412 where the criteria are not selective enough; up to the bound, all"""
    await run(door, "transaction", *numbered(*(f"b-{number}" for number in range(MAX_DELETED + 1))))
    client = door.system("hospital-a")
    assert (await client.delete(f"/{BY_1}")).status_code == 412
    assert len(await found(door)) == MAX_DELETED + 1
    await client.delete("/Basic/b-0")
    assert (await client.delete(f"/{BY_1}")).status_code == 204
    assert await found(door) == []


async def test_references_to_entries_that_are_conditional(door: Door) -> None:
    """http.html#trules: by full url to what is matched or made, whatever the order; a conditional update refers, too"""
    await run(door, "transaction", *numbered("b-1"), *numbered("b-2", number="2"))
    answers = await run(
        door,
        "transaction",
        entry("POST", "Basic", basic(subject=UUIDS[0], text="to one updated")),
        entry("PUT", BY_1, basic(subject=UUIDS[1], identifier="1"), UUIDS[0]),
        entry("PUT", BY_3, basic(subject=UUIDS[0], identifier="3"), UUIDS[1]),
        entry("POST", "Basic", basic(subject=UUIDS[3], text="to one found")),
        entry("POST", "Basic", basic(), UUIDS[3], ifNoneExist=BY_2),
    )
    assert statuses(answers) == ["201", "200", "201", "201", "200"]
    names = [name(answer) for answer in answers]
    assert (names[1], names[4]) == ("Basic/b-1", "Basic/b-2")
    subjects = [(await seen(door, one))["subject"]["reference"] for one in names[:4]]
    assert subjects == ["Basic/b-1", names[2], "Basic/b-1", "Basic/b-2"]


async def test_conditional_references_see_what_the_transaction_writes(door: Door) -> None:
    """http.html#trules: they are resolved after everything else has been processed"""
    await run(door, "transaction", *numbered("b-1"), *numbered("b-2", number="2"))
    answers = await run(
        door,
        "transaction",
        entry("POST", "Basic", basic(subject=BY_3)),
        entry("POST", "Basic", basic(identifier="3")),
        entry("POST", "Basic", basic(subject=BY_1)),
        entry("DELETE", "Basic/b-2"),
        entry("PUT", "Basic/b-3", basic("b-3", identifier="2")),
        entry("POST", "Basic", basic(subject=BY_2)),
    )
    subjects = [(await seen(door, name(answers[number])))["subject"]["reference"] for number in (0, 2, 5)]
    assert subjects == [name(answers[1]), "Basic/b-1", "Basic/b-3"]
    refused = bundle("transaction", entry("PUT", "Basic/b-1", basic("b-1")), entry("POST", "Basic", basic(subject=BY_1)))
    assert (await door.system("hospital-a").post("", json=refused)).status_code == 412


async def test_conditional_references_do_not_see_what_is_sent_and_not_written(door: Door) -> None:
    """http.html#trules: what `ifNoneMatch: *` leaves as it was is found by what it holds, not by what was sent"""
    await run(door, "transaction", *numbered("b-1"))
    unwritten = entry("PUT", "Basic/b-1", basic("b-1", identifier="2"), ifNoneMatch="*")
    answers = await run(door, "transaction", unwritten, entry("POST", "Basic", basic(subject=BY_1)))
    assert (await seen(door, name(answers[1])))["subject"]["reference"] == "Basic/b-1"
    refused = bundle("transaction", unwritten, entry("POST", "Basic", basic(subject=BY_2)))
    assert (await door.system("hospital-a").post("", json=refused)).status_code == 412


async def test_criteria_match_only_what_is_ones_own(door: Door) -> None:
    """DESIGN 4: another hospital's record is not found, whether its id is given or not"""
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": "urn:x", "value": "1"}]}
    theirs, ours = door.system("hospital-b"), door.system("hospital-a")
    await theirs.put("/Patient/p", json=patient)
    assert (await ours.delete("/Patient?identifier=urn:x|1")).status_code == 204
    assert (await ours.patch("/Patient?identifier=urn:x|1", json=[], headers=JSON_PATCH)).status_code == 404
    made = await ours.put("/Patient?identifier=urn:x|1", json={**patient, "id": "q"})
    assert (made.status_code, made.json()["id"]) == (201, "q")
    assert (await theirs.get("/Patient/p")).headers["etag"] == 'W/"1"'


async def test_conditional_writes_of_the_directory(door: Door) -> None:
    """DESIGN 4: what is about nobody is matched whoever wrote it, and changed by its custodian only"""
    await door.system("hospital-b").put("/Organization/o", json={"resourceType": "Organization", "id": "o", "name": "O"})
    changed = {"resourceType": "Organization", "name": "P"}
    assert (await door.system("hospital-a").put("/Organization?name=O", json=changed)).status_code == 403
    assert (await door.system("hospital-a").delete("/Organization?name=O")).status_code == 403
    assert (await door.system("hospital-b").put("/Organization?name=O", json=changed)).json()["id"] == "o"


async def test_if_match_holds_for_what_is_found(door: Door) -> None:
    """http.html#concurrency, with criteria"""
    await run(door, "transaction", *numbered("b-1"))
    client = door.system("hospital-a")
    stale, current = {"If-Match": 'W/"7"'}, {"If-Match": 'W/"1"'}
    assert (await client.put(f"/{BY_1}", json=basic(text="new", identifier="1"), headers=stale)).status_code == 412
    assert (await client.patch(f"/{BY_1}", json=REPLACED, headers=JSON_PATCH | stale)).status_code == 412
    assert (await client.delete(f"/{BY_1}", headers=stale)).status_code == 412
    assert (await client.delete(f"/{BY_1}", headers=current)).status_code == 204


async def test_criteria_need_a_token_that_may_read_and_search(door: Door) -> None:
    """SMART v2 scopes: who may not see what is there would write it twice"""
    sent = basic(identifier="1")
    for scope, expected in (
        ("system/Basic.cud", (403, 403)),
        ("system/Basic.crud", (403, 403)),
        ("system/Basic.cruds", (201, 200)),
    ):
        client = door.client("system", organization="hospital-a", scope=scope)
        answers = (
            await client.put(f"/{BY_1}", json=sent),
            await client.post("/Basic", json=sent, headers={"If-None-Exist": BY_1}),
        )
        assert tuple(answer.status_code for answer in answers) == expected


async def test_references_by_criteria_need_it_too(door: Door) -> None:
    """SMART v2 scopes: s is to search; a reference that is found tells that there is one, and which (http.html#trules)"""
    await door.system("hospital-a").put("/Basic/b", json=basic("b", identifier="1"))
    about = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "focus": [{"reference": BY_1}]}
    sent = bundle("transaction", entry("POST", "Observation", about))
    for scope, expected in (("crud", 403), ("cus", 403), ("cruds", 200)):
        client = door.client("system", organization="hospital-a", scope=f"system/Observation.cruds system/Basic.{scope}")
        assert (await client.post("/", json=sent)).status_code == expected, scope


async def test_criteria_are_percent_encoded(door: Door) -> None:
    """RFC 3986: as any query"""
    sent = basic(identifier="一 1")
    criteria = f"/Basic?identifier={quote('urn:x|一 1')}"
    answers = [await door.system("hospital-a").put(criteria, json=sent) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]


async def test_bytes_in_a_header_are_not_guessed_at(door: Door) -> None:
    """RFC 9110 5.5: read as Latin-1, criteria in UTF-8 matched nothing, and every repetition made another record"""
    raw = {b"If-None-Exist": "identifier=urn:x|一".encode()}
    refused = await door.system("hospital-a").post("/Basic", json=basic(identifier="一"), headers=raw)
    assert (refused.status_code, await found(door)) == (400, [])


async def test_criteria_of_a_create_are_those_of_its_type(door: Door) -> None:
    """http.html#ccreate: If-None-Exist has what follows `?`; after another type it says something else, and is refused"""
    client, sent = door.system("hospital-a"), basic() | {"identifier": [{"system": "urn:x?y=z", "value": "1"}]}
    statuses = [
        (await client.post("/Basic", json=sent, headers={"If-None-Exist": criteria})).status_code
        for criteria in (
            "identifier=urn:x?y=z|1",
            "?identifier=urn:x?y=z|1",
            "Basic?identifier=urn:x?y=z|1",
            "Patient?active=true",
        )
    ]
    assert statuses == [201, 200, 200, 400]
    asked = [entry("POST", "Basic", sent, ifNoneExist=f"{kind}?identifier=urn:x?y=z|1") for kind in ("Basic", "Patient")]
    assert [answer["response"]["status"] for answer in await run(door, "batch", *asked)] == ["200", "400"]


async def test_a_conditional_reference_has_criteria_and_nothing_else(door: Door) -> None:
    """http.html#trules: the only record of a type is not what is meant where none is named; result parameters mean nothing"""
    await run(door, "transaction", entry("PUT", "Basic/b-1", basic("b-1", identifier="1")))
    for criteria, status in (("", 412), ("identifier=urn:x|1&_count=1", 400), ("identifier=urn:x|1", 200)):
        sent = bundle("transaction", entry("POST", "Basic", basic(subject=f"Basic?{criteria}")))
        assert (await door.system("hospital-a").post("", json=sent)).status_code == status, criteria


async def test_what_is_conditional_is_claimed(door: Door) -> None:
    """capabilitystatement.html: of every type, since none is treated otherwise"""
    types = (await door.client().get("/metadata")).json()["rest"][0]["resource"]
    claims = ("conditionalCreate", "conditionalUpdate", "conditionalDelete")
    assert {tuple(one[claim] for claim in claims) for one in types} == {(True, True, "multiple")}
