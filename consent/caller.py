"""Who is asking: made once, from the token (fhir_server/http/tokens.py), and handed down unchanged."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["system", "practitioner", "patient", "admin"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller. `purpose` is a code of v3-PurposeOfUse; `scopes` are SMART v2 scopes as granted; ids are FHIR logical ids."""

    id: str
    kind: Kind
    organization: str | None = None
    practitioner: str | None = None
    patient: str | None = None
    role: str | None = None
    purpose: str = "TREAT"
    scopes: tuple[str, ...] = ()
