"""Persons as a view knows them: all Patients that are one person."""

from collections.abc import Iterable, Sequence

from fhir_server.record.gate import View


async def meet(sight: View, patients: Iterable[bytes]) -> dict[bytes, Sequence[bytes]]:
    """All Patients of the persons of these; the view knows them from now on."""
    asked = set(patients)
    if unknown := sorted(asked - sight.people.keys()):
        met = await sight.record.exceptions.meet(unknown)
        sight.people = {**sight.people, **met}  # as it is now: others may have met some meanwhile
    return {one: sight.people[one] for one in asked}


async def same_person(sight: View, patient: bytes) -> Sequence[bytes]:
    """All Patients of a person, for who may see the Patient that was named; else only that one: a link is a fact, too."""
    known = sight.people.get(patient) or await sight.record.patients_of_person(patient)
    if len(known) == 1 or patient in sight.own:
        return known
    stored = await sight.record.by_key(patient)
    return known if stored is not None and sight.sees(stored) else (patient,)
