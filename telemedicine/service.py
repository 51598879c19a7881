"""What telemedicine works with: passed in once by the composition root (exchange/consultations.py)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fhir_server.record.context import Record
from telemedicine.roster import Expert


@dataclass(frozen=True, slots=True)
class Telemedicine:
    """`experts` gives the roster by practitioner id; `hold_ms` is how long a hold keeps a time."""

    record: Record
    experts: Callable[[], Awaitable[Mapping[str, Expert]]]
    hold_ms: int
