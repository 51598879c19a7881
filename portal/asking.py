"""One request to the portal: in which language, under which trace id, and whose it is."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from consent.caller import Caller
from fhir_server.record.binding import bound_caller
from portal import sessions
from portal.envelope import Envelope, envelope
from portal.errors import PortalError
from portal.languages import Texts
from portal.service import Portal

T = TypeVar("T")
BEARER = HTTPBearer(auto_error=False, scheme_name="session", description="the accessToken of /login or /refresh")


@dataclass(frozen=True, slots=True)
class Asking:
    """A request of anybody."""

    portal: Portal
    texts: Texts
    trace: str

    def answer(self, data: T) -> Envelope[T]:
        return Envelope[T].model_construct(**envelope(self.texts, self.trace, data))


@dataclass(frozen=True, slots=True)
class Session(Asking):
    """A request of an account that has logged in with this access token."""

    account: bytes


@dataclass(frozen=True, slots=True)
class Own(Asking):
    """A request of a patient."""

    caller: Caller


def anybody(request: Request) -> Asking:
    return Asking(request.app.state.portal, request.state.texts, request.state.trace)


Anybody = Annotated[Asking, Depends(anybody)]


def token(given: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]) -> str:
    """401 without an access token, whether it is in force or not."""
    if given is None:
        raise PortalError(401, "session-missing")
    return given.credentials


Token = Annotated[str, Depends(token)]


async def session(asking: Anybody, token: Token) -> Session:
    """401 without the token of a session in force."""
    account = await sessions.account_of(asking.portal, token)
    return Session(asking.portal, asking.texts, asking.trace, account)


LoggedIn = Annotated[Session, Depends(session)]


async def patient(session: LoggedIn) -> Own:
    """403 for an account that is bound to nobody."""
    caller = await bound_caller(session.portal.record, session.account)
    if caller is None:
        raise PortalError(403, "not-bound")
    return Own(session.portal, session.texts, session.trace, caller)


Patient = Annotated[Own, Depends(patient)]
