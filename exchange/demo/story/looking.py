"""The patient sees who looked, and the log proves to be whole."""

from collections import Counter

from consent.decision import BREAK_GLASS
from exchange.demo.story.consenting import REASON
from exchange.demo.story.stage import DOCTOR_B, Resource, Stage, expect, found, practitioner

Look = tuple[str, str, bool]
OTHERS = (("Organization/", "accesses of the institutions' systems"), ("Patient/", "of her own"))


async def access_log(stage: Stage) -> None:
    """Every access, allowed and denied, the break-glass with its reason, and each look of the expert."""
    events = found(await stage.ask(stage.own, f"GET /Patient/{stage.patient}/$access-log"))
    looks = Counter(look(one) for one in events)
    expert = f"Practitioner/{practitioner(stage.appointment)}"
    doctor = f"Practitioner/{DOCTOR_B.claims['practitioner']}"
    told = {(who, "read", let_in) for who in (doctor, expert) for let_in in (True, False)}
    told |= {(doctor, BREAK_GLASS, True), (expert, "operation-close", True)}
    expect("accesses that the log does not show", set(), told - looks.keys())
    expect("reasons in the log", {REASON}, {one["outcomeDesc"] for one in events if BREAK_GLASS in codes(one)})
    for (who, what, let_in), count in looks.items():
        if who.startswith("Practitioner/"):
            stage.tell(f"{count} x {what:<22}{who:<26}{'' if let_in else 'denied'}".rstrip())
    stage.tell(", ".join(f"{_of(looks, kind)} {name}" for kind, name in OTHERS))


async def verify(stage: Stage) -> None:
    """`hie verify-audit`: every link of the chains, and every anchor outside the database."""
    wrong = [line async for line in stage.up.exchange.record.audit.verify()]
    expect("findings of verify-audit", [], wrong)
    stage.say("  the audit log is whole: every link and every anchor verified")


def look(event: Resource) -> Look:
    """Who, what, and whether it was let in."""
    return event["agent"][0]["who"].get("reference", event["agent"][0]["name"]), codes(event)[0], event["outcome"] == "0"


def _of(looks: Counter[Look], kind: str) -> int:
    return sum(count for (who, _, _), count in looks.items() if who.startswith(kind))


def codes(event: Resource) -> list[str]:
    return [one["code"] for one in event["subtype"]]
