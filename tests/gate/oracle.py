"""Who may see what, decided as naively as DESIGN 4 and consent/decision.py say it in words; shares no code with the gate."""

from tests.gate.worlds import Rule, Version, World, Written, keeper

LEVEL = {None: 0, "HIV": 1, "R": 1, "V": 2}
DEFAULT = {"permit-treatment": 1, "permit-except-sensitive": 0, "break-glass-only": -1, "deny": -1}
DIRECTORY = ("Practitioner", "Device", "ValueSet", "StructureDefinition", "Questionnaire")


def visible(world: World, one: Written) -> bool:
    """Whether the resource is there for the onlooker: its last version decides, also when it was deleted."""
    return seen(world, one, one.versions[-1])


def seen(world: World, one: Written, version: Version) -> bool:
    """Whether the onlooker may see this version."""
    looks = world.onlooker
    claims = dict(looks.claims)
    if looks.types is not None and one.type not in looks.types:
        return False
    if not version.patients and one.type in DIRECTORY:
        return True
    if looks.kind == "admin":
        return False
    if looks.kind == "patient":
        return bool(version.patients) and all(
            person_of(world, name) == person_of(world, claims["patient"]) for name in version.patients
        )
    if one.custodian == claims["organization"] and (looks.kind == "system" or not version.patients):
        return True
    return bool(version.patients) and all(permitted(world, name, version.label) for name in version.patients)


def permitted(world: World, patient: str, label: str | None) -> bool:
    """Whether this person's consents, or else the regional default, let the onlooker see what is labelled so."""
    matching = [rule for rule in rules_of(world, patient) if concerns(world, rule)]
    permits = [rule for rule in matching if rule.effect == "permit" and covers(rule, label)]
    denials = [rule for rule in matching if rule.effect == "deny" and hides(rule, label)]
    if any(not any(overcomes(permit, denial) for permit in permits) for denial in denials):
        return False
    treatment = dict(world.onlooker.claims).get("purpose", "TREAT") == "TREAT"
    return bool(permits) or (treatment and LEVEL[label] <= DEFAULT[world.policy])


def rules_of(world: World, patient: str) -> list[Rule]:
    """What the person's Consents say that count: the patient's own, and those of whoever keeps the Patient they name."""
    return [
        rule
        for one in world.written
        for rule in one.rules
        if not one.versions[-1].deleted
        and person_of(world, subject := one.versions[-1].patients[0]) == person_of(world, patient)
        if one.custodian in (keeper(subject), f"patient/{subject}")
    ]


def person_of(world: World, patient: str) -> tuple[str, ...]:
    return next(person for person in world.persons if patient in person)


def concerns(world: World, rule: Rule) -> bool:
    claims = dict(world.onlooker.claims)
    mine = {f"Practitioner/{claims.get('practitioner')}", f"Organization/{claims.get('organization')}", None}
    return rule.actor in mine and rule.purpose in (None, claims.get("purpose", "TREAT")) and rule.period != "past"


def covers(permit: Rule, label: str | None) -> bool:
    """What a permit shows: up to R, or up to what it names; the very restricted only to whom it names."""
    if permit.label is None:
        return LEVEL[label] < 2 or permit.actor is not None
    if permit.label == "HIV":
        return label == "HIV"
    return LEVEL[label] <= LEVEL[permit.label]


def hides(denial: Rule, label: str | None) -> bool:
    """What a denial hides: all, or the sensitivity it names, or the confidentiality it names and all above."""
    if denial.label is None:
        return True
    return label == "HIV" if denial.label == "HIV" else LEVEL[label] >= LEVEL[denial.label]


def overcomes(permit: Rule, denial: Rule) -> bool:
    """At least as specific about who and about what, and more so in one; a denial wins ties."""
    who, above = who_of(permit), who_of(denial)
    what, beyond = permit.label is not None, denial.label is not None
    return who >= above and what >= beyond and (who, what) != (above, beyond)


def who_of(rule: Rule) -> tuple[bool, bool, bool]:
    actor = rule.actor or ""
    return actor.startswith("Practitioner"), actor.startswith("Organization"), rule.purpose is not None
