"""consent.rules: R4 Consent -> rules (R4 consent.html, IHE PCF)."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.decision import POLICIES, decider
from consent.rules import Rule, from_plain, rules, to_plain
from fhir_server.r4.dates import interval
from tests.consent.build import caller, consent, provision, system
from tests.fixtures import FIXTURES

EXAMPLES = sorted((FIXTURES / "consent").glob("*/Consent-*.json"))
CARE = ("TREAT", "HPAYMT", "HOPERAT")


def read(name: str) -> dict[str, Any]:
    return json.loads(next(path for path in EXAMPLES if path.stem == name).read_text())


def short(rule: Rule) -> tuple[Any, ...]:
    """A rule without period, source and mark, sets as sorted text."""
    sets = (rule.practitioners, rule.organizations, rule.purposes, rule.labels)
    return (rule.effect, *(" ".join(sorted(members)) for members in sets))


CARE_TEXT = " ".join(sorted(CARE))

EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    # HL7 R4: an untyped root is an exception to policyRule.
    "Consent-consent-example-basic": [("permit", "", "", "", ""), ("deny", "", "", "", "")],
    "Consent-consent-example-notTime": [("permit", "", "", "", ""), ("deny", "", "", "", "")],
    "Consent-consent-example-notThem": [("permit", "", "", "", ""), ("deny", "f204", "", "", "")],
    "Consent-consent-example-grantor": [("deny", "", "", "", "")],
    # IHE PCF: a typed root, an overarching policy by uri.
    "Consent-ex-consent-basic-reject": [("deny", "", "", CARE_TEXT, "")],
    "Consent-ex-consent-basic-research": [("permit", "", "", "HRESCH", "")],
    "Consent-ex-consent-expired-treat": [("permit", "", "", CARE_TEXT, "")],
    "Consent-ex-consent-intermediate-timeframe": [],
    "Consent-ex-consent-intermediate-purpose": [],
    "Consent-ex-consent-intermediate-not-encounter": [("permit", "", "", CARE_TEXT, ""), ("deny", "", "", CARE_TEXT, "")],
    "Consent-ex-dissent-intermediate-break-glass": [("deny", "", "", "", "")],
    "Consent-ex-consent-advanced-normal-restricted": [("permit", "", "", CARE_TEXT, "N R")],
    "Consent-ex-consent-advanced-normal-focused-psy": [
        ("permit", "", "", CARE_TEXT, "N"),
        ("permit", "ex-practitioner", "", CARE_TEXT, "PSY"),
    ],
    "Consent-ex-consent-advanced-normal-focused-psy-or-sdv": [
        ("permit", "", "", CARE_TEXT, "N"),
        ("permit", "ex-practitioner", "", CARE_TEXT, "PSY SDV"),
    ],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_published_example_is_read_and_survives_storage(path: Any) -> None:
    """R4 consent.html examples and IHE PCF examples."""
    example = json.loads(path.read_text())
    found = rules(example)
    assert tuple(from_plain(json.loads(json.dumps(to_plain(rule)))) for rule in found) == found


@pytest.mark.parametrize("name", EXPECTED)
def test_published_example_means(name: str) -> None:
    assert [short(rule) for rule in rules(read(name))] == EXPECTED[name]


@pytest.mark.parametrize(
    "elements",
    [{"status": status} for status in ("draft", "proposed", "rejected", "inactive", "entered-in-error")]
    + [{"scope": {"coding": [{"code": scope}]}} for scope in ("research", "treatment", "adr")],
)
def test_only_active_privacy_consents_count(elements: dict[str, Any]) -> None:
    """R4 Consent.status, Consent.scope."""
    assert rules(consent(provision("deny"), **elements)) == ()


BASES = [
    ("OPTIN", None, ["permit"]),
    ("OPTOUT", None, ["deny"]),
    ("EMRGONLY", None, ["deny"]),
    ("OPTIN", provision("permit", purposes=("TREAT",)), ["permit"]),
    ("OPTIN", provision("deny", purposes=("HRESCH",)), ["permit", "deny"]),
    ("OPTOUT", provision(actors=("Organization/a",)), ["deny", "permit"]),
    ("OPTIN", provision(None, provision("deny", actors=("Organization/a",))), ["permit", "deny"]),
    (None, provision(None, provision("deny", actors=("Organization/a",))), ["deny"]),
    (None, provision(actors=("Organization/a",)), ["deny"]),
    (None, provision("permit", provision(actors=("Organization/a",))), ["permit", "deny"]),
    (None, None, []),
]


@pytest.mark.parametrize(("policy", "root", "effects"), BASES)
def test_base_policy_and_types(policy: str | None, root: dict[str, Any] | None, effects: list[str]) -> None:
    """R4 Consent.policyRule, Consent.provision.type: an untyped root is the exception, an untyped nested rule denies."""
    assert [rule.effect for rule in rules(consent(root, policy))] == effects


def test_nested_provisions_keep_their_parents_criteria() -> None:
    """R4 Consent.provision.provision: an actor of another kind adds to the parent's, one of the same kind replaces it."""
    root = provision(
        "permit",
        provision("deny", actors=("Practitioner/li",), labels=("PSY",)),
        provision("deny", actors=("Organization/south",)),
        actors=("Organization/north",),
        purposes=("TREAT",),
    )
    assert {short(rule) for rule in rules(consent(root))} == {
        ("permit", "", "north", "TREAT", ""),
        ("deny", "li", "north", "TREAT", "PSY"),
        ("deny", "", "south", "TREAT", ""),
    }


def test_actors_are_alternatives() -> None:
    """R4 Consent.provision.actor 0..*: a practitioner or an organization, so two rules."""
    found = rules(consent(provision("permit", actors=("Practitioner/li", "Organization/north", "Practitioner/wu"))))
    assert {short(rule) for rule in found} == {("permit", "li wu", "", "", ""), ("permit", "", "north", "", "")}


def test_periods_intersect_and_an_empty_one_is_no_rule() -> None:
    """R4 Consent.provision.period; a date is a day in Beijing."""
    inner = provision("deny", period={"start": "2024-03-01T00:00:00Z", "end": "2030"})
    later = provision("deny", period={"start": "2025-01-01"})
    found = rules(consent(provision("permit", inner, later, period={"start": "2024-01-01", "end": "2024-12-31"})))
    day_end = interval("2024-12-31T15:59:59.999Z")[1]
    assert [(rule.start, rule.end) for rule in found] == [
        (interval("2023-12-31T16:00:00.000Z")[0], day_end),
        (interval("2024-03-01T00:00:00.000Z")[0], day_end),
    ]


UNKNOWN: list[dict[str, Any]] = [
    {"data": [{"meaning": "related"}]},
    {"class": [{"code": "CDA"}]},
    {"code": [{"coding": [{"code": "34133-9"}]}]},
    {"dataPeriod": {"start": "2020"}},
    {"modifierExtension": [{"url": "urn:x"}]},
    {"action": [{"coding": [{"code": "correct"}]}]},
    {"purpose": [{"system": "urn:local", "code": "TREAT"}]},
    {"securityLabel": [{"system": "urn:local", "code": "R"}]},
    {"actor": [{"reference": {"reference": "Group/staff"}}]},
    {"actor": [{"reference": {"reference": "https://elsewhere.example/fhir/Practitioner/li"}}]},
    {"actor": [{"role": {"coding": [{"code": "CST"}]}, "reference": {"reference": "Organization/north"}}]},
]


@pytest.mark.parametrize("element", UNKNOWN)
def test_what_is_not_enforced_drops_a_permit_and_widens_a_denial(element: dict[str, Any]) -> None:
    """IHE PCF 1:41.1.2: deny on doubt."""
    assert rules(consent(provision("permit", **element))) == ()
    (denial,) = rules(consent(provision("deny", **element)))
    assert (*short(denial), denial.widened) == ("deny", "", "", "", "", True)


def test_a_permit_keeps_the_alternatives_that_are_known() -> None:
    root = provision("permit", actors=("Group/staff", "Practitioner/li"))
    assert [short(rule) for rule in rules(consent(root))] == [("permit", "li", "", "", "")]


def test_a_rule_about_relatives_is_no_rule_about_clinicians() -> None:
    assert rules(consent(provision("deny", actors=("RelatedPerson/aunt",)))) == ()


@pytest.mark.parametrize("actions", [("access",), ("correct", "disclose"), ("use",)])
def test_reading_actions_are_enforced(actions: tuple[str, ...]) -> None:
    """R4 Consent.provision.action."""
    action = [{"coding": [{"code": code}]} for code in actions]
    assert [rule.effect for rule in rules(consent(provision("permit", action=action)))] == ["permit"]


def test_a_modifier_on_the_consent_permits_nothing() -> None:
    """R4 extensibility.html#modifierExtension."""
    odd = consent(provision("permit", provision("deny", labels=("HIV",))), modifierExtension=[{"url": "urn:x"}])
    assert [rule.effect for rule in rules(odd)] == ["deny"]


def test_deep_nesting_is_read_without_recursion() -> None:
    root: dict[str, Any] = provision("deny")
    for _ in range(900):
        root = provision("permit", root)
    assert rules(consent(root))[-1].effect == "deny"


ACTORS = ["Practitioner/li", "Practitioner/wu", "Organization/north"]
CRITERIA = st.fixed_dictionaries(
    {},
    optional={
        "actors": st.lists(st.sampled_from(ACTORS), max_size=2).map(tuple),
        "purposes": st.lists(st.sampled_from(["TREAT", "ETREAT", "HRESCH"]), max_size=2).map(tuple),
        "labels": st.lists(st.sampled_from(["N", "R", "PSY", "HIV"]), max_size=2).map(tuple),
        "period": st.sampled_from([{"end": "1970-01-01"}, {"start": "1970-01-03"}]),
    },
)
TYPES = st.sampled_from(["permit", "deny", None])
LEAVES = st.builds(lambda kind, criteria: provision(kind, **criteria), TYPES, CRITERIA)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda kind, nested, criteria: provision(kind, *nested, **criteria), TYPES, st.lists(inner, max_size=2), CRITERIA
    ),
    max_leaves=5,
)
LABELS = st.frozensets(st.sampled_from(["R", "PSY", "HIV"]))


@settings(max_examples=200, deadline=None)
@given(TREES, TREES, st.data(), LABELS, st.sampled_from([None, "OPTIN", "OPTOUT"]))
def test_a_criterion_not_enforced_never_opens_what_was_closed(
    one: dict[str, Any], other: dict[str, Any], data: st.DataObject, labels: frozenset[str], policy: str | None
) -> None:
    """Deny on doubt, wherever the doubt stands in the tree."""
    default = POLICIES["break-glass-only"]

    def outcomes() -> list[bool]:
        found = rules(consent(one, policy)) + rules(consent(other, id="d"))
        return [decider(who, 0, default)(found, labels).permit for who in (caller(), caller("wu", "south"), system())]

    before = outcomes()
    doubtful = data.draw(st.sampled_from(UNKNOWN))
    place = data.draw(st.sampled_from(_provisions(one)))
    place |= {name: place.get(name, []) + value if type(value) is list else value for name, value in doubtful.items()}
    assert all(was or not now for was, now in zip(before, outcomes(), strict=True))


def _provisions(root: dict[str, Any]) -> list[dict[str, Any]]:
    return [root, *(inner for nested in root.get("provision", ()) for inner in _provisions(nested))]
