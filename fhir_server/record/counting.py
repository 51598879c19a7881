"""How many visible matches a search has: exactly, or not at all (decision 4)."""

from fhir_server.record.candidates import Search, candidates
from fhir_server.record.gate import View
from fhir_server.store import totals
from fhir_server.store.documents import STAMPS, TYPE_NUMBER, WITHOUT_TERMS, Document

FEW = 100  # Patients whose resources are looked at in passing
EXCEPTIONS, THEIRS = 5_000, 20_000  # Patients with rules of their own, and their resources, that a total looks at one by one


async def count(running: Search, through: list[Document], most: int) -> int | None:
    """How many visible matches there are, exactly; None beyond the bound. `through` is told of what is counted one by one."""
    if running.wanted.counted is not None and not running.links:
        kept = await _by_totals(running.sight, running.wanted.counted, TYPE_NUMBER[running.query.resource_type])
        if kept is not None:
            return kept
    projection = WITHOUT_TERMS if running.wanted.confirm or running.links else STAMPS
    found = 0
    async for one in candidates(running, projection):
        found += 1
        if found > most:
            return None
        through.append({"p": one["p"]})
    return found


async def _by_totals(sight: View, term: int, number: int) -> int | None:
    """The number of resources of a type that bear a counted term and may be seen. None where it is to be found by walking.

    The rows know what the gate decides on, but for the rules of single persons: theirs are looked at one by one.
    """
    record, people = sight.record, list(sight.record.exceptions.owner)
    if not record.codec.is_indexed or sight.caller.kind == "patient" or len(people) > EXCEPTIONS:
        return None
    read = record.share if len(people) <= FEW else record.separate
    found = await read(totals.TOTALS)(totals.Total(term, number, people, THEIRS))
    if found is None:
        return None
    rows, exceptional = found
    in_general = sum(n for one, n in rows if sight.sees(one))
    return in_general + sum(sight.sees(one) - sight.sees(totals.in_general(one)) for one in exceptional)
