"""The search parameters of each resource type: the official table, with what the index holds for each path of each."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath import syntax

# Dates that help to identify a person are indexed as terms of year, month and day, never as ordered values (DESIGN 3).
_IDENTIFYING = frozenset(
    {"Patient.birthDate", "Patient.deceased.ofType(dateTime)", "Person.birthDate", "RelatedPerson.birthDate"}
)

# The store knows a resource by its id and keeps lastUpdated as a stamp; neither has entries here.
_STAMPED = frozenset({"id", "meta.lastUpdated"})
# What is only compared with bodies: free text (its terms would tell too much), and places (there are few).
_UNINDEXED = frozenset({"xhtml", "Content", "Location.position"})

# Datatypes made of strings: the prefixes of the whole are those of its parts.
_OF_STRINGS = frozenset({"HumanName", "Address"})


@dataclass(frozen=True, slots=True)
class Path:
    """One path of a parameter. Paths that parameters share are indexed once, under `key`.

    `key` is "" for what the store keeps as a stamp. `exact` says that entries under the key decide whether this path matches;
    otherwise they only give candidates. `target` narrows references to those of one resource type; `days`: a date that is
    indexed as terms of year, month and day.
    """

    expression: str
    datatype: str
    system: str | None
    key: str
    indexed: bool
    exact: bool
    target: str | None
    days: bool
    extract: Callable[[dict[str, Any]], list[Any]] = field(compare=False, repr=False)
    of_resource: bool = False  # of a component: it starts from the resource, not from the repetition


# What `:identifier` compares with.
IDENTIFIED = Path("identifier", "Identifier", None, "", False, False, None, False, lambda reference: [reference["identifier"]])


@dataclass(frozen=True, slots=True)
class Repetition:
    """Elements of which each is to have all components of a composite parameter; paths of components start from it."""

    extract: Callable[[dict[str, Any]], list[Any]] = field(compare=False, repr=False)
    components: tuple[tuple[Path, ...], ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A search parameter of one resource type; `targets` are the resource types a reference may point at."""

    name: str
    type: str
    targets: tuple[str, ...]
    paths: tuple[Path, ...]
    components: tuple["Parameter", ...] = ()  # of a composite: each as a parameter of the whole resource
    repetitions: tuple[Repetition, ...] = ()
    origin: str = ""  # of a custom one (custom.py): which definition made it, in force since which generation

    def __hash__(self) -> int:
        return hash((self.name, self.origin))  # of the same as all fields, in a fraction of the time

    def extract(self, resource: dict[str, Any]) -> list[Any]:
        """The elements of a parsed resource that this parameter searches."""
        return [value for path in self.paths for value in path.extract(resource)]


def is_canonical(parameter: Parameter) -> bool:
    """Whether the parameter may refer by canonical url (references.html#canonical)."""
    return any(path.datatype == "canonical" for path in parameter.paths)


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """The custom parameters in force, as one generation of them: by resource type, for the types that have any.

    `offered`: what can be searched, the standard included; `pending`: names that are being indexed; `entries`: the paths that
    a write makes entries of, those of pending ones included, with the type of the parameter.
    """

    generation: int = 0
    offered: Mapping[str, Mapping[str, Parameter]] = field(default_factory=dict)
    pending: Mapping[str, frozenset[str]] = field(default_factory=dict)
    entries: Mapping[str, tuple[tuple[str, Path], ...]] = field(default_factory=dict)


STANDARD_ONLY = Known()
KNOWN: ContextVar[Known] = ContextVar("custom search parameters", default=STANDARD_ONLY)
"""What the request or transaction at hand goes by, from its begin to its end (docs/decisions/0031)."""


@cache
def resource_types() -> tuple[str, ...]:
    """All concrete resource types of R4."""
    return tuple(name for name in _table() if name != "Resource")


def parameters(resource_type: str) -> Mapping[str, Parameter]:
    """What can be searched on a resource type, by name; empty for a type that R4 does not have."""
    return KNOWN.get().offered.get(resource_type) or standard(resource_type)


def pending(resource_type: str) -> frozenset[str]:
    """Names of custom parameters that are not searchable yet: not everything is indexed."""
    return KNOWN.get().pending.get(resource_type, frozenset())


@cache
def standard(resource_type: str) -> Mapping[str, Parameter]:
    """R4's own parameters of a resource type."""
    offered = {name: entry for name, entry in _entries(resource_type).items() if "paths" in entry or "components" in entry}
    plain = {name: entry for name, entry in offered.items() if "paths" in entry}
    written = {(entry["type"], path[0]): path[1] for entry in plain.values() for path in entry["paths"]}
    made = {name: _parameter(resource_type, name, entry, written) for name, entry in plain.items()}
    composites = {name: _composite(resource_type, name, entry, written) for name, entry in offered.items() if name not in plain}
    return MappingProxyType({name: (made | composites)[name] for name in offered})


@cache
def versioned(resource_type: str) -> Parameter | None:
    """What `url=[url]|[version]` searches: both of the resource itself; None for a type that has no versions."""
    known = standard(resource_type)
    if not known.keys() >= {"url", "version"}:
        return None
    both = known["url"], known["version"]
    whole = Repetition(lambda resource: [resource], (both[0].paths, both[1].paths))
    return Parameter("url", "composite", (), (), both, (whole,))


def unsupported(resource_type: str) -> frozenset[str]:
    """Names of official parameters that are not offered on this type."""
    return frozenset(name for name, entry in _entries(resource_type).items() if not entry.keys() & {"paths", "components"})


def official(name: str) -> Parameter | None:
    """R4's own parameter by the id of its definition, such as `clinical-code`; None where it is not offered."""
    resource_type, code = _named().get(name, ("", ""))
    return standard(resource_type).get(code)


def paths(resource_type: str) -> Iterator[tuple[str, Path]]:
    """Each path of the standard that has entries of its own, once, with the type of the parameters that search it."""
    found = {(p.type, path.key): path for p in standard(resource_type).values() for path in p.paths if path.indexed}
    return ((kind, path) for (kind, _), path in found.items())


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("fhir_server.r4").joinpath("tables", "search.json").read_text("utf-8"))
    return table


@cache
def _named() -> dict[str, tuple[str, str]]:
    """Id of a definition -> a type that has the parameter, and its code there; those of all types by one of these."""
    return {
        entry["id"]: ("Basic" if kind == "Resource" else kind, code)
        for kind, entries in _table().items()
        for code, entry in entries.items()
    }


def _entries(resource_type: str) -> dict[str, Any]:
    table = _table()
    return {**table["Resource"], **table[resource_type]} if resource_type in table else {}


def _parameter(resource_type: str, name: str, entry: dict[str, Any], written: Mapping[tuple[str, str], str]) -> Parameter:
    found = tuple(_path(resource_type, entry["type"], *path, written=written) for path in entry["paths"])
    return Parameter(name, entry["type"], _targets(entry.get("targets", ()), found), found)


def _composite(resource_type: str, name: str, entry: dict[str, Any], written: Mapping[tuple[str, str], str]) -> Parameter:
    repetitions = tuple(
        Repetition(
            fhirpath.compile(base, resource_type),
            tuple(tuple(_relative(resource_type, *path) for path in paths) for paths in components),
        )
        for base, components in entry["repetitions"]
    )
    components = tuple(
        _component(resource_type, at, one, entry["repetitions"], written) for at, one in enumerate(entry["components"])
    )
    return Parameter(name, "composite", (), (), components, repetitions)


def _component(
    resource_type: str, at: int, entry: dict[str, Any], repetitions: list[Any], written: Mapping[tuple[str, str], str]
) -> Parameter:
    """What a component searches in the whole resource, so that the index gives candidates."""
    absolute = [
        [joined("$this" if of_resource else base, path), *rest]
        for base, components in repetitions
        for path, of_resource, *rest in components[at]
    ]
    known = [path for path in absolute if (entry["type"], path[0]) in written]
    paths = known if len(known) == len(absolute) else []
    return _parameter(resource_type, entry["name"], {**entry, "paths": paths}, written)


def joined(base: str, path: str) -> str:
    """A path from the resource, of one to a repetition and one from there."""
    return path if base == "$this" else base if path == "$this" else f"{base}.{path}"


def _relative(resource_type: str, expression: str, of_resource: bool, datatype: str, system: str | None = None) -> Path:
    extract = fhirpath.compile(expression, resource_type)
    return Path(expression, datatype, system, "", False, False, None, False, extract, of_resource)


def _targets(official: Sequence[str], found: tuple[Path, ...]) -> tuple[str, ...]:
    """The official list is of all types that a parameter may have on any base; the expression of `patient` says Patient."""
    narrowed = tuple(dict.fromkeys(path.target for path in found if path.target))
    if narrowed and all(path.target for path in found):
        return narrowed
    return resource_types() if "Resource" in official else tuple(official)


def _path(
    resource_type: str, kind: str, expression: str, datatype: str, system: str | None = None, *,
    written: Mapping[tuple[str, str], str],
) -> Path:  # fmt: skip
    node = syntax.parse(expression, resource_type)
    covering = _covering(kind, node, written)
    target = target_of(node)
    key = "" if expression in _STAMPED or datatype in _UNINDEXED else f"{resource_type}.{covering or expression}"
    return Path(
        expression=expression,
        datatype=datatype,
        system=system,
        key=key,
        indexed=bool(key) and not covering,
        exact=not covering or target is not None,
        target=target,
        days=key in _IDENTIFYING,
        extract=fhirpath.compile(expression, resource_type),
    )


def _covering(kind: str, node: syntax.Node, written: Mapping[tuple[str, str], str]) -> str | None:
    """The wider path whose entries include this one's: `subject` for `subject.where(...)`, `name` for `name.family`."""
    if node[0] not in ("call", "child"):
        return None
    wider = syntax.write(node[1])
    datatype = written.get((kind, wider))
    covers = datatype is not None and (node[2] == "where" if node[0] == "call" else datatype in _OF_STRINGS)
    return wider if covers else None


def target_of(node: syntax.Node) -> str | None:
    """T of `where(resolve() is T)`."""
    match node:
        case ("call", _, "where", (("op", "is", _, ("type", name)),)):
            return str(name)
    return None
