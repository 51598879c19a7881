"""consent.decision: who may see what (DESIGN 4; IHE PCF)."""

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.caller import Caller
from consent.codes import LEVELS
from consent.decision import POLICIES, Decision, decider
from consent.rules import Rule, rules
from fhir_server.r4.dates import interval
from tests.consent.build import caller, consent, provision, system
from tests.fixtures import FIXTURES

NOW = interval("2024-06-01T00:00:00.000Z")[0]
NONE: frozenset[str] = frozenset()


def permitted(
    who: Caller, found: tuple[Rule, ...] = (), labels: str = "", default: str = "break-glass-only", now: int = NOW
) -> bool:
    return decider(who, now, POLICIES[default])(found, frozenset(labels.split())).permit


DEFAULTS = [
    # default                   purpose    normal restricted very
    ("permit-treatment", "TREAT", (True, True, False)),
    ("permit-treatment", "ETREAT", (True, True, False)),
    ("permit-treatment", "COC", (True, True, False)),
    ("permit-treatment", "HRESCH", (False, False, False)),
    ("permit-treatment", "CLINTRL", (False, False, False)),
    ("permit-treatment", "POPHLTH", (False, False, False)),
    ("permit-treatment", "unheard-of", (False, False, False)),
    ("permit-except-sensitive", "TREAT", (True, False, False)),
    ("permit-except-sensitive", "HPAYMT", (False, False, False)),
    ("break-glass-only", "TREAT", (False, False, False)),
    ("deny", "TREAT", (False, False, False)),
]


@pytest.mark.parametrize(("default", "purpose", "expected"), DEFAULTS)
def test_regional_defaults(default: str, purpose: str, expected: tuple[bool, ...]) -> None:
    """DESIGN 4: without a rule the regional default decides, for systems and practitioners alike."""
    for who in (caller(purpose=purpose), system(purpose=purpose)):
        assert tuple(permitted(who, labels=labels, default=default) for labels in ("", "PSY", "V")) == expected
        assert permitted(who, labels="R", default=default) == expected[1]


@pytest.mark.parametrize("kind", ["admin", "patient"])
@pytest.mark.parametrize("default", POLICIES)
def test_admins_and_other_patients_see_nothing(kind: Any, default: str) -> None:
    who = Caller("x", kind, "north", "li", "p")
    rule = Rule("permit", frozenset(("li",)), source="break-glass")
    assert decider(who, NOW, POLICIES[default])((rule, Rule("permit")), NONE) == Decision(False, f"kind:{kind}")


LI, NORTH = frozenset(("li",)), frozenset(("north",))
P, D = "permit", "deny"


def rule(effect: Any, who: str = "", labels: str = "", **more: Any) -> Rule:
    """`who`: l names practitioner li, n organization north, t purpose TREAT."""
    return Rule(
        effect,
        LI if "l" in who else NONE,
        NORTH if "n" in who else NONE,
        frozenset(("TREAT",)) if "t" in who else NONE,
        frozenset(labels.split()),
        **more,
    )


CASES = [
    # rules, labels of the resource, permitted to Dr li of north for TREAT
    ("a blanket permit covers the restricted", [rule(P)], "R PSY", True),
    ("but not the very restricted", [rule(P)], "V", False),
    ("a permit naming the doctor does", [rule(P, "l")], "V HIV", True),
    ("a permit naming the hospital does", [rule(P, "n")], "V", True),
    ("denial wins ties: everybody", [rule(P), rule(D)], "", False),
    ("denial wins ties: the doctor", [rule(P, "l"), rule(D, "l")], "", False),
    ("doctor over hospital", [rule(P, "l"), rule(D, "n")], "", True),
    ("hospital over everybody", [rule(P, "n"), rule(D)], "", True),
    ("hospital over purpose", [rule(P, "n"), rule(D, "t")], "", True),
    ("purpose over none", [rule(P, "t"), rule(D)], "", True),
    ("doctor at a hospital over doctor", [rule(P, "ln"), rule(D, "l")], "", True),
    ("denied doctor in a permitted hospital", [rule(P, "n"), rule(D, "l")], "", False),
    ("what is hidden from all stays hidden from the doctor", [rule(P, "l"), rule(D, "", "HIV")], "HIV", False),
    ("unless the permit names it too", [rule(P, "l", "HIV"), rule(D, "", "HIV")], "HIV", True),
    ("and the rest is open to the doctor", [rule(P, "l"), rule(D, "", "HIV")], "PSY", True),
    ("a denied doctor is not let in by labels", [rule(P, "", "PSY"), rule(D, "l")], "PSY", False),
    ("labels open what nobody sees", [rule(P, "", "PSY"), rule(D)], "PSY", True),
    ("a permit of one sensitivity, a resource of two", [rule(P, "l", "PSY")], "PSY HIV", False),
    ("a denial of one sensitivity, a resource of two", [rule(P, "l"), rule(D, "", "PSY")], "PSY HIV", False),
    ("a wider label covers a narrower one", [rule(P, "", "ETH")], "OPIOIDUD", True),
    ("not the other way", [rule(P, "", "OPIOIDUD")], "ETH", False),
    ("MH hides psychiatry", [rule(P, "l"), rule(D, "", "MH")], "PSY", False),
    ("a permit of N is a high-water mark", [rule(P, "", "N")], "PSY", False),
    ("a permit of R covers N", [rule(P, "", "R")], "", True),
    ("a permit of R covers the sensitive", [rule(P, "", "R")], "PSY", True),
    ("a permit of R stops below V", [rule(P, "l", "R")], "V", False),
    ("a permit of V covers V", [rule(P, "", "V")], "V SDV", True),
    ("a permit of a sensitivity stops below V", [rule(P, "l", "HIV")], "V HIV", False),
    ("a denial of R hides the sensitive", [rule(P), rule(D, "", "R")], "PSY", False),
    ("a denial of R hides V", [rule(P, "l"), rule(D, "", "R")], "V", False),
    ("a denial of R leaves the rest", [rule(P), rule(D, "", "R")], "", True),
    ("a widened denial yields to nobody", [rule(P, "ln", "N"), rule(D, widened=True)], "", False),
    ("each denial needs an answer", [rule(P, "l"), rule(D), rule(D, "l")], "", False),
    ("each denial its own permit", [rule(P, "l"), rule(P, "t", "PSY"), rule(D, "n"), rule(D, "", "PSY")], "PSY", True),
]


@pytest.mark.parametrize(("rules_", "labels", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_most_specific_wins(rules_: list[Rule], labels: str, expected: bool) -> None:
    for order in (rules_, rules_[::-1]):
        assert permitted(caller(), tuple(order), labels) is expected


def test_a_system_is_its_hospital_and_no_practitioner() -> None:
    assert permitted(system(), (rule(P, "n"),))
    assert not permitted(system(), (rule(P, "l"),))
    assert not permitted(system("south"), (rule(P, "n"),))
    assert not permitted(Caller("li", "system", "south", "li"), (rule(P, "l"),))


def test_no_matching_rule_falls_back_to_the_default() -> None:
    assert permitted(caller("wu", "south"), (rule(P, "l"), rule(D, "n")), default="permit-treatment")


def test_purposes_cover_their_kinds() -> None:
    """v3-PurposeOfUse: TREAT covers ETREAT and BTG; ETREAT does not cover TREAT."""
    emergency = Rule("permit", purposes=frozenset(("ETREAT",)))
    assert permitted(caller(purpose="BTG"), (emergency,))
    assert not permitted(caller(), (emergency,))
    assert not permitted(caller(purpose="BTG"), (rule(P, "l"), rule(D, "lt")))


@pytest.mark.parametrize(("now", "expected"), [(99, False), (100, True), (200, True), (201, False)])
def test_periods_include_both_ends(now: int, expected: bool) -> None:
    """R4 Period: inclusive."""
    assert permitted(caller(), (rule(P, start=100, end=200),), now=now) is expected
    assert permitted(caller(), (rule(P, "l"), rule(D, "l", start=100, end=200)), now=now) is not expected


@pytest.mark.parametrize(("default", "expected"), [(name, name != "deny") for name in POLICIES])
def test_break_glass_overrides_denials_until_it_ends(default: str, expected: bool) -> None:
    """DESIGN 4: the clinician gets the record for a bounded time whether or not there is a permit, not under `deny`."""
    grant = Rule("permit", LI, NORTH, end=NOW, source="break-glass")
    denials = (rule(D, "ln", "V"), rule(D, widened=True), grant)
    assert permitted(caller(), denials, "V HIV", default) is expected
    assert not permitted(caller(), denials, "V HIV", default, now=NOW + 1)
    assert not permitted(caller("wu"), denials, "V HIV", default)
    assert not permitted(caller("li", "south"), denials, "V HIV", default)
    assert not permitted(system(), denials, "V HIV", default)


def test_a_break_glass_grant_names_a_practitioner() -> None:
    assert not permitted(caller(), (rule(D), Rule("permit", source="break-glass")))


def test_a_consultation_is_a_permit_that_names_the_expert() -> None:
    """It opens the record to the expert, but not what the patient hides from everyone."""
    grant = Rule("permit", LI, source="consultation")
    assert permitted(caller(), (grant, rule(D)))
    assert not permitted(caller(), (grant, rule(D, "", "HIV")), "HIV")
    assert not permitted(caller(), (grant,), default="deny")


def test_explicit_permits_count_under_deny() -> None:
    assert permitted(caller(), (rule(P, "l"),), default="deny")


def test_a_nested_permit_is_an_exception_to_the_denial_around_it() -> None:
    """R4 Consent.provision.provision: the same criteria, but a period."""
    week = provision("permit", period={"start": "2024-05-30", "end": "2024-06-05"})
    found = rules(consent(provision("deny", week)))
    assert permitted(caller(), found)
    assert not permitted(caller(), found, now=interval("2024-07-01")[0])
    assert not permitted(caller(), (*found, *rules(consent(provision("deny"), id="other"))))


def test_the_reason_is_where_the_rule_stands() -> None:
    found = rules(consent(provision("permit", provision("deny", labels=("HIV",)), actors=("Practitioner/li",))))
    ask = decider(caller(), NOW, POLICIES["permit-treatment"])
    assert ask(found, frozenset(("HIV",))).reason == "Consent/c#provision.provision[0]"
    assert ask(found, NONE).reason == "Consent/c#provision"
    assert ask((), NONE).reason == "default:permit-treatment"


PUBLISHED = [
    ("hl7-r4/Consent-consent-example-notThem", caller("f204"), "", False),
    ("hl7-r4/Consent-consent-example-notThem", caller(), "", True),
    ("hl7-r4/Consent-consent-example-basic", caller(), "", True),
    ("ihe-pcf/Consent-ex-consent-basic-reject", caller(), "", False),
    ("ihe-pcf/Consent-ex-consent-basic-research", caller(purpose="CLINTRCH"), "", True),
    ("ihe-pcf/Consent-ex-consent-basic-research", caller(), "", False),
    ("ihe-pcf/Consent-ex-consent-expired-treat", caller(), "", False),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-restricted", caller(), "PSY R", True),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-focused-psy", caller(), "PSY", False),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-focused-psy", caller("ex-practitioner"), "PSY", True),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-focused-psy", caller("ex-practitioner"), "HIV", False),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-focused-psy-or-sdv", caller("ex-practitioner"), "PSY SDV", True),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-focused-restricted", caller("ex-practitioner"), "HIV", True),
    ("ihe-pcf/Consent-ex-consent-advanced-normal-focused-restricted", caller(), "HIV", False),
    ("ihe-pcf/Consent-ex-consent-intermediate-not-authoredby", caller(), "", False),
    ("ihe-pcf/Consent-ex-dissent-intermediate-break-glass", caller(purpose="BTG"), "", False),
]


@pytest.mark.parametrize(("name", "who", "labels", "expected"), PUBLISHED)
def test_published_consents_decide(name: str, who: Caller, labels: str, expected: bool) -> None:
    """IHE PCF and HL7 R4 examples, under break-glass-only, so that only what the patient permits is seen."""
    example = json.loads((FIXTURES / "consent" / f"{name}.json").read_text())
    assert permitted(who, rules(example), labels) is expected


RULES = st.builds(
    rule,
    st.sampled_from([P, D]),
    st.sampled_from(["", "l", "n", "t", "ln", "lt", "nt", "lnt"]),
    st.sampled_from(["", "N", "R", "V", "PSY", "PSY HIV", "R PSY"]),
    start=st.sampled_from([None, 5]),
    end=st.sampled_from([None, 5, 9]),
    source=st.sampled_from(["", "Consent/a#", "Consent/a#provision", "Consent/b#provision", "consultation"]),
    widened=st.booleans(),
)
CALLERS = st.sampled_from([caller(), caller("wu"), caller("li", "south"), system(), caller(purpose="HRESCH")])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(RULES, max_size=6), CALLERS, st.frozensets(st.sampled_from(["R", "V", "PSY", "HIV"])), st.integers(4, 10),
    st.sampled_from(sorted(POLICIES)),
)  # fmt: skip
def test_agrees_with_a_naive_reading(found: list[Rule], who: Caller, labels: frozenset[str], now: int, default: str) -> None:
    assert permitted(who, tuple(found), " ".join(labels), default, now) == _naive(found, who, labels, now, default)


def _naive(found: list[Rule], who: Caller, labels: frozenset[str], now: int, default: str) -> bool:
    """The module's docstring written out, quadratic, without its helpers."""
    level = 2 if "V" in labels else 1 if labels else 0
    sensitive = labels & {"PSY", "HIV"}

    def speaks(one: Rule) -> bool:
        if one.practitioners and not (who.kind == "practitioner" and who.practitioner == "li"):
            return False
        if (one.organizations and who.organization != "north") or (one.purposes and who.purpose != "TREAT"):
            return False
        if not (one.start or 0) <= now <= (one.end or 99) or (one.source == "consultation" and default == "deny"):
            return False
        marks = [LEVELS[label] for label in one.labels if label in LEVELS]
        if one.effect == D:
            return not one.labels or any(level >= mark for mark in marks) or bool(sensitive & one.labels)
        if not one.labels:
            return level < 2 or bool(one.practitioners | one.organizations)
        return any(level <= mark for mark in marks) or (level < 2 and bool(sensitive) and sensitive <= one.labels)

    heard = [one for one in found if speaks(one)]
    beaten = set()
    for (_, permit), (at, denial) in product(enumerate(heard), repeat=2):
        if permit.effect == D or denial.effect == P:
            continue
        ours = 4 * bool(permit.practitioners) + 2 * bool(permit.organizations) + bool(permit.purposes)
        theirs = 4 * bool(denial.practitioners) + 2 * bool(denial.organizations) + bool(denial.purposes)
        if ours < theirs or (denial.labels and not permit.labels):
            continue
        inside = permit.source == "Consent/a#provision" and denial.source == "Consent/a#"
        if inside or (not denial.widened and (ours > theirs or bool(permit.labels) > bool(denial.labels))):
            beaten.add(at)
    if heard:
        return all(at in beaten or one.effect == P for at, one in enumerate(heard))
    ceiling = {"permit-treatment": 1, "permit-except-sensitive": 0}.get(default, -1)
    return who.purpose == "TREAT" and level <= ceiling
