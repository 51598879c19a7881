"""The codes in which consent is given and data are labelled, from tables/codes.toml (R4 security-labels.html)."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

NORMAL, RESTRICTED, VERY_RESTRICTED = 0, 1, 2
NOTHING: frozenset[str] = frozenset()


def table(name: str) -> dict[str, Any]:
    """A shipped TOML table of this package."""
    return tomllib.loads((files("consent") / "tables" / name).read_text(encoding="utf-8"))


def _ancestries(kinds: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """code -> itself and every code that covers it, of a table `code = [codes it covers]`."""
    return {code: frozenset(_ancestors(code, kinds)) for code in {*kinds, *(kind for row in kinds.values() for kind in row)}}


def _ancestors(code: str, kinds: Mapping[str, Iterable[str]]) -> set[str]:
    return {code}.union(*(_ancestors(parent, kinds) for parent, row in kinds.items() if code in row))


def _label_codings(codes: Mapping[str, Any]) -> dict[tuple[str | None, str], str]:
    """(system, code) -> label. A coding without a system is read as either system: a label is never lost for want of one."""
    own = {code: code for code in codes["levels"]}
    sensitivities = {code: code for code in SENSITIVITIES}
    spoken = {
        "confidentiality": codes["confidentiality_synonyms"] | own,
        "sensitivity": sensitivities,
    }
    named = {
        (system, code): label
        for kind, labels in spoken.items()
        for system in codes["systems"][kind]
        for code, label in labels.items()
    }
    return named | {(None, code): label for code, label in (spoken["confidentiality"] | spoken["sensitivity"]).items()}


_CODES = table("codes.toml")

PURPOSES = _ancestries(_CODES["purposes"])
"""Purpose of use -> itself and the purposes it is a kind of."""
TREATMENT = frozenset(code for code, kinds in PURPOSES.items() if code == "TREAT" or kinds & {"COC", "ETREAT"})
"""Purposes that are the care of this patient: TREAT, its coordination, emergencies; not trials, not populations."""
SENSITIVITIES = _ancestries(_CODES["sensitivities"])
"""Sensitivity label -> itself and the labels that cover it."""
LEVELS: dict[str, int] = _CODES["levels"]
"""Confidentiality code -> its place on the scale: -1 below normal, 0 N, 1 R, 2 V."""

_PURPOSE_SYSTEMS = frozenset((*_CODES["systems"]["purpose"], None))
_LABELS = _label_codings(_CODES)


def purpose_of(coding: Mapping[str, Any]) -> str | None:
    """The purpose of use a coding stands for; None if it is no code of v3-PurposeOfUse."""
    code = coding.get("code")
    return code if code in PURPOSES and coding.get("system") in _PURPOSE_SYSTEMS else None


def coding_of(label: str) -> dict[str, str]:
    """A label as a Coding of meta.security."""
    (system, *_) = _CODES["systems"]["confidentiality" if label in LEVELS else "sensitivity"]
    return {"system": system, "code": label}


def label_of(coding: Mapping[str, Any]) -> str | None:
    """The confidentiality or sensitivity label a coding stands for; None if it is neither."""
    return _LABELS.get((coding.get("system"), coding.get("code", "")))
