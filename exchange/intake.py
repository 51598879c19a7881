"""What a hospital's message becomes: its transaction Bundle, written as that hospital."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from adapters.hl7v2.convert import Converted
from adapters.hospitals import Hospital
from adapters.inbox import Inbox
from consent.caller import Caller
from exchange.opening import Opened
from fhir_server.record.context import Record
from fhir_server.record.entries import operation
from fhir_server.record.links import ask
from fhir_server.record.operations import DoneBefore
from fhir_server.record.writing import transact

SCOPES = ("system/*.cruds",)


def submit_to(record: Record) -> Callable[[Hospital, Converted, bool], Awaitable[bool]]:
    """How adapters hand a converted message over: committed when it returns (whether it was before), FhirError when it
    cannot be.

    `once`: nothing is written where the message's Provenance stands. A hospital that lost its connection sends again, perhaps
    to another process while the first is still at work: whichever came second would put the message over newer ones.
    """

    async def submit(hospital: Hospital, converted: Converted, once: bool) -> bool:
        caller = Caller(f"hl7v2/{hospital.id}", "system", organization=hospital.id, scopes=SCOPES)
        operations = [operation(number, one, "", record.new_id) for number, one in enumerate(converted.bundle["entry"])]
        for one in operations:
            one.once = once and one.resource_type == "Provenance"
            update = converted.updates.get(f"{one.resource_type}/{one.id}")
            if update or one.create_only:  # what was deleted gets its labels again, also where a message only names it
                one.method, one.patch, one.otherwise = "patch", update or _as_it_stands, one.resource
        stood = False
        try:
            await transact(record, caller, operations)
        except DoneBefore:
            stood = True
        for patient, other in converted.same:
            await ask(record, caller, patient, other, "their hospital says that they are one")
        return stood

    return submit


def _as_it_stands(resource: dict[str, Any]) -> dict[str, Any]:
    return resource


async def register(record: Record, known: Iterable[Hospital]) -> None:
    """Each hospital's Organization in the directory, as its configuration says; nothing is written when nothing changed."""
    submit = submit_to(record)
    for hospital in known:
        organization = {"resourceType": "Organization", "id": hospital.id, "active": True, "name": hospital.name}
        request = {"method": "PUT", "url": f"Organization/{hospital.id}"}
        await submit(hospital, Converted({"entry": [{"resource": organization, "request": request}]}, [], []), False)


def inbox_of(exchange: Opened) -> Inbox:
    """The way in for hospitals' messages, over the open exchange."""
    return Inbox(exchange.inbox, submit_to(exchange.record), exchange.secrets.derive("ids of HL7 v2 resources"))
