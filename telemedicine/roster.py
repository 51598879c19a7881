"""Who the experts are, as the directory says: read from their PractitionerRoles, and read again after a minute."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.r4.references import literal
from fhir_server.record.consultations import kept_where
from fhir_server.record.context import Record
from telemedicine.experts import COMMUNICATION, EXPERT_ROLE

FRESH_MS = 60_000
MANY = 100_000


@dataclass(frozen=True, slots=True)
class Expert:
    """An expert: id of the Practitioner, id of the Organization, codes of specialties and languages."""

    id: str
    name: str
    organization: str
    specialties: frozenset[str]
    languages: frozenset[str]


def roster(record: Record) -> Callable[[], Awaitable[Mapping[str, Expert]]]:
    """The experts by id, as they were at most FRESH_MS ago."""
    known: Mapping[str, Expert] = {}
    read_at: int | None = None
    reading = asyncio.Lock()

    async def experts() -> Mapping[str, Expert]:
        nonlocal known, read_at
        async with reading:
            if not known or read_at is None or not 0 <= record.clock() - read_at <= FRESH_MS:  # a clock may be set back
                known, read_at = await _read(record), record.clock()
        return known

    return experts


async def _read(record: Record) -> Mapping[str, Expert]:
    wanted = [("role", f"{EXPERT_ROLE['system']}|{EXPERT_ROLE['code']}"), ("active", "true")]
    return {one.id: one for one in await kept_where(record, "PractitionerRole", wanted, MANY, _expert)}


def _expert(role: dict[str, Any]) -> Expert | None:
    """None for a role that names no Practitioner, or no Organization to work for: nobody who could be booked."""
    practitioner, organization = role.get("practitioner", {}), _id(role.get("organization", {}))
    known = _id(practitioner)
    if not known or not organization:
        return None
    languages = [one.get("valueCodeableConcept", {}) for one in role.get("extension", ()) if one["url"] == COMMUNICATION]
    return Expert(
        id=known,
        name=practitioner.get("display", ""),
        organization=organization,
        specialties=_codes(role.get("specialty", [])),
        languages=_codes(languages),
    )


def _codes(concepts: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(coding["code"] for concept in concepts for coding in concept.get("coding", ()) if "code" in coding)


def _id(reference: dict[str, Any]) -> str:
    target = literal(reference.get("reference", ""))
    return target[1] if target else ""
