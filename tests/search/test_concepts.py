"""Codes by their meaning: :in, :not-in, :below, :above (search.html#token), on what the terminology room holds."""

from typing import Any

import pytest

from fhir_server.r4.errors import FhirError
from fhir_server.search.match import matches
from fhir_server.search.plan import UNAIDED, lookup
from fhir_server.search.query import parse
from fhir_server.terminology import sets
from tests.gate.building import keep
from tests.serving import Door

ICD_10 = "urn:oid:2.16.156.10011.2.3.3.11"
ICD_9 = "http://hl7.org/fhir/sid/icd-9-cm"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ENCOUNTERS = "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode"
DOCUMENTS, DOCUMENT = "http://hl7.org/fhir/ValueSet/c80-doc-typecodes", "11488-4"  # 6,401 codes of LOINC
LOINC = "http://loinc.org"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"


def met(kind: str, name: str, text: str, /, **elements: Any) -> bool:
    [clause] = parse(kind, [(name, text)]).clauses
    return matches(clause, {"resourceType": kind, **elements})


def coded(code: str, system: str = ICD_10) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.parametrize(
    ("name", "text", "code", "expected"),
    [
        ("code:below", f"{ICD_10}|A01", "A01.000", True),
        ("code:below", f"{ICD_10}|A01.000", "A01.000", True),
        ("code:below", f"{ICD_10}|A01", "A02.000", False),
        ("code:above", f"{ICD_10}|A01.000", "A01", True),
        ("code:above", f"{ICD_10}|A01", "A01.000", False),
        ("code:in", ENCOUNTERS, "A01.000", False),
        ("code:not-in", ENCOUNTERS, "A01.000", True),
    ],
)
def test_conditions_by_hierarchy_and_value_set(name: str, text: str, code: str, expected: bool) -> None:
    assert met("Condition", name, text, code=coded(code)) is expected


def test_the_system_counts_also_where_the_element_implies_it() -> None:
    assert met("Patient", "gender:in", GENDERS, gender="female")
    assert not met("Patient", "gender:not-in", GENDERS, gender="female")
    assert met("Encounter", "class:in", ENCOUNTERS, **{"class": {"system": ACT, "code": "AMB"}})
    assert not met("Encounter", "class:in", ENCOUNTERS, **{"class": {"system": "urn:other", "code": "AMB"}})
    assert met("Condition", "code:not-in", ENCOUNTERS)


def test_hospitals_name_chinese_codes_by_the_international_systems() -> None:
    """The categories are the same; what is found has the system that was asked for."""
    who = "http://hl7.org/fhir/sid/icd-10"
    assert met("Condition", "code:below", f"{who}|A01", code=coded("A01.000x004", who))
    assert not met("Condition", "code:below", f"{who}|A01", code=coded("A01.000x004"))
    assert met("Procedure", "code:below", "http://hl7.org/fhir/sid/icd-9-cm|47.0", code=coded("47.0901", ICD_9))


def test_the_index_is_asked_for_few_codes_and_the_bodies_for_many() -> None:
    few, many = (parse("Condition", [one]).clauses[0] for one in (("code:below", f"{ICD_10}|A01"), ("code:in", DOCUMENTS)))
    assert lookup(few).exact
    assert len(lookup(few).terms) == len(sets.below(ICD_10, "A01"))
    assert lookup(many) == UNAIDED
    assert matches(many, {"resourceType": "Condition", "code": coded(DOCUMENT, LOINC)})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("code:in", f"{ICD_10}:vs", "too many"),
        ("code:below", "A01", "[system]|[code]"),
        ("code:above", f"{ICD_10}|", "[system]|[code]"),
    ],
)
def test_what_is_not_held_is_an_error_that_quotes_nothing(name: str, text: str, told: str) -> None:
    with pytest.raises(FhirError, match="Search parameter") as caught:
        parse("Condition", [(name, text)])
    assert caught.value.status == 400
    assert told in str(caught.value) and text not in str(caught.value)


@pytest.mark.parametrize(
    "asked",
    [
        "code:in=urn:no-such-value-set",
        "code:not-in=http://hl7.org/fhir/ValueSet/condition-code",
        "code:below=http://snomed.info/sct|73211009",
        f"code:below={ICD_10}|Z99999",
        "patient._has:Condition:patient:code:in=urn:no-such-value-set",
    ],
)
async def test_what_nobody_holds_is_an_error_that_quotes_nothing(door: Door, asked: str) -> None:
    answer = await door.system("hospital-a").get(f"/Condition?{asked}")
    assert answer.status_code == 400
    assert "does not hold" in answer.text and asked.partition("=")[2] not in answer.text


async def test_stored_value_sets_and_code_systems_say_what_is_meant(doors: tuple[Door, Door]) -> None:
    """search.html#token: stored by one process, meant by the next search in another; in chains, to the last version"""
    one, other = (door.system("hospital-a") for door in doors)
    system: dict[str, Any] = {
        "resourceType": "CodeSystem",
        "id": "s",
        "url": "urn:s",
        "status": "active",
        "content": "complete",
    }
    system |= {"hierarchyMeaning": "is-a", "concept": [{"code": "a", "concept": [{"code": "b"}]}, {"code": "c"}]}
    meant: dict[str, Any] = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "status": "active"}
    below_a = {"system": "urn:s", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}
    await keep(one, system, meant | {"compose": {"include": [below_a]}}, {"resourceType": "Patient", "id": "p"})
    for code in "abc":
        sent = {"resourceType": "Condition", "id": code, "code": coded(code, "urn:s"), "subject": {"reference": "Patient/p"}}
        await keep(one, sent)

    async def found(query: str) -> str:
        answer = await other.get(query)
        assert answer.status_code == 200, answer.text
        return "".join(sorted(entry["resource"]["id"] for entry in answer.json().get("entry", [])))

    assert await found("/Condition?code:in=urn:v") == "ab"
    assert await found("/Condition?code:not-in=urn:v") == "c"
    assert await found("/Condition?patient=p&code:below=urn:s|a") == "ab"
    assert await found("/Condition?code:above=urn:s|b") == "ab"
    assert await found("/Patient?_has:Condition:patient:code:in=urn:v") == "p"
    await keep(one, meant | {"compose": {"include": [{"system": "urn:s", "concept": [{"code": "c"}]}]}})
    assert await found("/Condition?code:in=urn:v") == "c"
    assert (await one.delete("/ValueSet/v")).status_code == 204
    assert (await other.get("/Condition?code:in=urn:v")).status_code == 400
    criteria = {"If-None-Exist": "code:below=urn:s|a"}  # of a write: what is shipped, only
    sent = {"resourceType": "Condition", "code": coded("a", "urn:s"), "subject": {"reference": "Patient/p"}}
    assert (await one.post("/Condition", json=sent, headers=criteria)).status_code == 400


async def test_only_directory_data_says_what_is_meant(door: Door) -> None:
    """DESIGN 4: a value set that names a patient means nothing to others; nor does one that the token may not read"""
    client = door.system("hospital-a")
    codes = {"compose": {"include": [{"system": "urn:s", "concept": [{"code": "a"}]}]}}
    meant = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "status": "active", **codes}
    about = {"extension": [{"url": "urn:about", "valueReference": {"reference": "Patient/p"}}]}
    await keep(client, meant)
    narrow = door.client("system", organization="hospital-a", scope="system/Condition.rs")
    assert (await client.get("/Condition?code:in=urn:v")).status_code == 200
    assert (await narrow.get("/Condition?code:in=urn:v")).status_code == 400
    await keep(client, meant | about)
    assert (await client.get("/Condition?code:in=urn:v")).status_code == 400


async def test_a_value_set_may_be_named_by_its_place(door: Door) -> None:
    """search.html#token: `:in` takes a URI, relative or absolute, that identifies a value set: `code:in=ValueSet/123`"""
    client = door.system("hospital-a")
    codes = {"compose": {"include": [{"system": "urn:s", "concept": [{"code": "a"}]}]}}
    meant = {"resourceType": "ValueSet", "id": "v", "url": "urn:v", "version": "1", "status": "active", **codes}
    about = {"extension": [{"url": "urn:about", "valueReference": {"reference": "Patient/p"}}]}
    of_a_patient = meant | about | {"id": "hidden"}
    await keep(client, meant, of_a_patient, {"resourceType": "ValueSet", "id": "bare", "status": "active", **codes})
    for code in "ab":
        sent = {"resourceType": "Condition", "id": code, "code": coded(code, "urn:s"), "subject": {"reference": "Patient/p"}}
        await keep(client, sent)
    for place in ("ValueSet/v", f"{door.base_url}/ValueSet/v"):
        for modifier, expected in (("in", "a"), ("not-in", "b")):
            answer = await client.get(f"/Condition?code:{modifier}={place}")
            assert [one["resource"]["id"] for one in answer.json()["entry"]] == [expected], answer.text
    for place in ("ValueSet/none", "ValueSet/bare", "ValueSet/hidden"):
        assert (await client.get(f"/Condition?code:in={place}")).status_code == 400
    narrow = door.client("system", organization="hospital-a", scope="system/Condition.rs")
    assert (await narrow.get("/Condition?code:in=ValueSet/v")).status_code == 400


async def test_over_http_across_the_region_and_within_a_person(door: Door) -> None:
    """The same answers by the index and by the bodies; in chains, too."""
    client = door.system("hospital-a")
    for number, code in enumerate(("A01.000", "A01.100", "B05.900")):
        about = {"subject": {"reference": f"Patient/a-{number % 2}"}}
        sent = {"resourceType": "Condition", "id": f"a-{number}", "code": coded(code), **about}
        assert (await client.put(f"/Condition/a-{number}", json=sent)).status_code == 201
        patient = {"resourceType": "Patient", "id": f"a-{number % 2}", "gender": ("male", "female")[number % 2]}
        await client.put(f"/Patient/a-{number % 2}", json=patient)

    async def found(query: str) -> list[str]:
        answer = await client.get(query)
        assert answer.status_code == 200, answer.text
        return sorted(entry["resource"]["id"] for entry in answer.json().get("entry", []))

    assert await found(f"/Condition?code:below={ICD_10}|A01") == ["a-0", "a-1"]
    assert await found(f"/Condition?code:below={ICD_10}|A01,{ICD_10}|B05") == ["a-0", "a-1", "a-2"]
    assert await found(f"/Condition?patient=a-0&code:below={ICD_10}|A01") == ["a-0"]
    assert await found(f"/Condition?code:in={DOCUMENTS}") == []
    assert await found(f"/Condition?code:not-in={DOCUMENTS}") == ["a-0", "a-1", "a-2"]
    assert await found(f"/Condition?code:not-in={ENCOUNTERS}&patient=a-1") == ["a-1"]
    assert await found(f"/Patient?_has:Condition:patient:code:below={ICD_10}|B05") == ["a-0"]
    assert await found(f"/Patient?gender:in={GENDERS}") == ["a-0", "a-1"]
