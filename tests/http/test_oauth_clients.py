"""exchange.clients: the registered clients of a region's TOML file."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, RSAAlgorithm

from consent.codes import TREATMENT
from exchange.clients import ClientError, client, load
from fhir_server.http.client_auth import hash_secret, secret_matches

HASH = hash_secret("secret")
P256 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
P384 = ec.generate_private_key(ec.SECP384R1())
PUBLIC = ECAlgorithm.to_jwk(P384.public_key(), as_dict=True)
SHORT = RSAAlgorithm.to_jwk(rsa.generate_private_key(65_537, 1024).public_key(), as_dict=True)


def test_a_file(tmp_path: Path) -> None:
    region = tmp_path / "region.toml"
    keys = ", ".join(f'{name} = "{value}"' for name, value in PUBLIC.items())
    region.write_text(f"""
        [clients.north]
        organization = "north-hospital"
        secret_hash = "{HASH}"
        vouches = ["practitioner"]
        [clients.lab]
        jwks = {{ keys = [ {{ {keys} }} ] }}
        scopes = ["system/Observation.rs"]
        purposes = ["HOPERAT"]
        [hospitals.north]
        name = "not read here"
    """)
    found = load(region)
    north, lab = found["north"], found["lab"]
    assert (north.kind, north.organization, *north.vouches) == ("system", "north-hospital", "practitioner")
    assert north.scopes == ("system/*.cruds", "user/*.cruds")
    assert north.purposes[0] == "TREAT" and set(north.purposes) == TREATMENT
    assert (lab.scopes, lab.purposes, lab.keys[0].algorithm_name) == (("system/Observation.rs",), ("HOPERAT",), "ES384")


def test_no_clients(tmp_path: Path) -> None:
    (tmp_path / "region.toml").touch()
    assert load(tmp_path / "region.toml") == {}


@pytest.mark.parametrize(
    ("vouches", "scopes"),
    [
        ([], ("system/*.cruds",)),
        (["practitioner"], ("system/*.cruds", "user/*.cruds")),
        (["patient"], ("patient/*.rs", "patient/Appointment.cu", "patient/Consent.cruds")),
    ],
)
def test_scopes_by_default(vouches: list[str], scopes: tuple[str, ...]) -> None:
    assert client("x", {"secret_hash": HASH, "organization": "o", "vouches": vouches}).scopes == scopes


def test_no_scopes_is_none_at_all() -> None:
    assert client("x", {"secret_hash": HASH, "scopes": []}).scopes == ()


WRONG: list[tuple[Any, str]] = [
    ("text", "clients.x takes only"),
    ({"secret": "in the clear"}, "clients.x takes only"),
    ({}, "clients.x needs a secret_hash or jwks"),
    ({"secret_hash": "in the clear"}, "clients.x.secret_hash must come from python -m exchange.clients"),
    ({"secret_hash": HASH, "kind": "patient"}, "clients.x.kind must be one of system, admin"),
    ({"secret_hash": HASH, "vouches": ["admin"]}, "clients.x.vouches may list"),
    ({"secret_hash": HASH, "vouches": "patient"}, "clients.x.vouches must be a list of texts"),
    ({"secret_hash": HASH, "vouches": ["practitioner"]}, "clients.x needs an organization"),
    ({"secret_hash": HASH, "organization": "Organization/x"}, "clients.x.organization must be the id"),
    ({"secret_hash": HASH, "scopes": ["everything"]}, "clients.x.scopes: scopes must be like"),
    ({"secret_hash": HASH, "purposes": ["CURIOSITY"]}, "clients.x.purposes must list codes"),
    ({"secret_hash": HASH, "purposes": []}, "clients.x.purposes must list codes"),
    ({"jwks": {}}, "clients.x.jwks must be a JSON Web Key Set"),
    ({"jwks": {"keys": []}}, "clients.x.jwks must be a JSON Web Key Set"),
    ({"jwks": {"keys": [ECAlgorithm.to_jwk(P384, as_dict=True)]}}, r"clients.x.jwks.keys\[0\] must be a public key"),
    ({"jwks": {"keys": [P256]}}, r"clients.x.jwks.keys\[0\] must be an RSA, EC P-384 or Ed25519 key"),
    ({"jwks": {"keys": [HMACAlgorithm.to_jwk("s", as_dict=True)]}}, r"clients.x.jwks.keys\[0\] must be an RSA"),
    ({"jwks": {"keys": [PUBLIC | {"alg": "ES256"}]}}, r"clients.x.jwks.keys\[0\] signs with ES384"),
    ({"jwks": {"keys": [PUBLIC | {"x": "!"}]}}, r"clients.x.jwks.keys\[0\]: "),
    ({"jwks": {"keys": [SHORT]}}, r"clients.x.jwks.keys\[0\] is too short"),
]


@pytest.mark.parametrize(("entry", "says"), WRONG)
def test_wrong_entries_say_what_is_wrong(entry: Any, says: str) -> None:
    with pytest.raises(ClientError, match=says) as caught:
        client("x", entry)
    assert "in the clear" not in str(caught.value)


def test_secrets_are_kept_as_salted_hashes() -> None:
    assert hash_secret("secret") != HASH
    assert secret_matches("secret", HASH)
    assert not secret_matches("Secret", HASH)
