"""Every access leaves one audit entry; here is what goes into it (IHE BALP AuditEvents are rendered from it)."""

from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from typing import Any, NamedTuple

from consent.caller import Caller
from fhir_server.r4.errors import FhirError
from fhir_server.store.chain import Entry
from fhir_server.store.documents import UNRESOLVED, Document


class Access(NamedTuple):
    """One access in the making: interaction as FHIR names it, and what was asked for (sealed before it is stored)."""

    caller: Caller
    interaction: str
    asked: str
    at: int

    def entry(
        self,
        documents: Iterable[Document] = (),
        *,
        about: Iterable[bytes] = (),
        outcome: str = "permit",
        reason: str = "",
        extra: Any = None,
    ) -> Entry:
        """The audit entry naming every person the documents are about, and the Patients it is `about` besides (naming.py)."""
        touched = list(documents)
        named = (*(person for document in touched for person in document["p"]), *about)
        persons = dict.fromkeys(person for person in named if person != UNRESOLVED)
        what: dict[str, Any] = {
            "interaction": self.interaction,
            "asked": self.asked,
            "outcome": outcome,
            "caller": _described(self.caller),
            "records": len(touched),
        }
        if reason:
            what["reason"] = reason
        if extra:
            what |= extra
        return Entry(self.at, tuple(persons), what)

    def refused(self, refusal: FhirError, about: Iterable[bytes] = (), documents: Iterable[Document] = ()) -> Entry:
        """The audit entry of an access that was refused."""
        return self.entry(documents, about=about, outcome="refused", reason=f"{refusal.status} {refusal.issues[0].code}")


@lru_cache(maxsize=16_384)
def _described(caller: Caller) -> dict[str, Any]:
    return {name: value for name, value in asdict(caller).items() if value and name != "scopes"}
