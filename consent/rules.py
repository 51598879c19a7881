"""An R4 Consent flattened into rules (R4 consent.html; IHE PCF). What is not enforced is read so as never to permit more.

A permit with a criterion that is not enforced is dropped; a denial with one is applied without it, so more broadly.
Every nested provision keeps its parents' criteria unless it states its own for the same element; periods intersect.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from consent.codes import NOTHING, label_of, purpose_of
from fhir_server.r4 import dates
from fhir_server.r4.references import literal

Effect = Literal["permit", "deny"]
Provision = Mapping[str, Any]
Who = tuple[frozenset[str], frozenset[str]]
_Placed = tuple[str, Effect | None, tuple[Provision, ...]]

BASES: dict[str, Effect] = {
    "OPTIN": "permit",
    "OPTINR": "permit",
    "OPTOUT": "deny",
    "OPTOUTE": "deny",
    "NOCONSENT": "deny",
    "EMRGONLY": "deny",
}
"""Consent.policyRule codes (v3-ActConsentDirective). EMRGONLY is a denial: emergencies have break-glass."""

_OPPOSITE: dict[Effect, Effect] = {"permit": "deny", "deny": "permit"}
_READING = frozenset(("access", "use", "disclose"))
# Roles of those the data come from: a permit that names one as actor does not name a recipient (v3-ParticipationType).
_SOURCES = frozenset(("AUT", "CST", "INF"))
# Actors that no system's or clinician's token can stand for: a rule about them is no rule about anyone else.
_NOT_CALLERS = frozenset(("Patient", "RelatedPerson"))
_NOT_ENFORCED = ("class", "code", "data", "dataPeriod", "modifierExtension")
_ANYONE: Who = (NOTHING, NOTHING)
# A date without a time is a day in Beijing, UTC+8, as the people who sign a consent read it.
_BEIJING = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Ids without type; an empty set is any; start and end are ms UTC, inclusive, None is open.

    `source` tells where it stands: `Consent/x#provision.provision[0]`, or `break-glass` or `consultation` for a grant.
    `widened` marks a denial that applies to more than it says, because a criterion of it is not enforced.
    """

    effect: Effect
    practitioners: frozenset[str] = NOTHING
    organizations: frozenset[str] = NOTHING
    purposes: frozenset[str] = NOTHING
    labels: frozenset[str] = NOTHING
    start: int | None = None
    end: int | None = None
    source: str = ""
    widened: bool = False


def rules(consent: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a Consent: none unless it is active and of scope patient-privacy."""
    if consent.get("status") != "active" or "patient-privacy" not in _codes(consent.get("scope")):
        return ()
    source = f"Consent/{consent.get('id', '')}#"
    found = [Rule(effect, source=source) for effect in _base(consent)]
    for path, effect, lineage in _provisions(consent):
        found += (replace(rule, source=source + path) for rule in _flat(effect, lineage))
    # A modifier may turn the whole Consent round, so nothing is permitted on its ground.
    return tuple(rule for rule in found if rule.effect == "deny" or "modifierExtension" not in consent)


def to_plain(rule: Rule) -> list[Any]:
    """A rule as JSON values, in the order of its fields."""
    sets = (rule.practitioners, rule.organizations, rule.purposes, rule.labels)
    return [rule.effect, *(sorted(members) for members in sets), rule.start, rule.end, rule.source, rule.widened]


def from_plain(plain: list[Any]) -> Rule:
    """The rule that `to_plain` wrote."""
    effect, practitioners, organizations, purposes, labels, *rest = plain
    return Rule(effect, frozenset(practitioners), frozenset(organizations), frozenset(purposes), frozenset(labels), *rest)


def _base(consent: Mapping[str, Any]) -> Iterator[Effect]:
    """The policyRule's effect on everybody. A typed root permit says itself how far an opt-in goes."""
    effect = _base_effect(consent)
    if effect and not (effect == "permit" and consent.get("provision", {}).get("type") == "permit"):
        yield effect


def _base_effect(consent: Mapping[str, Any]) -> Effect | None:
    """A denial wins where policyRule has several codes."""
    effects = {BASES[code] for code in _codes(consent.get("policyRule")) if code in BASES}
    return "deny" if "deny" in effects else "permit" if effects else None


def _provisions(consent: Mapping[str, Any]) -> Iterator[_Placed]:
    """(path, effect, provisions from the root to this one) of each provision; effect None where it only holds others."""
    root = consent.get("provision")
    stack: list[_Placed] = [("provision", _root_effect(consent, root), (root,))] if root else []
    while stack:
        path, effect, lineage = stack.pop()
        yield path, effect, lineage
        for index, nested in enumerate(lineage[-1].get("provision", ())):
            # R4 requires a type here; without one the safe reading is a denial.
            stack.append((f"{path}.provision[{index}]", _typed(nested), (*lineage, nested)))


def _root_effect(consent: Mapping[str, Any], root: Provision) -> Effect | None:
    """A root without a type is an exception to policyRule (R4), or mere brackets around nested rules; in doubt a denial."""
    if "type" in root:
        return _typed(root)
    base = _base_effect(consent)
    states = root.keys() - {"id", "extension", "provision"}
    if base:
        return _OPPOSITE[base] if states else None
    return None if "provision" in root else "deny"


def _typed(provision: Provision) -> Effect:
    return "permit" if provision.get("type") == "permit" else "deny"


def _flat(effect: Effect | None, lineage: tuple[Provision, ...]) -> Iterator[Rule]:
    stated = {element: value for provision in lineage for element, value in provision.items()}
    if effect is None or (effect == "permit" and _has_unread(stated)):
        return
    purposes = _criterion(effect, stated, "purpose", purpose_of)
    labels = _criterion(effect, stated, "securityLabel", label_of)
    period = _period(effect, [provision["period"] for provision in lineage if "period" in provision])
    if purposes is None or labels is None or period is None:
        return
    widened = effect == "deny" and any(map(_has_gaps, lineage))
    for practitioners, organizations in _who(effect, lineage):
        yield Rule(effect, practitioners, organizations, purposes, labels, *period, widened=widened)


def _criterion(
    effect: Effect, stated: Provision, element: str, read: Callable[[Mapping[str, Any]], str | None]
) -> frozenset[str] | None:
    """The codes of a criterion that lists alternatives; empty for any, None if the rule can never apply."""
    codings = stated.get(element, ())
    known = frozenset(code for coding in codings if (code := read(coding)))
    return _safe(effect, known, stated=bool(codings), doubtful=any(read(coding) is None for coding in codings))


def _safe(effect: Effect, known: frozenset[str], stated: bool, doubtful: bool) -> frozenset[str] | None:
    """A denial with an unknown alternative applies to any, a permit only to the known ones."""
    if not stated or (doubtful and effect == "deny"):
        return NOTHING
    return known or None


def _who(effect: Effect, lineage: Iterable[Provision]) -> set[Who]:
    """The alternatives of (practitioners, organizations): a nested actor of the same kind replaces its parent's."""
    found = {_ANYONE}
    for provision in lineage:
        own = _actors(effect, provision)
        found = {(p or above_p, o or above_o) for above_p, above_o in found for p, o in own}
    return found


def _actors(effect: Effect, provision: Provision) -> list[Who]:
    actors = provision.get("actor", ())
    named = [(kind, id_) for actor in actors if (found := _enforced_actor(actor)) for kind, id_ in (found,)]
    if not actors or (effect == "deny" and any(_enforced_actor(actor) is None for actor in actors)):
        return [_ANYONE]
    practitioners = frozenset(id_ for kind, id_ in named if kind == "Practitioner")
    organizations = frozenset(id_ for kind, id_ in named if kind == "Organization")
    return [who for who in ((practitioners, NOTHING), (NOTHING, organizations)) if who != _ANYONE]


def _enforced_actor(actor: Mapping[str, Any]) -> tuple[str, str] | None:
    """(type, id) of an actor whose meaning is known; None for groups, devices, absolute references, sources of the data."""
    found = literal(actor.get("reference", {}).get("reference", ""))
    if found is None or "modifierExtension" in actor or _SOURCES & set(_codes(actor.get("role"))):
        return None
    return found if found[0] in {"Practitioner", "Organization"} | _NOT_CALLERS else None


def _period(effect: Effect, periods: Sequence[Mapping[str, Any]]) -> tuple[int | None, int | None] | None:
    """The intersection (start, end); None if it is empty, or not a period and so no ground for a permit."""
    try:
        starts = [_bound(period["start"], 0) for period in periods if "start" in period]
        ends = [_bound(period["end"], 1) for period in periods if "end" in period]
    except ValueError:
        return (None, None) if effect == "deny" else None
    start, end = max(starts, default=None), min(ends, default=None)
    return None if start is not None and end is not None and start > end else (start, end)


def _bound(text: str, side: int) -> int:
    return dates.interval(text)[side] - (0 if "T" in text else _BEIJING)


def _has_gaps(provision: Provision) -> bool:
    """Whether something in one provision is not enforced, or only in part."""
    lists = {"purpose": purpose_of, "securityLabel": label_of, "actor": _enforced_actor}
    doubtful = (read(member) is None for name, read in lists.items() for member in provision.get(name, ()))
    return _has_unread(provision) or any(doubtful)


def _has_unread(stated: Provision) -> bool:
    """Whether it has criteria that are not enforced at all. Actions are, where they allow or forbid reading."""
    actions = stated.get("action", ())
    is_no_reading = bool(actions) and not any(_READING & set(_codes(action)) for action in actions)
    return is_no_reading or any(element in stated for element in _NOT_ENFORCED)


def _codes(concept: Mapping[str, Any] | None) -> list[str]:
    return [coding["code"] for coding in (concept or {}).get("coding", ()) if "code" in coding]
