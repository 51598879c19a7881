"""`hie token`: an access token signed with the key in the data folder, for trying things out."""

import argparse
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.caller import Caller, Kind
from consent.codes import PURPOSES
from consent.scopes import DEFAULTS, LEVELS, parse
from exchange.opening import clock, master_secrets
from exchange.settings import SettingError, Settings
from fhir_server.http.tokens import issue, signing_key

KINDS: tuple[Kind, ...] = ("system", "practitioner", "patient", "admin")
NEEDED = {"practitioner": ("practitioner", "organization"), "patient": ("patient",)}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--organization", metavar="ID", help="the organization it acts for")
    parser.add_argument("--practitioner", metavar="ID", help="of a practitioner's token")
    parser.add_argument("--patient", metavar="ID", help="of a patient's token: the one Patient it is for")
    parser.add_argument("--role", metavar="CODE", help="of a practitioner's token")
    parser.add_argument("--purpose", metavar="CODE", default="TREAT", help="purpose of use (v3-PurposeOfUse; default TREAT)")
    parser.add_argument(
        "--scope", metavar="SCOPES", help='SMART v2 scopes, such as "user/Observation.rs" (default: all of the kind)'
    )
    parser.add_argument("--lifetime", type=int, metavar="SECONDS", help="how long it is valid (HIE_TOKEN_LIFETIME)")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    names = ("organization", "practitioner", "patient", "role", "purpose", "scope", "lifetime")
    print(token_for(settings, arguments.kind, **{name: getattr(arguments, name) for name in names}))
    return 0


def token_for(settings: Settings, kind: Kind, **claims: Any) -> str:
    """A signed token; SettingError names what is missing or wrong."""
    for name in NEEDED.get(kind, ()):
        if not claims.get(name):
            raise SettingError(f"a token of kind {kind} needs --{name}")
    lifetime = claims.pop("lifetime", None) or settings.token_lifetime
    scope = claims.pop("scope", None)
    known = {name: value for name, value in claims.items() if value}
    if known.get("purpose", "TREAT") not in PURPOSES:
        raise SettingError("--purpose must be a code of v3-PurposeOfUse, such as TREAT or ETREAT")
    subject = known.get("practitioner") or known.get("patient") or known.get("organization") or kind
    caller = Caller(id=f"cli/{subject}", kind=kind, scopes=_scopes(kind, scope), **known)
    return issue(token_key(settings), caller, clock(), lifetime)


def token_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that signs and checks this region's tokens."""
    return signing_key(master_secrets(settings).derive("access tokens"))


def _scopes(kind: Kind, scope: str | None) -> tuple[str, ...]:
    if scope is None:
        return DEFAULTS[LEVELS[kind]]
    try:
        return tuple(str(parse(one)) for one in scope.split())
    except ValueError as error:
        raise SettingError(f"--scope: {error}") from None
