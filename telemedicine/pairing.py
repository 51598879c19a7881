"""A pairing round: which expert takes which request (pure). A min-cost flow, so the best of all pairings, not the first found.

An expert is eligible for a request of the same specialty and language from another hospital. Serving a request earns
BASE + urgency x waiting; each further consultation of one expert costs more than the one before (a convex load). As BASE
outweighs every load, nobody waits while an eligible expert is free; where experts are short, urgency and waiting decide.

The graph stays small because costs are separable: requests of one (specialty, language, own hospital) share a node, with one
arc past all experts for each reward that is then not earned; "any hospital but one's own" is a handful of nodes of a segment
tree over the hospitals.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

BASE = 1_000
MAX_CAPACITY = 200
STEP_MS = 15 * 60_000
MAX_STEPS = 7 * 24 * 4
URGENCY = {"routine": 1, "urgent": 3, "asap": 9, "stat": 27}
"""Weight of ServiceRequest.priority."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who waits: `organization` is the own hospital (empty: none), `since` ms UTC, `urgency` a code of request-priority."""

    id: str
    specialty: str
    language: str
    urgency: str
    organization: str
    since: int


@dataclass(frozen=True, slots=True)
class Expert:
    """Who can take how much more: `load` consultations ahead already, `capacity` free slots."""

    id: str
    specialties: frozenset[str]
    languages: frozenset[str]
    organization: str
    load: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A pairing and its reason: what matched, the expert's load before it, minutes waited, what it earned and cost."""

    request: str
    expert: str
    specialty: str
    language: str
    urgency: str
    load: int
    wait: int
    reward: int
    cost: int


_Group = tuple[str, str]
_Demand = tuple[_Group, str]
_Arc = tuple[int, int, int, int]
_SINK = 0


@dataclass(slots=True)
class _Graph:
    """Arcs (tail, head, capacity, cost) in such an order that every arc into a node comes before those out of it."""

    supplies: list[int] = field(default_factory=lambda: [0])
    arcs: list[_Arc] = field(default_factory=list)

    def more(self, supplies: Sequence[int]) -> int:
        """New nodes with these supplies; gives the first."""
        self.supplies += supplies
        return len(self.supplies) - len(supplies)


def pair(requests: Sequence[Request], experts: Sequence[Expert], now: int) -> list[Pair]:
    """The best pairs of a round; what stays out has no eligible expert with capacity left, or less of a claim."""
    able = [expert for expert in experts if expert.capacity > 0]
    if not able or not requests:
        return []
    graph = _Graph()
    demands = _demands(requests, {expert.organization for expert in able})
    starts = {demand: graph.more([len(members)]) for demand, members in demands.items()}
    first = _connect(graph, demands, starts, able, now)
    at = {starts[demand]: members for demand, members in demands.items()}
    _follow(graph, _flows(graph), at)
    return [made for number, expert in enumerate(able) for made in _pairs(expert, at.get(first + number, []), now)]


def reward(request: Request, now: int) -> int:
    """What serving a request is worth: BASE and urgency x waiting, in steps of 15 minutes up to a week."""
    return BASE + URGENCY[request.urgency] * (1 + min(max(now - request.since, 0) // STEP_MS, MAX_STEPS))


def load_cost(load: int) -> int:
    """What one more consultation costs where `load` are ahead already: rising, so that work spreads."""
    return 2 * load + 1


def _demands(requests: Iterable[Request], hospitals: set[str]) -> dict[_Demand, list[Request]]:
    """((specialty, language), own hospital) -> its requests; hospitals without experts are all alike."""
    found: dict[_Demand, list[Request]] = defaultdict(list)
    for one in requests:
        own = one.organization if one.organization in hospitals else ""
        found[(one.specialty, one.language), own].append(one)
    return found


def _connect(
    graph: _Graph, demands: dict[_Demand, list[Request]], starts: dict[_Demand, int], experts: Sequence[Expert], now: int
) -> int:
    """Arcs from demands through hospitals to experts and on to the sink; gives the node of the first expert."""
    offers = _offers(experts, {group for group, _ in demands})
    trees = {group: graph.more([0] * 2 * len(hospitals)) for group, hospitals in offers.items()}
    first = graph.more([0] * len(experts))
    for (group, own), members in demands.items():
        start = starts[group, own]
        heads = _others(list(offers.get(group, ())), own)
        graph.arcs += ((start, trees[group] + node, len(members), 0) for node in heads)
        graph.arcs += _unserved(start, members, now)
    for group, hospitals in offers.items():
        graph.arcs += _tree(trees[group], list(hospitals.values()), first)
    for number, expert in enumerate(experts):
        loads = range(expert.load, expert.load + _capacity(expert))
        graph.arcs += ((first + number, _SINK, 1, load_cost(load)) for load in loads)
    return first


def _unserved(start: int, members: list[Request], now: int) -> Iterator[_Arc]:
    """Arcs past the experts, at the price of what is not earned. Sorts the members: the least pressing are the first out."""
    members.sort(key=lambda one: (reward(one, now), -one.since, one.id))
    for worth, alike in groupby(members, key=lambda one: reward(one, now)):
        yield start, _SINK, sum(1 for _ in alike), worth


def _capacity(expert: Expert) -> int:
    return min(expert.capacity, MAX_CAPACITY)


def _offers(experts: Sequence[Expert], wanted: set[_Group]) -> dict[_Group, dict[str, list[tuple[int, int]]]]:
    """(specialty, language) -> hospital -> (position, capacity) of its experts."""
    found: dict[_Group, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for at, expert in enumerate(experts):
        for group in {(one, other) for one in expert.specialties for other in expert.languages} & wanted:
            found[group][expert.organization].append((at, _capacity(expert)))
    return found


def _others(hospitals: list[str], own: str) -> Iterator[int]:
    """The nodes of the tree that hold all leaves but the own hospital's."""
    count = len(hospitals)
    at = hospitals.index(own) if own in hospitals else count
    yield from _span(count, 0, at)
    yield from _span(count, at + 1, count)


def _span(count: int, low: int, high: int) -> Iterator[int]:
    """The nodes of a segment tree of `count` leaves (node 1 the root, leaf i at count + i) that make up [low, high)."""
    low, high = low + count, high + count
    while low < high:
        if low & 1:
            yield low
            low += 1
        if high & 1:
            high -= 1
            yield high
        low, high = low // 2, high // 2


def _tree(base: int, hospitals: list[list[tuple[int, int]]], first: int) -> Iterator[_Arc]:
    """Arcs of one tree, parents first, then from each hospital to its experts."""
    count = len(hospitals)
    total = sum(capacity for members in hospitals for _, capacity in members)
    for node in range(1, count):
        yield from ((base + node, base + child, total, 0) for child in (2 * node, 2 * node + 1))
    for leaf, members in enumerate(hospitals):
        yield from ((base + count + leaf, first + at, capacity, 0) for at, capacity in members)


def _flows(graph: _Graph) -> list[int]:
    """The flow on each arc of the cheapest way to send everybody to the sink."""
    # Imported by the first round, and not by each process that starts: they are a sixth of all that is loaded.
    import numpy as np
    from ortools.graph.python.min_cost_flow import SimpleMinCostFlow

    solver = SimpleMinCostFlow()
    arcs = solver.add_arcs_with_capacity_and_unit_cost(*np.array(graph.arcs, dtype=np.int64).T)
    supplies = np.array(graph.supplies, dtype=np.int64)
    supplies[_SINK] = -supplies.sum()
    solver.set_nodes_supplies(np.arange(len(supplies)), supplies)
    status = solver.solve()
    if status != SimpleMinCostFlow.Status.OPTIMAL:
        raise RuntimeError(f"the pairing round ended as {status.name}")
    found: list[int] = solver.flows(arcs).tolist()
    return found


def _follow(graph: _Graph, flows: list[int], at: dict[int, list[Request]]) -> None:
    """Hand the requests on from node to node as the flow says: in the end each is at an expert, or at the sink."""
    unserved = dict.fromkeys(at, 0)
    for (tail, head, _, _), flow in zip(graph.arcs, flows, strict=True):
        if head == _SINK and tail in unserved:
            unserved[tail] += flow
    for tail, count in unserved.items():
        del at[tail][:count]
    for (tail, head, _, _), flow in zip(graph.arcs, flows, strict=True):
        if flow and head != _SINK:
            waiting = at[tail]
            at.setdefault(head, []).extend(waiting[-flow:])
            del waiting[-flow:]


def _pairs(expert: Expert, requests: list[Request], now: int) -> Iterator[Pair]:
    """An expert's new consultations, the most pressing first."""
    for number, one in enumerate(sorted(requests, key=lambda one: (-reward(one, now), one.since, one.id))):
        load = expert.load + number
        wait = max(now - one.since, 0) // 60_000
        facts = (one.specialty, one.language, one.urgency, load, wait, reward(one, now), load_cost(load))
        yield Pair(one.id, expert.id, *facts)
