"""What a message says of a Patient, put over what stands: a field that is absent says nothing, `""` says that there is no value
(v2.5.1 2.5.3.4), and a field that repeats comes whole. Pure."""

from collections.abc import Callable, Collection, Sequence
from functools import reduce
from typing import Any, NamedTuple

from adapters.hl7v2 import codes
from fhir_server.r4 import rules

Resource = dict[str, Any]
Of = Callable[[Resource], bool]
Update = Callable[[Resource], Resource]
"""The Patient as it is to be, made of the one that stands; it consumes that."""

ALIASES = frozenset(("anonymous", "maiden", "nickname", "old"))
CHOICES = ("deceased", "multipleBirth")


class Said(NamedTuple):
    """A field, the element that it is for, and which of the element's items; `anywhere`: other fields have such items, too."""

    segment: str
    field: int
    element: str
    of: Of = lambda _: True
    anywhere: bool = False


def _numbered(*kinds: str) -> Of:
    """Identifiers of these types (table 0203)."""
    return lambda one: any(coding.get("code") in kinds for coding in one.get("type", {}).get("coding", ()))


def _used(*uses: str) -> Of:
    return lambda one: one.get("use") in uses


def _other(of: Of) -> Of:
    return lambda one: not of(one)


def _about(name: str) -> Of:
    """The extension of this name."""
    return lambda one: one.get("url") == f"{codes.FHIR_EXTENSION}{name}"


_SOCIAL, _LICENCE, _OWN = _numbered("SB"), _numbered("DL"), _other(_numbered("SB", "DL"))
SAID = (
    *(Said("PID", number, "identifier", _OWN) for number in (2, 3, 4)),
    Said("PID", 19, "identifier", _SOCIAL, True),
    Said("PID", 20, "identifier", _LICENCE, True),
    Said("PID", 5, "name", _other(_used(*ALIASES))),
    Said("PID", 9, "name", _used(*ALIASES), True),
    Said("PID", 6, "extension", _about("patient-mothersMaidenName")),
    Said("PID", 7, "birthDate"),
    Said("PID", 8, "gender"),
    Said("PID", 11, "address"),
    Said("PID", 12, "address", lambda one: one.keys() == {"district"}, True),
    Said("PID", 13, "telecom", _other(_used("work"))),
    Said("PID", 14, "telecom", _used("work"), True),
    Said("PID", 40, "telecom"),
    Said("PID", 15, "communication"),
    Said("PID", 16, "maritalStatus"),
    Said("PID", 17, "extension", _about("patient-religion")),
    Said("PID", 23, "extension", _about("patient-birthPlace")),
    Said("PID", 24, "multipleBirthBoolean"),
    Said("PID", 25, "multipleBirthInteger"),
    Said("PID", 26, "extension", _about("patient-citizenship")),
    Said("PID", 28, "extension", _about("patient-nationality")),
    Said("PID", 29, "deceasedDateTime"),
    Said("PID", 30, "deceasedBoolean"),
    *(Said("PD1", number, "generalPractitioner") for number in (3, 4)),
    Said("PD1", 6, "extension", _about("patient-disability")),
    Said("PD1", 14, "extension", _about("patient-congregation")),
)
PROTECTION = ("PD1", 12)


def update(said: Resource, told: Collection[tuple[str, int]]) -> Update:
    """How a Patient changes by what a message says; `told`: the fields that say anything (segment, number)."""

    def over(stands: Resource) -> Resource:
        kept = {name: value for name, value in stands.items() if name != "text"}  # which would go on telling what was
        for one in SAID:
            if (one.segment, one.field) in told or (one.anywhere and any(map(one.of, said.get(one.element, ())))):
                _take_away(kept, one)
        made = _joined(*_of_choices(said, kept)) | {"meta": _meta(said, stands, PROTECTION in told)}
        return _as_it_stood(_without_unused(made), stands)

    return over


def one_after_another(updates: Sequence[Update]) -> Update:
    """What messages make of a Patient, in their order."""
    return lambda stands: reduce(lambda patient, change: change(patient), updates, stands)


def _take_away(kept: Resource, said: Said) -> None:
    for name in [name for name in kept if name.removeprefix("_") == said.element]:
        left = [one for one in kept[name] if not said.of(one)] if isinstance(kept[name], list) else None
        if left:
            kept[name] = left
        else:
            del kept[name]


def _of_choices(said: Resource, kept: Resource) -> tuple[Resource, Resource]:
    """Of `value[x]` what is said takes the place of what stands; a mere yes does not, where that tells more (when, which)."""
    for element in CHOICES:
        told = next((name for name in said if name.startswith(element)), None)
        stands = [name for name in kept if name.removeprefix("_").startswith(element)]
        if told and stands and said[told] is True:
            said = {name: value for name, value in said.items() if name != told}
        elif told:
            kept = {name: value for name, value in kept.items() if name not in stands}
    return said, kept


def _joined(said: Resource, kept: Resource) -> Resource:
    """Both: of lists all items, else what was kept."""
    made = said | kept
    for name, value in said.items():
        if isinstance(value, list) and name in kept:
            made[name] = [*value, *(one for one in kept[name] if one not in value)]
    return made


def _without_unused(patient: Resource) -> Resource:
    """Without what it contains and no longer refers to (dom-3)."""
    while unused := {one.element for one in rules.contained(patient)} if "contained" in patient else ():
        left = [one for place, one in enumerate(patient["contained"]) if f"contained[{place}]" not in unused]
        rest = {name: value for name, value in patient.items() if name != "contained"}
        patient = rest | ({"contained": left} if left else {})
    return patient


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
    stood: list[Any] = [one for one in stands["meta"].get("security", []) if one in asked or not (is_told and one == ours)]
    labels = [*stood, *(one for one in asked if one not in stood)]
    meta = stands["meta"] | {"security": labels}
    return {name: value for name, value in meta.items() if value != []}
