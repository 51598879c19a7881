"""Recorded accesses as AuditEvents (R4 auditevent.html, IHE BALP patterns): who, what, when, why, and whether it was let in."""

from typing import Any

from consent.decision import BREAK_GLASS
from fhir_server.r4.dates import instant

BTG = "BTG"
DICOM = "http://dicom.nema.org/resources/ontology/DCM"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
PURPOSE = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

ACTIONS = {"create": "C", "update": "U", "patch": "U", "transaction": "C", "batch": "C", "delete": "D", "search-type": "E"}
ACTIONS |= {"operation-hold": "C", "operation-book": "U", "operation-close": "U", "operation-round": "E"}
ACTIONS |= {"operation-meta-add": "U", "operation-meta-delete": "U", "operation-erase": "D"}
IHE = {"operation-find": "ITI-115", "operation-hold": "ITI-116", "operation-book": "ITI-117"}
OUTCOMES = {"permit": "0", "absent": "4", "deny": "4", "refused": "4"}
IDENTITIES = (("practitioner", "Practitioner"), ("patient", "Patient"), ("organization", "Organization"))


def audit_event(access: dict[str, Any]) -> dict[str, Any]:
    """One recorded access (AuditLog.open) as an AuditEvent."""
    caller = access["caller"]
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": access["id"],
        "type": {
            "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "code": "rest",
            "display": "RESTful Operation",
        },
        "subtype": _subtypes(access["interaction"]),
        "action": ACTIONS.get(access["interaction"], "R"),
        "recorded": instant(access["at"]),
        "outcome": OUTCOMES[access["outcome"]],
        "purposeOfEvent": [{"coding": [{"system": PURPOSE, "code": one}]} for one in _purposes(access)],
        "agent": _agents(caller),
        "source": {"observer": {"display": "regional health information exchange"}},
        "entity": [{"what": {"display": access["asked"] or "-"}, "detail": _details(access)}],
    }
    if access.get("reason"):
        event["outcomeDesc"] = access["reason"]
    return event


def _purposes(access: dict[str, Any]) -> list[str]:
    """What the token states, and of what broken glass opened that it did (v3-ActReason BTG)."""
    stated = access["caller"]["purpose"]
    broke = BREAK_GLASS in (access["interaction"], access.get("reason")) and access["outcome"] == "permit"
    return [stated, *([BTG] if broke and stated != BTG else [])]


def _subtypes(interaction: str) -> list[dict[str, str]]:
    """The interaction; of IHE ITI Scheduling the transaction too."""
    transaction = [{"system": "urn:ihe:event-type-code", "code": IHE[interaction]}] if interaction in IHE else []
    return [{"system": INTERACTION, "code": interaction}, *transaction]


def _agents(caller: dict[str, Any]) -> list[dict[str, Any]]:
    """The person or system that asked first, then the organization it asked for."""
    known = [{"reference": f"{kind}/{caller[name]}"} for name, kind in IDENTITIES if caller.get(name)]
    who = known or [{"display": caller["id"]}]
    return [
        {
            "type": {"coding": [{"system": DICOM, "code": "110153", "display": "Source Role ID"}]},
            "who": one,
            "name": caller["id"],
            "requestor": number == 0,
        }
        for number, one in enumerate(who)
    ]


def _details(access: dict[str, Any]) -> list[dict[str, Any]]:
    details = {"caller-kind": access["caller"]["kind"], "outcome": access["outcome"], "records": str(access["records"])}
    if "until" in access:
        details["until"] = instant(access["until"])
    return [{"type": name, "valueString": value} for name, value in details.items()]
