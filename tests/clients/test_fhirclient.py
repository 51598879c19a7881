"""fhirclient (SMART on FHIR's Python client), as its users use it, unchanged: it reads /metadata first, and it is strict."""

import asyncio
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRServer
from jwt.algorithms import RSAAlgorithm

from tests import serving
from tests.serving import REGION, Door

KEY = rsa.generate_private_key(65_537, 2048)


class Bearer(FHIRServer):  # type: ignore[misc]  # it has no types
    """A server that we have a token of already; how one gets it is not what is tested."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(None, base_uri=url)
        self.session.headers["Authorization"] = f"Bearer {token}"


async def test_it_reads_the_statement_writes_searches_and_pages(door: Door) -> None:
    server = Bearer(door.base_url, door.token("system", organization="hospital-a"))
    await asyncio.to_thread(_used, server)


def _used(server: FHIRServer) -> None:
    assert server.capabilityStatement.fhirVersion == "4.0.1"
    patient = Patient({"name": [{"text": "古丽"}], "birthDate": "1980-02-03"})
    made: Any = patient.create(server)
    kept = Patient.read(made["id"], server)
    assert (kept.name[0].text, kept.birthDate.isostring) == ("古丽", "1980-02-03")
    for number in range(5):
        one = Observation({"status": "final", "code": {"coding": [{"system": "urn:x", "code": "w"}]},
                           "subject": {"reference": f"Patient/{made['id']}"}, "valueInteger": number})  # fmt: skip
        one.create(server)
    search = Observation.where({"patient": made["id"], "code": "urn:x|w", "_count": "2"})
    assert sorted(one.valueInteger for one in search.perform_resources_iter(server)) == [0, 1, 2, 3, 4]
    kept.gender = "female"
    assert kept.update(server)["meta"]["versionId"] == "2"
    batch = Bundle({"type": "batch", "entry": [{"request": {"method": "GET", "url": f"Patient/{made['id']}"}}]})
    assert batch.create(server)["entry"][0]["resource"]["gender"] == "female"
    assert isinstance(one.code, CodeableConcept)
    kept.delete(server)


async def test_it_finds_where_tokens_are_and_gets_one(mongodb_uri: str, database: str, tmp_path: Path) -> None:
    """SMART Backend Services; it reads the token URL from /metadata, in R4's extension oauth-uris"""
    region, public = tmp_path / "region.toml", RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    members = ", ".join(f"{name} = {value!r}" for name, value in public.items() if isinstance(value, str))
    lab = f'[clients.lab]\norganization = "hospital-a"\njwks = {{ keys = [{{ kid = "k", {members} }}] }}\n'
    region.write_text(f"{REGION.read_text()}\n{lab}")
    async with serving.door(mongodb_uri, database, tmp_path / "data", region=region) as door:
        assert await asyncio.to_thread(_authorized, door.base_url)


def _authorized(url: str) -> bool:
    token_url = url.removesuffix("/fhir") + "/oauth2/token"
    stated = {"iss": "lab", "sub": "lab", "aud": token_url, "exp": int(time.time()) + 240, "jti": "j"}
    assertion = jwt.encode(stated, KEY, "RS384", headers={"kid": "k"})
    settings = {"app_id": "lab", "api_base": url, "jwt_token": assertion, "scope": "system/*.cruds"}
    client = FHIRClient(settings)
    client.prepare()
    client.authorize()
    return client.ready and Patient({"name": [{"text": "x"}]}).create(client.server) is not None
