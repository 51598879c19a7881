"""Patients, glass to break, custodians, scopes, and what is about several persons or nobody (DESIGN 4), over HTTP."""

import time
from pathlib import Path

import httpx

from tests import serving
from tests.gate.building import (
    HIV,
    Resource,
    appointment,
    condition,
    consent,
    found,
    keep,
    labelled,
    observation,
    patient,
    provision,
    status,
)
from tests.serving import Door

REASON: Resource = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "unconscious, no relatives"}]}
MINUTE = 60_000
DAY = 86_400


async def two_lives(door: Door) -> None:
    """Hospital a keeps p and q, hospital b keeps r."""
    await keep(door.system("a"), patient("p"), patient("q"), observation("of-p", "p"), observation("of-q", "q"))
    await keep(door.system("b"), patient("r"), observation("of-r", "r"))


async def test_patients_see_themselves_and_nobody_else(door: Door) -> None:
    """DESIGN 4: kind `patient`."""
    await two_lives(door)
    await keep(door.system("a"), condition("hiv", "p", HIV), observation("very-restricted", "p", **labelled("V")))
    await keep(door.system("a"), consent("c", "p", provision("deny")))
    own = door.patient("p")
    assert await found(own, "/Patient") == {"Patient/p"}
    assert await found(own, "/Observation") == {"Observation/of-p", "Observation/very-restricted"}
    assert await found(own, "/Observation?patient=q") == set()
    assert await found(own, "/Patient/p/$everything") >= {"Patient/p", "Observation/of-p", "Condition/hiv", "Consent/c"}
    assert [
        await status(own, path)
        for path in ("/Patient/q", "/Observation/of-q", "/Patient/q/$everything", "/Patient/q/$access-log")
    ] == [404] * 4
    refused = await own.post("/Observation", json=observation("new", "p"))
    assert refused.status_code == 403, "what patients write by default are Consents"


async def test_no_organization_passes_for_somebody_else(door: Door) -> None:
    """DESIGN 4: a hospital changes only what it is custodian of; the region and patients are custodians, too, and the words of
    patients and of the exchange are rules for whomever they name"""
    await keep(door.system("a"), patient("p"))
    (kept,) = [one async for one in door.exchange.database["resources"].find({})]
    for name in ("region", "self", "exchange", f"patient/{kept['_id'].hex()}", "client/x"):
        for client in (door.system(name), door.doctor("li", name)):
            written = await client.post("/Organization", json={"resourceType": "Organization", "name": "x"})
            assert (written.status_code, await status(client, "/Patient/p")) == (403, 403)


async def test_administrators_see_no_clinical_data(door: Door) -> None:
    """DESIGN 4: kind `admin` keeps the directory."""
    await two_lives(door)
    admin = door.admin()
    assert await found(admin, "/Patient") == set()
    assert await status(admin, "/Patient/p") == 404
    assert (await admin.put("/Patient/x", json=patient("x"))).status_code == 403
    await keep(admin, {"resourceType": "Organization", "id": "o", "name": "North"})
    assert await found(admin, "/Organization") == {"Organization/o"}


async def break_glass(client: httpx.AsyncClient, known: str, parameters: Resource = REASON) -> httpx.Response:
    return await client.post(f"/Patient/{known}/$break-glass", json=parameters)


async def test_break_glass_opens_everything_until_it_closes(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """DESIGN 4: with a reason, for a bounded time, for this clinician and this person; over any denial but the region's."""
    start = now = time.time_ns() // 1_000_000

    def clock() -> int:
        return now

    async with serving.door(
        mongodb_uri, database, tmp_path, now=clock, default_policy="break-glass-only", break_glass_minutes=60
    ) as door:
        await two_lives(door)
        await keep(door.system("a"), condition("hiv", "p", HIV), consent("c", "p", provision("deny")))
        doctor, other = (door.doctor(name, "b", lifetime=DAY) for name in ("li", "wang"))
        assert await status(doctor, "/Condition/hiv") == 404
        assert (await break_glass(doctor, "p", {"resourceType": "Parameters"})).status_code == 400
        assert (await break_glass(doctor, "p")).status_code == 200
        now = start + 60 * MINUTE
        assert await status(doctor, "/Condition/hiv") == 200
        assert await found(doctor, "/Condition?patient=p") == {"Condition/hiv"}
        assert await status(doctor, "/Observation/of-q") == 404, "another person"
        assert await status(other, "/Condition/hiv") == 404, "another clinician"
        now += 1
        assert await status(doctor, "/Condition/hiv") == 404
        assert await found(doctor, "/Condition?patient=p") == set()


async def test_break_glass_answers_the_same_for_every_id(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """DESIGN 4, non-interference: known, hidden, unknown. Where the default is `deny`, it opens nothing."""
    moment = time.time_ns() // 1_000_000
    async with serving.door(mongodb_uri, database, tmp_path, now=lambda: moment, default_policy="deny") as door:
        await two_lives(door)
        doctor = door.doctor("li", "b", lifetime=DAY)
        answers = [await break_glass(doctor, known) for known in ("p", "r", "nobody")]
        assert {(one.status_code, one.content) for one in answers} == {(200, answers[0].content)}
        assert await status(doctor, "/Observation/of-p") == 404
        for kind in (door.system("b"), door.patient("p"), door.admin()):
            assert (await break_glass(kind, "p")).status_code == 403


async def test_broken_glass_is_seen_by_the_patient_and_the_privacy_officer(door: Door) -> None:
    """DESIGN 4: the patient and the privacy officer are told; nobody else."""
    await two_lives(door)
    doctor = door.doctor("li", "b")
    await break_glass(doctor, "p")
    assert await status(doctor, "/Observation/of-p") == 200
    seen = (await door.patient("p").get("/Patient/p/$access-log")).json()["entry"]
    by_li = [one["resource"] for one in seen if one["resource"]["agent"][0]["who"].get("reference") == "Practitioner/li"]
    assert {one["subtype"][0]["code"] for one in by_li} == {"break-glass", "read"}
    told = (await door.admin().get("/Patient/$broken-glass")).json()["entry"]
    assert [one["resource"]["outcomeDesc"] for one in told] == ["unconscious, no relatives"]
    assert [await status(client, "/Patient/$broken-glass") for client in (doctor, door.patient("p"), door.system("a"))] == [
        403
    ] * 3
    assert (await door.patient("q").get("/Patient/q/$access-log")).text.count("break-glass") == 0


async def test_searches_by_broken_glass_are_told_as_such(door: Door) -> None:
    """AuditEvent.purposeOfEvent, v3-ActReason BTG: as reads are; not those that are about others, too"""
    await two_lives(door)
    doctor = door.doctor("li", "b")
    assert await found(doctor, "/Observation?patient=p") == {"Observation/of-p"}
    await break_glass(doctor, "p")
    own = door.patient("p")
    for path in (
        "/Observation?patient=p",
        "/Condition?patient=p",
        "/Observation?patient=p&_summary=count",
        "/Observation?patient=p,q",
    ):
        assert (await doctor.get(path)).status_code == 200
    events = [one["resource"] for one in (await own.get("/Patient/p/$access-log")).json()["entry"]]
    told = {
        (
            one["subtype"][0]["code"],
            one.get("outcomeDesc"),
            *(purpose["coding"][0]["code"] for purpose in one["purposeOfEvent"]),
        )
        for one in events
        if one["agent"][0]["who"].get("reference") == "Practitioner/li"
    }
    searched = ("search-type", "break-glass", "TREAT", "BTG")
    broken = ("break-glass", "unconscious, no relatives", "TREAT", "BTG")
    assert told == {("search-type", None, "TREAT"), broken, searched}
    assert sum(one.get("outcomeDesc") == "break-glass" for one in events) == 3


async def test_a_consent_holds_after_the_glass_was_broken(door: Door) -> None:
    """DESIGN 4: the keeper's word counts, also where a grant was the first that was known of a person."""
    await two_lives(door)
    assert (await break_glass(door.doctor("li", "b"), "p")).status_code == 200
    await keep(door.system("a"), consent("c", "p", provision("deny")))
    assert await status(door.doctor("wang", "b"), "/Observation/of-p") == 404
    assert await status(door.doctor("li", "b"), "/Observation/of-p") == 200


async def test_an_access_log_tells_of_denied_accesses_too(door: Door) -> None:
    """DESIGN 4: allowed or denied."""
    await two_lives(door)
    await keep(door.system("a"), consent("c", "p", provision("deny")))
    assert await status(door.doctor("li", "b"), "/Observation/of-p") == 404
    entries = (await door.patient("p").get("/Patient/p/$access-log")).json()["entry"]
    assert any(one["resource"]["outcome"] == "4" for one in entries)


async def test_an_access_log_names_nobody_else(door: Door) -> None:
    """DESIGN 4: what was searched for may name other persons, so a patient is told the type only."""
    await two_lives(door)
    assert await found(door.doctor("li", "b"), "/Observation?patient=p,q") == {"Observation/of-p", "Observation/of-q"}
    entries = (await door.patient("p").get("/Patient/p/$access-log")).json()["entry"]
    told = [
        one["resource"]["entity"][0]["what"]["display"]
        for one in entries
        if one["resource"]["subtype"][0]["code"] == "search-type"
    ]
    assert told == ["Observation"]


async def test_an_access_log_does_not_tell_of_others_consents(door: Door) -> None:
    """DESIGN 4: what is about two persons is decided by either; a patient learns neither whose consent it was nor their ids."""
    await two_lives(door)
    both = observation("both", "p", performer=[{"reference": "Patient/q"}])
    child = patient("child") | {"link": [{"other": {"reference": "Patient/q"}, "type": "seealso"}]}
    await keep(door.system("a"), both, child, consent("secret", "q", provision("deny")))
    doctor = door.doctor("li", "b")
    assert await status(doctor, "/Observation/both") == 404
    assert await status(doctor, "/Patient/child") == 404
    for known, others in (("p", ("secret", "Patient/q")), ("q", ("Patient/child",))):
        log = (await door.patient(known).get(f"/Patient/{known}/$access-log")).text
        assert '"recorded"' in log and not any(one in log for one in others)


IN_USE = "this id is in use by another custodian; prefix your ids with your organization's"


async def test_only_the_custodian_writes(door: Door) -> None:
    """DESIGN 4: a hospital changes only what it is custodian of; an id in use elsewhere has one fixed answer."""
    await two_lives(door)
    await keep(door.system("a"), consent("c", "q", provision("deny")))
    other = door.system("b")
    for name in ("of-p", "of-q"):  # seen and hidden alike
        refused = await other.put(f"/Observation/{name}", json=observation(name, "r"))
        assert (refused.status_code, refused.json()["issue"][0]["diagnostics"]) == (403, IN_USE)
    assert (await other.delete("/Observation/of-p")).status_code == 403
    assert (await other.delete("/Observation/of-q")).status_code == 204, "hidden is absent"
    assert (
        await door.doctor("wang", "a").put("/Observation/of-p", json=observation("of-p", "p", "corrected"))
    ).status_code == 200
    assert await status(door.system("a"), "/Observation/of-q") == 200


async def test_conditional_creates_match_ones_own_records_and_the_directory(door: Door) -> None:
    """DESIGN 4, http.html#ccreate: another hospital's record is no match, though it may be seen; the directory is one."""
    number: Resource = {"identifier": [{"system": "urn:test", "value": "1"}]}
    headers = {"If-None-Exist": "identifier=urn:test|1"}
    await two_lives(door)
    await keep(door.system("a"), observation("numbered", "p", **number), {"resourceType": "Organization", "id": "o", **number})
    new, organization = observation("any", "r", **number), {"resourceType": "Organization", **number}
    for client, expected in ((door.system("b"), 201), (door.system("b"), 200), (door.system("a"), 200)):
        assert (await client.post("/Observation", json=new, headers=headers)).status_code == expected
    assert (await door.system("b").post("/Organization", json=organization, headers=headers)).status_code == 200


async def test_if_match_on_a_hidden_record_is_404(door: Door) -> None:
    """DESIGN 4, http.html#concurrency: as if it did not exist."""
    await two_lives(door)
    await keep(door.system("a"), consent("c", "q", provision("deny")))
    other = door.system("b")
    for version in (1, 2):
        headers = {"If-Match": f'W/"{version}"'}
        answers = [
            await other.put(f"/Observation/{name}", json=observation(name, "r"), headers=headers) for name in ("of-q", "none")
        ]
        answers += [await other.delete(f"/Observation/{name}", headers=headers) for name in ("of-q", "none")]
        assert {(one.status_code, one.text) for one in answers} == {(404, answers[0].text)}
    seen = [
        await other.put("/Observation/of-p", json=observation("of-p", "r"), headers={"If-Match": f'W/"{n}"'}) for n in (1, 2)
    ]
    assert [one.status_code for one in seen] == [403, 412]


async def test_gone_only_for_who_could_see_the_last_version(door: Door) -> None:
    """DESIGN 4, http.html#delete: 410 tells that there was something."""
    await two_lives(door)
    keeper, doctor = door.system("a"), door.doctor("li", "b")
    await keep(keeper, condition("hiv", "p", HIV))
    for path in ("/Observation/of-p", "/Condition/hiv"):
        assert (await keeper.delete(path)).status_code == 204
    assert [await status(doctor, path) for path in ("/Observation/of-p", "/Condition/hiv", "/Condition/none")] == [
        410,
        404,
        404,
    ]
    assert [await status(doctor, f"{path}/_history") for path in ("/Observation/of-p", "/Condition/hiv")] == [200, 404]
    await keep(keeper, consent("c", "p", provision("deny")))
    assert await status(doctor, "/Observation/of-p") == 404


async def test_versions_that_were_sensitive_stay_hidden(door: Door) -> None:
    """http.html#vread, #history: each version is gated by its own labels, and the resource by its current ones."""
    keeper, doctor = door.system("a"), door.doctor("li", "b")
    await keep(keeper, patient("p"), condition("x", "p", HIV), condition("x", "p"))
    assert [await status(doctor, f"/Condition/x{rest}") for rest in ("", "/_history/1", "/_history/2")] == [200, 404, 200]
    assert (await doctor.get("/Condition/x/_history")).json()["total"] == 1
    await keep(keeper, condition("x", "p", HIV, note=[{"text": "again"}]))
    assert [await status(doctor, f"/Condition/x{rest}") for rest in ("", "/_history/2", "/_history")] == [404] * 3


async def test_a_record_about_two_persons_follows_the_most_restrictive(door: Door) -> None:
    """DESIGN 4: each of them must permit, and none of them sees the other's part."""
    await two_lives(door)
    doctor = door.doctor("li", "b")
    await keep(
        door.system("a"), appointment("both", "p", "q"), observation("mother", "p", performer=[{"reference": "Patient/q"}])
    )
    paths = ("/Appointment/both", "/Observation/mother")
    assert [await status(doctor, path) for path in paths] == [200, 200]
    await keep(door.system("a"), consent("c", "q", provision("deny")))
    assert [await status(doctor, path) for path in paths] == [404, 404]
    assert await found(doctor, "/Appointment?patient=p") == set()
    assert [await status(door.patient(one), path) for one in "pq" for path in paths] == [404] * 4


UNRESOLVABLE: dict[str, Resource] = {
    "none": {},
    "by name": {"subject": {"display": "a man of about 40"}},
    "by number": {"subject": {"identifier": {"system": "urn:oid:2.16.156.10011.1.3", "value": "1"}}},
    "elsewhere": {"subject": {"reference": "https://elsewhere.example/fhir/Patient/p"}},
    "contained": {"contained": [{"resourceType": "Patient", "id": "p"}], "subject": {"reference": "#p"}},
    "a group": {"subject": {"reference": "Group/g"}},
    "also somebody": {"subject": {"display": "a child"}, "performer": [{"reference": "Patient/p"}]},
}


async def test_what_is_about_nobody_known_is_its_custodians_alone(door: Door) -> None:
    """DESIGN 4, directory.py: not about nobody, but about somebody who cannot be told."""
    await two_lives(door)
    keeper, doctor = door.system("a"), door.doctor("li", "b")
    others = (door.system("b"), doctor, door.patient("p"), door.admin())
    for name, elements in UNRESOLVABLE.items():
        await keep(keeper, observation("loose", None) | elements)
        assert await status(keeper, "/Observation/loose") == 200, name
        assert [await status(one, "/Observation/loose") for one in others] == [404] * 4, name
        assert await found(doctor, "/Observation?_id=loose") == set(), name


async def test_the_directory_is_everybodys(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """DESIGN 4: about nobody, whatever the default."""
    async with serving.door(mongodb_uri, database, tmp_path, default_policy="deny") as door:
        await keep(door.system("a"), {"resourceType": "Practitioner", "id": "li", "name": [{"text": "Li"}]}, patient("p"))
        for client in (door.system("b"), door.doctor("li", "b"), door.patient("p"), door.admin()):
            assert await status(client, "/Practitioner/li") == 200
            assert await found(client, "/Practitioner") == {"Practitioner/li"}


async def test_scopes_narrow(door: Door) -> None:
    """SMART App Launch 2 scopes: what the token never may is 403, whatever is there; what it may not see is absent."""
    await two_lives(door)
    client = door.doctor("li", "b", scope="user/Observation.rs user/Patient.r")
    assert [await status(client, path) for path in ("/Observation/of-p", "/Patient/p", "/Observation")] == [200] * 3
    for path in ("/Condition/none", "/Condition", "/Patient", "/Encounter/x/_history"):
        assert await status(client, path) == 403, path
    assert (await client.put("/Observation/new", json=observation("new", "r"))).status_code == 403
    beside = await found(
        door.doctor("li", "b", scope="user/Observation.rs"), "/Observation?patient=p&_include=Observation:subject"
    )
    assert beside == {"Observation/of-p"}, "an include is a read"


async def test_what_a_write_answers_with_is_disclosed(door: Door) -> None:
    """DESIGN 4: the audit names every person disclosed, also by a conditional create that matches, and an update of nothing"""
    client = door.system("a")
    sent = {"resourceType": "Observation", "id": "o-1", "status": "final", "code": {"text": "x"},
            "identifier": [{"system": "urn:x", "value": "1"}], "subject": {"reference": "Patient/pa"}}  # fmt: skip
    assert (await client.put("/Patient/pa", json={"resourceType": "Patient", "id": "pa"})).status_code == 201
    assert (await client.put("/Observation/o-1", json=sent)).status_code == 201
    before = len((await door.patient("pa").get("/Patient/pa/$access-log")).json()["entry"])
    assert (await client.put("/Observation/o-1", json=sent)).headers["etag"] == 'W/"1"'
    found = await client.post("/Observation", json=sent, headers={"If-None-Exist": "identifier=urn:x|1"})
    assert (found.status_code, found.json()["id"]) == (200, "o-1")
    log = (await door.patient("pa").get("/Patient/pa/$access-log")).json()["entry"]
    assert len(log) - before == 2 + 1, "the first look at the log is in it, too"
