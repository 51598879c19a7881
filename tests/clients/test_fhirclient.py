"""fhirclient (SMART on FHIR's Python client), as its users use it, unchanged: it reads /metadata first, and it is strict."""

import asyncio
from typing import Any

from fhirclient.models.bundle import Bundle
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRServer

from tests.serving import Door


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
