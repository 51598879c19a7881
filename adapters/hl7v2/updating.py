"""What a message says of a Patient, put over what stands: a field that is absent says nothing, `""` says that there is no value
(v2.5.1 2.5.3.4), and a field that repeats comes whole. Pure."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from adapters.hl7v2 import codes

Resource = dict[str, Any]
Of = Callable[[Resource], bool]
Update = Callable[[Resource], Resource]
"""The Patient as it is to be, made of the one that stands; it consumes that."""

ALIASES = frozenset(("anonymous", "maiden", "nickname", "old"))
CHOICES = frozenset(("deceased", "multipleBirth"))


class Said(NamedTuple):
    """A field, the element that it is for, and which of the element's items."""

    segment: str
    field: int
    element: str
    of: Of = lambda _: True


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
    Said("PID", 19, "identifier", _SOCIAL),
    Said("PID", 20, "identifier", _LICENCE),
    Said("PID", 5, "name", _other(_used(*ALIASES))),
    Said("PID", 9, "name", _used(*ALIASES)),
    Said("PID", 6, "extension", _about("patient-mothersMaidenName")),
    Said("PID", 7, "birthDate"),
    Said("PID", 8, "gender"),
    Said("PID", 11, "address"),
    Said("PID", 13, "telecom", _other(_used("work"))),
    Said("PID", 14, "telecom", _used("work")),
    Said("PID", 40, "telecom"),
    Said("PID", 15, "communication"),
    Said("PID", 16, "maritalStatus"),
    Said("PID", 17, "extension", _about("patient-religion")),
    Said("PID", 23, "extension", _about("patient-birthPlace")),
    *(Said("PID", number, "multipleBirth") for number in (24, 25)),
    Said("PID", 26, "extension", _about("patient-citizenship")),
    Said("PID", 28, "extension", _about("patient-nationality")),
    *(Said("PID", number, "deceased") for number in (29, 30)),
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
            if (one.segment, one.field) in told:
                _take_away(kept, one)
        return _joined(said, kept) | {"meta": _meta(said, stands, PROTECTION in told)}

    return over


def _take_away(kept: Resource, said: Said) -> None:
    for name in [name for name in kept if _is_of(name.removeprefix("_"), said.element)]:
        left = [one for one in kept[name] if not said.of(one)] if isinstance(kept[name], list) else None
        if left:
            kept[name] = left
        else:
            del kept[name]


def _is_of(name: str, element: str) -> bool:
    return name == element or (element in CHOICES and name.startswith(element))


def _joined(said: Resource, kept: Resource) -> Resource:
    """Both: of lists all items, else what was kept."""
    made = said | kept
    for name, value in said.items():
        if isinstance(value, list) and name in kept:
            made[name] = [*value, *(one for one in kept[name] if one not in value)]
    return made


def _meta(said: Resource, stands: Resource, is_told: bool) -> Resource:
    """Labels of others stay, and the one that asks for protection until the message says that there is none."""
    asked = said.get("meta", {}).get("security", [])
    ours = dict(zip(("system", "code"), codes.RESTRICTED, strict=True))
    stood: list[Any] = stands["meta"].get("security", [])
    labels = [*asked, *(one for one in stood if one not in asked and not (is_told and one == ours))]
    rest = {name: value for name, value in stands["meta"].items() if name != "security"}
    return {**rest, **({"security": labels} if labels else {})}
