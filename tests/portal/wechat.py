"""A login provider that speaks code2Session over HTTP, for the portal to ask in place of WeChat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from exchange.listening import bound, http

APPID, SECRET = "wx-hie-test", "s3cret-of-the-mini-program"
SESSION_KEY = "tiihtNczf5v6AKRyjwEUhQ=="
PROBLEMS = {"invalid": 40029, "blocked": 40226, "busy": -1, "frequent": 45011, "not-ours": 40125}


@dataclass(slots=True)
class WeChat:
    """Codes are `NUMBER_OPENID`, good once; those of PROBLEMS have their errcode; `slow` waits for `patience`."""

    url: str
    used: set[str] = field(default_factory=set)
    elsewhere: int = 0
    patience: asyncio.Event = field(default_factory=asyncio.Event)

    async def jscode2session(self, request: Request) -> Response:
        asked = dict(request.query_params)
        code = asked["js_code"]
        if (asked["appid"], asked["secret"], asked["grant_type"]) != (APPID, SECRET, "authorization_code"):
            return JSONResponse({"errcode": 40125, "errmsg": "invalid appsecret"})
        if code in PROBLEMS:
            return JSONResponse({"errcode": PROBLEMS[code], "errmsg": f"no, rid: {code}"})
        if code == "slow":
            await self.patience.wait()
        if code in BROKEN:
            return BROKEN[code]
        if not code.partition("_")[2]:
            return JSONResponse({"errcode": 40029, "errmsg": "invalid code"})
        if code in self.used:
            return JSONResponse({"errcode": 40163, "errmsg": "code been used"})
        self.used.add(code)
        # As WeChat does: JSON under the name of plain text, and no errcode when all is well.
        return JSONResponse({"session_key": SESSION_KEY, "openid": code.partition("_")[2]}, media_type="text/plain")

    async def redirected(self, request: Request) -> Response:
        self.elsewhere += 1
        return JSONResponse({"openid": "somebody-else", "session_key": SESSION_KEY})


BROKEN = {
    "html": Response("<html>gateway</html>"),
    "list": JSONResponse(["openid"]),
    "error": JSONResponse({"openid": "x"}, 500),
    "nobody": JSONResponse({"session_key": SESSION_KEY}),
    "odd": JSONResponse({"errcode": ["40029"]}),
    "endless": JSONResponse({"openid": "x" * 100_000}),
    "redirect": RedirectResponse("/elsewhere"),
}


@asynccontextmanager
async def wechat() -> AsyncIterator[WeChat]:
    listening = bound("127.0.0.1", 0)
    made = WeChat(f"http://127.0.0.1:{listening.getsockname()[1]}")
    routes = [Route("/sns/jscode2session", made.jscode2session), Route("/elsewhere", made.redirected)]
    async with http(Starlette(routes=routes), listening, asyncio.Event()):
        yield made
