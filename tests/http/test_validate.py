"""$validate (R4 resource-operation-validate.html): 200 with an OperationOutcome, and nothing is written."""

from typing import Any

import pytest

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from tests.gate.building import HIV, condition, consent, keep, patient, provision
from tests.serving import Door

Resource = dict[str, Any]
PATIENT: Resource = {"resourceType": "Patient", "name": [{"text": "Test"}]}
BASE = "http://hl7.org/fhir/StructureDefinition/Patient"


def wrapped(resource: Resource | None = None, **given: str) -> Resource:
    parameter: list[Resource] = [{"name": name, "valueCode": value} for name, value in given.items()]
    parameter += [{"name": "resource", "resource": resource}] if resource else []
    return {"resourceType": "Parameters", "parameter": parameter}


async def issues(client: Any, path: str, posted: Resource) -> list[tuple[str, str, str]]:
    """(severity, code, expression) of each issue."""
    answer = await client.post(path, json=posted)
    assert answer.status_code == 200, answer.text
    outcome = read(answer.content)
    validate(outcome)
    return [(one["severity"], one["code"], one.get("expression", [""])[0]) for one in outcome["issue"]]


GOOD = [("information", "informational", "")]


async def test_content_is_checked_and_nothing_is_written(door: Door) -> None:
    """The resource itself or as a parameter; each problem with its place"""
    client = door.system("hospital-a")
    wrong = PATIENT | {"gender": "m", "birthdate": "1980"}
    for sent in (PATIENT, wrapped(PATIENT)):
        assert await issues(client, "/Patient/$validate", sent) == GOOD
    for sent in (wrong, wrapped(wrong)):
        found = await issues(client, "/Patient/$validate", sent)
        assert set(found) == {("error", "code-invalid", "Patient.gender"), ("error", "structure", "Patient.birthdate")}
    assert await issues(client, "/Observation/$validate", PATIENT) == [("error", "invalid", "resourceType")]
    assert await issues(client, f"/Patient/$validate?profile={BASE}", PATIENT) == GOOD
    assert (await client.get("/Patient")).json()["total"] == 0


@pytest.mark.parametrize(
    ("path", "posted", "status", "code"),
    [
        ("/Patient/$validate?profile=http://example.org/p", PATIENT, 422, "not-supported"),
        ("/Patient/$validate?mode=update", PATIENT, 400, "invalid"),
        ("/Patient/$validate?mode=guess", PATIENT, 400, "not-supported"),
        ("/Patient/$validate", wrapped(mode="create"), 400, "required"),
        ("/Patient/nobody/$validate?mode=delete", wrapped(), 404, "not-found"),
        ("/Nothing/$validate", PATIENT, 404, "not-supported"),
    ],
)
async def test_what_cannot_be_validated_is_an_error(door: Door, path: str, posted: Resource, status: int, code: str) -> None:
    """A 4xx means that it is unknown whether the resource is valid; a profile that is not loaded SHALL be an error"""
    answer = await door.system("hospital-a").post(path, json=posted)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)


async def test_modes_say_what_a_write_would_be_refused_for(door: Door) -> None:
    """create, update, delete: agrees with what the write itself then does"""
    mine, other = door.system("hospital-a"), door.system("hospital-b")
    reader = door.client("system", organization="hospital-a", scope="system/Patient.rs")
    await keep(mine, patient("a-1"))
    sent = patient("a-1") | {"gender": "female"}
    for client, allowed in ((mine, True), (other, False), (reader, False)):
        for mode, method, body in (("update", "PUT", sent), ("delete", "DELETE", None)):
            found = await issues(client, f"/Patient/a-1/$validate?mode={mode}", wrapped(body))
            assert (found == GOOD) is allowed, (mode, found)
            assert allowed or (await client.request(method, "/Patient/a-1", json=body)).status_code == 403
    assert await issues(mine, "/Patient/a-1/$validate?mode=update", patient("a-2")) == [("error", "invalid", "Patient.id")]
    assert await issues(reader, "/Patient/$validate?mode=create", PATIENT) == [("error", "forbidden", "")]
    assert await issues(door.admin(), "/Patient/$validate?mode=create", PATIENT) == [("error", "forbidden", "")]
    assert (await mine.get("/Patient/a-1")).headers["etag"] == 'W/"1"'


async def test_a_record_that_may_not_be_seen_is_absent(door: Door) -> None:
    """DESIGN 4: the same 404 as for a record that is not there"""
    mine, other = door.system("hospital-a"), door.doctor("li", "hospital-b")
    await keep(mine, patient("p"), condition("hiv", "p", HIV), consent("c", "p", provision("deny")))
    answers = [await other.post(f"/Condition/{known}/$validate?mode=delete", json=wrapped()) for known in ("hiv", "nothing")]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].content == answers[1].content
