"""Which Observations are the latest of their kind (R4 observation-operation-lastn.html)."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from fhir_server.r4.dates import Interval, interval, period, start, timing

Observation = dict[str, Any]
_EFFECTIVE: dict[str, Callable[[Any], Interval | None]] = {
    "effectiveDateTime": interval,
    "effectiveInstant": interval,
    "effectivePeriod": period,
    "effectiveTiming": timing,
}


def latest(observations: Sequence[Observation], most: int) -> list[int]:
    """Indexes of the newest `most` of each group, newest first; of equal times all that share the last one."""
    when = [effective(one) for one in observations]
    order = sorted(range(len(observations)), key=lambda number: when[number], reverse=True)
    group = _groups(observations)
    taken: dict[int, int] = {}
    found = []
    for _, tied in groupby(order, key=lambda number: when[number]):
        together = list(tied)
        found += [number for number in together if taken.get(group[number], 0) < most]
        for number in together:
            taken[group[number]] = taken.get(group[number], 0) + 1
    return found


def effective(observation: Observation) -> float:
    """When it was, in ms, as a sort by date has it; before everything else where that is not told."""
    told = (read(observation[name]) for name, read in _EFFECTIVE.items() if name in observation)
    starts = (start(*one) for one in told if one)
    return next((one for one in starts if one is not None), float("-inf"))


def _groups(observations: Sequence[Observation]) -> list[int]:
    """The group of each: those that share a coding are of one, and so are those that share one with any of these."""
    leader = list(range(len(observations)))

    def first(number: int) -> int:
        while leader[number] != number:
            leader[number] = leader[leader[number]]
            number = leader[number]
        return number

    seen: dict[Any, int] = {}
    for number, one in enumerate(observations):
        for key in _keys(one.get("code", {})):
            leader[first(number)] = first(seen.setdefault(key, number))
    return [first(number) for number in range(len(observations))]


def _keys(concept: dict[str, Any]) -> list[Any]:
    """What makes codes equal: system and code; of a concept without any, its text as it is written."""
    codings: list[Any] = [(one.get("system"), one["code"]) for one in concept.get("coding", ()) if "code" in one]
    return codings or [concept.get("text")]
