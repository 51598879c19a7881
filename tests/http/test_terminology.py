"""The terminology service over HTTP (R4 terminology-service.html): by GET and POST, with what is stored and what is shipped."""

from typing import Any

import httpx
import pytest
import pytest_asyncio

from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from fhir_server.terminology.chinese import ICD_9_CM_3, ICD_10
from tests import serving
from tests.serving import Door

Resource = dict[str, Any]

GENDER = "http://hl7.org/fhir/ValueSet/administrative-gender"
LOCAL = "urn:north:lab"
LAB: Resource = {
    "resourceType": "CodeSystem", "id": "a-lab", "url": LOCAL, "version": "2", "status": "active", "content": "complete",
    "hierarchyMeaning": "is-a", "language": "zh",
    "concept": [{"code": "chem", "display": "化学",
                 "concept": [{"code": "GLU", "display": "葡萄糖"}, {"code": "K", "display": "钾"}]}],
}  # fmt: skip
PANEL: Resource = {
    "resourceType": "ValueSet", "id": "a-panel", "url": "urn:north:panel", "status": "active",
    "compose": {"include": [{"system": LOCAL, "filter": [{"property": "concept", "op": "is-a", "value": "chem"}]},
                            {"valueSet": [GENDER]}]},
}  # fmt: skip
MAP: Resource = {
    "resourceType": "ConceptMap", "id": "a-map", "url": "urn:north:map", "status": "active",
    "group": [{"source": LOCAL, "target": "http://loinc.org",
               "element": [{"code": "GLU", "target": [{"code": "2345-7", "equivalence": "equivalent"}]}]}],
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stored(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An exchange with a hospital's own code system, value set and map in it."""
    async with serving.door(mongodb_uri, "test_terminology", tmp_path_factory.mktemp("terminology")) as door:
        client = door.system("hospital-a")
        for one in (LAB, PANEL, MAP):
            assert (await client.put(f"/{one['resourceType']}/{one['id']}", json=one)).status_code == 201
        yield door
        await door.exchange.database.client.drop_database("test_terminology")


def parameters(**given: Any) -> Resource:
    """A Parameters resource of strings, booleans, and typed values as (type, value)."""
    kinds = {bool: "valueBoolean", int: "valueInteger", str: "valueString"}
    made = []
    for name, value in given.items():
        kind, value = value if isinstance(value, tuple) else (kinds[type(value)], value)
        made.append({"name": name, kind: value})
    return {"resourceType": "Parameters", "parameter": made}


async def ask(client: httpx.AsyncClient, path: str, *, status: int = 200, **given: Any) -> Resource:
    """By POST where parameters are given, else by GET."""
    answer = await (client.post(path, json=parameters(**given)) if given else client.get(path))
    assert answer.status_code == status, answer.text[:500]
    found = read(answer.content)
    validate(found)
    return found


def told(answer: Resource) -> dict[str, Any]:
    return {one["name"]: next((v for name, v in one.items() if name.startswith("value")), None) for one in answer["parameter"]}


def contained(answer: Resource) -> list[str]:
    return [one["code"] for one in answer["expansion"].get("contains", ())]


async def test_expand_by_get_and_post_and_at_an_instance(stored: Door) -> None:
    """valueset-operation-expand.html: url, valueSet, or the resource itself; paging, filter"""
    client = stored.doctor("li", "hospital-b")
    by_url = await ask(client, f"/ValueSet/$expand?url={GENDER}")
    assert contained(by_url) == ["male", "female", "other", "unknown"]
    assert contained(await ask(client, "/ValueSet/$expand", url=("valueUri", GENDER))) == contained(by_url)
    sent = {key: value for key, value in PANEL.items() if key != "id"}
    given = parameters() | {"parameter": [{"name": "valueSet", "resource": sent}]}
    inline = await client.post("/ValueSet/$expand", json=given)
    here = await ask(client, "/ValueSet/a-panel/$expand")
    assert contained(here) == contained(inline.json()) == ["chem", "GLU", "K", "male", "female", "other", "unknown"]
    page = await ask(client, "/ValueSet/a-panel/$expand?offset=1&count=2")
    assert (contained(page), page["expansion"]["total"], page["expansion"]["offset"]) == (["GLU", "K"], 7, 1)
    assert contained(await ask(client, "/ValueSet/$expand?url=urn:north:panel&filter=葡萄")) == ["GLU"]
    icd = await ask(client, f"/ValueSet/$expand?url={ICD_10}:vs&filter=艾滋&count=3")
    assert len(contained(icd)) == 3


async def test_what_cannot_be_expanded_says_why(stored: Door) -> None:
    client = stored.system("hospital-b")
    for path, status, code in (
        ("/ValueSet/$expand", 400, "required"),
        ("/ValueSet/$expand?url=urn:nothing", 404, "not-found"),
        ("/ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/condition-code", 404, "not-found"),
        (f"/ValueSet/$expand?url={ICD_10}:vs", 403, "too-costly"),
        (f"/ValueSet/$expand?url={GENDER}&date=2020-01-01", 400, "not-supported"),
        (f"/ValueSet/$expand?url={GENDER}&count=many", 400, "invalid"),
        ("/ValueSet/nothing/$expand", 404, "not-found"),
        ("/CodeSystem/$lookup?system=http://snomed.info/sct&code=22298006", 404, "not-found"),
        ("/CodeSystem/$lookup?code=1", 400, "required"),
        ("/CodeSystem/$validate-code?url=http://loinc.org&code=2345-7", 404, "not-found"),
        ("/ConceptMap/$translate?code=male", 400, "required"),
        ("/ConceptMap/$translate?url=urn:nothing&system=urn:x&code=1", 404, "not-found"),
    ):
        answer = await ask(client, path, status=status)
        assert answer["issue"][0]["code"] == code, path


async def test_validate_code(stored: Door) -> None:
    """valueset-operation-validate-code.html, codesystem-operation-validate-code.html"""
    client = stored.system("hospital-b")
    valid = f"/ValueSet/$validate-code?url={GENDER}&system=http://hl7.org/fhir/administrative-gender&code="
    assert told(await ask(client, f"{valid}male")) == {"result": True, "display": "Male"}
    assert told(await ask(client, f"{valid}m"))["result"] is False
    coding = ("valueCoding", {"system": LOCAL, "code": "GLU", "display": "葡萄糖"})
    assert told(await ask(client, "/ValueSet/a-panel/$validate-code", coding=coding))["result"] is True
    concept = ("valueCodeableConcept", {"coding": [{"system": "urn:x", "code": "1"}, coding[1]]})
    assert told(await ask(client, "/ValueSet/$validate-code", url="urn:north:panel", codeableConcept=concept))["result"] is True
    assert (
        told(await ask(client, f"/CodeSystem/$validate-code?url={ICD_9_CM_3}&code=00.0101"))["display"] == "头部血管治疗性超声"
    )
    assert told(await ask(client, "/CodeSystem/a-lab/$validate-code?code=Na"))["result"] is False


async def test_lookup_and_subsumes(stored: Door) -> None:
    """codesystem-operation-lookup.html, codesystem-operation-subsumes.html"""
    client = stored.system("hospital-b")
    found = await ask(client, f"/CodeSystem/$lookup?system={ICD_10}&code=A01.000x004")
    assert told(found)["display"] == "伤寒复发"
    assert ["parent", "A01.000", "伤寒"] in [
        [next(v for k, v in part.items() if k != "name") for part in one["part"]] for one in found["parameter"] if "part" in one
    ]
    assert told(await ask(client, f"/CodeSystem/$lookup?system={LOCAL}&version=2&code=K"))["display"] == "钾"
    assert told(await ask(client, "/CodeSystem/$lookup", coding=("valueCoding", {"system": LOCAL, "code": "K"})))["name"]
    for path, outcome in (
        (f"$subsumes?system={ICD_10}&codeA=A01&codeB=A01.000x004", "subsumes"),
        (f"$subsumes?system={ICD_10}&codeA=K77.0&codeB=A01.001%2BK77.0*", "subsumes"),
        (f"$subsumes?system={LOCAL}&codeA=GLU&codeB=chem", "subsumed-by"),
        ("a-lab/$subsumes?codeA=GLU&codeB=K", "not-subsumed"),
        ("a-lab/$subsumes?codeA=GLU&codeB=GLU", "equivalent"),
    ):
        assert told(await ask(client, f"/CodeSystem/{path}")) == {"outcome": outcome}, path


async def test_translate(stored: Door) -> None:
    """conceptmap-operation-translate.html: by url, by source system, at an instance, and back"""
    client = stored.system("hospital-b")
    for path in ("a-map/$translate?", "$translate?url=urn:north:map&", "$translate?targetsystem=http://loinc.org&"):
        answer = await ask(client, f"/ConceptMap/{path}system={LOCAL}&code=GLU")
        match = next(one for one in answer["parameter"] if one["name"] == "match")
        assert told({"parameter": match["part"]})["concept"] == {"system": "http://loinc.org", "code": "2345-7"}
    back = await ask(client, "/ConceptMap/$translate?system=http://loinc.org&code=2345-7&reverse=true")
    assert told(back)["result"] is True
    assert told(await ask(client, f"/ConceptMap/$translate?system={LOCAL}&code=K")) == {
        "result": False,
        "message": "no concept map held here has a match for it",
    }


async def test_one_coding_that_says_enough_decides(stored: Door) -> None:
    """valueset-operation-validate-code.html: true if one of the codings is valid; the others may lack a system or a code"""
    client = stored.system("hospital-b")
    gender = "http://hl7.org/fhir/administrative-gender"
    male, bare = {"system": gender, "code": "male"}, [{"code": "1"}, {"system": "urn:x", "display": "x"}]

    def concept(*codings: Resource) -> tuple[str, Resource]:
        return "valueCodeableConcept", {"coding": list(codings)}

    for codings, result in (((*bare, male), True), ((*bare, {"system": gender, "code": "m"}), False)):
        answer = await ask(client, "/ValueSet/$validate-code", url=GENDER, codeableConcept=concept(*codings))
        assert told(answer)["result"] is result
    await ask(client, "/ValueSet/$validate-code", url=GENDER, codeableConcept=concept(*bare), status=400)
    answer = await ask(client, "/ConceptMap/a-map/$translate", codeableConcept=concept(*bare, {"system": LOCAL, "code": "GLU"}))
    assert told(answer)["result"] is True


async def test_the_one_resource_of_an_operation_may_be_the_body(stored: Door) -> None:
    """operations.html: a POST with that resource as the body, whatever other parameters there are: in the URL"""
    client = stored.system("hospital-b")

    async def post(path: str, resource: Resource) -> Resource:
        answer = await client.post(path, json={key: value for key, value in resource.items() if key != "id"})
        assert answer.status_code == 200, answer.text
        return read(answer.content)

    assert contained(await post("/ValueSet/$expand?count=1", PANEL)) == ["chem"]
    assert told(await post(f"/ValueSet/$validate-code?system={LOCAL}&code=K", PANEL))["result"] is True
    assert told(await post("/CodeSystem/$validate-code?code=K", LAB))["result"] is True
    assert told(await post(f"/ConceptMap/$translate?system={LOCAL}&code=GLU", MAP))["result"] is True
    assert (await client.post("/ValueSet/$expand", json=LAB)).status_code == 400
    assert (await client.post(f"/CodeSystem/$lookup?system={LOCAL}&code=K", json=LAB)).status_code == 400


async def test_a_parameter_that_is_given_twice_is_refused(stored: Door) -> None:
    """operationdefinition.html: `max` of these parameters is 1; which of two is meant nobody knows"""
    client = stored.system("hospital-b")
    for path in (
        f"/ValueSet/$expand?url={GENDER}&url=urn:north:panel", f"/ValueSet/$expand?url={GENDER}&count=1&count=2",
        f"/ValueSet/$expand?url={GENDER}&activeOnly=true&activeOnly=false",
        f"/CodeSystem/$lookup?system={LOCAL}&code=K&code=GLU",
        f"/ValueSet/$validate-code?url={GENDER}&coding={LOCAL}|K&coding={LOCAL}|GLU",
    ):  # fmt: skip
        assert (await ask(client, path, status=400))["issue"][0]["code"] == "invalid", path
    await ask(client, f"/CodeSystem/$lookup?system={LOCAL}&code=K&property=parent&property=child")


async def test_codes_are_compared_in_the_version_that_they_are_of(stored: Door) -> None:
    """codesystem-operation-subsumes.html: a Coding has its version; one that is not held says nothing"""
    client = stored.system("hospital-b")
    for version, status in (("2", 200), ("9", 404)):
        chem, k = ({"system": LOCAL, "code": code, "version": version} for code in ("chem", "K"))
        await ask(client, "/CodeSystem/$subsumes", codingA=("valueCoding", chem), codingB=("valueCoding", k), status=status)
        bare = {"system": LOCAL, "code": "chem"}
        await ask(client, "/CodeSystem/$subsumes", codingA=("valueCoding", bare), codingB=("valueCoding", k), status=status)


DECIMALS = b"""{"resourceType": "CodeSystem", "id": "a-weights", "url": "urn:north:weights", "status": "active",
    "content": "complete", "property": [{"code": "weight", "type": "decimal"}],
    "concept": [{"code": "x", "property": [{"code": "weight", "valueDecimal": 1.10}]}]}"""
WEIGHED = b"""{"resourceType": "ValueSet", "id": "a-weighed", "url": "urn:north:weighed", "status": "active",
    "extension": [{"url": "urn:north:factor", "valueDecimal": 1.0}],
    "compose": {"include": [{"system": "urn:north:weights",
                             "filter": [{"property": "weight", "op": "=", "value": "1.10"}]}]}}"""


async def test_decimals_are_told_as_they_were_written(stored: Door) -> None:
    """json.html#primitive: the precision of a decimal has a meaning"""
    client = stored.system("hospital-a")
    for name, body in (("CodeSystem/a-weights", DECIMALS), ("ValueSet/a-weighed", WEIGHED)):
        answer = await client.put(f"/{name}", content=body, headers={"Content-Type": "application/fhir+json"})
        assert answer.status_code == 201, answer.text
    answer = await client.get("/CodeSystem/$lookup?system=urn:north:weights&code=x")
    assert (answer.status_code, '"valueDecimal":1.10}' in answer.text) == (200, True)
    answer = await client.get("/ValueSet/$expand?url=urn:north:weighed&includeDefinition=true")
    assert (answer.status_code, '"valueDecimal":1.0}' in answer.text) == (200, True)
    assert contained(answer.json()) == ["x"]


async def test_what_is_no_dependency_is_refused(stored: Door) -> None:
    """conceptmap-operation-translate.html: dependency, with parts element and concept"""
    client = stored.system("hospital-b")
    asked = parameters(system=("valueUri", LOCAL), code=("valueCode", "GLU"))["parameter"]
    for parts in ([{"name": ["element"]}], [{"name": "element"}], [], [1], [{"name": "element", "valueUri": "urn:x"}]):
        given = {"resourceType": "Parameters", "parameter": [*asked, {"name": "dependency", "part": parts}]}
        assert (await client.post("/ConceptMap/a-map/$translate", json=given)).status_code == 400, parts


async def test_a_map_that_leads_nowhere_hides_no_other(stored: Door) -> None:
    """ConceptMap.group.unmapped: a hospital's map that names one which is not held; others have the match"""
    client = stored.system("hospital-a")
    away = {"mode": "other-map", "url": "urn:north:nowhere"}
    group = {"source": LOCAL, "target": "urn:x", "element": [{"code": "x"}], "unmapped": away}
    astray = MAP | {"id": "a-astray", "url": "urn:north:astray", "group": [group]}
    assert (await client.put("/ConceptMap/a-astray", json=astray)).status_code == 201
    assert told(await ask(client, f"/ConceptMap/$translate?system={LOCAL}&code=GLU"))["result"] is True
    await ask(client, f"/ConceptMap/a-astray/$translate?system={LOCAL}&code=GLU", status=404)
    assert (await client.delete("/ConceptMap/a-astray")).status_code == 204


async def test_each_version_of_a_code_system_is_asked_by_its_version(door: Door) -> None:
    """valueset-operation-validate-code.html: systemVersion; a Coding has its own; of several stored each stays to be asked"""
    client = door.system("hospital-a")
    common = {"resourceType": "CodeSystem", "url": "urn:v", "status": "active", "content": "complete"}
    for version, code in (("1", "old"), ("2", "new")):
        one = common | {"id": f"a-v{version}", "version": version, "concept": [{"code": code}]}
        assert (await client.put(f"/CodeSystem/a-v{version}", json=one)).status_code == 201
    for version, code, result in (("1", "old", True), ("1", "new", False), ("2", "new", True), ("2", "old", False)):
        coding = ("valueCoding", {"system": "urn:v", "code": code, "version": version})
        answer = await ask(client, "/CodeSystem/$validate-code", url=("valueUri", "urn:v"), coding=coding)
        assert told(answer)["result"] is result, (version, code)
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": "urn:v", "version": "1"}]}}
    for version, result in (("1", True), ("2", False)):
        path = f"/ValueSet/$validate-code?system=urn:v&code=old&systemVersion={version}"
        assert told((await client.post(path, json=value_set)).json())["result"] is result, version


async def test_one_code_is_asked_about(stored: Door) -> None:
    """codesystem-operation-lookup.html, codesystem-operation-subsumes.html: a code or a coding"""
    client = stored.system("hospital-b")
    coding = ("valueCoding", {"system": LOCAL, "code": "K"})
    await ask(client, f"/CodeSystem/$lookup?system={LOCAL}&code=GLU", coding=coding, status=400)
    await ask(client, f"/CodeSystem/$subsumes?system={LOCAL}&codeA=GLU&codeB=K", codingA=coding, status=400)
    await ask(client, f"/ValueSet/$expand?url={GENDER}&excludeNested=maybe", status=400)


async def test_where_a_hierarchy_is_of_parts_codes_are_equal_or_not_to_be_compared(stored: Door) -> None:
    """codesystem-operation-subsumes.html, codesystem-hierarchy-meaning"""
    client = stored.system("hospital-a")
    parts = LAB | {"id": "a-parts", "url": "urn:north:parts", "hierarchyMeaning": "part-of"}
    assert (await client.put("/CodeSystem/a-parts", json=parts)).status_code == 201
    assert told(await ask(client, "/CodeSystem/a-parts/$subsumes?codeA=K&codeB=K")) == {"outcome": "equivalent"}
    await ask(client, "/CodeSystem/a-parts/$subsumes?codeA=chem&codeB=K", status=422)


async def test_a_supplement_is_no_code_system(stored: Door) -> None:
    """codesystem-content-mode: it defines no codes, so none is of its url"""
    client = stored.system("hospital-a")
    words = {"code": "K", "designation": [{"language": "ug", "value": "كالىي"}]}
    about = {"content": "supplement", "supplements": LOCAL, "concept": [words]}
    supplement = LAB | {"id": "a-words", "url": "urn:north:words"} | about
    assert (await client.put("/CodeSystem/a-words", json=supplement)).status_code == 201
    for path in ("$validate-code?url=urn:north:words&code=K", "$lookup?system=urn:north:words&code=K"):
        assert (await ask(client, f"/CodeSystem/{path}", status=404))["issue"][0]["code"] == "not-found"


async def test_what_a_value_set_says_of_a_code_is_said_besides(stored: Door) -> None:
    """ValueSet.compose.include.concept: additional representations; what the code system calls it stays a name of it"""
    client = stored.system("hospital-a")
    concept = {
        "code": "F",
        "designation": [{"language": "en", "value": "Furosemide"}, {"language": "de", "value": "Furosemid"}],
    }
    about = {"resourceType": "CodeSystem", "status": "active", "content": "complete", "url": "urn:north:drugs"}
    system = about | {"id": "a-drugs", "concept": [concept | {"display": "呋塞米"}]}
    assert (await client.put("/CodeSystem/a-drugs", json=system)).status_code == 201
    own = {"code": "F", "display": "速尿", "designation": [{"language": "ug", "value": "فۇروسېمىد"}]}
    include = {"system": "urn:north:drugs", "concept": [own]}
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}

    async def post(path: str) -> Resource:
        answer = await client.post(f"/ValueSet/{path}", json=value_set)
        assert answer.status_code == 200, answer.text
        return read(answer.content)

    for display, result in (("速尿", True), ("呋塞米", True), ("Furosemid", True), ("阿司匹林", False)):
        answer = told(await post(f"$validate-code?system=urn:north:drugs&code=F&display={display}"))
        assert (answer["result"], answer["display"]) == (result, "速尿"), display
    for language, display in (("de", "Furosemid"), ("ug", "فۇروسېمىد"), ("kk", "速尿")):
        (shown,) = (await post(f"$expand?displayLanguage={language}&includeDesignations=true"))["expansion"]["contains"]
        assert (shown["display"], len(shown["designation"])) == (display, 3)
    found = await ask(client, "/CodeSystem/$lookup?system=urn:north:drugs&code=F&property=lang.de")
    assert [one["part"][1]["valueString"] for one in found["parameter"] if one["name"] == "designation"] == ["Furosemid"]


async def test_what_is_stored_never_replaces_what_is_official(door: Door) -> None:
    client = door.system("hospital-a")
    system = LAB | {"id": "a-x", "url": "http://hl7.org/fhir/administrative-gender"}
    value_set = PANEL | {"id": "a-y", "url": GENDER}
    for one in (system, value_set):
        assert (await client.put(f"/{one['resourceType']}/{one['id']}", json=one)).status_code == 201
    assert contained(await ask(client, f"/ValueSet/$expand?url={GENDER}")) == ["male", "female", "other", "unknown"]


async def test_of_several_under_one_url_the_last_changed_counts(door: Door) -> None:
    client = door.system("hospital-a")
    for known, code in (("a-1", "old"), ("a-2", "new")):
        one = {"resourceType": "CodeSystem", "id": known, "url": "urn:x", "status": "active", "content": "complete"}
        assert (await client.put(f"/CodeSystem/{known}", json=one | {"concept": [{"code": code}]})).status_code == 201
    assert told(await ask(client, "/CodeSystem/$validate-code?url=urn:x&code=new"))["result"] is True
    assert (await client.delete("/CodeSystem/a-2")).status_code == 204
    assert told(await ask(client, "/CodeSystem/$validate-code?url=urn:x&code=new"))["result"] is False


async def test_who_may_ask(stored: Door) -> None:
    """A caller, whose scopes allow it; every answer leaves its audit entry, a refusal too"""
    paths = (f"/ValueSet/$expand?url={GENDER}", f"/CodeSystem/$lookup?system={LOCAL}&code=K")
    for path in paths:
        assert (await stored.client().get(path)).status_code == 401
        assert (await stored.patient("p").get(path)).status_code == 200
    narrow = stored.client("system", organization="hospital-a", scope="system/Observation.rs")
    before = await stored.exchange.database["audit"].count_documents({})
    assert (await narrow.get(paths[0])).status_code == 403
    assert await stored.exchange.database["audit"].count_documents({}) == before + 1
    assert (await stored.system("hospital-a").get(paths[0])).status_code == 200
    assert await stored.exchange.database["audit"].count_documents({}) == before + 2
