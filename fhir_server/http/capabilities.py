"""The CapabilityStatement (R4 http.html#capabilities), derived from the tables that also make the routes: no more, no less."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_server.http.operations import EVERY_TYPE, OPERATIONS, Operation
from fhir_server.r4.definitions import COMPARTMENTS, RESOURCE_TYPES
from fhir_server.r4.profiles.shipped import profiles_of_resources
from fhir_server.r4.profiles.tree import BASE
from fhir_server.search.parameters import parameters

INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")
SECURITY = "http://terminology.hl7.org/CodeSystem/restful-security-service"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
NOT_APPLICABLE = {"extension": [{"url": ABSENT, "valueCode": "not-applicable"}]}
"""Nobody is sent to a page to log in. The extension oauth-uris must have `authorize` (R4's definition: 1..1) all the same."""


def capability_statement(
    base_url: str, token_url: str, started: str, operations: Sequence[Operation] = OPERATIONS
) -> dict[str, Any]:
    """What this server does; `started` is the instant since when. Custom search parameters (KNOWN) are those searchable now."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started,
        "kind": "instance",
        "software": {"name": "hie"},
        "implementation": {"description": "regional health information exchange", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json"],
        "rest": [_rest(token_url, operations)],
    }


def _rest(token_url: str, operations: Sequence[Operation]) -> dict[str, Any]:
    oauth = {
        "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
        "extension": [{"url": "token", "valueUri": token_url}, {"url": "authorize", "_valueUri": NOT_APPLICABLE}],
    }
    reverse = _reverse()
    service = {"coding": [{"system": SECURITY, "code": "SMART-on-FHIR"}], "text": "OAuth 2.0, SMART v2 scopes"}
    return {
        "mode": "server",
        "security": {"extension": [oauth], "service": [service]},
        "resource": [_resource(name, operations, reverse) for name in RESOURCE_TYPES],
        "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
        "operation": [{"name": one.name, "definition": one.definition} for one in operations if one.level == "system"],
        "compartment": [f"http://hl7.org/fhir/CompartmentDefinition/{one[0].lower()}{one[1:]}" for one in COMPARTMENTS],
    }


def _resource(name: str, operations: Sequence[Operation], reverse: Mapping[str, list[str]]) -> dict[str, Any]:
    offered = parameters(name)
    described: dict[str, Any] = {
        "type": name,
        "profile": f"{BASE}{name}",
        "supportedProfile": sorted(profiles_of_resources().get(name, ())),
        "interaction": [{"code": code} for code in INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "multiple",
        "searchInclude": ["*", *(f"{name}:{one}" for one in _references(name))],
        "searchRevInclude": ["*", *reverse[name]] if name in reverse else [],
        "searchParam": [{"name": one.name, "type": one.type} for one in offered.values()],
    }
    named = {one.name: one.definition for one in operations if one.resource_type in (name, EVERY_TYPE)}
    described |= {"operation": [{"name": one, "definition": definition} for one, definition in named.items()]}
    return {member: value for member, value in described.items() if value != []}


def _references(name: str) -> Iterable[str]:
    return (one.name for one in parameters(name).values() if one.type == "reference")


def _reverse() -> dict[str, list[str]]:
    pointing: dict[str, list[str]] = {}
    for source in RESOURCE_TYPES:
        for one in parameters(source).values():
            for target in one.targets if one.type == "reference" else ():
                pointing.setdefault(target, []).append(f"{source}:{one.name}")
    return pointing
