"""What stands of results that a message does not send again: which of them a report lists, and what they are. Pure.

v2.5.1 sends results one by one, and says in each what becomes of it (7.4.2.11, table 0085): C replaces what was sent with the
same observation ID and sub-ID, D deletes it, W says that it was wrong, U makes it final without sending again what was sent.
So an OBX that a message leaves out stands: the correction of one result does not take the others of its report away. What has
the same observation ID and sub-ID is replaced or deleted as a unit: where there were three and two come, the third goes.

D and W go from the list; their Observations say that they were entered in error. X and N stay in it, as Observations that are
cancelled and have no value: that a result cannot be had, or was not asked for, is what the report says of it. An order that
is cancelled has none ("no results available", OBR-25 X, table 0123), so it lists what its message does. All else of a report is
of OBR and comes whole.
"""

from collections.abc import Collection, Iterator
from itertools import count
from typing import Any

from adapters.hl7v2.building import Build, Resource
from adapters.hl7v2.updating import Update

Unit = tuple[str, ...]
"""The key of results with one observation ID and sub-ID in one report."""


def confirmed(said: Resource) -> Update:
    """How a result changes that is final as it was sent (OBX-11 U without a value): its status, and notes that are new."""

    def over(stands: Resource) -> Resource:
        stood = stands.get("note", [])
        notes = [*stood, *(one for one in said.get("note", ()) if one not in stood)]
        return {**stands, "status": said["status"], **({"note": notes} if notes else {})}

    return over


def labelled(resource: Resource, build: Build) -> Resource:
    """What belongs to an order bears the labels of ORC-28. It comes whole, but that a message without ORC-28 says nothing of
    labels: those that there were stay."""
    made = {**resource, "meta": {"security": build.security}} if build.security else resource
    build.change(made, lambda stands: {**made, "meta": _meta(made, stands)})
    return made


def _meta(said: Resource, stands: Resource) -> Resource:
    labels = said.get("meta", {}).get("security") or stands["meta"].get("security", [])
    fixed = {name: stands["meta"][name] for name in ("versionId", "lastUpdated")}
    return {**({"security": labels} if labels else {}), **fixed}


def listed(said: Resource, units: Collection[Unit], build: Build) -> Update:
    """How a report changes by its message, which has these units of it."""

    def over(stands: Resource) -> Resource:
        results = _joined(said.get("result", []), stands.get("result", []), units, build)
        return {**said, "meta": _meta(said, stands), **({"result": results} if results else {})}

    return over


def _joined(said: list[Any], stood: list[Any], units: Collection[Unit], build: Build) -> list[Any]:
    """In the message's order where it names all that stay, else in the order that stood."""
    told = {one["reference"]: one for one in said}
    known = {one.get("reference") for one in stood}
    replaced = {name for unit in units for name in _of(unit, known, build)}
    stays = [told.get(name, one) for one in stood if (name := one.get("reference")) in told or name not in replaced]
    if all(one.get("reference") in told for one in stays):
        return said
    return [*stays, *(one for name, one in told.items() if name not in known)]


def _of(unit: Unit, known: set[Any], build: Build) -> Iterator[str]:
    """All that stood of a unit, and what the message sends of it."""
    for number in count():
        name = f"Observation/{build.identity('Observation', *unit, str(number))}"
        if number > build.seen["OBX", *unit] and name not in known:
            return
        yield name
