"""Issue 3.2: the envelope of every answer, languages by Accept-Language, OpenAPI."""

import re
import tomllib
from importlib.resources import files
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.record import binding
from portal.app import ROUTERS
from portal.errors import STATUSES
from portal.languages import LANGUAGES, TAGS, chosen
from portal.wechat import REFUSALS
from telemedicine.specialties import LANGUAGES as SPOKEN
from telemedicine.specialties import SPECIALTIES
from tests.portal.world import BIND, Region, code, data, problem

DIRECTIONS = {"zh-Hans": None, "ug": "rtl", "kk-Arab": "rtl", "en": None}


# --- languages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hant-TW", "zh-Hans"),
        ("ug-Arab-CN", "ug"),
        ("UG", "ug"),
        ("kk-KZ", "kk-Arab"),
        ("en-GB,en;q=0.9", "en"),
        ("fr, de;q=0.9", "zh-Hans"),
        ("fr, ug;q=0.3", "ug"),
        ("en;q=0.5, ug;q=0.8, zh;q=0.1", "ug"),
        ("en;q=0.5, ug;q=0.5", "en"),
        ("ug;q=0, en;q=0.1", "en"),
        ("ug;q=0", "zh-Hans"),
        ("zh;q=0, *", "ug"),
        ("zh;q=0, ug;q=0, *;q=0.1", "kk-Arab"),
        ("*", "zh-Hans"),
        ("fr, *;q=0.1", "zh-Hans"),
        ("ug;q=1.5, en;q=0.1", "en"),
        ("ug;level=1, en;q=0.1", "en"),
        ("ug;q=, en ; q=0.001", "en"),
        (",;,ug", "ug"),
        ("ug;q=nan, en", "en"),
    ],
)
def test_accept_language(header: str, tag: str) -> None:
    """RFC 9110 12.5.4, RFC 4647 3.4: the highest quality we have; of equals the first; q=0 is not wanted."""
    assert chosen(header).tag == tag


@given(st.lists(st.tuples(st.sampled_from([*TAGS, "fr"]), st.integers(0, 1000)), max_size=6, unique_by=lambda one: one[0]))
def test_the_highest_quality_wins(wanted: list[tuple[str, int]]) -> None:
    """Against the plain reading: any order of ranges gives the best of ours."""
    header = ", ".join(f"{tag}-CN;q={quality / 1000:.3f}" for tag, quality in wanted)
    ours = [(tag, quality) for tag, quality in wanted if tag in TAGS and quality]
    best = max((quality for _, quality in ours), default=0)
    expected = next((TAGS[tag] for tag, quality in ours if quality == best), "zh-Hans")
    assert chosen(header).tag == expected


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    assert chosen(header).tag in LANGUAGES


def test_every_text_is_there_in_every_language() -> None:
    """Section by section, key by key; none is empty, none is the same as another language's by mistake."""
    tables = {one.name: tomllib.loads(one.read_text(encoding="utf-8")) for one in (files("portal") / "texts").iterdir()}
    assert set(tables) == {f"{tag}.toml" for tag in TAGS.values()}
    keys = {name: {(section, key) for section, rows in table.items() for key in rows} for name, table in tables.items()}
    assert len({frozenset(one) for one in keys.values()}) == 1, keys
    texts = {name: [text for rows in table.values() for text in rows.values()] for name, table in tables.items()}
    assert all(isinstance(one, str) and one.strip() for every in texts.values() for one in every)
    arabic = r"[\u0600-\u06ff]"
    script = {"zh-Hans.toml": r"[\u4e00-\u9fff]", "ug.toml": arabic, "kk-Arab.toml": arabic, "en.toml": "[A-Za-z]"}
    assert [one for name, every in texts.items() for one in every if not re.search(script[name], one)] == []


def test_every_code_has_a_text() -> None:
    """Whatever is refused, whatever experts offer, has words."""
    sections = LANGUAGES["ug"].sections
    raised = {found for one in files("portal").iterdir() if one.name.endswith(".py") for found in _codes(one.read_text())}
    assert raised | set(STATUSES.values()) | {one[1] for one in REFUSALS.values()} <= sections["message"].keys()
    assert sections["specialty"].keys() == SPECIALTIES.keys() and sections["language"].keys() == SPOKEN.keys()


def _codes(source: str) -> list[str]:
    return re.findall(r'PortalError\(\d+, "([a-z-]+)"', source)


@pytest.mark.parametrize("tag", TAGS.values())
async def test_answers_come_in_the_language_asked_for(shared: Region, tag: str) -> None:
    """Content-Language and Vary (RFC 9110 8.5, 12.5.5); `dir` where texts run right to left."""
    app = await shared.logged_in("reader", **{"Accept-Language": f"fr, {tag};q=0.9"})
    for answer, known in ((await app.get("/timeline"), "not-bound"), (await app.delete("/bind"), "ok")):
        told = answer.json()
        assert told["message"] == LANGUAGES[tag].sections["message"][known]
        assert (told.get("dir"), "dir" in told) == (DIRECTIONS[tag], DIRECTIONS[tag] is not None)
        assert (answer.headers["content-language"], answer.headers["vary"].partition(",")[0]) == (tag, "Accept-Language")


# --- every answer --------------------------------------------------------------------------------------------------------

BIG = {"code": "x" * 20_000}


async def _sent(app: httpx.AsyncClient, method: str, path: str, told: Any) -> httpx.Response:
    headers = told.pop("headers", None) if isinstance(told, dict) else None
    if isinstance(told, bytes):
        return await app.request(method, path, content=told, headers={"Content-Type": "application/json"})
    return await app.request(method, path, json=told or None, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "told", "expected"),
    [
        ("GET", "/nothing", {}, (404, "not-found")),
        ("GET", "/timeline/", {}, (404, "not-found")),
        ("GET", "/reports/a/b", {}, (404, "not-found")),
        ("GET", "/", {}, (404, "not-found")),
        ("GET", "/login", {}, (405, "method-not-allowed")),
        ("PUT", "/bind", {}, (405, "method-not-allowed")),
        ("OPTIONS", "/timeline", {}, (405, "method-not-allowed")),
        ("GET", "/timeline", {}, (401, "session-missing")),
        ("GET", "/timeline", {"headers": {"Authorization": "Basic eDp5"}}, (401, "session-missing")),
        ("POST", "/login", {}, (422, "invalid")),
        ("POST", "/login", {"code": "a b"}, (422, "invalid")),
        ("POST", "/login", {"code": "a", "x": 1}, (422, "invalid")),
        ("POST", "/login", b"{", (422, "invalid")),
        ("POST", "/login", b"\xff\xfe", (422, "invalid")),
        ("POST", "/login", b"\x80", (400, "bad-request")),
        ("POST", "/login", b"[" * 10_000, (400, "bad-request")),
        ("POST", "/login", b"[]", (422, "invalid")),
        ("POST", "/login", BIG, (413, "too-large")),
        ("POST", "/nothing", BIG, (413, "too-large")),
    ],
)
async def test_errors_have_the_envelope(shared: Region, method: str, path: str, told: Any, expected: tuple[int, str]) -> None:
    """The framework's own answers, too; with the trace id in the header, and nothing for caches to keep."""
    answer = await _sent(shared.app(), method, path, told)
    assert problem(answer) == expected
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    if expected[0] == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="portal"'


async def test_a_body_without_a_length_is_bounded(shared: Region) -> None:
    async def endless() -> Any:
        for _ in range(1_000):
            yield b" " * 1_000

    answer = await shared.app().post("/login", content=endless(), headers={"Content-Type": "application/json"})
    assert problem(answer) == (413, "too-large")


async def test_unknown_query_parameters_are_refused(shared: Region) -> None:
    app = await shared.bound()
    for path, wrong in (("timeline", {"patient": "a-2"}), ("timeline", {"count": "0"}), ("experts", {"days": "99"})):
        answer = await app.get(f"/{path}", params=wrong)
        assert problem(answer) == (422, "invalid")
        assert answer.json()["data"] == {"fields": list(wrong)}
    await app.delete("/bind")


async def test_what_is_unexpected_tells_nothing(
    shared: Region, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a trace id that stands in the log, beside the place of the error and not what it says."""

    async def broken(*_: Any) -> None:
        raise RuntimeError("阿依古丽-77310042")

    monkeypatch.setattr(binding, "unbind", broken)
    answer = await (await shared.logged_in("unlucky")).delete("/bind")
    assert problem(answer) == (500, "internal")
    assert "77310042" not in answer.text + caplog.text  # four digits stand in a trace id now and then
    (line,) = [one.getMessage() for one in caplog.records if one.name == "hie.portal"]
    assert answer.json()["traceId"] in line and "RuntimeError at test_envelope.py" in line


async def test_trace_ids_are_new_each_time(shared: Region) -> None:
    app = shared.app()
    seen = {(await app.get("/nothing")).json()["traceId"] for _ in range(3)}
    assert len(seen) == 3 and all(re.fullmatch("[0-9a-f]{32}", one) for one in seen)


async def test_a_good_answer_has_four_members(shared: Region) -> None:
    answer = await shared.app().post("/login", json={"code": code("four")})
    data(answer)
    assert list(answer.json()) == ["code", "message", "data", "traceId"]


# --- OpenAPI -------------------------------------------------------------------------------------------------------------


async def test_openapi_covers_every_route(shared: Region) -> None:
    """openapi.json: every route with its models, its refusals and who may call it; served to anybody."""
    answer = await shared.app().get("/openapi.json")
    document = answer.json()
    assert answer.status_code == 200 and document["openapi"].startswith("3.")
    assert document["servers"] == [{"url": "/portal/patient"}]
    routes = {(method.lower(), one.path) for room in ROUTERS for one in room.router.routes for method in one.methods}
    told = {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}
    assert told.keys() == routes
    scheme = document["components"]["securitySchemes"]["session"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for (method, path), operation in told.items():
        is_open = path in ("/login", "/refresh")
        assert operation.get("security") == (None if is_open else [{"session": []}]), path
        statuses = set(operation["responses"])
        assert statuses >= {"400", "401", "413", "422", "500"}, path
        assert "201" in statuses or "200" in statuses
        assert operation["summary"] and operation["description"]
        for status, response in operation["responses"].items():
            name = response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            assert name.startswith("Envelope_"), (path, status)
            assert set(document["components"]["schemas"][name]["properties"]) == {"code", "message", "data", "traceId", "dir"}
        assert ("requestBody" in operation) == (method == "post" and path != "/logout")
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_openapi_says_what_is_answered(shared: Region) -> None:
    """Answers have the fields that the document gives them, all of them."""
    app, document = await shared.bound(), (await shared.app().get("/openapi.json")).json()
    for path in ("/timeline", "/consents", "/accesses", "/experts", "/appointments"):
        found = data(await app.get(path))
        reference = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        envelope = document["components"]["schemas"][reference.rpartition("/")[2]]
        model = document["components"]["schemas"][envelope["properties"]["data"]["$ref"].rpartition("/")[2]]
        assert set(found) == set(model["properties"]) == set(model["required"])
    assert data(await app.delete("/bind")) is None
    assert BIND["card"] in document["components"]["schemas"]["Bind"]["properties"]["card"]["enum"]
