"""Sessions: opaque, random tokens. The access token is short-lived; the refresh token is good once and brings a new pair.

A token is `name.secret`. The name is the session's: a refresh token that is not the one in force was stolen, or used twice, and
ends the session (RFC 9700 4.14.2). A new login costs its holder nothing.
"""

import re
import secrets
from dataclasses import dataclass

from portal.errors import PortalError
from portal.service import Portal

ACCESS_MS = 15 * 60_000
SESSION_MS = 30 * 24 * 3_600_000
"""How long a login lasts, however often it is refreshed."""

_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Tokens:
    access: str
    refresh: str


async def begin(portal: Portal, account: bytes) -> Tokens:
    """A new session of an account."""
    name, now = secrets.token_urlsafe(16), portal.record.clock()
    access, refresh = _secret(), _secret()
    await portal.sessions.begin(name, account, access, refresh, now + ACCESS_MS, now + SESSION_MS)
    return Tokens(f"{name}.{access}", f"{name}.{refresh}")


async def refresh(portal: Portal, token: str) -> tuple[bytes, Tokens]:
    """The account and its new tokens; 401 for a refresh token that is not in force, and then the session has ended."""
    name, old = _parts(token)
    now, access, new = portal.record.clock(), _secret(), _secret()
    account = await portal.sessions.rotate(name, old, access, new, now + ACCESS_MS, now)
    if account is None:
        raise PortalError(401, "session-over")
    return account, Tokens(f"{name}.{access}", f"{name}.{new}")


async def account_of(portal: Portal, token: str) -> bytes:
    """Whose access token this is; 401 if it is not in force."""
    account = await portal.sessions.holder(*_parts(token), portal.record.clock())
    if account is None:
        raise PortalError(401, "session-over")
    return account


async def end(portal: Portal, token: str) -> None:
    """End the session of an access token, also of one that is over: its refresh token may not be. 401 where none is left."""
    if not await portal.sessions.end(*_parts(token)):
        raise PortalError(401, "session-over")


def _parts(token: str) -> tuple[str, str]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise PortalError(401, "session-over")
    return found[1], found[2]


def _secret() -> str:
    return secrets.token_urlsafe(32)
