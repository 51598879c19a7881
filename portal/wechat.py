"""code2Session: who it is that opened the mini-program (WeChat Open Platform, auth.code2Session).

The answer's session_key is read by nobody here and kept nowhere. One address is asked, the configured one; redirects are not
followed. The transport is used without httpx's client, which would write the URL, and with it the secret, into the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson

from portal.errors import PortalError

SECONDS = 5.0
AT_ONCE = 16
MAX_ANSWER = 64 * 1024
LONGEST_OPENID = 128
PATH = "/sns/jscode2session"
log = logging.getLogger("hie.portal")

REFUSALS: dict[int, tuple[int, str, int | None]] = {
    40029: (401, "code-invalid", None),  # invalid code
    40163: (401, "code-invalid", None),  # code been used
    40226: (403, "account-blocked", None),  # high-risk user
    45011: (503, "login-busy", 60),  # too frequent
    -1: (503, "login-busy", 2),  # system busy
}
"""errcode -> HTTP status, code of the message, seconds to wait."""


def provider(url: str, appid: str, secret: str) -> Callable[[str], Awaitable[str]]:
    """js_code -> openid, asked of `url`; PortalError where there is none."""
    gate, trust = asyncio.Semaphore(AT_ONCE), httpx.create_ssl_context()

    async def openid(code: str) -> str:
        asked = {"appid": appid, "secret": secret, "js_code": code, "grant_type": "authorization_code"}
        try:
            async with asyncio.timeout(SECONDS), gate, httpx.AsyncHTTPTransport(verify=trust) as transport:
                answer = await _get(transport, httpx.Request("GET", url + PATH, params=asked))
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            log.warning("the login provider cannot be asked: %s", type(error).__name__)
            raise PortalError(503, "login-busy", retry_after=5) from None
        return _openid(answer)

    return openid


async def _get(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> dict[str, Any]:
    """The JSON object of a 200 answer of bounded size; ValueError for anything else."""
    response = await transport.handle_async_request(request)
    parts, size = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise ValueError("the answer is too large")
    answer = orjson.loads(b"".join(parts))
    if response.status_code != 200 or not isinstance(answer, dict):
        raise ValueError("not an answer of code2Session")
    return answer


def _openid(answer: dict[str, Any]) -> str:
    known, problem = answer.get("openid"), answer.get("errcode", 0)
    if problem == 0 and isinstance(known, str) and 0 < len(known) <= LONGEST_OPENID:
        return known
    if not isinstance(problem, int) or problem not in REFUSALS:  # among them a wrong appid or secret: ours to mend
        log.error("the login provider refuses us: errcode %s", problem if isinstance(problem, int) else "unknown")
        raise PortalError(503, "unavailable", retry_after=60)
    status, code, wait = REFUSALS[problem]
    raise PortalError(status, code, retry_after=wait)
