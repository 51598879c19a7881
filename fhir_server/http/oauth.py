"""The OAuth 2.0 token endpoint for hospital systems, and what they and the portal vouch for (RFC 6749 4.4, SMART Backend
Services), and the SMART configuration that tells of it. Errors are those of RFC 6749 5.2, not OperationOutcomes.

Beside `grant_type` and `scope`, a client that vouches for its clinicians sends `practitioner`, `role`, `purpose_of_use`; one
that vouches for patients (the portal) sends `patient`. Ids are FHIR logical ids.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from consent.caller import Caller, Kind
from consent.scopes import DEFAULTS, LEVELS, narrow
from fhir_server.http.client_auth import ALGORITHMS, Client, OAuthError, Seen, authenticator
from fhir_server.http.requests import FORM, body
from fhir_server.http.tokens import LIFETIME, issue
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import ID_PATTERN

Endpoint = Callable[[Request], Awaitable[Response]]
Form = Mapping[str, str]

_MAX_FORM = 16_384
_MAX_FIELDS = 50
_FORM_SECONDS = 10.0
_MAX_SCOPES = 100
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_ROLE = re.compile(r"[^\s]{1,64}")
_VOUCHED: tuple[Kind, ...] = ("practitioner", "patient")
_OF_APPS = frozenset(
    {"launch", "launch/patient", "launch/encounter", "openid", "fhirUser", "profile", "offline_access", "online_access"}
)
"""SMART's scopes that open no resources. Clients ask for them by habit: fhirclient always for launch/patient."""


def token_endpoint(
    clients: Mapping[str, Client],
    key: Ed25519PrivateKey,
    clock: Callable[[], int],
    seen: Seen,
    token_url: str,
    lifetime: int = LIFETIME,
) -> Endpoint:
    """The handler of POST /oauth2/token. `clock` in ms UTC, `lifetime` in seconds, `token_url` as clients see it."""
    authenticate = authenticator(clients, clock, seen, token_url)

    async def token(request: Request) -> Response:
        try:
            form = await _form(request)
            client = await authenticate(form, request.headers.get("authorization", ""), _address(request))
            caller = _caller(client, form)
        except OAuthError as error:
            content = {"error": error.error, "error_description": error.description}
            return JSONResponse(content, error.status, {**_NO_STORE, **error.headers})
        return JSONResponse(_granted(caller, issue(key, caller, clock(), lifetime), lifetime), headers=_NO_STORE)

    return token


def smart_configuration(token_url: str) -> Endpoint:
    """The handler of GET [base]/.well-known/smart-configuration (SMART App Launch 2.2): public, and only what works."""
    configuration = {
        "token_endpoint": token_url,
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": sorted(ALGORITHMS.values()),
        "scopes_supported": sorted({scope for scopes in DEFAULTS.values() for scope in scopes}),
        "response_types_supported": [],
        "code_challenge_methods_supported": [],
        "capabilities": [
            "client-confidential-asymmetric",
            "client-confidential-symmetric",
            "permission-patient",
            "permission-user",
            "permission-v1",
            "permission-v2",
        ],
    }

    async def respond(request: Request) -> Response:
        return JSONResponse(configuration)

    return respond


async def _form(request: Request) -> dict[str, str]:
    """The fields of the body; empty ones count as absent, and none may come twice (RFC 6749 3.2)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise OAuthError(400, "invalid_request", f"Content-Type must be {FORM}")
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            text = (await body(request, _MAX_FORM)).decode()
        pairs = parse_qsl(text, errors="strict", max_num_fields=_MAX_FIELDS)
    except FhirError as error:
        raise OAuthError(error.status, "invalid_request", str(error)) from None
    except TimeoutError:
        raise OAuthError(408, "invalid_request", "the form did not come in time") from None
    except ValueError:
        raise OAuthError(400, "invalid_request", "the form is not UTF-8 or has too many fields") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise OAuthError(400, "invalid_request", "each field may come once")
    return form


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _caller(client: Client, form: Form) -> Caller:
    """Whom the token is for: the client itself, or the practitioner or patient it vouches for."""
    if form.get("grant_type") != "client_credentials":
        raise OAuthError(400, "unsupported_grant_type", "grant_type must be client_credentials")
    kind = _kind(client, form)
    subject = form.get(kind)
    if subject is not None and not ID_PATTERN.fullmatch(subject):
        raise OAuthError(400, "invalid_request", f"{kind} must be the id of a FHIR resource")
    return Caller(
        id=subject or client.id,
        kind=kind,
        organization=None if kind == "patient" else client.organization,
        practitioner=subject if kind == "practitioner" else None,
        patient=subject if kind == "patient" else None,
        role=_role(form) if kind == "practitioner" else None,
        purpose="PATRQT" if kind == "patient" else _purpose(client, form),
        scopes=_scopes(client, form, kind),
    )


def _kind(client: Client, form: Form) -> Kind:
    named = [kind for kind in _VOUCHED if kind in form]
    if len(named) > 1:
        raise OAuthError(400, "invalid_request", "a token is for one practitioner or one patient, not both")
    if not named:
        return client.kind
    if named[0] not in client.vouches:
        raise OAuthError(400, "unauthorized_client", f"this client may not vouch for a {named[0]}")
    return named[0]


def _role(form: Form) -> str | None:
    role = form.get("role")
    if role is not None and not _ROLE.fullmatch(role):
        raise OAuthError(400, "invalid_request", "role must be a code of at most 64 characters without spaces")
    return role


def _purpose(client: Client, form: Form) -> str:
    purpose = form.get("purpose_of_use", client.purposes[0])
    if purpose not in client.purposes:
        allowed = ", ".join(client.purposes)
        raise OAuthError(400, "invalid_request", f"purpose_of_use must be one this client is registered for: {allowed}")
    return purpose


def _scopes(client: Client, form: Form, kind: Kind) -> tuple[str, ...]:
    """The requested scopes, or all of the client's, narrowed to what the client may have at this level."""
    allowed = [scope for scope in client.scopes if scope.startswith(f"{LEVELS[kind]}/")]
    try:
        granted = narrow(_wishes(form["scope"]), allowed) if "scope" in form else tuple(allowed)
    except ValueError as error:
        raise OAuthError(400, "invalid_scope", str(error)) from None
    if len(granted) > _MAX_SCOPES:
        raise OAuthError(400, "invalid_scope", f"ask for at most {_MAX_SCOPES} scopes; * stands for all resource types")
    if not granted:
        raise OAuthError(400, "invalid_scope", f"this client may have none of these scopes of level {LEVELS[kind]}")
    return granted


def _wishes(scope: str) -> list[str]:
    """What is asked for; what cannot be granted is passed over, and the answer says what was granted (RFC 6749 3.3)."""
    return [one for one in scope.split() if one not in _OF_APPS]


def _granted(caller: Caller, token: str, lifetime: int) -> dict[str, Any]:
    """RFC 6749 5.1; `patient` is SMART's launch context."""
    context = {"patient": caller.patient} if caller.patient else {}
    return {"access_token": token, "token_type": "bearer", "expires_in": lifetime, "scope": " ".join(caller.scopes)} | context
