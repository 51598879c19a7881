"""Log in with a WeChat code, refresh, log out."""

from typing import Annotated

from pydantic import Field

from fhir_server.record.binding import bound_caller
from portal import sessions
from portal.asking import Anybody, Asking, Token
from portal.envelope import Envelope, Model
from portal.errors import PortalError
from portal.requests import Asked
from portal.routing import OF_SESSION, refuses, routes

router = routes("session")


class Login(Asked):
    code: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", description="from wx.login")]


class Refresh(Asked):
    refreshToken: Annotated[str, Field(max_length=128)]


class Tokens(Model):
    """Keep them where only the mini-program reads them. A refresh token is good once; used twice, it ends the session."""

    accessToken: str
    expiresIn: Annotated[int, Field(description="seconds the access token is good for")]
    refreshToken: str
    bound: Annotated[bool, Field(description="whether the account is bound to a person")]


@router.post("/login", responses=refuses(401, 403, 503))
async def login(asking: Anybody, wanted: Login) -> Envelope[Tokens]:
    """Log in with the code of wx.login; each code is good once."""
    if asking.portal.identify is None:
        raise PortalError(503, "login-not-set-up")
    account = await asking.portal.identify(wanted.code)
    return await _tokens(asking, account, await sessions.begin(asking.portal, account))


@router.post("/refresh", responses=refuses(401))
async def refresh(asking: Anybody, wanted: Refresh) -> Envelope[Tokens]:
    """A new pair of tokens for a refresh token. Refresh in one place only, one at a time."""
    return await _tokens(asking, *await sessions.refresh(asking.portal, wanted.refreshToken))


@router.post("/logout", responses=OF_SESSION)
async def logout(asking: Anybody, token: Token) -> Envelope[None]:
    """End this session, also when its access token is over: both its tokens are worth nothing from now on."""
    await sessions.end(asking.portal, token)
    return asking.answer(None)


async def _tokens(asking: Asking, account: bytes, made: sessions.Tokens) -> Envelope[Tokens]:
    bound = await bound_caller(asking.portal.record, account) is not None
    return asking.answer(
        Tokens(accessToken=made.access, expiresIn=sessions.ACCESS_MS // 1000, refreshToken=made.refresh, bound=bound)
    )
