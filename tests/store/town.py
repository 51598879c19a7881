"""What is in the town: two hospitals that know the same woman, panels in several units, doctors, places, a list."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from tests import serving
from tests.gate.building import id_card, patient
from tests.store.region import Resource, everything

UCUM, LOINC = "http://unitsofmeasure.org", "http://loinc.org"
KINDS = (
    "Patient", "Encounter", "Observation", "Condition", "Practitioner", "Organization", "Location", "DiagnosticReport", "List",
    "PractitionerRole", "Immunization", "Procedure", "MedicationRequest", "Provenance", "Device", "CarePlan", "CareTeam",
)  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Town:
    """The door, a doctor who may see everything, and all resources by type as that doctor reads them."""

    door: serving.Door
    client: httpx.AsyncClient
    stored: dict[str, list[Resource]]

    @classmethod
    async def of(cls, door: serving.Door, client: httpx.AsyncClient) -> "Town":
        return cls(door, client, {kind: await everything(client, f"{kind}?_count=1000") for kind in KINDS})

    @property
    def resources(self) -> dict[str, Resource]:
        return {f"{kind}/{one['id']}": one for kind, found in self.stored.items() for one in found}

    async def found(self, kind: str, *pairs: tuple[str, str], count: int = 1000) -> list[str]:
        """The ids of all matches, page by page."""
        return [one["id"] for one in await everything(self.client, f"{kind}?{urlencode([*pairs, ('_count', str(count))])}")]


async def keep_all(client: httpx.AsyncClient, resources: Iterable[Resource]) -> None:
    for one in resources:
        answer = await client.put(f"/{one['resourceType']}/{one['id']}", json=one)
        assert answer.status_code == 201, answer.text


def measured(known: str, subject: str, code: str, value: float, unit: str, **more: Any) -> Resource:
    quantity = {"value": value, "system": UCUM, "code": unit, "unit": unit}
    coding = {"coding": [{"system": LOINC, "code": code, "display": f"Test {code}"}], "text": "血糖"}
    about = {"subject": {"reference": f"Patient/{subject}"}}
    return {
        "resourceType": "Observation",
        "id": known,
        "status": "final",
        "code": coding,
        "valueQuantity": quantity,
        **about,
        **more,
    }


def pressure(known: str, subject: str, high: float, low: float, unit: str) -> Resource:
    def part(code: str, value: float) -> Resource:
        return {
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "valueQuantity": {"value": value, "system": UCUM, "code": unit},
        }

    code = {"coding": [{"system": LOINC, "code": "85354-9"}]}
    about = {"subject": {"reference": f"Patient/{subject}"}, "component": [part("8480-6", high), part("8462-4", low)]}
    return {"resourceType": "Observation", "id": known, "status": "final", "code": code, **about}


def _place(known: str, name: str, latitude: float, longitude: float) -> Resource:
    position = {"latitude": latitude, "longitude": longitude}
    return {"resourceType": "Location", "id": known, "name": name, "position": position}


def _narrative(text: str) -> Resource:
    return {"text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}}


RECORD_NUMBER = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}, "value": "R7"}
HAND_MADE: dict[str, list[Resource]] = {
    "a": [
        {"resourceType": "Organization", "id": "first", "name": "First Hospital"},
        {"resourceType": "Organization", "id": "ward", "name": "Ward", "partOf": {"reference": "Organization/first"}},
        {"resourceType": "Practitioner", "id": "wu", "name": [{"text": "吴医生", "family": "Wu"}], "gender": "female"},
        {"resourceType": "Practitioner", "id": "ma", "name": [{"family": "Ma"}], "gender": "male"},
        patient("gul-a", id_card(7), "古丽", generalPractitioner=[{"reference": "Practitioner/wu"}], gender="female"),
        patient("bek", id_card(8), "Bek", managingOrganization={"reference": "Organization/ward"}, gender="male"),
        measured("sugar-1", "gul-a", "15074-8", 5.4, "mmol/L", performer=[{"reference": "Practitioner/wu"}]),
        measured("protein-1", "gul-a", "2885-2", 7.2, "g/dL", **_narrative("患者有<b>哮喘</b>病史")),
        measured("protein-2", "bek", "2885-2", 68, "g/L", performer=[{"reference": "Practitioner/ma"}]),
        measured("fever-1", "bek", "8310-5", 101.3, "[degF]"),
        pressure("pressure-1", "gul-a", 150, 80, "mm[Hg]"),
        pressure("pressure-2", "bek", 16, 12, "kPa"),
        {"resourceType": "Device", "id": "pump", "identifier": [RECORD_NUMBER], "patient": {"reference": "Patient/gul-a"}},
        {
            "resourceType": "List", "id": "round", "status": "current", "mode": "working",
            "subject": {"reference": "Patient/bek"},
            "entry": [{"item": {"reference": f"Observation/{one}"}} for one in ("sugar-1", "fever-1", "nothing")],
        },
        _place("urumqi", "Urumqi", 43.8256, 87.6168), _place("changji", "Changji", 44.0146, 87.3089),
        _place("kashgar", "Kashgar", 39.4704, 75.9898),
    ],
    "b": [
        patient("gul-b", id_card(7), "古丽", gender="female"),
        measured("sugar-2", "gul-b", "15074-8", 7800, "umol/L", performer=[{"reference": "Practitioner/ma"}]),
        measured("protein-3", "gul-b", "2885-2", 7000, "mg/dL"),
        {
            "resourceType": "Encounter", "id": "visit", "status": "finished", "class": {"code": "AMB"},
            "subject": {"reference": "Patient/gul-b"}, "location": [{"location": {"reference": "Location/kashgar"}}],
            "participant": [{"individual": {"identifier": {"system": "urn:staff", "value": "77"}, "display": "Ma"}}],
        },
        measured("sugar-3", "gul-b", "15074-8", 6.1, "mmol/L", encounter={"reference": "Encounter/visit"}),
    ],
}  # fmt: skip
PERSONS = [{"gul-a", "gul-b"}]
