"""What the patient decides, and what it means to others from their next request on."""

from typing import Any

from exchange.demo.story.stage import DOCTOR_A, DOCTOR_B, HIS_A, OFFICER, Resource, Stage, beijing, expect, found

DEPRESSION = "http://hl7.org/fhir/sid/icd-10|F32.100"
REASON = "unconscious in the emergency room"


async def sensitive(stage: Stage) -> None:
    """A sensitive diagnosis reads as absent elsewhere, until the patient says otherwise."""
    (kept,) = found(await stage.ask(HIS_A, f"GET /Condition?patient=Patient/{stage.patient}&code={DEPRESSION}"))
    stage.tell(f"{diagnosis(kept)}: hospital A's own copy")
    stage.hidden = f"/Condition/{kept['id']}"
    absent = await stage.ask(DOCTOR_B, f"GET {stage.hidden}", 404)
    never = await stage.ask(DOCTOR_B, "GET /Condition/never-was", 404)
    expect("the answers to what is hidden and to what never was", never, absent)
    stage.tell("to Dr B it reads like a record that never was")


async def withdraw(stage: Stage) -> None:
    """The patient lets hospital B see it, thinks again, and it is gone with the next request."""
    given = await stage.ask(
        stage.own, "POST /Consent", 201, consent(stage, "permit", "hospital-b"), note="hospital B may see it"
    )
    shared = await stage.ask(DOCTOR_B, f"GET {stage.hidden}")
    stage.tell(diagnosis(shared))
    await stage.ask(stage.own, f"DELETE /Consent/{given['id']}", 204, note="withdrawn")
    await stage.ask(DOCTOR_B, f"GET {stage.hidden}", 404)


async def deny(stage: Stage) -> None:
    """The patient denies hospital B: there, all of the record reads as absent, and nowhere else."""
    denial = consent(stage, "deny", "hospital-b")
    stage.denial = await stage.ask(stage.own, "POST /Consent", 201, denial, note="hospital B may see nothing")
    await stage.ask(DOCTOR_B, f"GET /Patient/{stage.patient}", 404)
    results = await stage.ask(DOCTOR_B, f"GET /Observation?patient=Patient/{stage.patient}")
    expect("results that Dr B finds", 0, results["total"])
    stage.tell("total 0")
    await stage.ask(DOCTOR_A, f"GET /Patient/{stage.patient}")


async def break_glass(stage: Stage) -> None:
    """An emergency at hospital B: a reason opens the record for a while, and is reported."""
    stated = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": REASON}]}
    opened = await stage.ask(DOCTOR_B, f"POST /Patient/{stage.patient}/$break-glass", body=stated)
    stage.tell(f"“{REASON}”, until {beijing(opened['parameter'][0]['valueInstant'])}")
    shared = await stage.ask(DOCTOR_B, f"GET {stage.hidden}")
    stage.tell(diagnosis(shared))
    uses = found(await stage.ask(OFFICER, "GET /Patient/$broken-glass"))
    expect("the reason that the privacy officer reads", REASON, uses[0].get("outcomeDesc"))
    stage.tell("the privacy officer reads who, when and why")


def diagnosis(condition: Resource) -> str:
    """Code and text."""
    return f"{condition['code']['coding'][0]['code']} {condition['code']['text']}"


def consent(stage: Stage, effect: str, organization: str | None = None, **more: Any) -> Resource:
    """A privacy Consent of the heroine's (R4 consent.html): permit or deny, an organization or everybody."""
    actor = {
        "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "PRCP"}]},
        "reference": {"reference": f"Organization/{organization}"},
    }
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{stage.patient}"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIE"}]},
        "provision": {"type": effect, **({"actor": [actor]} if organization else {})},
        **more,
    }
