"""Who looked: every access to the patient's record, allowed or denied, newest first."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from consent.decision import BREAK_GLASS
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.record.access_log import page_of_own
from portal.asking import Own, Patient
from portal.display import beijing
from portal.envelope import Envelope, Model
from portal.looking import Named, directory
from portal.requests import Paged, following, where
from portal.routing import OF_PATIENT, routes

router = routes("accesses")

WHAT = {
    "read": "read",
    "vread": "read",
    "history-instance": "read",
    "history-type": "read",
    "history-system": "read",
    "operation-document": "read",
    "operation-meta": "read",
    "search-type": "search",
    "operation-everything": "everything",
    "operation-life": "everything",
    "operation-access-log": "read",
    "create": "write",
    "update": "write",
    "patch": "write",
    "operation-meta-add": "write",
    "operation-meta-delete": "write",
    "delete": "write",
    "transaction": "write",
    "batch": "write",
    "operation-hold": "consultation",
    "operation-book": "consultation",
    "operation-close": "consultation",
    "operation-turn": "consultation",
    "operation-signal": "consultation",
    BREAK_GLASS: BREAK_GLASS,
    "bind": "bind",
    "unbind": "unbind",
    "link": "identity",
    "unlink": "identity",
}
"""Interaction as the audit has it -> what it is called here ([access])."""


Who = Literal["self", "practitioner", "system", "administrator", "another-account"]
WHO: dict[str, Who] = {
    "practitioner": "practitioner",
    "system": "system",
    "admin": "administrator",
    "patient": "another-account",  # not named: it may be another person's
}
"""Kind of caller -> what it is called here ([who])."""


class Listed(Paged):
    others: Annotated[bool, Field(description="leave out what this account did itself")] = False


class Access(Model):
    at: Annotated[str, Field(description="Beijing time")]
    who: Who
    whoText: str
    practitioner: Named | None
    hospital: Named | None
    purpose: str
    purposeText: str
    what: Annotated[str, Field(examples=["read"])]
    whatText: str
    type: Annotated[str, Field(description="FHIR resource type, or empty")]
    typeText: str
    allowed: bool
    allowedText: str
    breakGlass: Annotated[bool, Field(description="the clinician broke the glass, or looked because of it")]
    reason: Annotated[str | None, Field(description="what the clinician stated when breaking the glass")]


class Accesses(Model):
    items: list[Access]
    next: str | None


@router.get("/accesses", responses=OF_PATIENT)
async def accesses(own: Patient, wanted: Annotated[Listed, Query()]) -> Envelope[Accesses]:
    """Who looked, and who tried to: when, from where, what for."""
    pairs = [("list", "accesses"), ("others", str(wanted.others))]
    begin = where(own, wanted, pairs)
    page, cursor = await page_of_own(own.portal.record, own.caller, wanted.count, begin, others=wanted.others)
    callers = [one["caller"] for one in page]
    told = ({one[name] for one in callers if name in one} for name in ("organization", "practitioner"))
    hospitals, doctors = await directory(own, *told)
    items = [_shown(own, one, hospitals, doctors) for one in page]
    return own.answer(Accesses(items=items, next=following(own, pairs, cursor)))


def _shown(own: Own, access: dict[str, Any], hospitals: dict[str, Named], doctors: dict[str, Named]) -> Access:
    caller, texts = access["caller"], own.texts
    who: Who = "self" if access["own"] else WHO[caller["kind"]]
    what, kind = WHAT.get(access["interaction"], "other"), access["asked"].partition("/")[0]
    kind = kind if kind in RESOURCE_TYPES else ""
    allowed = access["outcome"] == "permit"
    broke = access["interaction"] == BREAK_GLASS
    return Access(
        at=beijing(access["at"]),
        who=who,
        whoText=texts.text("who", who),
        practitioner=doctors.get(caller.get("practitioner", "")),
        hospital=hospitals.get(caller.get("organization", "")),
        purpose=caller["purpose"],
        purposeText=texts.label("purpose", caller["purpose"], caller["purpose"]),
        what=what,
        whatText=texts.text("access", what),
        type=kind,
        typeText=texts.label("type", kind),
        allowed=allowed,
        allowedText=texts.text("outcome", "allowed" if allowed else "denied"),
        breakGlass=broke or access.get("reason") == BREAK_GLASS,
        reason=access.get("reason") if broke else None,
    )
