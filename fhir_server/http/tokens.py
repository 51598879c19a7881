"""Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), made and read by this exchange only."""

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.caller import Caller, Kind
from fhir_server.r4.errors import FhirError

LIFETIME = 600
"""Seconds an access token lives unless the settings say otherwise."""

BAD_JWT = (jwt.PyJWTError, RecursionError, TypeError, ValueError)
"""What reading a JWT raises if it is none or not as asked for; a header nested a thousand deep is a RecursionError."""

# One algorithm, and never the one that the token's own header asks for.
_ALGORITHM = "EdDSA"
_NAME = "urn:hie:exchange"
_MAX_LENGTH = 8_192
_CLAIMS = {"sub": "id", "kind": "kind", "org": "organization", "practitioner": "practitioner", "patient": "patient",
           "role": "role", "purpose": "purpose"}  # fmt: skip
# The clock is passed in, so times are checked here and not by the library.
_OPTIONS: Any = {
    "require": ["exp", "iat", "iss", "aud", "sub", "jti", "kind", "purpose", "scope"],
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}

Verify = Callable[[str, int], Caller]


def signing_key(seed: bytes) -> Ed25519PrivateKey:
    """The key of a region's tokens, from 32 secret bytes that every process of the region derives alike."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def issue(key: Ed25519PrivateKey, caller: Caller, now: int, lifetime: int = LIFETIME) -> str:
    """An access token for a caller; `now` in ms UTC, `lifetime` in seconds."""
    issued = now // 1000
    known = {claim: value for claim, name in _CLAIMS.items() if (value := getattr(caller, name)) is not None}
    claims = known | {
        "iss": _NAME,
        "aud": _NAME,
        "iat": issued,
        "exp": issued + lifetime,
        "jti": secrets.token_urlsafe(16),
        "scope": " ".join(caller.scopes),
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def verifier(key: Ed25519PrivateKey) -> Verify:
    """(token, now in ms) -> its Caller; FhirError 401 if it is not ours, or over. Only signatures are remembered."""
    public = key.public_key()

    @lru_cache(maxsize=16_384)
    def checked(token: str) -> tuple[Caller, int]:
        claims = _claims(token, public)
        return _caller(claims), int(claims["exp"]) * 1000

    def verify(token: str, now: int) -> Caller:
        caller, end = checked(token)
        if now >= end:
            raise FhirError(401, "expired", "the access token is over; get a new one from /oauth2/token")
        return caller

    return verify


def _claims(token: str, public: Any) -> dict[str, Any]:
    try:
        if len(token) > _MAX_LENGTH:
            raise jwt.InvalidTokenError("too long")
        return jwt.decode(token, public, algorithms=[_ALGORITHM], audience=_NAME, issuer=_NAME, options=_OPTIONS)
    except BAD_JWT:
        # Why a token is bad helps only those who forge them.
        raise FhirError(401, "login", "the access token is not valid; get one from /oauth2/token") from None


def _caller(claims: dict[str, Any]) -> Caller:
    if claims["kind"] not in get_args(Kind):
        raise FhirError(401, "login", "the access token is not valid; get one from /oauth2/token")
    named = {name: claims[claim] for claim, name in _CLAIMS.items() if claim in claims}
    return Caller(**named, scopes=tuple(claims["scope"].split()))
