"""Identifier systems of China that mean the same: what one hospital writes by one name, another finds by the other.

The Ministry of Health's OIDs (WS 363-2011, 2.16.156.10011) are the ones used here; HL7 China's core-patient profile of 2024
(http://hl7.org.cn/fhir/StructureDefinition/core-patient) names the resident ID card by an OID of its own.
"""

import re

RESIDENT_ID_CARD = "urn:oid:2.16.156.10011.1.3"
HEALTH_CARD = "urn:oid:2.16.156.10011.1.19"
SYNONYMS = {"urn:oid:2.16.840.1.113883.2.23.1.19.1": RESIDENT_ID_CARD}
SMALL_X = re.compile("[0-9]{17}x")  # an ID card's number (GB 11643) whose check character X is typed small


def canonical(system: str) -> str:
    """The name that identifiers of this system are found by."""
    return SYNONYMS.get(system, system)


def number(system: str | None, value: str) -> str:
    """The value that identifiers of this system, by its canonical name, are found by."""
    return f"{value[:-1]}X" if system == RESIDENT_ID_CARD and SMALL_X.fullmatch(value) else value


def found_by(system: str, value: str) -> tuple[str, str]:
    """The system and value that an identifier is found by."""
    known = canonical(system)
    return known, number(known, value)
