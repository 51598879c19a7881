"""What a message says, put over what stands: a field that is absent says nothing, `""` says that there is no value (v2.5.1
2.5.3.4), and a field that repeats comes whole. Pure."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import reduce
from typing import Any, NamedTuple

from adapters.hl7v2 import codes
from fhir_server.r4 import rules

Resource = dict[str, Any]
Of = Callable[[Resource], bool]
Update = Callable[[Resource], Resource]
"""The resource as it is to be, made of the one that stands; it consumes that."""

CHOICES = ("deceased", "multipleBirth", "onset", "performed")
ADDED = {"Condition": ("category",)}  # what no field tells: it is said beside what stands
GROUPS = ("hospitalization", "period")  # of elements that fields tell of one by one


def whole(_: Resource) -> bool:
    """All items: a field that alone is for its element."""
    return True


class Said(NamedTuple):
    """A field, the element that it is for, and which of the element's items; `anywhere`: other fields have such items, too."""

    segment: str
    field: int
    element: str
    of: Of = whole
    anywhere: bool = False


def numbered(*kinds: str) -> Of:
    """Identifiers of these types (table 0203)."""
    return lambda one: any(coding.get("code") in kinds for coding in one.get("type", {}).get("coding", ()))


def used(*uses: str) -> Of:
    """Items of these uses."""
    return lambda one: one.get("use") in uses


def extending(url: str) -> Of:
    """The extensions of this URL."""
    return lambda one: one.get("url") == url


def other(of: Of) -> Of:
    """All other items."""
    return lambda one: not of(one)


def update(said: Resource, told: Collection[tuple[str, int]], fields: Iterable[Said], protection: tuple[str, int]) -> Update:
    """How a resource changes by what a message says; `told`: the fields that say anything (segment, number). What is said
    besides the `fields` takes the place of what stands. `protection`: the field that asks for it."""

    def over(stands: Resource) -> Resource:
        kept = _without_narrative(stands)
        for one in fields:
            if (one.segment, one.field) in told or (one.anywhere and any(map(one.of, said.get(one.element, ())))):
                take_away(kept, one.element, one.of)
        made = _joined(*_of_choices(said, kept)) | _meta(said, stands, protection in told)
        return _as_it_stood(_without_unused(made), stands)

    return over


def anew(said: Resource, told: Collection[tuple[str, int]], protection: tuple[str, int]) -> Update:
    """How it changes where what stands is of something else with its number: labels only stay."""
    return lambda stands: said | _meta(said, stands, protection in told)


def is_backwards(period: Resource) -> bool:
    """Whether it ends before it starts (per-1)."""
    return "end" in period and any(rules.period(period))


def elements(said: Resource, gone: Collection[str], is_protection_told: bool) -> Update:
    """How a resource changes that a segment tells of: its elements come whole, and those that are `gone` have no value.

    What was entered in error, or is, has no more than what is said.
    """

    def over(stands: Resource) -> Resource:
        meta = _meta(said, stands, is_protection_told)
        if _is_withdrawn(said) or _is_withdrawn(stands):
            return said | meta
        kept = _without_narrative(stands)
        left = (*GROUPS, *ADDED.get(said["resourceType"], ()))
        for element in (*(name for name in said if name not in left), *gone):
            take_away(kept, element)
        return _as_it_stood(_without_unused(_joined(*_of_choices(said, kept)) | meta), stands)

    return over


def one_after_another(updates: Sequence[Update]) -> Update:
    """What messages, or segments, make of a resource, in their order."""
    return lambda stands: reduce(lambda made, change: change(made), updates, stands)


def _without_narrative(stands: Resource) -> Resource:
    """It would go on telling what was."""
    return {name: value for name, value in stands.items() if name != "text"}


def _is_withdrawn(resource: Resource) -> bool:
    verified = resource.get("verificationStatus", {}).get("coding", ())
    return "entered-in-error" in (resource.get("status"), *(one.get("code") for one in verified))


def take_away(kept: Resource, element: str, of: Of = whole) -> None:
    """Take an element away, or these of its items; `a.b`: one inside another, which goes with its last."""
    first, _, rest = element.partition(".")
    for name in [name for name in kept if name.removeprefix("_") == first]:
        left: Any = None
        if rest:
            left = dict(kept[name])
            take_away(left, rest, of)
        elif isinstance(kept[name], list):
            left = [one for one in kept[name] if not of(one)]
        if left and not (rest and left.keys() == {"id"}):
            kept[name] = left
        else:
            del kept[name]


def _of_choices(said: Resource, kept: Resource) -> tuple[Resource, Resource]:
    """Of `value[x]` what is said takes the place of what stands; a mere yes, or start, does not where that tells more (when,
    which, how long)."""
    for element in CHOICES:
        told = next((name for name in said if name.startswith(element)), None)
        stands = [name for name in kept if name.removeprefix("_").startswith(element)]
        if told and any(_is_less(said[told], kept[name]) for name in stands):
            said = {name: value for name, value in said.items() if name != told}
        elif told:
            kept = {name: value for name, value in kept.items() if name not in stands}
    return said, kept


def _is_less(told: Any, stands: Any) -> bool:
    return told is True or (isinstance(stands, dict) and told == stands.get("start"))


def _joined(said: Resource, kept: Resource) -> Resource:
    """Both: of lists all items, of groups all elements, else what is said."""
    made = kept | said
    for name, value in said.items():
        if name in GROUPS:
            both = kept.get(name, {}) | value
            # What would end before it starts: a cover that is renewed, say. What stood is of another time.
            made[name] = value if is_backwards(both) else both
        elif isinstance(value, list) and name in kept:
            made[name] = [*value, *(one for one in kept[name] if one not in value)]
    return made


def _without_unused(resource: Resource) -> Resource:
    """Without what it contains and no longer refers to (dom-3)."""
    while unused := {one.element for one in rules.contained(resource)} if "contained" in resource else ():
        left = [one for place, one in enumerate(resource["contained"]) if f"contained[{place}]" not in unused]
        rest = {name: value for name, value in resource.items() if name != "contained"}
        resource = rest | ({"contained": left} if left else {})
    return resource


def _as_it_stood(made: Resource, stands: Resource) -> Resource:
    """In the order that stands, so that what changes nothing makes no version."""
    ordered = {name: made[name] for name in (*stands, *made) if name in made}
    return {name: stands[name] if _are_same(value, stands.get(name)) else value for name, value in ordered.items()}


def _are_same(one: Any, other: Any) -> bool:
    """Whether two lists have the same items, in whatever order."""
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    return all(item in other for item in one) and all(item in one for item in other)


def _meta(said: Resource, stands: Resource, is_told: bool) -> Resource:
    """Labels of others stay, and the one that asks for protection until the message says that there is none."""
    asked = said.get("meta", {}).get("security", [])
    ours = dict(zip(("system", "code"), codes.RESTRICTED, strict=True))
    stood = stands.get("meta", {})
    left: list[Any] = [one for one in stood.get("security", []) if one in asked or not (is_told and one == ours)]
    meta = stood | {"security": [*left, *(one for one in asked if one not in left)]}
    told = {name: value for name, value in meta.items() if value != []}
    return {"meta": told} if told else {}
