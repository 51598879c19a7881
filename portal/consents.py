"""The patient's consents: what is in force, grant or deny, withdraw."""

from datetime import date
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, Field, model_validator

from consent.rules import Rule, rules
from fhir_server.r4.errors import FhirError
from fhir_server.r4.json import read
from fhir_server.record import reading
from fhir_server.record.life import life
from fhir_server.record.operations import Operation
from fhir_server.record.writing import transact
from portal.asking import Own, Patient
from portal.display import beijing, local, status
from portal.envelope import Coded, Envelope, Model
from portal.errors import PortalError
from portal.looking import Named, by_id, directory
from portal.requests import DAY, ID, Asked, Id, Paged, following, where
from portal.routing import OF_PATIENT, refuses, routes
from portal.service import Resource

router = routes("consents")

V3 = "http://terminology.hl7.org/CodeSystem/"
SCOPE = {"coding": [{"system": f"{V3}consentscope", "code": "patient-privacy"}]}
CATEGORY = {"coding": [{"system": "http://loinc.org", "code": "59284-0", "display": "Patient Consent"}]}
POLICY = {"coding": [{"system": f"{V3}v3-ActCode", "code": "HIE"}]}
RECIPIENT = {"coding": [{"system": f"{V3}v3-ParticipationType", "code": "PRCP"}]}
SELF = "patient/"  # how the custodian of what a patient wrote begins
EFFECTS = {"grant": "permit", "deny": "deny"}

Purpose = Literal["TREAT", "ETREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH"]
Day = Annotated[str, Field(pattern=DAY), AfterValidator(lambda text: date.fromisoformat(text).isoformat())]


class Wish(Asked):
    """Grant or deny: to a hospital or a practitioner (neither: to everybody), for a purpose (none: any), from day to day."""

    effect: Literal["grant", "deny"]
    hospital: Id | None = None
    practitioner: Id | None = None
    purpose: Annotated[Purpose | None, Field(description="v3-PurposeOfUse")] = None
    start: Annotated[Day | None, Field(description="first day, in Beijing")] = None
    end: Annotated[Day | None, Field(description="last day, in Beijing")] = None

    @model_validator(mode="after")
    def _sensible(self) -> "Wish":
        if self.hospital and self.practitioner:
            raise ValueError("a hospital or a practitioner, not both: record two consents")
        if self.start and self.end and self.start > self.end:
            raise ValueError("the end is before the start")
        return self


class Provision(Model):
    """One rule, as it is enforced."""

    effect: Literal["grant", "deny"]
    effectText: str
    hospitals: Annotated[list[Named], Field(description="empty: any")]
    practitioners: Annotated[list[Named], Field(description="empty: anybody")]
    purposes: Annotated[list[Coded], Field(description="empty: any")]
    labels: Annotated[list[Coded], Field(description="what kind of data it is about; empty: any")]
    start: str | None
    end: str | None


class Consent(Model):
    id: str
    status: Annotated[str, Field(description="active or inactive (withdrawn); FHIR has more", examples=["active"])]
    statusText: str
    date: str | None
    recordedBy: Annotated[Named | None, Field(description="the hospital that recorded it; null: the patient")]
    provisions: list[Provision]


class Consents(Model):
    items: list[Consent]
    next: str | None


@router.get("/consents", responses=OF_PATIENT)
async def consents(own: Patient, wanted: Annotated[Paged, Query()]) -> Envelope[Consents]:
    """The patient's consents, in force and withdrawn, newest first."""
    pairs = [("list", "consents")]
    page, cursor = await life(own.portal.record, own.caller, ("Consent",), wanted.count, where(own, wanted, pairs))
    items = await _shown(own, [(read(raw), custodian) for raw, custodian in page])
    return own.answer(Consents(items=items, next=following(own, pairs, cursor)))


@router.post("/consents", status_code=201, responses=OF_PATIENT)
async def record_consent(own: Patient, wish: Wish) -> Envelope[Consent]:
    """Grant or deny. In force from the next request on, whoever makes it."""
    await _require_known(own, wish)
    return await _written(own, Operation("create", "Consent", own.portal.record.new_id(), _consent(own, wish)), SELF)


@router.delete("/consents/{id}", responses=OF_PATIENT | refuses(404, 409))
async def withdraw(own: Patient, id: Annotated[str, Path(pattern=ID)]) -> Envelope[Consent]:
    """Withdraw: not in force from the next request on. It stays in the list, as inactive."""
    stored = await reading.read(own.portal.record, own.caller, "Consent", id)
    current = read(stored.body or b"")
    if status(current) == "inactive":
        raise PortalError(409, "withdrawn-already")
    try:
        inactive = current | {"status": "inactive"}
        return await _written(own, Operation("update", "Consent", id, inactive, if_match=stored.version), stored.custodian)
    except FhirError as error:
        raise PortalError(403, "recorded-by-hospital") if error.status == 403 else error from None


async def _written(own: Own, operation: Operation, custodian: str) -> Envelope[Consent]:
    (written,) = await transact(own.portal.record, own.caller, [operation], operation.method)
    return own.answer((await _shown(own, [(read(written.body or b""), custodian)]))[0])


async def _require_known(own: Own, wish: Wish) -> None:
    """A consent about nobody would protect nobody."""
    for field, kind, known in (
        ("hospital", "Organization", wish.hospital),
        ("practitioner", "Practitioner", wish.practitioner),
    ):
        if known and not await by_id(own, kind, [known]):
            raise PortalError(422, "invalid", {"fields": [field]})


def _consent(own: Own, wish: Wish) -> Resource:
    named = [(kind, one) for kind, one in (("Organization", wish.hospital), ("Practitioner", wish.practitioner)) if one]
    stated = {
        "type": EFFECTS[wish.effect],
        "period": {name: day for name, day in (("start", wish.start), ("end", wish.end)) if day},
        "actor": [{"role": RECIPIENT, "reference": {"reference": f"{kind}/{known}"}} for kind, known in named],
        "purpose": [{"system": f"{V3}v3-ActReason", "code": wish.purpose}] if wish.purpose else [],
    }
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": SCOPE,
        "category": [CATEGORY],
        "patient": {"reference": f"Patient/{own.caller.patient}"},
        "dateTime": beijing(own.portal.record.clock()),
        "policyRule": POLICY,
        "provision": {element: value for element, value in stated.items() if value},
    }


async def _shown(own: Own, page: list[tuple[Resource, str]]) -> list[Consent]:
    """Their rules as they are, or were, enforced; with the names of those they speak of."""
    ruled = [(one, custodian, rules(one | {"status": "active"})) for one, custodian in page]
    every = [rule for _, _, some in ruled for rule in some]
    keepers = {custodian for _, custodian in page if not custodian.startswith(SELF)}
    hospitals = keepers | {known for rule in every for known in rule.organizations}
    organizations, practitioners = await directory(own, hospitals, {known for rule in every for known in rule.practitioners})
    return [
        Consent(
            id=one["id"],
            status=status(one),
            statusText=own.texts.label("status", status(one), status(one)),
            date=local(one.get("dateTime")),
            recordedBy=organizations.get(custodian),
            provisions=[_provision(own, rule, organizations, practitioners) for rule in some],
        )
        for one, custodian, some in ruled
    ]


def _provision(own: Own, rule: Rule, hospitals: dict[str, Named], practitioners: dict[str, Named]) -> Provision:
    effect: Literal["grant", "deny"] = "grant" if rule.effect == "permit" else "deny"
    return Provision(
        effect=effect,
        effectText=own.texts.text("effect", effect),
        hospitals=[hospitals[one] for one in sorted(rule.organizations)],
        practitioners=[practitioners[one] for one in sorted(rule.practitioners)],
        purposes=[Coded(code=one, text=own.texts.label("purpose", one, one)) for one in sorted(rule.purposes)],
        labels=[Coded(code=one, text=own.texts.label("label", one, one)) for one in sorted(rule.labels)],
        start=None if rule.start is None else beijing(rule.start),
        end=None if rule.end is None else beijing(rule.end),
    )
