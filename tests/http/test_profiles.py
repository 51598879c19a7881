"""Profiles at the door (resource.html#Meta `meta.profile`, validation.html): those of R4's package, and those stored here."""

from typing import Any

import pytest

from fhir_server.r4.json import read
from tests.gate.building import keep
from tests.r4.profiling import MINE, R4, profile, rules
from tests.serving import Door

Resource = dict[str, Any]


def named(claimed: str, **more: Any) -> Resource:
    return {"resourceType": "Patient", "name": [{"text": "Test"}], "meta": {"profile": [MINE + claimed]}, **more}


def stored(name: str, *elements: Resource, kind: str = "Patient", **more: Any) -> Resource:
    return profile(name, kind, *elements, **more) | {"id": name}


BORN = {"at": "birthDate", "min": 1}


async def status(client: Any, resource: Resource) -> tuple[int, str]:
    """HTTP status of a create, and the first expression of its issues."""
    answer = await client.post(f"/{resource['resourceType']}", json=resource)
    issues = read(answer.content).get("issue", [{}])
    return answer.status_code, issues[0].get("expression", [""])[0]


async def issues(client: Any, path: str, posted: Resource) -> list[tuple[str, str]]:
    """(severity, expression) of what $validate says."""
    answer = await client.post(path, json=posted)
    assert answer.status_code == 200, answer.text
    return [(one["severity"], one.get("expression", [""])[0]) for one in answer.json()["issue"]]


async def test_a_profile_of_the_package(door: Door) -> None:
    """http.html#create: 422 for what violates a profile; what a profile of R4 asks for is asked of who names it"""
    client = door.system("hospital-a")
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "pulse"}, "valueInteger": 3}
    claims = observation | {"meta": {"profile": [R4 + "heartrate"]}}
    assert (await status(client, observation))[0] == 201
    assert await status(client, claims) == (422, "Observation.category")
    place = "Observation.category"
    assert ("error", place) in await issues(client, "/Observation/$validate", claims)
    assert ("error", place) in await issues(client, f"/Observation/$validate?profile={R4}heartrate|4.0.1", observation)
    parameters = [{"name": "resource", "resource": observation}, {"name": "profile", "valueUri": R4 + "heartrate"}]
    assert ("error", place) in await issues(
        client, "/Observation/$validate?mode=create", {"resourceType": "Parameters", "parameter": parameters}
    )
    entry = {"resource": claims, "request": {"method": "POST", "url": "Observation"}}
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.category"]
    statement = read((await client.get("/metadata")).content)
    patient = next(one for one in statement["rest"][0]["resource"] if one["type"] == "Observation")
    assert {R4 + "vitalsigns", R4 + "bp"} <= set(patient["supportedProfile"])


async def test_an_extension_that_r4_defines(door: Door) -> None:
    """extensibility.html: as R4 defines it, whether or not a profile is named; in a patch, a transaction and $validate, too"""
    client = door.system("hospital-a")
    right, wrong = (
        {"url": R4 + "patient-birthPlace", f"value{kind}": value}
        for kind, value in (("Address", {"city": "Kashgar"}), ("String", "Kashgar"))
    )
    person = {"resourceType": "Patient", "id": "a", "name": [{"text": "Test"}], "extension": [right]}
    refused = person | {"extension": [wrong]}
    place = "Patient.extension[0].value.ofType(string)"
    await keep(client, person)
    assert await status(client, refused) == (422, place)
    assert await issues(client, "/Patient/$validate", refused) == [("error", place)]
    headers = {"Content-Type": "application/json-patch+json"}
    add = [{"op": "replace", "path": "/extension", "value": [wrong]}]
    answer = await client.patch("/Patient/a", json=add, headers=headers)
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (422, [place])
    entry = {"resource": refused, "request": {"method": "PUT", "url": "Patient/a"}}
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.extension[0].value.ofType(string)"]


async def test_a_stored_profile_is_in_force_in_every_process(doors: tuple[Door, Door]) -> None:
    """Stored by one process, it holds for the next write in another; so do its next version and its deletion"""
    one, other = (door.system("hospital-a") for door in doors)
    assert (await status(other, named("p")))[0] == 201  # not loaded yet: nothing to check
    assert await issues(other, "/Patient/$validate", named("p")) == [("warning", "Patient.meta.profile")]
    await keep(one, stored("p", BORN))
    assert await status(other, named("p")) == (422, "Patient.birthDate")
    assert await issues(other, "/Patient/$validate", named("p")) == [("error", "Patient.birthDate")]
    assert (await status(other, named("p", birthDate="1980")))[0] == 201
    await keep(one, stored("p", {"at": "gender", "min": 1}))
    assert await status(other, named("p", birthDate="1980")) == (422, "Patient.gender")
    assert (await one.delete("/StructureDefinition/p")).status_code == 204
    assert (await status(other, named("p")))[0] == 201


async def test_an_extension_is_where_its_definition_selects(door: Door) -> None:
    """defining-extensions.html#context: of type fhirpath, stored here, in force with the next write"""
    client = door.system("hospital-a")
    context = [{"type": "fhirpath", "expression": "Patient.name.where(use = 'official')"}]
    await keep(client, stored("p"), stored("seen", kind="Extension", context=context))
    extension = {"extension": [{"url": MINE + "seen", "valueBoolean": True}]}
    for use, expected in (("official", (201, "")), ("usual", (422, "Patient.name[0].extension[0]"))):
        assert await status(client, named("p", name=[{"text": "Test", "use": use, **extension}])) == expected


async def test_versions_of_a_profile(door: Door) -> None:
    """references.html#canonical: url|version; without one, the profile that was changed last"""
    client = door.system("hospital-a")
    await keep(client, stored("p", BORN, version="1") | {"id": "p1"})
    await keep(client, stored("p", {"at": "gender", "min": 1}, version="2") | {"id": "p2"})
    assert await status(client, named("p|1")) == (422, "Patient.birthDate")
    assert await status(client, named("p|2")) == (422, "Patient.gender")
    assert await status(client, named("p")) == (422, "Patient.gender")
    assert (await status(client, named("p|3")))[0] == 201


async def test_patches_follow_profiles(door: Door) -> None:
    """http.html#patch: the result is what must be valid; $meta-add names a profile that must hold"""
    client = door.system("hospital-a")
    await keep(client, stored("p", BORN), named("p", id="a", birthDate="1980"), named("q", id="b"))
    headers = {"Content-Type": "application/json-patch+json"}
    answer = await client.patch("/Patient/a", json=[{"op": "remove", "path": "/birthDate"}], headers=headers)
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (422, ["Patient.birthDate"])
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"profile": [MINE + "p"]}}]}
    assert (await client.post("/Patient/b/$meta-add", json=meta)).status_code == 422
    assert (await client.post("/Patient/a/$meta-add", json=meta)).status_code == 200


async def test_a_profile_that_could_not_be_followed_is_refused(door: Door) -> None:
    """Its base is not here; it may come in the same transaction, in any order"""
    client = door.system("hospital-a")
    base, derived = stored("base", BORN), stored("p", {"at": "gender", "min": 1}, base=MINE + "base")
    answer = await client.put("/StructureDefinition/p", json=derived)
    assert (answer.status_code, answer.json()["issue"][0]["expression"]) == (422, ["StructureDefinition.baseDefinition"])
    said = await issues(client, "/StructureDefinition/$validate", derived)
    assert said == [("error", "StructureDefinition.baseDefinition")]
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"StructureDefinition/{one['id']}"}} for one in (derived, base)
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    assert await status(client, named("p")) == (422, "Patient.birthDate")
    assert await status(client, named("p", birthDate="1980")) == (422, "Patient.gender")
    assert (await status(client, named("p", birthDate="1980", gender="male")))[0] == 201


async def test_what_a_profile_needs_is_found_where_it_is_stored(door: Door) -> None:
    """A value set and its code system, a profile of a datatype, an extension: each stored by itself"""
    client = door.system("hospital-a")
    system = {"resourceType": "CodeSystem", "id": "s", "url": "urn:s", "status": "active", "content": "complete"}
    codes = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "status": "active"}
    await keep(
        client,
        system | {"concept": [{"code": "a", "concept": [{"code": "b"}]}]},
        codes | {"compose": {"include": [{"system": "urn:s"}]}},
        stored("name", {"at": "use", "min": 1}, kind="HumanName"),
        stored(
            "ext", {"at": "url", "fixedUri": MINE + "ext"}, {"at": "value[x]", "type": [{"code": "code"}]}, kind="Extension"
        ),
        stored(
            "p",
            {"at": "maritalStatus", "binding": {"strength": "required", "valueSet": "urn:v"}},
            {"at": "name", "type": [{"code": "HumanName", "profile": [MINE + "name"]}]},
        ),
    )
    good = named("p", name=[{"use": "usual"}], maritalStatus={"coding": [{"system": "urn:s", "code": "b"}]})
    assert (await status(client, good))[0] == 201
    assert await status(client, good | {"name": [{"text": "Test"}]}) == (422, "Patient.name[0].use")
    wrong = {"coding": [{"system": "urn:s", "code": "c"}]}
    assert await status(client, good | {"maritalStatus": wrong}) == (422, "Patient.maritalStatus")
    extended = good | {"extension": [{"url": MINE + "ext", "valueString": "x"}]}
    assert await status(client, extended) == (422, "Patient.extension[0].value.ofType(string)")
    await keep(client, system | {"concept": [{"code": "c"}]})  # the code system changes, the profile does not
    assert (await status(client, good | {"maritalStatus": wrong}))[0] == 201


async def test_only_directory_data_defines(door: Door) -> None:
    """DESIGN 4: a definition that names a patient is a record of that patient; without the scope there is no definition"""
    client = door.system("hospital-a")
    about = {"extension": [{"url": "urn:example:about", "valueReference": {"reference": "Patient/someone"}}]}
    await keep(client, stored("p", BORN) | about, stored("q", BORN))
    assert (await status(client, named("p")))[0] == 201
    assert (await status(client, named("q")))[0] == 422
    blind = door.client("system", organization="hospital-a", scope="system/Patient.cruds")
    assert (await status(blind, named("q")))[0] == 201
    assert await issues(blind, "/Patient/$validate", named("q")) == [("warning", "Patient.meta.profile")]


@pytest.mark.parametrize("asked", [MINE + "nothing", R4 + "bp|3.0.2", ""])
async def test_a_profile_that_is_not_loaded_cannot_be_validated_against(door: Door, asked: str) -> None:
    """resource-operation-validate.html: if the server cannot validate against it, it SHALL return an error"""
    answer = await door.system("hospital-a").post(f"/Patient/$validate?profile={asked}", json=named("p"))
    assert answer.status_code == (422 if asked else 400)


async def test_hostile_profiles_are_bounded(door: Door) -> None:
    """A stored profile is input: one that leads round in circles is an error of who names it, and holds nobody up"""
    client = door.system("hospital-a")
    kinds = [{"code": "Extension", "profile": [MINE + "p"]}]
    slices = [{"at": "extension", "slice": f"s{number}", "type": kinds} for number in range(8)]
    await keep(client, stored("p", {"at": "extension", **rules("profile $this")}, *slices, kind="Extension"))
    nested: Resource = {"url": MINE + "p", "valueBoolean": True}
    for _ in range(25):
        nested = {"url": MINE + "p", "extension": [nested]}
    claims = {"resourceType": "Patient", "meta": {"profile": [R4 + "Patient"]}, "extension": [nested]}
    answer = await client.post("/Patient", json=claims)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (422, "too-costly")
