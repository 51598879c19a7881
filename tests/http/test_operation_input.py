"""Whatever operations are sent: an answer, or a 4xx with an OperationOutcome, never a 5xx."""

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.http import terminology
from fhir_server.http.observations import STATS
from fhir_server.r4.json import read
from fhir_server.r4.validation import validate
from fhir_server.terminology.chinese import ICD_10
from tests.http.guarding import Guarded, guarded

__all__ = ["guarded"]

KNOWN = {
    "/ValueSet/$expand": terminology.EXPAND,
    "/ValueSet/$validate-code": terminology.IN_VALUE_SET,
    "/CodeSystem/$lookup": terminology.LOOKUP,
    "/CodeSystem/$validate-code": terminology.IN_SYSTEM,
    "/CodeSystem/$subsumes": terminology.SUBSUMES,
    "/ConceptMap/$translate": terminology.TRANSLATE,
    "/Observation/$stats": STATS,
    "/Observation/$lastn": ("patient", "subject", "code", "category", "max", "date", "_count"),
    "/Composition/$document": ("id", "persist", "graph"),
    "/Patient/$validate": ("resource", "mode", "profile"),
    "/Patient/a-1/$validate": ("resource", "mode", "profile"),
    "/Patient/a-1/$meta-add": ("meta",),
    "/Patient/a-1/$meta-delete": ("meta",),
}
TEXTS = st.sampled_from(
    ("", "x", "male", "-1", "3", "true", "|", "a|b|c", "Patient/a-1", "urn:x|1", "\\", "$,|", "count", "2020", "create",
     "update", ICD_10, f"{ICD_10}:vs", "http://hl7.org/fhir/ValueSet/administrative-gender", "http://hl7.org/fhir/administrative-gender")
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 2**40), st.floats(-1e3, 1e3), TEXTS)
NAMES = st.sampled_from(
    ("resourceType", "system", "code", "display", "coding", "concept", "compose", "include", "valueSet", "filter", "group",
     "tag", "security", "profile", "start", "end", "element", "name", "valueUri", "valueCodeableConcept",
     "property", "op", "value")
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=8
)
KINDS = st.sampled_from(("valueString", "valueUri", "valueCoding", "valueCodeableConcept", "resource", "part", "valueBoolean"))


@pytest.mark.parametrize("path", KNOWN)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_input_breaks_an_operation(guarded: Guarded, path: str, data: st.DataObject) -> None:
    names = st.sampled_from((*KNOWN[path], *KNOWN[path], "nothing"))
    drawn = data.draw(st.lists(st.tuples(names, KINDS, VALUES), max_size=5))
    parameter: list[Any] = [{"name": name, kind: value} for name, kind, value in drawn]
    posted = await guarded.client.post(path, json={"resourceType": "Parameters", "parameter": parameter})
    pairs = data.draw(st.lists(st.tuples(names, TEXTS), max_size=5))
    got = await guarded.client.get(f"{path}?{urlencode(pairs)}")
    for answer in (posted, got):
        assert answer.status_code < 500, answer.text
        validate(read(answer.content))


async def test_long_lists_and_filters_are_too_costly(guarded: Guarded) -> None:
    codings = {"name": "codeableConcept", "valueCodeableConcept": {"coding": [{"system": "urn:x", "code": "1"}] * 51}}
    url = {"name": "url", "valueUri": f"{ICD_10}:vs"}
    for path in ("/ValueSet/$validate-code", "/ConceptMap/$translate"):
        answer = await guarded.client.post(path, json={"resourceType": "Parameters", "parameter": [url, codings]})
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (403, "too-costly")
    assert (
        await guarded.client.get("/ValueSet/$expand", params={"url": f"{ICD_10}:vs", "filter": "a " * 200})
    ).status_code == 403


NONE: dict[str, Any] = {"resourceType": "Parameters"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Patient/a-1/$access-log"), ("GET", "/Patient/$broken-glass"), ("GET", "/Patient/$reviews"),
        ("GET", "/SearchParameter/$reindex"), ("GET", "/Patient/a-1/$meta"), ("GET", "/Patient/$meta"),
        ("POST", "/Patient/a-1/$unlink"), ("POST", "/Patient/a-1/$unbind"), ("POST", "/Patient/a-1/$link"),
        ("POST", "/Patient/a-1/$break-glass"), ("POST", "/Patient/a-1/$erase"), ("POST", "/SearchParameter/$reindex"),
    ],
)  # fmt: skip
async def test_what_an_operation_does_not_take_is_refused(guarded: Guarded, method: str, path: str) -> None:
    """DESIGN 5: unknown parameters are 400, and what is meant by them is not passed over"""
    answer = await guarded.door.admin().request(method, f"{path}?dry-run=true", json=NONE if method == "POST" else None)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "not-supported"), answer.text
    if method == "GET":
        assert "dry-run" in answer.json()["issue"][0]["diagnostics"]


STATISTICS = "/Observation/$stats?subject=Patient/a-1&coding=urn:x|1&statistic=count"
PERIOD = {"start": "2020-01-01", "end": "2019"}


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/Patient/a-1/$everything", [("start", "valueDate", "2020-01-01"), ("end", "valueDate", "2019")]),
        ("/Observation/$lastn", [("patient", "valueString", "a-1"), ("code", "valueCoding", {"code": "1"})]),
        (STATISTICS, [("period", "valuePeriod", PERIOD)]),
        (STATISTICS, [("period", "valuePeriod", {"start": "2020-01-01,2021"})]),
        (STATISTICS, [("duration", "valueDecimal", 1), ("duration", "valueDecimal", 2)]),
        (STATISTICS, [("duration", "valueDecimal", 1), ("period", "valuePeriod", {"start": "2020-01-01"})]),
        (STATISTICS, [("limit", "valuePositiveInt", 0)]),
        ("/Composition/c/$document", [("id", "valueUri", "Composition/d")]),
        ("/Composition/$document", [("id", "valueUri", "Composition/c/_history/1")]),
        ("/Basic/$validate", [("resource", "resource", {"resourceType": "Basic"}), ("resource", "resource", {})]),
    ],
)
async def test_what_contradicts_itself_is_refused(guarded: Guarded, path: str, given: list[tuple[str, str, Any]]) -> None:
    """operations.html#request: of two values none is passed over, and nothing is answered that nobody asked for"""
    sent = {**NONE, "parameter": [{"name": name, kind: value} for name, kind, value in given]}
    answer = await guarded.client.post(path, json=sent)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "invalid"), answer.text


@pytest.mark.parametrize("path", ["/Patient/a-1/$everything?start={}", "/Patient/_history?_at={}", "/_history?_since={}"])
async def test_dates_of_operations_and_histories_are_read_alike(guarded: Guarded, path: str) -> None:
    """search.html#date: partial ones, and what is none with what to write instead"""
    for text, status in (("2020-01", 200), ("2020-01-14T10:00:00%2B08:00", 200), ("2020-13", 400), ("x", 400)):
        answer = await guarded.client.get(path.format(text))
        assert answer.status_code == status
        assert status == 200 or "2026-01-14" in answer.text
