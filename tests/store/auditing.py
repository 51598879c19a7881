"""What the audit log of a running exchange says, for the tests of it."""

from dataclasses import dataclass
from typing import Any

import httpx

from fhir_server.store.documents import resource_key
from tests.serving import Door

Document = dict[str, Any]


def patient(known: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": known, "name": [{"text": f"Person {known}"}]} | _numbered(known)


def observation(known: str, of: str) -> dict[str, Any]:
    about = {"subject": {"reference": f"Patient/{of}"}, "performer": [{"reference": "Practitioner/dr"}]}
    return {"resourceType": "Observation", "id": known, "status": "final", "code": {"text": "x"}} | about | _numbered(of)


def _numbered(of: str) -> dict[str, Any]:
    return {"identifier": [{"value": f"of-{of}"}]}


@dataclass(frozen=True, slots=True)
class Log:
    """An exchange with records of two persons, and what its audit log says."""

    door: Door
    hospital: httpx.AsyncClient

    @property
    def collection(self) -> Any:
        return self.door.exchange.database["audit"]

    async def entries(self) -> dict[bytes, Document]:
        opened = self.door.exchange.record.audit.open
        return {one["_id"]: opened(one) | {"p": set(one["p"])} async for one in self.collection.find({})}

    async def findings(self) -> list[str]:
        return [line async for line in self.door.exchange.record.audit.verify()]

    def keys(self, *patients: str) -> set[bytes]:
        return {resource_key(self.door.exchange.record.codec, "Patient", one) for one in patients}
