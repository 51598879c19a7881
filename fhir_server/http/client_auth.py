"""Which registered client is asking for a token: client_secret_basic, client_secret_post (RFC 6749 2.3.1) or
private_key_jwt (RFC 7523 3, SMART App Launch 2.2 "Client Authentication: Asymmetric").
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote_plus

import jwt

from fhir_server.http.tokens import BAD_JWT

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = {("RSA", None): "RS384", ("EC", "P-384"): "ES384", ("OKP", "Ed25519"): "EdDSA"}
"""(kty, crv) of a client's key -> the one algorithm it may sign with."""
SECRET_HASH = re.compile(r"scrypt\$[0-9a-f]{32}\$[0-9a-f]{128}")

Form = Mapping[str, str]
Seen = Callable[[str, int], Awaitable[bool]]
Authenticate = Callable[[Form, str, str], Awaitable["Client"]]

_SCRYPT = {"n": 2**14, "r": 8, "p": 1}
_MAX_SECRET = 256
_MAX_JTI = 256
_CLOCKS = 30_000  # ms by which the clock of a client may run fast
_ASSERTION_LIFETIME = 300_000 + _CLOCKS  # five minutes (SMART)
_FREE_FAILURES = 3
_LONGEST_WAIT = 60_000
_REMEMBERED_FAILURES = 10_000
_REQUIRED: Any = {
    "require": ["iss", "sub", "aud", "exp", "jti"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. It gets tokens of its own kind, and of the kinds it vouches for.

    `purposes`: the purposes of use its tokens may state, the first one unless it asks for another.
    """

    id: str
    kind: Literal["system", "admin"]
    organization: str | None
    scopes: tuple[str, ...]
    vouches: frozenset[str]
    purposes: tuple[str, ...]
    secret_hash: str | None = None
    keys: tuple[jwt.PyJWK, ...] = ()


class OAuthError(Exception):
    """An error response of the token endpoint (RFC 6749 5.2)."""

    def __init__(self, status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(description)
        self.status, self.error, self.description, self.headers = status, error, description, dict(headers or {})


def authenticator(clients: Mapping[str, Client], clock: Callable[[], int], seen: Seen, token_url: str) -> Authenticate:
    """(form, Authorization header, address of the peer) -> the client; raises OAuthError.

    `clock` gives ms UTC; `await seen(jti, end in ms)` remembers a jti until its end and says whether it was known.
    """
    check = _secret_check(clock)

    async def authenticate(form: Form, authorization: str, address: str) -> Client:
        method = _method(form, authorization)
        if method == "private_key_jwt":
            client = await _asserted(clients, form, clock(), seen, token_url)
        else:
            id_, secret = _basic(authorization) if method == "client_secret_basic" else _posted(form)
            client = await check(clients.get(id_), secret, f"{id_} {address}")
        if form.get("client_id", client.id) != client.id:
            raise _refused("client_id names another client than the one that authenticates")
        return client

    return authenticate


def hash_secret(secret: str, salt: bytes | None = None) -> str:
    """A client secret as the registry keeps it: `scrypt$<salt>$<hash>`, hexadecimal."""
    salt = salt or secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT).hex()}"


def secret_matches(secret: str, kept: str) -> bool:
    """Whether a secret is the one kept as a hash; compares in constant time. Takes some 50 ms of CPU."""
    return hmac.compare_digest(hash_secret(secret, bytes.fromhex(kept.split("$")[1])), kept)


def _method(form: Form, authorization: str) -> str:
    used = {
        "client_secret_basic": bool(authorization),
        "client_secret_post": "client_secret" in form,
        "private_key_jwt": "client_assertion" in form or "client_assertion_type" in form,
    }
    methods = [method for method, is_used in used.items() if is_used]
    if len(methods) > 1:
        raise OAuthError(400, "invalid_request", "authenticate the client in one way only")
    if not methods:
        raise _refused("authenticate with a client secret or a client assertion")
    return methods[0]


def _basic(authorization: str) -> tuple[str, str]:
    """(client id, secret) of HTTP Basic; both are form-encoded inside (RFC 6749 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        id_, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _refused("the Authorization header is not HTTP Basic") from None
    if scheme.lower() != "basic" or not colon:
        raise _refused("the Authorization header is not HTTP Basic")
    return unquote_plus(id_), unquote_plus(secret)


def _posted(form: Form) -> tuple[str, str]:
    return form.get("client_id", ""), form["client_secret"]


def _secret_check(clock: Callable[[], int]) -> Callable[[Client | None, str, str], Awaitable[Client]]:
    """A check of secrets that makes who guesses wait: 1, 2, 4 ... 60 seconds after the third failure."""
    failures: OrderedDict[str, tuple[int, int]] = OrderedDict()

    async def check(client: Client | None, secret: str, who: str) -> Client:
        count, until = failures.get(who, (0, 0))
        if clock() < until:
            wait = {"Retry-After": str(-(-(until - clock()) // 1000))}
            raise OAuthError(429, "temporarily_unavailable", "too many wrong secrets; wait", wait)
        if client and await _holds(client, secret):
            failures.pop(who, None)
            return client
        failures[who] = (count + 1, clock() + _wait(count + 1))
        while len(failures) > _REMEMBERED_FAILURES:
            failures.popitem(last=False)
        raise _refused("the client is unknown or its secret is wrong")

    return check


async def _holds(client: Client, secret: str) -> bool:
    # Unknown clients cost no scrypt: client ids are no secret, and random ones would keep the processors busy.
    if client.secret_hash is None or len(secret) > _MAX_SECRET:
        return False
    return await asyncio.to_thread(secret_matches, secret, client.secret_hash)


def _wait(failures: int) -> int:
    return 0 if failures < _FREE_FAILURES else min(1000 * 2 ** min(failures - _FREE_FAILURES, 10), _LONGEST_WAIT)


async def _asserted(clients: Mapping[str, Client], form: Form, now: int, seen: Seen, token_url: str) -> Client:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise OAuthError(400, "invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
    assertion = form.get("client_assertion", "")
    client = clients.get(_issuer(assertion))
    if client is None:
        raise _refused("the client assertion is by no registered client")
    claims = _verified(assertion, client, token_url)
    end = _end(claims["exp"], now)
    if not _has_begun(claims.get("nbf", 0), now):
        raise _refused("the client assertion is not to be used yet")
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise _refused(f"the client assertion's jti must be a text of 1 to {_MAX_JTI} characters")
    if await seen(f"{client.id} {jti}", end):
        raise _refused("the client assertion was used before; sign a new one for each request")
    return client


def _issuer(assertion: str) -> str:
    """Who says to have signed it: only to find the keys that prove it."""
    issuer = _unverified(partial(jwt.decode, options={"verify_signature": False}), assertion).get("iss")
    return issuer if isinstance(issuer, str) else ""


def _unverified(read: Callable[[str], dict[str, Any]], assertion: str) -> dict[str, Any]:
    try:
        return read(assertion)
    except BAD_JWT:
        raise _refused("the client assertion is not a JWT") from None


def _verified(assertion: str, client: Client, token_url: str) -> dict[str, Any]:
    kid = _unverified(jwt.get_unverified_header, assertion).get("kid")
    for key in client.keys:
        if kid is None or key.key_id is None or key.key_id == kid:
            try:
                return jwt.decode(
                    assertion, key, algorithms=[key.algorithm_name], audience=token_url, issuer=client.id,
                    subject=client.id, options=_REQUIRED,
                )  # fmt: skip
            except BAD_JWT:
                continue
    raise _refused(
        "the client assertion must be signed with a registered key, iss and sub the client id, aud the token endpoint"
    )


def _end(exp: Any, now: int) -> int:
    """The end in ms; an assertion that is over, or lives too long, is refused. NaN is neither before nor after."""
    left = exp * 1000 - now if isinstance(exp, (int, float)) else 0
    if not 0 < left <= _ASSERTION_LIFETIME:
        raise _refused("the client assertion must end within five minutes and not be over")
    return int(exp * 1000)


def _has_begun(nbf: Any, now: int) -> bool:
    """RFC 7523 3: not accepted before `nbf`, which a client whose clock runs fast may put half a minute ahead."""
    return isinstance(nbf, (int, float)) and nbf * 1000 <= now + _CLOCKS


def _refused(description: str) -> OAuthError:
    return OAuthError(401, "invalid_client", description, {"WWW-Authenticate": 'Basic realm="oauth2"'})
