"""The FHIR API as an OpenAPI 3.1 document, made of the tables that make the routes and the CapabilityStatement.

A search has a path for each type, with the parameters of that type; all else has one path with the type in it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.parameters import parameters

Described = dict[str, Any]

FHIR, FORM, JSON_PATCH = "application/fhir+json", "application/x-www-form-urlencoded", "application/json-patch+json"
TEXT: Described = {"type": "string", "minLength": 1}
PLACES: dict[str, Described] = {
    "type": {"enum": list(RESOURCE_TYPES)},
    "id": {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"},
    "version": {"type": "string", "pattern": "^[1-9][0-9]{0,8}$"},
    "inner": {"enum": ["*", *RESOURCE_TYPES]},
}
RESULT = ("_count", "_sort", "_include", "_revinclude", "_summary", "_elements", "_total")
HISTORY, CRITERIA = ("_since", "_at", "_count", "_summary"), ("_id", "identifier", "_lastUpdated")
# What the URL of a route takes, by its method and path; the others take nothing.
QUERIES: dict[tuple[str, str], Sequence[str]] = {
    ("GET", "/_history"): HISTORY,
    ("GET", "/{type}/_history"): HISTORY,
    ("GET", "/{type}/{id}/_history"): HISTORY,
    ("GET", "/{type}/{id}"): ("_summary", "_elements"),
    ("GET", "/{type}/{id}/{inner}"): RESULT,
    ("GET", "/"): ("_type", *CRITERIA, *RESULT),
    ("PUT", "/{type}"): CRITERIA,
    ("PATCH", "/{type}"): CRITERIA,
    ("DELETE", "/{type}"): CRITERIA,
}
TYPED_SEARCH = ("GET", "/{type}")
OUTCOME = {
    "default": {"description": "the resource, or an OperationOutcome", "content": {FHIR: {"schema": {"type": "object"}}}}
}


def openapi(base_url: str, routes: Iterable[tuple[str, str, Sequence[str]]]) -> Described:
    """`routes` are (method, path under the base, names of query parameters); those of QUERIES are added."""
    paths: dict[str, Described] = {}
    for method, path, query in routes:
        for place, names in _spelt(method, path, query):
            paths.setdefault(place, {})[method.lower()] = _described(method, place, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "FHIR R4 API of the exchange", "version": "4.0.1"},
        "servers": [{"url": base_url}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": SCHEMAS},
    }


def _spelt(method: str, path: str, query: Sequence[str]) -> Iterable[tuple[str, Sequence[str]]]:
    """The paths of a route, each with the names of its query parameters."""
    if (method, path) == TYPED_SEARCH:
        return ((f"/{kind}", (*parameters(kind), *RESULT)) for kind in RESOURCE_TYPES)
    return ((path or "/", (*query, *QUERIES.get((method, path), ()))),)


def _described(method: str, path: str, query: Sequence[str]) -> Described:
    names = re.findall(r"\{(\w+)\}", path)
    places = [{"name": one, "in": "path", "required": True, "schema": PLACES[one]} for one in names]
    asked = [{"name": one, "in": "query", "schema": TEXT} for one in dict.fromkeys(query)]
    made: Described = {"operationId": f"{method.lower()} {path}", "parameters": [*places, *asked], "responses": OUTCOME}
    bodies = _bodies(method, path)
    return made | ({"requestBody": {"required": True, "content": bodies}} if bodies else {})


def _bodies(method: str, path: str) -> Described:
    if method == "PATCH":
        return {JSON_PATCH: _of("JsonPatch"), FHIR: _of("Parameters")}
    if method not in ("POST", "PUT"):
        return {}
    if path.endswith("/_search"):
        return {FORM: {"schema": {"type": "object", "properties": dict.fromkeys((*CRITERIA, "_count", "_sort"), TEXT)}}}
    return {FHIR: _of("Bundle" if path == "/" else "Parameters" if "$" in path else "Resource")}


def _of(name: str) -> Described:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


_VALUE: Described = {"valueString": TEXT, "valueCode": TEXT, "valueUri": TEXT, "valueBoolean": {"type": "boolean"}}
_METHOD: Described = {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]}
SCHEMAS: dict[str, Described] = {
    "Resource": {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": list(RESOURCE_TYPES)}, "id": PLACES["id"], "meta": {"type": "object"}},
    },
    "Parameters": {
        "type": "object",
        "required": ["resourceType"],
        "properties": {
            "resourceType": {"const": "Parameters"},
            "parameter": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": TEXT, **_VALUE, "resource": {"$ref": "#/components/schemas/Resource"}},
                },
            },
        },
    },
    "JsonPatch": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["op", "path"],
            "properties": {
                "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
                "path": {"type": "string"},
                "from": {"type": "string"},
                "value": {},
            },
        },
    },
    "Bundle": {
        "type": "object",
        "required": ["resourceType", "type"],
        "properties": {
            "resourceType": {"const": "Bundle"},
            "type": {"enum": ["batch", "transaction"]},
            "entry": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["request"],
                    "properties": {
                        "fullUrl": TEXT,
                        "resource": {"$ref": "#/components/schemas/Resource"},
                        "request": {
                            "type": "object",
                            "required": ["method", "url"],
                            "properties": {"method": _METHOD, "url": TEXT, "ifMatch": TEXT, "ifNoneExist": TEXT},
                        },
                    },
                },
            },
        },
    },
}
