"""Issue 3.1: a min-cost-flow round with convex load cost and urgency x waiting, and the reason of each pairing."""

from collections import Counter
from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from telemedicine.pairing import URGENCY, Expert, Pair, Request, load_cost, pair, reward

NOW = 1_800_000_000_000
HOUR = 3_600_000

SPECIALTIES, LANGUAGES, HOSPITALS = ("cardiology", "neurology"), ("zh", "ug"), ("a", "b", "c")
REQUESTS = st.builds(
    Request,
    id=st.just(""),
    specialty=st.sampled_from(SPECIALTIES),
    language=st.sampled_from(LANGUAGES),
    urgency=st.sampled_from(list(URGENCY)),
    organization=st.sampled_from(("", *HOSPITALS)),
    since=st.integers(NOW - 5 * HOUR, NOW),
)
EXPERTS = st.builds(
    Expert,
    id=st.just(""),
    specialties=st.sets(st.sampled_from(SPECIALTIES), min_size=1).map(frozenset),
    languages=st.sets(st.sampled_from(LANGUAGES), min_size=1).map(frozenset),
    organization=st.sampled_from(HOSPITALS),
    load=st.integers(0, 3),
    capacity=st.integers(0, 2),
)


def _numbered(some: list) -> list:
    return [type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"id": str(at)}) for at, one in enumerate(some)]


def _worth(requests: Sequence[Request], taken: Counter[str], served: Sequence[Request], experts: Sequence[Expert]) -> int:
    loads = {one.id: one.load for one in experts}
    paid = sum(load_cost(loads[expert] + number) for expert, count in taken.items() for number in range(count))
    return sum(reward(one, NOW) for one in served) - paid


def _is_eligible(request: Request, expert: Expert) -> bool:
    fits = request.specialty in expert.specialties and request.language in expert.languages
    return fits and request.organization != expert.organization


def _all_ways(requests: Sequence[Request], experts: Sequence[Expert]) -> Iterator[dict[str, str]]:
    """Every pairing there is: each request with nobody, or with an eligible expert who has room."""
    if not requests:
        yield {}
        return
    for rest in _all_ways(requests[1:], experts):
        yield rest
        for expert in experts:
            if _is_eligible(requests[0], expert) and list(rest.values()).count(expert.id) < expert.capacity:
                yield rest | {requests[0].id: expert.id}


def _value(requests: Sequence[Request], experts: Sequence[Expert], way: dict[str, str]) -> int:
    return _worth(requests, Counter(way.values()), [one for one in requests if one.id in way], experts)


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS, max_size=5).map(_numbered), st.lists(EXPERTS, max_size=4).map(_numbered))
def test_no_pairing_is_better(requests: list[Request], experts: list[Expert]) -> None:
    """Against brute force: the value of the round is the best of all possible ones, within eligibility and capacity."""
    pairs = pair(requests, experts, NOW)
    known, able = {one.id: one for one in requests}, {one.id: one for one in experts}
    way = {one.request: one.expert for one in pairs}
    assert len(way) == len(pairs)
    assert all(_is_eligible(known[one.request], able[one.expert]) for one in pairs)
    assert all(count <= able[expert].capacity for expert, count in Counter(way.values()).items())
    best = max(_value(requests, experts, one) for one in _all_ways(requests, experts))
    assert _value(requests, experts, way) == best == sum(one.reward - one.cost for one in pairs)


def _request(id_: str, urgency: str = "routine", waited: int = 0, organization: str = "own") -> Request:
    return Request(id_, "cardiology", "ug", urgency, organization, NOW - waited)


def _expert(id_: str, organization: str = "far", load: int = 0, capacity: int = 9) -> Expert:
    return Expert(id_, frozenset(("cardiology",)), frozenset(("zh", "ug")), organization, load, capacity)


def test_the_reason_is_kept() -> None:
    (made,) = pair([_request("r", "urgent", 2 * HOUR)], [_expert("e", load=3)], NOW)
    earned = reward(_request("r", "urgent", 2 * HOUR), NOW)
    assert made == Pair("r", "e", "cardiology", "ug", "urgent", load=3, wait=120, reward=earned, cost=load_cost(3))


def test_work_spreads() -> None:
    """Convex load: eight requests and four experts are two each, whatever came first; who has work already gets less."""
    some = [_request(str(number)) for number in range(8)]
    even = pair(some, [_expert(name) for name in "abcd"], NOW)
    assert Counter(one.expert for one in even) == dict.fromkeys("abcd", 2)
    uneven = pair(some, [_expert("a", load=4), _expert("b"), _expert("c")], NOW)
    assert Counter(one.expert for one in uneven) == {"b": 4, "c": 4}


def test_urgency_and_waiting_decide_where_experts_are_short() -> None:
    """urgency x waiting: a long wait outweighs a higher priority; an emergency that waits as long comes first."""
    waits = {"fresh urgent": ("urgent", 0), "old routine": ("routine", 3 * HOUR), "old stat": ("stat", 3 * HOUR)}
    some = [_request(name, *one) for name, one in waits.items()]
    assert [one.request for one in pair(some, [_expert("e", capacity=1)], NOW)] == ["old stat"]
    assert {one.request for one in pair(some, [_expert("e", capacity=2)], NOW)} == {"old stat", "old routine"}


def test_never_ones_own_hospital() -> None:
    assert pair([_request("r", organization="far")], [_expert("e", "far")], NOW) == []
    assert [one.expert for one in pair([_request("r", organization="far")], [_expert("e", "far"), _expert("f", "x")], NOW)] == [
        "f"
    ]


def test_the_region_in_one_round() -> None:
    """4,200 experts and 10,000 requests: everybody who can be served is."""
    experts = [_expert(f"e{number}", f"h{number % 60}", number % 5, number % 6) for number in range(4_200)]
    some = [
        _request(f"r{number}", list(URGENCY)[number % 4], number * 7_919 % (72 * HOUR), f"h{number % 97}")
        for number in range(10_000)
    ]
    pairs = pair(some, experts, NOW)
    assert len(pairs) == min(sum(one.capacity for one in experts), 10_000)
