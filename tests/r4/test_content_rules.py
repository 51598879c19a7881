"""What R4 says in words of code systems, questionnaires, codings and narrative."""

from typing import Any

import pytest

from tests.r4.test_validation import found, narrative, observation

VALUE_SET = "http://hl7.org/fhir/ValueSet/observation-methods"


def code_system(*concepts: dict[str, Any], content: str = "complete", **more: Any) -> dict[str, Any]:
    told = {"resourceType": "CodeSystem", "status": "draft", "content": content}
    return told | ({"concept": list(concepts)} if concepts else {}) | more


def valued(value: dict[str, Any], kind: str) -> dict[str, Any]:
    concept = {"code": "a", "concept": [{"code": "b", "property": [{"code": "p", **value}]}]}
    return code_system(concept, property=[{"code": "p", "type": kind}])


def questionnaire(*items: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Questionnaire", "status": "draft", "item": list(items)}


def question(link: str, governed_by: str = "", *items: dict[str, Any]) -> dict[str, Any]:
    when = {"enableWhen": [{"question": governed_by, "operator": "exists", "answerBoolean": True}]} if governed_by else {}
    return {"linkId": link, "type": "string", "text": "x", **when} | ({"item": list(items)} if items else {})


VALID = {
    "all concepts, counted": code_system({"code": "a", "concept": [{"code": "b"}]}, count=2),
    "a part of more": code_system({"code": "a"}, content="fragment", count=9),
    "no concepts, counted": code_system(content="not-present", count=9),
    "a supplement": code_system({"code": "a"}, content="supplement", supplements="urn:x"),
    "a property of its type": valued({"valueInteger": 1}, "integer"),
    "a property of the type dateTime": valued({"valueDateTime": "2020"}, "dateTime"),
    "a property that is not declared": code_system({"code": "a", "property": [{"code": "p", "valueCode": "x"}]}),
    "a question governed by one before": questionnaire(question("1"), question("2", "1")),
    "a question governed by one after": questionnaire(question("1", "2"), question("2")),
    "a question governed by the one around it": questionnaire(question("1", "", question("2", "1"))),
    "an address, words in another direction, a map": narrative('<address>x</address><bdo dir="rtl">x</bdo>'
        '<img src="#m" alt="x" usemap="#m"/><map name="m"><area shape="rect" coords="0,0,1,1" href="#x" alt="x"/></map>'),
    "paragraphs in a list and in a table": narrative(
        "<ul><li><p>x <b>y</b></p><p>z</p></li></ul><p>x</p><table><tr><td><p>y</p></td></tr></table>"),
}  # fmt: skip

INVALID = {
    # codesystem.html: `count` is the number of concepts; codesystem-content-mode
    "a wrong count": (code_system({"code": "a"}, count=2), ("value", "CodeSystem.count")),
    "concepts that are not present": (code_system({"code": "a"}, content="not-present"), ("value", "CodeSystem.content")),
    "a supplement of nothing": (code_system({"code": "a"}, content="supplement"), ("required", "CodeSystem.supplements")),
    "a property of another type": (valued({"valueString": "1"}, "integer"), ("value", "CodeSystem.concept")),
    # questionnaire.html: enableWhen.question is found among ancestors, before or after
    "a question that is not there": (questionnaire(question("1", "9")), ("value", "Questionnaire.item")),
    "a question that governs itself": (questionnaire(question("1", "1")), ("value", "Questionnaire.item")),
    "a question governed by one inside": (questionnaire(question("1", "2", question("2"))), ("value", "Questionnaire.item")),
    # datatypes.html#coding: `system` is a code system
    "a value set as a system": (observation(method={"coding": [{"system": VALUE_SET, "code": "x"}]}),
        ("value", "Observation.method.coding[0].system")),
    # narrative.html: chapters 7 to 11 of HTML 4.0, except section 9.4, and 15
    "words that were deleted": (narrative("x<del>y</del>"), ("invariant", "Patient.text.div")),
    "a script link in a map": (narrative('<map name="m"><area href="javascript:x()"/></map>x'),
        ("invariant", "Patient.text.div")),
    # narrative.html, HTML 4.0 section 9.3.1: a paragraph has no blocks in it
    "a paragraph in a paragraph": (narrative("<p>x<p>y</p></p>"), ("invariant", "Patient.text.div")),
    "a list in a paragraph": (narrative("<p><b><ul><li>y</li></ul></b></p>"), ("invariant", "Patient.text.div")),
}  # fmt: skip


@pytest.mark.parametrize("resource", VALID.values(), ids=VALID)
def test_accepts(resource: dict[str, Any]) -> None:
    assert found(resource) == []


@pytest.mark.parametrize(("resource", "expected"), INVALID.values(), ids=INVALID)
def test_refuses(resource: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in found(resource)
