"""Break-glass: a clinician states a reason and gets a person's record for a bounded time, whether or not there is one.

The answer is the same for every id, so that it tells nothing; the patient sees it in the access log, the privacy officer in
the list of broken glass.
"""

from consent.caller import Caller
from consent.decision import BREAK_GLASS
from consent.rules import Rule, to_plain
from fhir_server.r4.errors import FhirError
from fhir_server.record.accesses import Access
from fhir_server.record.context import Record
from fhir_server.record.gate import refuse
from fhir_server.record.naming import patient_there
from fhir_server.record.writing import refusals_audited
from fhir_server.store.chain import Entry
from fhir_server.store.documents import resource_key
from fhir_server.store.lanes import Job, Outcome
from fhir_server.store.persons import EXCHANGE, rule_entry, singleton, with_rules
from fhir_server.store.snapshot import Snapshot

MIN_REASON, MAX_REASON = 5, 1_000


async def break_glass(record: Record, caller: Caller, patient_id: str, reason: str) -> int:
    """Open the record to this clinician; returns when it closes, ms. 403 for who is no clinician, 400 without a reason."""
    now = record.clock()
    access = Access(caller, BREAK_GLASS, f"Patient/{patient_id}", now)
    if caller.kind != "practitioner" or not caller.practitioner:
        problem = "only a clinician's token may break the glass"
        await refuse(record, access, "not a clinician", problem, await patient_there(record, patient_id))
    async with refusals_audited(record, access):
        require_reason(reason, "Parameters.parameter[0]")
    until = now + record.break_glass_ms
    organizations = frozenset((caller.organization,)) if caller.organization else frozenset()
    rule = Rule("permit", frozenset((caller.practitioner,)), organizations, end=until, source=BREAK_GLASS)
    patient = resource_key(record.codec, "Patient", patient_id)
    entry = Entry(now, (patient,), access.entry(reason=reason, extra={"until": until}).what, mark=BREAK_GLASS)
    await record.lanes.submit(_granting(record, patient, rule, entry))
    return until


def require_reason(reason: str, place: str) -> None:
    """400 for a reason that says nothing, or is a whole story."""
    if not MIN_REASON <= len(reason.strip()) <= MAX_REASON:
        raise FhirError(400, "required", f"state a reason of {MIN_REASON} to {MAX_REASON} characters", place)


def _granting(record: Record, patient: bytes, rule: Rule, entry: Entry) -> Job:
    source = record.codec.identity(f"grant/{record.new_id()}")

    async def decide(snapshot: Snapshot) -> Outcome:
        person = next(iter(await snapshot.persons((patient,))), singleton(patient))
        rules = rule_entry(record.codec, source, patient, EXCHANGE, [to_plain(rule)])
        await snapshot.put_persons((with_rules(person, source, (rules,)),))
        return Outcome(None, entry)

    return Job(decide, claims=frozenset((patient,)))
