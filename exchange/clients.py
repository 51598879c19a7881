"""The registered clients of the region, from `[clients.<id>]` of its TOML file.

[clients.north-his]
organization = "north"           # under whose name it writes; required to vouch for practitioners
secret_hash = "scrypt$..."       # from `python -m exchange.clients`, or
jwks = { keys = [ ... ] }        # its public keys: RSA, EC P-384 or Ed25519
kind = "system"                  # or admin; system if absent
vouches = ["practitioner"]       # whom it may ask tokens for, besides itself: practitioner, patient
scopes = ["system/*.cruds"]      # absent: everything at the levels that kind and vouches give
purposes = ["TREAT", "BTG"]      # purposes of use its tokens may state, the first by default; absent: treatment
"""

import secrets
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jwt

from consent.codes import PURPOSES, TREATMENT
from consent.scopes import DEFAULTS, LEVELS, parse
from fhir_server.http.client_auth import ALGORITHMS, SECRET_HASH, Client, hash_secret
from fhir_server.r4.references import ID_PATTERN

_KEYS = {"organization", "secret_hash", "jwks", "kind", "vouches", "scopes", "purposes"}
_KINDS = ("system", "admin")
_VOUCHES = frozenset(("practitioner", "patient"))
_TREATMENT = ("TREAT", *sorted(TREATMENT - {"TREAT"}))
_MIN_RSA_BITS = 2048

T = TypeVar("T")


class ClientError(ValueError):
    """The region's file registers a client wrongly; the text names the entry and says what it takes."""


def load(path: Path) -> dict[str, Client]:
    """client id -> Client, of a region's TOML file; ClientError if an entry is wrong."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("clients", {})
    return {id_: client(id_, entry) for id_, entry in entries.items()}


def client(id_: str, entry: Any) -> Client:
    """One entry `[clients.<id_>]` as a Client; ClientError if it is wrong."""
    place = f"clients.{id_}"
    _require(isinstance(entry, dict) and not entry.keys() - _KEYS, place, f"takes only {', '.join(sorted(_KEYS))}")
    kind, vouches = entry.get("kind", "system"), _texts(entry, "vouches", place)
    organization, secret_hash = entry.get("organization"), entry.get("secret_hash")
    _require(kind in _KINDS, f"{place}.kind", f"must be one of {', '.join(_KINDS)}")
    _require(_VOUCHES.issuperset(vouches), f"{place}.vouches", f"may list {', '.join(sorted(_VOUCHES))}")
    _require(organization is None or _is_id(organization), f"{place}.organization", "must be the id of an Organization")
    _require("practitioner" not in vouches or bool(organization), place, "needs an organization to vouch for practitioners")
    _require(secret_hash is None or _is_hash(secret_hash), f"{place}.secret_hash", "must come from python -m exchange.clients")
    _require(secret_hash is not None or "jwks" in entry, place, "needs a secret_hash or jwks")
    return Client(
        id_, kind, organization,
        scopes=_scopes(entry, kind, vouches, place),
        vouches=frozenset(vouches),
        purposes=_purposes(entry, place),
        secret_hash=secret_hash,
        keys=_public_keys(entry["jwks"], f"{place}.jwks") if "jwks" in entry else (),
    )  # fmt: skip


def _scopes(entry: Mapping[str, Any], kind: str, vouches: tuple[str, ...], place: str) -> tuple[str, ...]:
    """Absent: the client's own level, then those it vouches at. A client that vouches for patients only is no system."""
    scopes = _texts(entry, "scopes", place)
    if "scopes" in entry:
        _check(lambda: [parse(scope) for scope in scopes], f"{place}.scopes")
        return scopes
    own = [] if vouches == ("patient",) else [kind]
    return tuple(scope for level in dict.fromkeys(LEVELS[k] for k in (*own, *vouches)) for scope in DEFAULTS[level])


def _purposes(entry: Mapping[str, Any], place: str) -> tuple[str, ...]:
    purposes = _texts(entry, "purposes", place) if "purposes" in entry else _TREATMENT
    _require(bool(purposes) and PURPOSES.keys() >= set(purposes), f"{place}.purposes", "must list codes of v3-PurposeOfUse")
    return purposes


def _texts(entry: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    texts = entry.get(name, [])
    _require(isinstance(texts, list) and all(isinstance(t, str) for t in texts), f"{place}.{name}", "must be a list of texts")
    return tuple(texts)


def _public_keys(jwks: Any, place: str) -> tuple[jwt.PyJWK, ...]:
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    _require(isinstance(keys, list) and bool(keys), place, "must be a JSON Web Key Set: { keys = [ ... ] }")
    return tuple(_public_key(key, f"{place}.keys[{index}]") for index, key in enumerate(keys or ()))


def _public_key(key: Any, place: str) -> jwt.PyJWK:
    _require(isinstance(key, dict) and "d" not in key, place, "must be a public key: remove its private part")
    algorithm = ALGORITHMS.get((key.get("kty"), key.get("crv")))
    _require(algorithm is not None, place, "must be an RSA, EC P-384 or Ed25519 key")
    _require(key.get("alg") in (None, algorithm), place, f"signs with {algorithm}: alg must say so or be absent")
    made = _check(lambda: jwt.PyJWK(key, algorithm=algorithm), place)
    _require(getattr(made.key, "key_size", _MIN_RSA_BITS) >= _MIN_RSA_BITS or key["kty"] != "RSA", place, "is too short")
    return made


def _check(make: Callable[[], T], place: str) -> T:
    try:
        return make()
    except (ValueError, jwt.PyJWTError) as error:
        raise ClientError(f"{place}: {error}") from None


def _require(holds: bool, place: str, what: str) -> None:
    if not holds:
        raise ClientError(f"{place} {what}")


def _is_id(text: Any) -> bool:
    return isinstance(text, str) and ID_PATTERN.fullmatch(text) is not None


def _is_hash(text: Any) -> bool:
    return isinstance(text, str) and SECRET_HASH.fullmatch(text) is not None


if __name__ == "__main__":
    new = secrets.token_urlsafe(32)
    print(f'secret for the client:      {new}\nsecret_hash for the region: "{hash_secret(new)}"')
