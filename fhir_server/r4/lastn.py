"""Which Observations are the latest of their kind (R4 observation-operation-lastn.html)."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fhir_server.r4.dates import interval

Observation = dict[str, Any]


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
    """When it was, in ms: the start of effective[x]; before everything else where that is not told."""
    timing = observation.get("effectiveTiming", {}).get("event", [None])
    period = observation.get("effectivePeriod", {})
    told = (observation.get("effectiveDateTime"), observation.get("effectiveInstant"), period.get("start"), period.get("end"))
    moment = next((one for one in (*told, timing[0]) if isinstance(one, str)), None)
    return float("-inf") if moment is None else interval(moment)[0]


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
