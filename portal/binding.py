"""Bind the account to the person it belongs to, by a card; unbind it."""

import unicodedata
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fhir_server.persons.names import normal
from fhir_server.r4.errors import FhirError
from fhir_server.r4.identifier_systems import HEALTH_CARD, RESIDENT_ID_CARD
from fhir_server.record import binding
from portal.asking import LoggedIn
from portal.envelope import Envelope
from portal.errors import PortalError
from portal.requests import Asked, Id
from portal.routing import OF_SESSION, refuses, routes
from portal.service import Resource

router = routes("binding")

Number = Annotated[str, Field(min_length=1, max_length=64)]


class Bind(Asked):
    """A card and whose it is. The number of a health or hospital card stands on receipts, so it takes the ID number as well."""

    card: Literal["resident-id", "health-card", "hospital-card"]
    number: Number
    name: Annotated[str, Field(min_length=1, max_length=100, description="as it stands on the card")]
    idNumber: Annotated[Number | None, Field(description="resident ID number, for a health or hospital card")] = None
    hospital: Annotated[Id | None, Field(description="id of the hospital that gave a hospital card")] = None

    @model_validator(mode="after")
    def _complete(self) -> "Bind":
        if (self.card == "resident-id") is not (self.idNumber is None):
            raise ValueError("idNumber goes with a health or hospital card")
        if (self.card == "hospital-card") is not (self.hospital is not None):
            raise ValueError("hospital goes with a hospital card")
        return self


@router.post("/bind", responses=refuses(401, 404, 409, 429))
async def bind(session: LoggedIn, wanted: Bind) -> Envelope[None]:
    """Bind this account to the one person who holds the card. Whatever does not match, the answer is the same 404."""
    try:
        await binding.bind(session.portal.record, session.account, claimed(wanted), card(wanted))
    except binding.Throttled:
        raise
    except FhirError as error:
        raise PortalError(error.status, {404: "no-match", 409: "bound-already"}.get(error.status, "internal")) from None
    return session.answer(None)


@router.delete("/bind", responses=OF_SESSION)
async def unbind(session: LoggedIn) -> Envelope[None]:
    """This account shows nobody's record any more, from the next request on."""
    await binding.unbind(session.portal.record, session.account)
    return session.answer(None)


def claimed(wanted: Bind) -> Resource:
    """The person as claimed, matched as Patients are (fhir_server/persons/matching.py); the ID number gives the birth date."""
    number = _plain(wanted.idNumber or wanted.number)
    identifiers = [{"system": RESIDENT_ID_CARD, "value": number}]
    born = f"{number[6:10]}-{number[10:12]}-{number[12:14]}"
    return {"resourceType": "Patient", "identifier": identifiers, "name": [{"text": normal(wanted.name)}], "birthDate": born}


def card(wanted: Bind) -> binding.Card:
    """The card that the person must hold."""
    systems = {"resident-id": RESIDENT_ID_CARD, "health-card": HEALTH_CARD, "hospital-card": ""}
    return binding.Card(_plain(wanted.number), systems[wanted.card], wanted.hospital or "")


def _plain(number: str) -> str:
    """Without spaces, full-width digits made plain, x made X."""
    return "".join(unicodedata.normalize("NFKC", number).split()).upper()
