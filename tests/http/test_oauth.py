"""The token endpoint: RFC 6749, RFC 7523, SMART App Launch 2.2 Backend Services."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.routing import Route

from consent.caller import Caller
from exchange.clients import client
from fhir_server.http.client_auth import ASSERTION_TYPE, hash_secret
from fhir_server.http.oauth import smart_configuration, token_endpoint
from fhir_server.http.tokens import signing_key, verifier

URL = "https://hie.example/oauth2/token"
NOW = 1_717_200_000_000
SECRET = "s:cr+t %"
SIGNER = signing_key(b"k" * 32)
RSA_KEY = rsa.generate_private_key(65_537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP384R1())
ED_KEY = Ed25519PrivateKey.generate()
KEYS: dict[str, tuple[str, Any]] = {"rsa": ("RS384", RSA_KEY), "ec": ("ES384", EC_KEY), "ed": ("EdDSA", ED_KEY)}
JWKS = {
    "keys": [
        RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "rsa"},
        ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": "ec"},
        OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True) | {"kid": "ed"},
    ]
}
HASH = hash_secret(SECRET)
CLIENTS = {
    id_: client(id_, entry)
    for id_, entry in {
        "north": {"organization": "north", "secret_hash": HASH, "vouches": ["practitioner"]},
        "lab": {"organization": "lab", "jwks": JWKS, "scopes": ["system/Observation.crus", "system/Patient.rs"]},
        "other": {"organization": "other", "jwks": JWKS},
        "portal": {"secret_hash": HASH, "vouches": ["patient"]},
        "study": {"organization": "study", "secret_hash": HASH, "purposes": ["HRESCH"]},
    }.items()
}


class Clock:
    """The time of a test, in ms."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def http(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    known: set[str] = set()

    async def seen(jti: str, end: int) -> bool:
        assert clock() < end <= clock() + 330_000
        was = jti in known
        known.add(jti)
        return was

    endpoint = token_endpoint(CLIENTS, SIGNER, clock, seen, URL, lifetime=300)
    routes = [
        Route("/oauth2/token", endpoint, methods=["POST"]),
        Route("/fhir/.well-known/smart-configuration", smart_configuration(URL)),
    ]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(Starlette(routes=routes)), base_url="https://hie.example"
    ) as made:
        yield made


async def ask(http: httpx.AsyncClient, auth: tuple[str, str] | None = None, /, **form: str) -> httpx.Response:
    """A token request; `auth` (client id, secret) goes into an HTTP Basic header."""
    headers = {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()} if auth else None
    return await http.post("/oauth2/token", data={"grant_type": "client_credentials"} | form, headers=headers)


async def caller(http: httpx.AsyncClient, id_: str = "north", **form: str) -> Caller:
    """The caller of the token that a client with a secret gets."""
    response = await ask(http, client_id=id_, client_secret=SECRET, **form)
    assert response.status_code == 200, response.text
    return verifier(SIGNER)(response.json()["access_token"], NOW)


async def error(http: httpx.AsyncClient, id_: str = "north", **form: str) -> tuple[int, str]:
    response = await ask(http, client_id=id_, client_secret=SECRET, **form)
    return response.status_code, response.json()["error"]


def assertion(key: str = "rsa", kid: str | None = None, algorithm: str = "", **changed: Any) -> str:
    """A client assertion of `lab`, changed; None leaves a claim out."""
    stated = {"iss": "lab", "sub": "lab", "aud": URL, "exp": NOW // 1000 + 240, "jti": "j1"} | changed
    own, private = KEYS[key]
    header = {"kid": kid or key}
    return jwt.encode({k: v for k, v in stated.items() if v is not None}, private, algorithm or own, headers=header)


async def asserted(http: httpx.AsyncClient, text: str, **form: str) -> httpx.Response:
    return await ask(http, client_assertion_type=ASSERTION_TYPE, client_assertion=text, **form)


async def test_a_secret_in_the_body(http: httpx.AsyncClient) -> None:
    """RFC 6749 4.4, 5.1."""
    response = await ask(http, client_id="north", client_secret=SECRET)
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-store")
    answer = response.json()
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("bearer", 300, "system/*.cruds")
    assert verifier(SIGNER)(answer["access_token"], NOW) == Caller("north", "system", "north", scopes=("system/*.cruds",))


async def test_a_secret_in_a_header_is_form_encoded(http: httpx.AsyncClient) -> None:
    """RFC 6749 2.3.1."""
    assert (await ask(http, ("north", "s%3Acr%2Bt+%25"))).status_code == 200
    assert (await ask(http, ("north", SECRET))).status_code == 401


@pytest.mark.parametrize("key", KEYS)
async def test_a_signed_assertion(http: httpx.AsyncClient, key: str) -> None:
    """SMART Backend Services: RS384, ES384; and EdDSA."""
    response = await asserted(http, assertion(key))
    assert response.status_code == 200, response.text
    assert response.json()["scope"] == "system/Observation.crus system/Patient.rs"


async def test_an_assertion_of_a_clock_that_runs_a_little_fast(http: httpx.AsyncClient) -> None:
    """RFC 7523 3: nbf, with a few seconds to account for clock skew."""
    assert (await asserted(http, assertion(nbf=NOW // 1000 + 30))).status_code == 200


async def test_an_assertion_serves_once(http: httpx.AsyncClient) -> None:
    """RFC 7523 3: jti; each client has its own."""
    assert (await asserted(http, assertion())).status_code == 200
    again = await asserted(http, assertion("ec"))
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
    assert (await asserted(http, assertion(iss="other", sub="other"))).status_code == 200


LATER = {"sub": "lab", "aud": URL, "jti": "x", "exp": NOW // 1000 + 60}


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


FORGERIES: dict[str, Callable[[], str]] = {
    "wrong audience": lambda: assertion(aud="https://elsewhere.example/token"),
    "another subject": lambda: assertion(sub="other"),
    "an unknown issuer": lambda: assertion(iss="nobody", sub="nobody"),
    "over": lambda: assertion(exp=NOW // 1000),
    "too long": lambda: assertion(exp=NOW // 1000 + 3600),
    "no end": lambda: assertion(exp=None),
    "endless": lambda: assertion(exp=10**400),
    "an end that is no number": lambda: assertion(exp="soon"),
    "an end that is not a number": lambda: assertion(exp=float("nan")),
    "not yet": lambda: assertion(nbf=NOW // 1000 + 31),
    "a beginning that is no number": lambda: assertion(nbf="soon"),
    "a beginning that is not a number": lambda: assertion(nbf=float("nan")),
    "no jti": lambda: assertion(jti=None),
    "an empty jti": lambda: assertion(jti=""),
    "a jti too long": lambda: assertion(jti="j" * 300),
    "another key's kid": lambda: assertion("rsa", kid="ec"),
    "an unknown kid": lambda: assertion("rsa", kid="nope"),
    "another algorithm of the key": lambda: assertion("rsa", algorithm="RS256"),
    "unsigned": lambda: ".".join((_part({"alg": "none"}), assertion().split(".")[1], "")),
    "HMAC with a public value": lambda: jwt.encode({"iss": "lab", **LATER}, JWKS["keys"][0]["n"], "HS256"),
    "another payload": lambda: ".".join(
        (assertion().split(".")[0], assertion(jti="j2").split(".")[1], assertion().split(".")[2])
    ),
    "no subject": lambda: assertion(sub=None),
    "no JWT": lambda: "abc",
    "nested deep": lambda: base64.urlsafe_b64encode(b"[" * 5_000).decode() + ".e30.e30",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
async def test_forged_assertions_are_refused(http: httpx.AsyncClient, forge: Callable[[], str]) -> None:
    """RFC 7523 3, RFC 8725 2."""
    response = await asserted(http, forge())
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(("id_", "secret"), [("north", "guessed"), ("nobody", SECRET), ("lab", SECRET), ("north", "x" * 9_000)])
async def test_wrong_secrets_are_refused(http: httpx.AsyncClient, id_: str, secret: str) -> None:
    """RFC 6749 5.2."""
    response = await ask(http, client_id=id_, client_secret=secret)
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert "www-authenticate" in response.headers
    assert secret not in response.text


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Basic " + base64.b64encode(b"north").decode(), "Bearer x", "Basic /w=="]
)
async def test_broken_basic_headers_are_refused(http: httpx.AsyncClient, header: str) -> None:
    response = await http.post("/oauth2/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header})
    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


async def test_who_guesses_waits(http: httpx.AsyncClient, clock: Clock) -> None:
    """RFC 6749 10.10; a wait is over when it is over, and the right secret ends the count."""
    for _ in range(3):
        assert (await ask(http, client_id="north", client_secret="guess")).status_code == 401
    waiting = await ask(http, client_id="north", client_secret=SECRET)
    assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "1")
    assert (await ask(http, client_id="portal", client_secret=SECRET, patient="p")).status_code == 200
    clock.now += 1_000
    assert (await ask(http, client_id="north", client_secret=SECRET)).status_code == 200


async def test_one_way_to_authenticate(http: httpx.AsyncClient) -> None:
    """RFC 6749 2.3: no more than one, and no less."""
    both = await ask(http, ("north", SECRET), client_id="north", client_secret=SECRET)
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    assert (await ask(http, client_id="north")).json()["error"] == "invalid_client"
    named = await ask(http, ("north", "s%3Acr%2Bt+%25"), client_id="portal")
    assert named.json()["error"] == "invalid_client"
    assert (await ask(http, client_assertion=assertion())).json()["error"] == "invalid_request"


async def test_a_hospital_vouches_for_its_clinician(http: httpx.AsyncClient) -> None:
    """DESIGN 2: the token carries practitioner, organization, role and purpose of use."""
    doctor = await caller(http, practitioner="li", role="doctor", purpose_of_use="ETREAT", scope="user/*.rs")
    assert doctor == Caller("li", "practitioner", "north", "li", None, "doctor", "ETREAT", ("user/*.rs",))


async def test_the_portal_vouches_for_a_patient(http: httpx.AsyncClient) -> None:
    scopes = ("patient/*.rs", "patient/Appointment.cu", "patient/Consent.cruds")
    assert await caller(http, "portal", patient="p1") == Caller("p1", "patient", patient="p1", purpose="PATRQT", scopes=scopes)
    answer = (await ask(http, client_id="portal", client_secret=SECRET, patient="p1")).json()
    assert answer["patient"] == "p1"


async def test_a_client_states_only_its_purposes(http: httpx.AsyncClient) -> None:
    assert (await caller(http, "study")).purpose == "HRESCH"
    assert await error(http, "study", purpose_of_use="TREAT") == (400, "invalid_request")
    assert await error(http, purpose_of_use="HMARKT") == (400, "invalid_request")


async def test_scopes_of_apps_are_passed_over(http: httpx.AsyncClient) -> None:
    """RFC 6749 3.3: the scope asked for may be ignored in part, and the answer names what was granted."""
    wanted = "launch/patient system/Patient.rs openid fhirUser offline_access"
    answer = (await ask(http, client_id="north", client_secret=SECRET, scope=wanted)).json()
    assert answer["scope"] == "system/Patient.rs"


@pytest.mark.parametrize(
    ("id_", "form", "expected"),
    [
        ("north", {"patient": "p1"}, "unauthorized_client"),
        ("study", {"practitioner": "li"}, "unauthorized_client"),
        ("portal", {"practitioner": "li"}, "unauthorized_client"),
        ("portal", {}, "invalid_scope"),
        ("north", {"practitioner": "li", "patient": "p1"}, "invalid_request"),
        ("north", {"practitioner": "../li"}, "invalid_request"),
        ("north", {"practitioner": "li", "role": "a b"}, "invalid_request"),
        ("north", {"grant_type": "password"}, "unsupported_grant_type"),
        ("north", {"scope": "user/*.rs"}, "invalid_scope"),
        ("north", {"scope": "system/Observation.rs?category=x"}, "invalid_scope"),
        ("north", {"scope": "openid"}, "invalid_scope"),
        ("north", {"scope": " ".join(f"system/T{chr(65 + n // 26)}{chr(65 + n % 26)}.r" for n in range(101))}, "invalid_scope"),
        ("north", {"practitioner": "li", "scope": "system/*.cruds"}, "invalid_scope"),
        ("portal", {"patient": "p1", "scope": "patient/Observation.c"}, "invalid_scope"),
    ],
)
async def test_no_client_gets_more_than_its_own(http: httpx.AsyncClient, id_: str, form: dict[str, str], expected: str) -> None:
    """RFC 6749 5.2."""
    assert await error(http, id_, **form) == (400, expected)


async def test_scopes_are_narrowed(http: httpx.AsyncClient) -> None:
    """RFC 6749 3.3: asking for more gives what the client may have, and the answer says so."""
    response = await asserted(http, assertion(), scope="system/*.cruds user/*.cruds")
    assert response.json()["scope"] == "system/Observation.crus system/Patient.rs"
    once_more = await asserted(http, assertion(jti="j2"), scope="system/Observation.read")
    assert once_more.json()["scope"] == "system/Observation.rs"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a%d=1" % n for n in range(60)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_broken_forms(http: httpx.AsyncClient, content: bytes, kind: str, status: int) -> None:
    """RFC 6749 3.2, 5.2."""
    response = await http.post("/oauth2/token", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["error"]) == (status, "invalid_request")


async def test_the_smart_configuration_is_public(http: httpx.AsyncClient) -> None:
    """SMART App Launch 2.2 conformance."""
    answer = (await http.get("/fhir/.well-known/smart-configuration")).json()
    assert answer["token_endpoint"] == URL
    assert {"RS384", "ES384"} <= set(answer["token_endpoint_auth_signing_alg_values_supported"])
    assert "permission-v2" in answer["capabilities"]
