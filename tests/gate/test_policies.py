"""Who may see what: regional defaults, labels, Consents (DESIGN 4; R4 consent.html, security-labels.html), over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import serving
from tests.gate.building import (
    HIV,
    condition,
    consent,
    encounter,
    found,
    keep,
    labelled,
    observation,
    patient,
    provision,
    status,
    transaction,
)
from tests.serving import Door

# policy -> which of a normal, an HIV-coded, an R and a V record (see RECORDS) a doctor elsewhere may read for treatment
DEFAULTS = {"permit-treatment": "nhr", "permit-except-sensitive": "n", "break-glass-only": "", "deny": ""}
RECORDS = {"n": "Observation/plain", "h": "Condition/hiv", "r": "Observation/restricted", "v": "Observation/very-restricted"}
PAST = {"start": "2001-01-01", "end": "2001-12-31"}
PRESENT = {"start": "2001-01-01", "end": "2101-12-31"}


async def one_life(door: Door) -> None:
    """Hospital a keeps one patient's records: one of each level."""
    await keep(
        door.system("a"),
        patient("p"),
        observation("plain", "p"),
        condition("hiv", "p", HIV),
        observation("restricted", "p", **labelled("R")),
        observation("very-restricted", "p", **labelled("V")),
    )


async def readable(client: httpx.AsyncClient) -> str:
    """Which of the four records are read, as their letters; that searches agree is checked on the way."""
    read = "".join([one for one, record in RECORDS.items() if await status(client, f"/{record}") == 200])
    searched = await found(client, "/Observation?subject=Patient/p") | await found(client, "/Condition?subject=Patient/p")
    assert "".join(one for one, record in RECORDS.items() if record in searched) == read
    return read


@pytest.mark.parametrize("policy", DEFAULTS)
async def test_a_regional_default_holds_where_there_is_no_consent(
    mongodb_uri: str, database: str, tmp_path: Path, policy: str
) -> None:
    """DESIGN 4: the four regional defaults, by level of confidentiality; no default is good for research."""
    async with serving.door(mongodb_uri, database, tmp_path, default_policy=policy) as door:
        await one_life(door)
        assert await readable(door.doctor("li", "b")) == DEFAULTS[policy]
        assert await readable(door.doctor("li", "b", purpose="ETREAT")) == DEFAULTS[policy]
        assert await readable(door.doctor("li", "b", purpose="HRESCH")) == ""
        assert await readable(door.system("b")) == DEFAULTS[policy]
        assert await readable(door.doctor("wang", "a")) == DEFAULTS[policy], "a doctor of the custodian is a doctor, too"
        assert await readable(door.system("a")) == "nhrv", "the custodian's own copy"
        assert await readable(door.patient("p")) == "nhrv", "one's own record"


# Consents of one patient -> what Dr Li of b, Dr Wang of b and Dr Li for research may read, under permit-except-sensitive
NOTHING, NORMAL, ALL_BUT_V, ALL = "", "n", "nhr", "nhrv"
LI, B = "Practitioner/li", "Organization/b"
CASES: dict[str, tuple[list[dict[str, Any]], str, str, str]] = {
    "deny everybody": ([provision("deny")], NOTHING, NOTHING, NOTHING),
    "permit everybody": ([provision("permit")], ALL_BUT_V, ALL_BUT_V, ALL_BUT_V),
    "permit a practitioner": ([provision("permit", actors=(LI,))], ALL, NORMAL, ALL),
    "deny a practitioner": ([provision("deny", actors=(LI,))], NOTHING, NORMAL, NOTHING),
    "permit an organization": ([provision("permit", actors=(B,))], ALL, ALL, ALL),
    "deny an organization": ([provision("deny", actors=(B,))], NOTHING, NOTHING, NOTHING),
    "deny another organization": ([provision("deny", actors=("Organization/c",))], NORMAL, NORMAL, NOTHING),
    "deny for research": ([provision("deny", purposes=("HRESCH",))], NORMAL, NORMAL, NOTHING),
    "permit for research": ([provision("permit", purposes=("HRESCH",))], NORMAL, NORMAL, ALL_BUT_V),
    "deny what is past": ([provision("deny", period=PAST)], NORMAL, NORMAL, NOTHING),
    "deny what is present": ([provision("deny", period=PRESENT)], NOTHING, NOTHING, NOTHING),
    "permit what is past": ([provision("permit", period=PAST)], NORMAL, NORMAL, NOTHING),
    "permit HIV": ([provision("permit", labels=("HIV",))], "nh", "nh", "h"),
    "deny HIV": ([provision("permit"), provision("deny", labels=("HIV",))], "nr", "nr", "nr"),
    "the most specific wins: a practitioner": ([provision("deny"), provision("permit", actors=(LI,))], ALL, NOTHING, ALL),
    "the most specific wins: a denial": ([provision("permit"), provision("deny", actors=(LI,))], NOTHING, ALL_BUT_V, NOTHING),
    "practitioner over organization": ([provision("deny", actors=(B,)), provision("permit", actors=(LI,))], ALL, NOTHING, ALL),
    "deny wins ties": ([provision("permit", actors=(LI,)), provision("deny", actors=(LI,))], NOTHING, NORMAL, NOTHING),
    "a nested exception": ([provision("deny", provision("permit", actors=(LI,)))], ALL, NOTHING, ALL),
}  # fmt: skip


async def test_consents_decide(door: Door) -> None:
    """DESIGN 4: permit or deny by practitioner, organization, purpose, period, label; most specific wins, deny wins ties."""
    await one_life(door)
    keeper, doctors = (
        door.system("a"),
        [door.doctor("li", "b"), door.doctor("wang", "b"), door.doctor("li", "b", purpose="HRESCH")],
    )
    for name, (roots, *expected) in CASES.items():
        consents = [consent(f"c-{number}", "p", root) for number, root in enumerate(roots)]
        await keep(keeper, *consents)
        assert [await readable(doctor) for doctor in doctors] == expected, name
        assert await readable(door.patient("p")) == ALL, name
        for one in consents:
            assert (await keeper.delete(f"/Consent/{one['id']}")).status_code == 204
    assert await readable(doctors[0]) == NORMAL, "nothing of all that stays behind"


async def test_withdrawal_holds_from_the_next_request(door: Door) -> None:
    """DESIGN 4: inactive, changed, deleted, or of another patient now: each at once."""
    await one_life(door)
    keeper, doctor = door.system("a"), door.doctor("li", "b")
    permit, deny = provision("permit", actors=(LI,)), provision("deny")
    for written, expected in (
        (consent("c", "p", permit), ALL),
        (consent("c", "p", permit, status="inactive"), NORMAL),
        (consent("c", "p", deny), NOTHING),
        (consent("c", "somebody-else", deny), NORMAL),
        (consent("c", "p", deny, status="draft"), NORMAL),
        (consent("c", "p", permit), ALL),
    ):
        await keep(keeper, written)
        assert await readable(doctor) == expected
    await keeper.delete("/Consent/c")
    assert await readable(doctor) == NORMAL


async def test_a_consent_counts_by_who_recorded_it(door: Door) -> None:
    """DESIGN 4: the patient's own and that of the keeper of the Patient count; a stranger's is stored, without effect."""
    await one_life(door)
    deny = provision("deny")
    doctor = door.doctor("li", "b")
    await keep(door.system("b"), consent("stranger", "p", deny))
    assert await readable(doctor) == NORMAL
    assert await status(door.system("b"), "/Consent/stranger") == 200
    own = await door.patient("p").post("/Consent", json=consent("any", "p", deny))
    assert own.status_code == 201
    assert await readable(doctor) == NOTHING
    withdrawn = own.json() | {"status": "inactive"}
    assert (await door.patient("p").put(f"/Consent/{withdrawn['id']}", json=withdrawn)).status_code == 200
    assert await readable(doctor) == NORMAL
    refused = await door.patient("somebody").post("/Consent", json=consent("any", "p", deny))
    assert refused.status_code == 403, "a patient writes only about themselves"


@pytest.mark.parametrize("order", [1, -1])
async def test_consent_and_patient_in_one_transaction(door: Door, order: int) -> None:
    """DESIGN 4, http.html#trules: entries have no order, so neither has what they mean."""
    bundle = transaction(*[patient("p"), observation("plain", "p"), consent("c", "p", provision("deny"))][::order])
    assert (await door.system("a").post("/", json=bundle)).status_code == 200
    assert await status(door.doctor("li", "b"), "/Observation/plain") == 404


async def test_a_consent_written_before_its_patient_waits_for_the_keeper(door: Door) -> None:
    """DESIGN 4: whose word counts is known when the Patient is; a stranger who came first gains nothing."""
    await keep(door.system("b"), consent("stranger", "p", provision("permit", actors=(LI,))))
    await keep(door.system("a"), consent("c", "p", provision("deny", labels=("R",))))
    await one_life(door)
    assert await readable(door.doctor("li", "b")) == NORMAL
    await keep(door.system("a"), consent("c", "p", provision("permit", actors=(LI,))))
    assert await readable(door.doctor("li", "b")) == ALL


async def test_a_refused_transaction_changes_no_rule(door: Door) -> None:
    """DESIGN 3: all or nothing, and the rules of a Consent are part of all."""
    await one_life(door)
    await keep(door.system("b"), patient("taken"))
    doctor = door.doctor("li", "b")
    permit = consent("c", "p", provision("permit", actors=(LI,)))
    for bundle in (transaction(permit, patient("taken")), transaction(patient("taken"), permit)):
        assert (await door.system("a").post("/", json=bundle)).status_code == 403
        assert await status(door.system("a"), "/Consent/c") == 404
        assert await readable(doctor) == NORMAL


async def test_a_consent_names_its_patient_by_any_literal_reference(door: Door) -> None:
    """references.html#literal: a version in the reference does not make it about somebody else."""
    await one_life(door)
    written = consent("c", "p", provision("deny"), patient={"reference": "Patient/p/_history/1"})
    await keep(door.system("a"), written)
    assert await readable(door.doctor("li", "b")) == NOTHING


async def test_consents_are_records_about_their_patient(door: Door) -> None:
    """DESIGN 4: a Consent is shown to who may see that person's record."""
    await one_life(door)
    await keep(door.system("a"), consent("c", "p", provision("deny", actors=(LI,))))
    await keep(door.system("a"), encounter("e", "p"))
    assert await status(door.doctor("li", "b"), "/Consent/c") == 404
    assert await found(door.doctor("li", "b"), "/Consent?patient=p") == set()
    assert await status(door.doctor("wang", "b"), "/Consent/c") == 200
    assert await found(door.patient("p"), "/Consent?patient=p") == {"Consent/c"}
