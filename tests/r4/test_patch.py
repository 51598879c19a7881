"""JSON Patch (RFC 6902) and FHIRPath Patch (R4 fhirpatch.html): every case of the published suites, bounds, precision."""

import json
from contextlib import suppress
from copy import deepcopy
from typing import Any
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.r4 import patch_fhirpath, patch_json, patch_parameters
from fhir_server.r4.elements import Field, fields
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read, write
from tests.fixtures import FIXTURES

PATCHES = FIXTURES / "patch"
RECORDS = json.loads((PATCHES / "json-patch-tests.json").read_bytes())
CASES = list(fromstring((PATCHES / "fhir-patch-tests.xml").read_text("utf-8")))  # it says utf8 and is


@pytest.mark.parametrize("record", RECORDS, ids=[f"{n}-{one.get('comment', '')}" for n, one in enumerate(RECORDS)])
def test_rfc_6902(record: dict[str, Any]) -> None:
    """The json-patch-tests records; those turned off included, but for two that JSON itself makes impossible."""
    if "error" in record and "two 'op' members" not in record["error"]:
        with pytest.raises(FhirError) as refused:
            patch_json.apply(patch_json.changes(record["patch"]), deepcopy(record["doc"]))
        assert refused.value.status in (400, 422)
    elif "expected" in record:
        found = patch_json.apply(patch_json.changes(record["patch"]), deepcopy(record["doc"]))
        assert json.dumps(found, sort_keys=True) == json.dumps(record["expected"], sort_keys=True)


def test_two_members_of_one_name_are_refused() -> None:
    """RFC 6902 A.13: what the two records turned off are about."""
    with pytest.raises(FhirError, match="twice"):
        read(b'{"op": "add", "path": "/baz", "value": "qux", "op": "remove"}')


def to_json(xml: Xml, place: str, resource: bool = False) -> Any:
    """An element in FHIR's XML as JSON (R4 json.html), by the definitions."""
    made: dict[str, Any] = {"resourceType": place} if resource else {}
    for name, value in xml.attrib.items():
        if name != "value":
            made[name] = value
    for one in xml:
        name = one.tag.rpartition("}")[2]
        field = fields(place)[name]
        value, more = _content(one, field)
        for key, content in ((name, value), (f"_{name}", more)):
            if field.repeats:
                made.setdefault(key, []).append(content)
            elif content is not None:
                made[key] = content
    for name in [name for name, value in made.items() if type(value) is list and not any(value)]:
        del made[name]
    return made


def _content(xml: Xml, field: Field) -> tuple[Any, Any]:
    if field.type[0].islower():
        text = xml.get("value")
        value = int(text) if text and field.type == "integer" else text
        return value, to_json(xml, "Element") or None
    return to_json(xml, field.type), None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.get("name"))
def test_fhirpath_patch(case: Xml) -> None:
    """fhirpatch.html: HL7's cases."""
    resource, diff = to_json(case[0][0], "Patient", True), to_json(case[1][0], "Parameters", True)
    if case[2].tag == "error":
        with pytest.raises(FhirError) as refused:
            patch_fhirpath.apply(patch_parameters.changes(diff), resource)
        assert refused.value.issues[0].expression == "Parameters.parameter[0]"
        return
    assert patch_fhirpath.apply(patch_parameters.changes(diff), resource) == to_json(case[2][0], "Patient", True)


def test_json_patch_keeps_decimals_as_written() -> None:
    """datatypes.html#decimal: precision matters; what a patch moves, copies or leaves is not rewritten."""
    document = read(b'{"a": 1.10, "b": [1E5, 100000000000000000000.0]}')
    patch: list[dict] = [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "move", "from": "/b/0", "path": "/d"}]
    patch.append({"op": "test", "path": "/a", "value": 1.1})
    found = patch_json.apply(patch_json.changes(patch), document)
    assert write(found) == b'{"a":1.10,"b":[100000000000000000000.0],"c":1.10,"d":1E5}'


def test_json_patch_is_bounded() -> None:
    """A copy of the whole into itself, again and again, doubles it each time."""
    bomb = [{"op": "copy", "from": "", "path": f"/{n}"} for n in range(40)]
    with pytest.raises(FhirError, match="copies too much"):
        patch_json.apply(patch_json.changes(bomb), {"a": [0] * 100})
    twice = [{"op": "copy", "from": "/a", "path": f"/{n}"} for n in "bc"]
    with pytest.raises(FhirError, match="copies too much"):
        patch_json.apply(patch_json.changes(twice), {"a": [0] * 6_000})
    large = [{"op": "add", "path": "/a", "value": [0] * 250_000}]
    assert len(patch_json.apply(patch_json.changes(large), {})["a"]) == 250_000
    with pytest.raises(FhirError, match="at most"):
        patch_json.changes([{"op": "remove", "path": "/a"}] * 1001)


@pytest.mark.parametrize("large", ["x" * 1_000_000, {"x" * 1_000_000: 1}])
def test_json_patch_copies_so_many_letters_and_no_more(large: Any) -> None:
    """A resource of 900 MB came of it: it was stored, since it packs well, and whoever read it took 10 GB."""
    again = [{"op": "copy", "from": "/name/0", "path": "/name/-"}]
    with pytest.raises(FhirError, match="copies too much"):
        patch_json.apply(patch_json.changes(again * 900), {"name": [{"text": large}]})
    assert patch_json.apply(patch_json.changes(again), {"name": [large]}) == {"name": [large, large]}


def operation(kind: str, **parts: Any) -> dict[str, Any]:
    """A FHIRPath Patch of one operation; a part is a string, a number or a part without its name."""
    made: list[dict] = [{"name": "type", "valueCode": kind}]
    for name, value in parts.items():
        made.append(
            {"name": name}
            | (value if isinstance(value, dict) else {"valueInteger" if isinstance(value, int) else "valueString": value})
        )
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": made}]}


OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "valueQuantity": {"value": 1},
    "note": [{"text": "a"}, {"text": "b"}],
    "_issued": {"id": "i"},
}
PATIENT = {"resourceType": "Patient", "name": [{"given": ["A", "B"], "_given": [None, {"id": "b"}]}], "birthDate": "2000"}
NOTED = {
    "resourceType": "Patient",
    "name": [{"given": ["A", None], "_given": [{"extension": [{"url": url, "valueCode": "x"}]} for url in "ab"]}],
}


@pytest.mark.parametrize(
    ("resource", "patch", "changed"),
    [
        (
            OBSERVATION,
            operation("replace", path="Observation.value", value={"valueString": "x"}),
            {"valueString": "x", "valueQuantity": None},
        ),
        (
            OBSERVATION,
            operation("replace", path="Observation.value.value", value={"valueDecimal": 2}),
            {"valueQuantity": {"value": 2}},
        ),
        (OBSERVATION, operation("delete", path="Observation.value.ofType(Quantity)"), {"valueQuantity": None}),
        (OBSERVATION, operation("delete", path="Observation.method"), {}),
        (OBSERVATION, operation("delete", path="note.where(text = 'a')"), {"note": [{"text": "b"}]}),
        (
            OBSERVATION,
            operation("add", path="Observation", name="effective", value={"valueDateTime": "2020"}),
            {"effectiveDateTime": "2020"},
        ),
        (
            OBSERVATION,
            operation("insert", path="Observation.performer", index=0, value={"valueReference": {"display": "x"}}),
            {"performer": [{"display": "x"}]},
        ),
        (
            PATIENT,
            operation("insert", path="name[0].given", index=1, value={"valueString": "X"}),
            {"name": [{"given": ["A", "X", "B"], "_given": [None, None, {"id": "b"}]}]},
        ),
        (
            PATIENT,
            operation("move", path="name[0].given", source=1, destination=0),
            {"name": [{"given": ["B", "A"], "_given": [{"id": "b"}, None]}]},
        ),
        (PATIENT, operation("delete", path="name.given[1]"), {"name": [{"given": ["A"]}]}),
        (
            NOTED,
            operation("delete", path="name.given[0].extension"),
            {"name": [{"given": ["A", None], "_given": [None, {"extension": [{"url": "b", "valueCode": "x"}]}]}]},
        ),
        (
            NOTED,
            operation("delete", path="name.given[1].extension"),
            {"name": [{"given": ["A"], "_given": [{"extension": [{"url": "a", "valueCode": "x"}]}]}]},
        ),
        (
            PATIENT,
            operation(
                "add",
                path="birthDate",
                name="extension",
                value={"part": [{"name": "url", "valueUri": "u"}, {"name": "value", "valueCode": "c"}]},
            ),
            {"_birthDate": {"extension": [{"url": "u", "valueCode": "c"}]}},
        ),
    ],
)
def test_fhirpath_patch_on_choices_and_arrays(resource: dict, patch: dict, changed: dict) -> None:
    """fhirpatch.html, json.html#primitive: a choice keeps one type, extensions of primitives stay beside them."""
    found = patch_fhirpath.apply(patch_parameters.changes(patch), deepcopy(resource))
    assert found == {name: value for name, value in {**resource, **changed}.items() if value is not None}


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"resourceType": "Patient"}, 400),
        ([], 400),
        (operation("rename", path="Patient"), 400),
        (operation("add", path="Patient"), 400),
        (operation("add", path="Patient.(", name="x", value={"valueString": "x"}), 400),
        (operation("delete", path="%resource"), 400),
        (operation("delete", path="Patient.name | Patient.contact"), 400),
        (operation("delete", path="name.where(given.exists(%resource.exists()))"), 400),
        (operation("delete", path="name.where(5 'mg' = 5 'mg' or descendants().exists())"), 400),
        (operation("delete", path="name.where(given.matches('a'))"), 400),
        (operation("move", path="Patient.name", source=-1, destination=0), 400),
        (operation("delete", path="Patient"), 422),
        (operation("delete", path="Patient.nmae"), 422),
        (operation("delete", path="Observation.code"), 422),
        (operation("delete", path="name.where(usage = 'old')"), 422),
        (operation("delete", path="name.given"), 422),
        (operation("replace", path="Patient.gender", value={"valueCode": "male"}), 422),
        (operation("replace", path="Patient.name", value={}), 422),
        (operation("add", path="Patient", name="birthDate", value={"valueDate": "2001"}), 422),
        (operation("add", path="Patient", name="nothing", value={"valueDate": "2001"}), 422),
        (operation("insert", path="Patient.name", index=2, value={"valueHumanName": {"text": "x"}}), 422),
        (operation("move", path="Patient.name", source=0, destination=1), 422),
    ],
)
def test_fhirpath_patch_that_is_refused(patch: Any, status: int) -> None:
    """fhirpatch.html: operations that do not fit are errors."""
    with pytest.raises(FhirError) as refused:
        patch_fhirpath.apply(patch_parameters.changes(patch), deepcopy(PATIENT))
    assert refused.value.status == status


# --- any patch of any document ---------------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.sampled_from([None, True, 1, 1.5, "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
_POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "01"]), max_size=3).map(lambda parts: "/".join(["", *parts]))
_OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": _POINTERS},
    optional={"value": _VALUES, "from": _POINTERS},
)


@settings(max_examples=400)
@given(_VALUES, st.lists(_OPERATIONS, max_size=4))
def test_json_patch_against_an_oracle(document: Any, patch: list[dict[str, Any]]) -> None:
    """RFC 6902 section 4, written once more: documents are rebuilt, not changed."""
    try:
        expected = document
        for one in patch:
            expected = rebuilt(expected, one)
    except (LookupError, TypeError, ValueError):
        with pytest.raises(FhirError):
            patch_json.apply(patch_json.changes(patch), deepcopy(document))
        return
    found = patch_json.apply(patch_json.changes(patch), deepcopy(document))
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def rebuilt(document: Any, one: dict[str, Any]) -> Any:
    path = tuple(one["path"].split("/")[1:])
    source = tuple(one["from"].split("/")[1:]) if one["op"] in ("move", "copy") else ()
    match one["op"]:
        case "add":
            return added(document, path, one["value"])
        case "remove":
            return removed(document, path)
        case "replace":
            return added(removed(document, path), path, one["value"]) if path else one["value"]
        case "copy":
            return added(document, path, at(document, source))
        case "move":
            value = at(document, source)
            if path != source and path[: len(source)] == source:
                raise ValueError
            return document if path == source else added(removed(document, source), path, value)
    if json.dumps(at(document, path), sort_keys=True) != json.dumps(one["value"], sort_keys=True):
        raise ValueError
    return document


def at(document: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        document = document[key_in(document, part)]
    return document


def added(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    if len(path) > 1:
        key = key_in(document, path[0])
        return with_member(document, key, added(document[key], path[1:], value))
    if isinstance(document, dict):
        return {**document, path[0]: value}
    if not isinstance(document, list):
        raise LookupError  # a text is no array of its characters
    key = len(document) if path[0] == "-" else key_in([*document, None], path[0])
    return [*document[:key], value, *document[key:]]


def removed(document: Any, path: tuple[str, ...]) -> Any:
    key = key_in(document, path[0]) if path else at(None, ("",))
    if len(path) > 1:
        return with_member(document, key, removed(document[key], path[1:]))
    rest = [item for item in (document.items() if isinstance(document, dict) else enumerate(document)) if item[0] != key]
    return dict(rest) if isinstance(document, dict) else [value for _, value in rest]


def with_member(document: Any, key: Any, value: Any) -> Any:
    if isinstance(document, dict):
        return {**document, key: value}
    return [*document[:key], value, *document[key + 1 :]]


def key_in(document: Any, part: str) -> Any:
    """The key of what is there; LookupError or ValueError if nothing is."""
    if isinstance(document, dict):
        document[part]
        return part
    if not isinstance(document, list) or str(int(part)) != part:
        raise LookupError
    document[int(part)]
    return int(part)


_PATHS = st.sampled_from(
    """Patient; name; name[0]; name.given; name[0].given[1]; name.where(use = 'usual'); birthDate; contact[0].name; deceased;
    extension; birthDate.extension[0]; name.first().period; Patient.multipleBirth.ofType(integer)""".split("; ")
)
_PARTS = st.sampled_from(
    [
        {"valueString": "x"}, {"valueHumanName": {"text": "x"}}, {"valueInteger": 1}, {"_valueString": {"id": "x"}}, {},
        {"part": [{"name": "given", "valueString": "x"}, {"name": "text", "valueString": "y"}]}, {"part": [{"name": 1}]},
        {"resource": {"resourceType": "Basic"}}, {"part": [{"name": "name", "part": [{"name": "text", "valueString": "y"}]}]},
    ]
)  # fmt: skip
_FHIR_OPERATIONS = st.builds(
    operation,
    st.sampled_from(["add", "insert", "delete", "replace", "move"]),
    path=_PATHS,
    name=st.sampled_from(["name", "given", "extension", "deceased", "multipleBirth", "text", "contained", "nothing"]),
    value=_PARTS,
    index=st.integers(0, 2),
    source=st.integers(0, 2),
    destination=st.integers(0, 2),
)


@settings(max_examples=400)
@given(st.lists(_FHIR_OPERATIONS, min_size=1, max_size=5))
def test_fhirpath_patch_is_applied_or_refused(patches: list[dict[str, Any]]) -> None:
    """No patch fails other than by being refused; arrays of values and of their extensions stay side by side."""
    resource: dict[str, Any] = deepcopy(PATIENT) | {"contact": [{"name": {"text": "c"}}], "deceasedBoolean": False}
    for one in patches:
        with suppress(FhirError):
            resource = patch_fhirpath.apply(patch_parameters.changes(one), deepcopy(resource))
    assert resource["resourceType"] == "Patient"
    for name in resource.get("name", ()):
        if isinstance(name, dict) and "_given" in name:
            assert len(name["_given"]) == len(name.get("given") or name["_given"])
