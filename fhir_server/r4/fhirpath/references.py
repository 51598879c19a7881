"""resolve() without fetching anything: what a reference points at, as far as the resource itself tells (R4 fhirpath.html)."""

import re
from typing import Any

from fhir_server.r4.elements import is_resource
from fhir_server.r4.fhirpath.environment import Environment
from fhir_server.r4.fhirpath.values import Element, Values

_TYPED = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}(?:/_history/[A-Za-z0-9.-]{1,64})?$")


def reference_type(reference: dict[str, Any]) -> str | None:
    """The resource type a Reference points at: of its literal reference, else its `type`; None if neither tells."""
    found = _TYPED.search(reference.get("reference") or "")
    return found[1] if found else reference.get("type")


def resolve(environment: Environment, values: Values) -> Values:
    """A contained resource as it is; of any other only its type is known. What does not even tell that is left out."""
    return [found for item in values if item.__class__ is Element for found in _resolved(environment, item)]


def _resolved(environment: Environment, item: Element) -> Values:
    reference = item.value if type(item.value) is dict else {"reference": item.value}
    literal = reference.get("reference")
    if type(literal) is str and literal.startswith("#"):
        return _contained(environment.root or environment.resource, literal[1:])
    kind = reference_type(reference) if literal is None or type(literal) is str else None
    return [Element({"resourceType": kind}, kind)] if kind and is_resource(kind) else []


def _contained(root: Element | None, identifier: str) -> Values:
    if root is None:
        return []
    if not identifier:
        return [root]
    found = (one for one in root.value.get("contained", ()) if type(one) is dict and one.get("id") == identifier)
    return [Element(one, one.get("resourceType", "")) for one in found]
