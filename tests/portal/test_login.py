"""Issue 3.2: login by WeChat code (code2Session), and sessions of opaque, rotating tokens."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from portal import wechat
from tests import serving
from tests.portal.wechat import BROKEN, SECRET, SESSION_KEY
from tests.portal.world import PORTAL, Region, code, data, problem
from tests.telemedicine.world import DAY

MINUTE = 60_000


async def test_a_code_opens_a_session_once(shared: Region) -> None:
    """auth.code2Session: a code is good once; nothing of what the provider says leaves the server."""
    wanted, app = code("aygul"), shared.app()
    answer = await app.post("/login", json={"code": wanted})
    tokens = data(answer)
    assert tokens.keys() == {"accessToken", "expiresIn", "refreshToken", "bound"}
    assert (tokens["expiresIn"], tokens["bound"]) == (900, False)
    assert SESSION_KEY not in answer.text and "aygul" not in answer.text
    assert problem(await shared.app(tokens["accessToken"]).get("/timeline")) == (403, "not-bound")
    assert problem(await app.post("/login", json={"code": wanted})) == (401, "code-invalid")


@pytest.mark.parametrize(
    ("wanted", "expected", "wait"),
    [
        ("invalid", (401, "code-invalid"), None),
        ("blocked", (403, "account-blocked"), None),
        ("busy", (503, "login-busy"), "2"),
        ("frequent", (503, "login-busy"), "60"),
        ("not-ours", (503, "unavailable"), "60"),
    ],
)
async def test_what_the_provider_refuses(shared: Region, wanted: str, expected: tuple[int, str], wait: str | None) -> None:
    """errcode 40029, 40226, -1, 45011, 40125."""
    answer = await shared.app().post("/login", json={"code": wanted})
    assert problem(answer) == expected
    assert answer.headers.get("retry-after") == wait


async def test_a_broken_provider_logs_nobody_in(shared: Region) -> None:
    """No JSON, no object, no 200, no openid, too large, a redirect (which is not followed)."""
    for wanted in BROKEN:
        status, known = problem(await shared.app().post("/login", json={"code": wanted}))
        assert (status, known in ("login-busy", "unavailable")) == (503, True), wanted
    assert shared.wechat.elsewhere == 0


async def test_a_slow_provider_is_not_waited_for(shared: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask at once: those who wait for their turn give up as well."""
    monkeypatch.setattr(wechat, "SECONDS", 0.2)
    try:
        answers = await asyncio.gather(*(shared.app().post("/login", json={"code": "slow"}) for _ in range(wechat.AT_ONCE + 4)))
        assert {problem(one) for one in answers} == {(503, "login-busy")}
    finally:
        shared.wechat.patience.set()


async def test_the_secret_is_in_no_log(shared: Region, caplog: pytest.LogCaptureFixture) -> None:
    """Nor a code, an openid or a token, whatever is logged."""
    with caplog.at_level(logging.DEBUG):
        wanted = code("openid-7731")
        tokens = data(await shared.app().post("/login", json={"code": wanted}))
        await shared.app().post("/login", json={"code": "not-ours"})
    # What the tests' own client and the provider's server log is theirs.
    told = [one.getMessage() for one in caplog.records if not one.name.startswith(("httpx", "uvicorn"))]
    told += [one.getMessage() for one in caplog.records if one.name == "httpx" and "jscode2session" in one.getMessage()]
    assert any("errcode 40125" in one for one in told)
    secrets = (
        SECRET,
        SESSION_KEY,
        wanted,
        "openid-7731",
        *tokens["accessToken"].split("."),
        *tokens["refreshToken"].split("."),
    )
    assert [one for one in told if any(secret in one for secret in secrets)] == []


async def test_without_a_provider_nobody_can_log_in(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    async with serving.door(mongodb_uri, database, tmp_path) as door:
        app = door.client()
        app.base_url = door.base_url.removesuffix("/fhir") + PORTAL
        assert problem(await app.post("/login", json={"code": "any"})) == (503, "login-not-set-up")


async def test_a_provider_that_is_away(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    told: dict[str, Any] = {"wechat_url": "http://127.0.0.1:9", "wechat_appid": "x", "wechat_secret_file": secret}
    async with serving.door(mongodb_uri, database, tmp_path, **told) as door:
        app = door.client()
        app.base_url = door.base_url.removesuffix("/fhir") + PORTAL
        answer = await app.post("/login", json={"code": "any"})
        assert (problem(answer), answer.headers["retry-after"]) == ((503, "login-busy"), "5")


async def test_tokens_rotate(shared: Region) -> None:
    """RFC 9700 4.14.2: a refresh brings a new pair; the old access token is worth nothing any more."""
    first = await shared.login("aygul")
    second = data(await shared.app().post("/refresh", json={"refreshToken": first["refreshToken"]}))
    assert not set(first.values()) & {second["accessToken"], second["refreshToken"]}
    assert problem(await shared.app(first["accessToken"]).get("/timeline")) == (401, "session-over")
    assert problem(await shared.app(second["accessToken"]).get("/timeline")) == (403, "not-bound")


async def test_a_refresh_token_used_twice_ends_the_session(shared: Region) -> None:
    """RFC 9700 4.14.2: whoever holds the newest tokens is thrown out, too; other sessions go on."""
    other, first = await shared.login("aygul"), await shared.login("aygul")
    second = data(await shared.app().post("/refresh", json={"refreshToken": first["refreshToken"]}))
    for old in (first, second):
        assert problem(await shared.app().post("/refresh", json={"refreshToken": old["refreshToken"]})) == (401, "session-over")
    assert problem(await shared.app(second["accessToken"]).get("/timeline")) == (401, "session-over")
    assert problem(await shared.app(other["accessToken"]).get("/timeline")) == (403, "not-bound")


async def test_of_parallel_refreshes_one_wins(shared: Region) -> None:
    """And then the session has ended: which of them was a thief cannot be told."""
    first = await shared.login("aygul")
    wanted = {"refreshToken": first["refreshToken"]}
    answers = await asyncio.gather(*(shared.app().post("/refresh", json=wanted) for _ in range(12)))
    won = [one for one in answers if one.status_code == 200]
    assert len(won) == 1
    assert {problem(one) for one in answers if one.status_code != 200} == {(401, "session-over")}
    assert problem(await shared.app(data(won[0])["accessToken"]).get("/timeline")) == (401, "session-over")


async def test_sessions_end_by_the_clock(shared: Region) -> None:
    """An access token after a quarter of an hour; a login after thirty days, however often it is refreshed."""
    tokens = await shared.login("aygul")
    shared.clock.now += 15 * MINUTE - 1
    assert problem(await shared.app(tokens["accessToken"]).get("/timeline")) == (403, "not-bound")
    shared.clock.now += 1
    assert problem(await shared.app(tokens["accessToken"]).get("/timeline")) == (401, "session-over")
    shared.clock.now += 30 * DAY - 15 * MINUTE - 1
    tokens = data(await shared.app().post("/refresh", json={"refreshToken": tokens["refreshToken"]}))
    assert problem(await shared.app(tokens["accessToken"]).get("/timeline")) == (403, "not-bound")
    shared.clock.now += 1
    assert problem(await shared.app(tokens["accessToken"]).get("/timeline")) == (401, "session-over")
    assert problem(await shared.app().post("/refresh", json={"refreshToken": tokens["refreshToken"]})) == (401, "session-over")


async def test_logout_ends_both_tokens(shared: Region) -> None:
    tokens = await shared.login("aygul")
    app = shared.app(tokens["accessToken"])
    data(await app.post("/logout"))
    assert problem(await app.post("/logout")) == (401, "session-over")
    assert problem(await shared.app().post("/refresh", json={"refreshToken": tokens["refreshToken"]})) == (401, "session-over")


async def test_logout_ends_a_session_whose_access_token_is_over(shared: Region) -> None:
    """RFC 7009 2.2: who logs out after a quarter of an hour has logged out, and the refresh token is worth nothing."""
    tokens = await shared.login("aygul")
    name = tokens["accessToken"].partition(".")[0]
    shared.clock.now += 16 * MINUTE
    for wrong in (f"{name}.{'A' * 43}", tokens["refreshToken"]):
        assert problem(await shared.app(wrong).post("/logout")) == (401, "session-over")
    assert problem(await shared.app().post("/logout")) == (401, "session-missing")
    data(await shared.app(tokens["accessToken"]).post("/logout"))
    assert problem(await shared.app().post("/refresh", json={"refreshToken": tokens["refreshToken"]})) == (401, "session-over")


async def test_a_token_is_good_for_its_purpose_only(shared: Region) -> None:
    """An access token does not refresh, a refresh token does not open, FHIR's tokens and half a token do neither."""
    tokens = await shared.login("aygul")
    name, _, secret = tokens["accessToken"].partition(".")
    for wrong in (
        tokens["refreshToken"],
        shared.world.token("patient", patient="a-1"),
        name,
        f"{name}.{'A' * 43}",
        f"x.{secret}",
    ):
        assert problem(await shared.app(wrong).get("/timeline")) == (401, "session-over")
    assert problem(await shared.app().get("/timeline")) == (401, "session-missing")
    assert (
        await shared.door.client().get("/Patient", headers=dict(shared.app(tokens["accessToken"]).headers))
    ).status_code == 401
    assert problem(await shared.app().post("/refresh", json={"refreshToken": tokens["accessToken"]})) == (401, "session-over")


async def test_the_database_holds_no_token_and_no_openid(shared: Region) -> None:
    tokens = await shared.login("openid-of-aygul")
    rows = str([await shared.door.exchange.database[name].find().to_list() for name in ("sessions", "bindings", "attempts")])
    parts = [part for token in (tokens["accessToken"], tokens["refreshToken"]) for part in token.split(".")]
    assert "account" in rows
    assert [part for part in (*parts, "openid-of-aygul") if part in rows] == []
