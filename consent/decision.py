"""May this caller see this? A function of (caller, rules, labels, now, regional default). DESIGN 4; the order of reasons:

1. Administrators see no clinical data; a patient sees other people's never. (One's own record is decided by `record`.)
2. A break-glass grant of this clinician permits everything until it ends, unless the regional default is `deny`.
3. The patient's rules that match the caller, the purpose, the time and the labels. A permit overcomes a denial
   - that is less specific: `who` is the tuple (names a practitioner, names an organization, names a purpose), `what` is
     whether it names labels; the permit must be at least as specific in both and more so in one. So an exception for
     Dr Li overcomes "nobody", but not "nobody sees my HIV data": that takes an exception that names both; or
   - that it is nested in, since FHIR calls a nested provision an exception to the one around it.
   A denial widened for a criterion that is not enforced is overcome only so: who knows whom or what it meant.
   Access is permitted if a permit matches and each matching denial is overcome by one. A denial wins ties.
4. Without a matching rule, the regional default.

Labels make a level: V is 2, R or any sensitivity label is 1, else 0. Of labels in a rule, confidentiality is a high-water
mark (R4 Consent.provision.securityLabel): a permit of R covers R and below, and a denial of R covers R *and above*, since
nobody who hides the restricted means to show the very restricted. A permit naming sensitivities covers a resource all of
whose sensitivities it names; a denial covers one with any of them. A permit without labels covers R, and V only if it names
a practitioner or an organization: nobody shares the very restricted with everyone by a general yes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from consent.caller import Caller
from consent.codes import LEVELS, NORMAL, NOTHING, PURPOSES, RESTRICTED, SENSITIVITIES, TREATMENT, VERY_RESTRICTED
from consent.rules import Rule

BREAK_GLASS = "break-glass"
GRANTS = frozenset((BREAK_GLASS, "consultation"))
"""Sources of rules that are grants of the exchange and not the patient's Consents."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A regional default: the purposes it permits, up to which level, and whether grants are honoured."""

    name: str
    purposes: frozenset[str]
    ceiling: int
    grants: bool


POLICIES = {
    policy.name: policy
    for policy in (
        Policy("permit-treatment", TREATMENT, RESTRICTED, grants=True),
        Policy("permit-except-sensitive", TREATMENT, NORMAL, grants=True),
        Policy("break-glass-only", NOTHING, NORMAL, grants=True),
        Policy("deny", NOTHING, NORMAL, grants=False),
    )
}


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is for the audit: the source of the rule that decided, `default:<policy>` or `kind:<caller kind>`."""

    permit: bool
    reason: str


Decider = Callable[[Sequence[Rule], frozenset[str]], Decision]


def decider(caller: Caller, now: int, default: Policy) -> Decider:
    """The decision for this caller at `now` (ms UTC), as a function of (rules, labels) to be asked many times."""
    if caller.kind not in ("system", "practitioner"):
        refusal = Decision(False, f"kind:{caller.kind}")
        return lambda rules, labels: refusal

    def decision(rules: Sequence[Rule], labels: frozenset[str]) -> Decision:
        level = level_of(labels)
        if not rules:
            return _by_default(default, caller.purpose, level)
        matching = [rule for rule in rules if _admits(rule, default) and _concerns(rule, caller, now)]
        consented = _broken_glass(matching) or _consented(matching, labels, level)
        return consented or _by_default(default, caller.purpose, level)

    return decision


@lru_cache(maxsize=4_096)
def level_of(labels: frozenset[str]) -> int:
    """The confidentiality of a set of labels: 2 for V, 1 for R or any sensitivity, 0 for none."""
    return max((LEVELS.get(label, RESTRICTED) for label in labels), default=NORMAL)


_DEFAULTS = {(name, permit): Decision(permit, f"default:{name}") for name in POLICIES for permit in (True, False)}


def _by_default(default: Policy, purpose: str, level: int) -> Decision:
    return _DEFAULTS[default.name, level <= default.ceiling and purpose in default.purposes]


def _admits(rule: Rule, default: Policy) -> bool:
    return default.grants or rule.source not in GRANTS


def _concerns(rule: Rule, caller: Caller, now: int) -> bool:
    """Whether a rule is about this caller, asking for this purpose, now. A system is no practitioner."""
    return (
        (not rule.practitioners or (caller.kind == "practitioner" and caller.practitioner in rule.practitioners))
        and (not rule.organizations or caller.organization in rule.organizations)
        and (not rule.purposes or _named(caller.purpose, rule.purposes, PURPOSES))
        and (rule.start is None or rule.start <= now)
        and (rule.end is None or now <= rule.end)
    )


def _broken_glass(matching: Sequence[Rule]) -> Decision | None:
    broken = any(rule.source == BREAK_GLASS and rule.practitioners for rule in matching)
    return Decision(True, BREAK_GLASS) if broken else None


def _consented(matching: Sequence[Rule], labels: frozenset[str], level: int) -> Decision | None:
    """What the rules say of these labels; None if none of them speaks of them."""
    permits = [rule for rule in matching if rule.effect == "permit" and _covers(rule, labels, level)]
    denials = [rule for rule in matching if rule.effect == "deny" and _hides(rule, labels, level)]
    standing = (denial for denial in denials if not any(_overcomes(permit, denial) for permit in permits))
    denial = next(standing, None)
    if denial:
        return Decision(False, denial.source)
    return Decision(True, permits[0].source) if permits else None


def _covers(permit: Rule, labels: frozenset[str], level: int) -> bool:
    if not permit.labels:
        return level < VERY_RESTRICTED or bool(permit.practitioners or permit.organizations)
    if any(level <= LEVELS[label] for label in permit.labels & LEVELS.keys()):
        return True
    sensitive = labels - LEVELS.keys()
    return (
        bool(sensitive) and level < VERY_RESTRICTED and all(_named(label, permit.labels, SENSITIVITIES) for label in sensitive)
    )


def _hides(denial: Rule, labels: frozenset[str], level: int) -> bool:
    return (
        not denial.labels
        or any(level >= LEVELS[label] for label in denial.labels & LEVELS.keys())
        or any(_named(label, denial.labels, SENSITIVITIES) for label in labels - LEVELS.keys())
    )


def _named(code: str, named: frozenset[str], kinds: Mapping[str, frozenset[str]]) -> bool:
    """Whether a set of codes names this one, or one that covers it."""
    return code in named or not kinds.get(code, NOTHING).isdisjoint(named)


def _overcomes(permit: Rule, denial: Rule) -> bool:
    who, above = _who(permit), _who(denial)
    what, beyond = bool(permit.labels), bool(denial.labels)
    more = (who, what) != (above, beyond) and not denial.widened
    return who >= above and what >= beyond and (more or _nested(permit.source, denial.source))


def _who(rule: Rule) -> tuple[bool, bool, bool]:
    return bool(rule.practitioners), bool(rule.organizations), bool(rule.purposes)


def _nested(inner: str, outer: str) -> bool:
    """Whether a rule stands in a provision inside the other's, or in a provision of the Consent whose policyRule it is."""
    return "#" in outer and len(inner) > len(outer) and inner.startswith(outer)
