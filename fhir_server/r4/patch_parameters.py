"""Reading a FHIRPath Patch (R4 fhirpatch.html): a Parameters resource -> operations. Applying them: patch_fhirpath.py."""

from dataclasses import dataclass
from typing import Any

from fhir_server.r4.errors import FhirError
from fhir_server.r4.fhirpath import FhirPathError
from fhir_server.r4.fhirpath.syntax import Node, parse
from fhir_server.r4.patch_json import MAX_OPERATIONS

# What a path may be made of: it selects, it does not compute (fhirpatch.html: paths to elements).
_KINDS = frozenset(("this", "child", "index", "as", "call", "literal", "op", "type"))
_CALLS = frozenset((
    "where", "first", "last", "tail", "skip", "take", "single", "extension", "hasExtension", "exists", "empty", "not", "count",
    "startsWith", "endsWith", "contains", "hasValue",
))  # fmt: skip

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One operation; `value` is the part that carries the value."""

    number: int
    type: str
    path: Node
    name: str = ""
    value: Json | None = None
    index: int = 0
    source: int = 0
    destination: int = 0


def changes(parameters: Any) -> list[Change]:
    """The operations of a FHIRPath Patch; FhirError 400 if it is none."""
    found = parameters.get("parameter", []) if type(parameters) is dict else None
    if type(found) is not list or parameters.get("resourceType") != "Parameters":
        raise FhirError(400, "structure", "a FHIRPath Patch is a Parameters resource (fhirpatch.html)")
    if len(found) > MAX_OPERATIONS:
        raise FhirError(400, "too-long", f"a patch has at most {MAX_OPERATIONS} operations")
    return [_change(number, one) for number, one in enumerate(found)]


def _change(number: int, parameter: Any) -> Change:
    named = {part["name"]: part for part in parts(parameter)}
    kind = _primitive(named, "type", str)
    if not isinstance(parameter, dict) or parameter.get("name") != "operation" or kind not in _NEEDS:
        raise _malformed(number, f"must be named `operation` and have a part `type`: {', '.join(_NEEDS)}")
    read = {name: _primitive(named, name, accepted) for name, accepted in _NEEDS[kind].items()}
    missing = [name for name, value in read.items() if value is None]
    if missing:
        raise _malformed(number, f"`{kind}` needs a part `{missing[0]}`")
    try:
        path = parse(read.pop("path"))
    except FhirPathError as error:
        raise _malformed(number, f"`path`: {error}") from None
    if not _selects(path):
        raise _malformed(number, "`path` may only select elements: names, indexes, where(), ofType(), extension() and the like")
    return Change(number, kind, path, **read)


def parts(parameter: Any) -> list[Json]:
    """The parts of a parameter or part, each with a name."""
    found = parameter.get("part") if isinstance(parameter, dict) else None
    return [part for part in found or () if isinstance(part, dict) and type(part.get("name")) is str]


def _primitive(named: dict[str, Json], name: str, accepted: type) -> Any:
    part = named.get(name, {})
    if accepted is dict:
        return part or None
    value = next((value for key, value in part.items() if key.startswith("value")), None)
    return value if type(value) is accepted and not (type(value) is int and value < 0) else None


_NEEDS: dict[str, dict[str, type]] = {
    "add": {"path": str, "name": str, "value": dict},
    "insert": {"path": str, "value": dict, "index": int},
    "delete": {"path": str},
    "replace": {"path": str, "value": dict},
    "move": {"path": str, "source": int, "destination": int},
}


def _selects(path: Node) -> bool:
    stack = [path]
    while stack:
        node = stack.pop()
        if node[0] not in _KINDS or (node[0] == "call" and node[2] not in _CALLS):
            return False
        if node[0] != "literal":
            operands = (node[1], *node[3]) if node[0] == "call" else node[1:]
            stack += [part for part in operands if type(part) is tuple]
    return True


def _malformed(number: int, problem: str) -> FhirError:
    return FhirError(400, "structure", problem, f"Parameters.parameter[{number}]")
