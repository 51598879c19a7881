"""Access tokens: RFC 7519, RFC 8725 (JWT best practices), DESIGN 2."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.caller import Caller
from fhir_server.http.tokens import issue, signing_key, verifier
from fhir_server.r4.errors import FhirError

NOW = 1_717_200_000_000
KEY = signing_key(b"k" * 32)
DOCTOR = Caller("li", "practitioner", "north", "li", None, "doctor", "ETREAT", ("user/*.rs", "user/Patient.c"))
CALLERS = [
    DOCTOR,
    Caller("north-his", "system", "north", scopes=("system/*.cruds",)),
    Caller("p1", "patient", patient="p1", purpose="PATRQT", scopes=("patient/*.rs",)),
    Caller("root", "admin"),
]
PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def refused(token: str, now: int = NOW) -> FhirError:
    with pytest.raises(FhirError) as caught:
        verifier(KEY)(token, now)
    assert caught.value.status == 401
    return caught.value


def claims(**changed: Any) -> dict[str, Any]:
    """The claims of a good token, changed; None leaves one out."""
    good = jwt.decode(issue(KEY, DOCTOR, NOW), options={"verify_signature": False})
    return {name: value for name, value in (good | changed).items() if value is not None}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.kind)
def test_a_token_brings_back_its_caller(caller: Caller) -> None:
    assert verifier(KEY)(issue(KEY, caller, NOW), NOW) == caller


def test_a_token_ends_even_when_it_is_remembered() -> None:
    """RFC 7519 4.1.4: not on or after exp."""
    verify, token = verifier(KEY), issue(KEY, DOCTOR, NOW, lifetime=60)
    assert verify(token, NOW + 59_999) == DOCTOR
    with pytest.raises(FhirError, match="over") as caught:
        verify(token, NOW + 60_000)
    assert caught.value.issues[0].code == "expired"


def test_no_two_tokens_are_alike() -> None:
    assert issue(KEY, DOCTOR, NOW) != issue(KEY, DOCTOR, NOW)


def test_another_regions_key_is_refused() -> None:
    refused(issue(signing_key(b"x" * 32), DOCTOR, NOW))


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS384", "HS512"])
def test_the_algorithm_is_not_the_tokens_to_choose(algorithm: str) -> None:
    """RFC 8725 2.1: neither `none` nor an HMAC keyed with the public key."""
    raw = KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    for secret in (PEM, raw):
        refused(_signed(algorithm, secret))


def _signed(algorithm: str, secret: bytes) -> str:
    """A token made by hand: libraries refuse to key an HMAC with a public key."""
    head = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}"
    if algorithm == "none":
        return f"{head}."
    digest = hmac.new(secret, head.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    return f"{head}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    "changed",
    [{"aud": "urn:other"}, {"iss": "urn:other"}, {"kind": "root"}]
    + [{name: None} for name in ("exp", "iss", "aud", "sub", "jti", "kind", "purpose", "scope")],
)
def test_claims_are_checked(changed: dict[str, Any]) -> None:
    """Even when signed with the right key."""
    refused(jwt.encode(claims(**changed), KEY, algorithm="EdDSA"))


DEEP = base64.urlsafe_b64encode(b"[" * 5_000).decode()


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a" * 100_000, part([[]]) + "..", DEEP + ".e30.e30", "é.é.é"])
def test_what_is_no_token(text: str) -> None:
    refused(text)


TOKEN = issue(KEY, DOCTOR, NOW)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(TOKEN) - 2), st.sampled_from("ABab01-_."))  # the last character holds padding bits that mean nothing
def test_any_change_of_a_token_is_noticed(at: int, other: str) -> None:
    if other != TOKEN[at]:
        refused(TOKEN[:at] + other + TOKEN[at + 1 :])
