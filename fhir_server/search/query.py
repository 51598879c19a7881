"""The parameters of a search -> Query: clauses that all must hold, and how the result is wanted (search.html#2.21.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from fhir_server.r4.errors import FhirError
from fhir_server.r4.summaries import SUMMARIES, Subset, elements
from fhir_server.search import include, values
from fhir_server.search.chains import Link, criterion, listed
from fhir_server.search.clauses import Clause, Unknown, clause, error, searched, shown
from fhir_server.search.current import current
from fhir_server.search.include import ITERATED, Include
from fhir_server.search.parameters import Parameter

Total = Literal["none", "estimate", "accurate"]

MAX_CLAUSES = 64
MAX_COUNT = 1000

_UNSORTED = frozenset({"composite", "special"})


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one resource type: all `clauses` and `links` are to hold; with `branches` a search of what they find, each
    in its own type's `sort`.

    `ignored` names, as they came, what lenient handling dropped; `count` is the page size asked for.
    """

    resource_type: str
    clauses: tuple[Clause, ...] = ()
    sort: tuple[tuple[Parameter, bool], ...] = ()
    count: int | None = None
    links: tuple[Link, ...] = ()
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    total: Total | None = None
    summary_count: bool = False
    subset: Subset | None = None
    branches: tuple["Query", ...] = ()
    ignored: tuple[str, ...] = field(default=(), compare=False)

    def ids(self) -> tuple[str, ...] | None:
        """The ids that all `_id` clauses allow, sorted; None if there is no such clause."""
        asked = [
            {value.code for value in clause.values if isinstance(value, values.Token) and value.code and not value.system}
            for clause in self.clauses
            if clause.parameter.name == "_id" and clause.modifier is None
        ]
        return tuple(sorted(set.intersection(*asked))) if asked else None


def parse(
    resource_type: str, pairs: Sequence[tuple[str, str]], *, lenient: bool = False, base_url: str = "",
    types: Sequence[str] = (),
) -> Query:  # fmt: skip
    """The Query that name-value pairs ask for; FhirError 400 names a parameter that cannot be answered, never its value.

    `lenient` (Prefer: handling=lenient) drops unknown and empty parameters into `Query.ignored`: without being asked to,
    `patient=` would find what is of everybody. `base_url` is this server's; `types`
    are all that are searched, if several.
    """
    asked = _Asked(resource_type, types or (resource_type,))
    for name, text in pairs:
        try:
            if not text:
                raise Unknown(400, "invalid", f"Search parameter {shown(name)} has an empty value: give one, or leave it out")
            if name.partition(":")[0] in _CONTROLS:
                _control(asked, name, text)
            elif isinstance(found := criterion(resource_type, name, text, base_url), Clause):
                asked.clauses.append(found)
            else:
                asked.links.append(found)
        except Unknown:
            if not lenient:
                raise
            asked.wanted["ignored"] = (*asked.wanted.get("ignored", ()), name)
    query = asked.query()
    if query.subset and query.subset.summary == "text" and (query.includes or query.revincludes):
        raise error("_summary", "is text, which takes no _include or _revinclude: ask for data")
    return query


def parse_all(
    types: Sequence[str], pairs: Sequence[tuple[str, str]], *, lenient: bool = False, base_url: str = "",
    within: Callable[[str], Sequence[Clause]] | None = None,
) -> Query:  # fmt: skip
    """The Query for resources of several types, or of those `within` a compartment: one of its clauses is to hold."""
    found = [parse(one, pairs, lenient=lenient, base_url=base_url, types=types) for one in types]
    if ignored := tuple(dict.fromkeys(name for query in found for name in query.ignored)):  # by one type, so by all
        known = [pair for pair in pairs if pair[0] not in ignored]
        found = [replace(parse(one, known, base_url=base_url, types=types), ignored=ignored) for one in types]
    first = found[0]
    _check_common(found)
    branches = found if within is None else [
        replace(query, clauses=(*query.clauses, clause)) for query in found for clause in within(query.resource_type)
    ]  # fmt: skip
    if len(branches) == 1:
        return branches[0]
    includes = tuple(dict.fromkeys(one for query in found for one in query.includes))
    revincludes = tuple(dict.fromkeys(one for query in found for one in query.revincludes))
    return replace(first, clauses=(), links=(), includes=includes, revincludes=revincludes, branches=tuple(branches))


def _check_common(queries: Sequence[Query]) -> None:
    """One order for all types: parameters of one name may still be of different kinds, as `code` and a `date` are."""
    for keys in zip(*(query.sort for query in queries), strict=True):
        if len({parameter.type for parameter, _ in keys}) > 1:
            raise error("_sort", "is by a parameter that is not of the same kind in all these types", "not-supported")


def canonical(query: Query) -> str:
    """The criteria in one normal form, the same for any order of parameters and of values, and for alias parameters."""
    return f"{query.resource_type}?{'&'.join(sorted({_criterion(query.resource_type, clause) for clause in query.clauses}))}"


def _criterion(resource_type: str, clause: Clause) -> str:
    # `patient` and `subject` differ only in what they accept, and that stands in the values.
    paths = clause.parameter.paths
    searched = "|".join(sorted(path.key if path.target else f"{resource_type}.{path.expression}" for path in paths))
    return f"{searched}:{clause.modifier or ''}={','.join(sorted({repr(value) for value in clause.values}))}"


@dataclass(slots=True)
class _Asked:
    """A Query in the making: its criteria, and its other fields as far as they are asked for."""

    resource_type: str
    types: Sequence[str]
    clauses: list[Clause] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    wanted: dict[str, Any] = field(default_factory=dict)

    def query(self) -> Query:
        if len(self.clauses) + len(self.links) > MAX_CLAUSES:
            raise FhirError(400, "too-costly", f"A search has at most {MAX_CLAUSES} criteria: split it, or leave some out")
        return Query(self.resource_type, tuple(self.clauses), links=tuple(self.links), **self.wanted)


# --- how the result is wanted --------------------------------------------------------------------------------------------


def _control(asked: _Asked, name: str, text: str) -> None:
    control, _, modifier = name.partition(":")
    if modifier and name not in ITERATED:
        raise error(name, "has a modifier that is not supported", "not-supported")
    _CONTROLS[control](asked, name, text)


def _count(asked: _Asked, name: str, text: str) -> None:
    if not (text.isascii() and text.isdigit()):
        raise error(name, "is not a whole number from 0")
    _once(asked, name, "count", min(int(text[:9]), MAX_COUNT))


def _sort(asked: _Asked, name: str, text: str) -> None:
    _once(asked, name, "sort", tuple(_sort_key(asked.resource_type, one) for one in text.split(",")))


def _sort_key(resource_type: str, text: str) -> tuple[Parameter, bool]:
    name = f"_sort={text.removeprefix('-')}"
    parameter = searched(resource_type, text.removeprefix("-"), name)
    if parameter.type in _UNSORTED or parameter.name in ("_text", "_content"):
        raise error(name, "has no order: sort by one of its components or by another parameter", "not-supported")
    return parameter, text.startswith("-")


def _total(asked: _Asked, name: str, text: str) -> None:
    if text not in ("none", "estimate", "accurate"):
        raise error(name, "is not none, estimate or accurate")
    _once(asked, name, "total", text)


def _summary(asked: _Asked, name: str, text: str) -> None:
    if text == "count":
        asked.wanted["summary_count"] = True
    elif text in SUMMARIES:
        _once(asked, name, "subset", Subset(summary=SUMMARIES[text]))
    elif text != "false":
        raise error(name, "is not true, text, data, count or false")


def _elements(asked: _Asked, name: str, text: str) -> None:
    wanted = tuple(text.removeprefix(f"{asked.resource_type}.") for text in text.split(","))
    if not elements(asked.resource_type).issuperset(wanted):
        problem = f"names what is no element of {asked.resource_type}; elements within elements are not supported"
        raise error(name, problem)
    before = asked.wanted.get("subset", Subset())
    if before.summary:
        raise error(name, "and _summary exclude each other")
    asked.wanted["subset"] = Subset(elements=(*before.elements, *wanted))


def _include(asked: _Asked, name: str, text: str) -> None:
    _add(asked, name, "includes", include.parse(name, text, asked.resource_type, asked.types))


def _revinclude(asked: _Asked, name: str, text: str) -> None:
    _add(asked, name, "revincludes", include.parse_reverse(name, text, asked.types))


def _add(asked: _Asked, name: str, attribute: str, found: Sequence[Include]) -> None:
    includes = (*asked.wanted.get(attribute, ()), *found)
    if len(includes) > MAX_CLAUSES:
        raise error(name, f"is given more than {MAX_CLAUSES} times", "too-costly")
    asked.wanted[attribute] = tuple(dict.fromkeys(includes))


def _once(asked: _Asked, name: str, attribute: str, value: Any) -> None:
    if attribute in asked.wanted:
        raise error(name, "is given more than once")
    asked.wanted[attribute] = value


def _list(asked: _Asked, name: str, text: str) -> None:
    if not text.startswith("$"):
        asked.links.append(listed(name, text))
        return
    said = current(asked.resource_type, name, text)
    asked.clauses += [clause(asked.resource_type, criterion_name, value, "") for criterion_name, value in said]


def _contained(asked: _Asked, name: str, text: str) -> None:
    """search.html#contained: false is what holds where nothing is said."""
    if text != "false":
        problem = "is supported as false only: what is contained is not searched by itself; search for what contains it"
        raise error(name, problem, "not-supported")


_CONTROLS: dict[str, Callable[[_Asked, str, str], None]] = {
    "_count": _count,
    "_sort": _sort,
    "_total": _total,
    "_summary": _summary,
    "_list": _list,
    "_contained": _contained,
    "_elements": _elements,
    "_include": _include,
    "_revinclude": _revinclude,
}
