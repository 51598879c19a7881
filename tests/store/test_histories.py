"""Checked histories, as Jepsen does: clients read and write at random over two exchanges on one store, every answer is
recorded, and then all of it must fit into one order that the times of the requests allow.

Each write carries a word of its own, by which it is found in the histories of the resources.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from random import Random
from typing import Any

import httpx
import pytest

from tests.serving import Door

Resource = dict[str, Any]
Version = tuple[int, str]
"""Of a resource: its number, and the word written; "" where it was deleted."""

NAMES = [f"r-{number}" for number in range(5)]
CLIENTS, REQUESTS = 8, 30
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
REFUSED = {404, 409, 410, 412}


@dataclass(slots=True, eq=False)
class Call:
    """One request: when it was sent and answered, per resource the word it writes ("": it deletes) and the version that it
    makes, was to replace (If-Match) or read."""

    writes: dict[str, str] = field(default_factory=dict)
    expects: dict[str, int] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)
    end: float = 0.0
    status: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    reads: dict[str, Version] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return self.status < 300


@pytest.mark.parametrize("seed", [1, 2])
async def test_histories_are_linearizable(doors: tuple[Door, Door], seed: int) -> None:
    """http.html#concurrency, #transaction; DESIGN 3: versions are never lost or reused, transactions are whole, and what was
    acknowledged before another request was sent comes before it"""
    words = (f"w{number}" for number in itertools.count())
    clients = [doors[number % 2].system("hospital-a") for number in range(CLIENTS)]
    work = (client_at_work(client, Random(f"{seed}/{number}"), words) for number, client in enumerate(clients))
    calls = [call for some in await asyncio.gather(*work) for call in some]
    histories = {name: await history(clients[0], name) for name in NAMES}
    assert {call.status for call in calls} <= {200, 201, 204} | REFUSED
    assert sum(call.is_done for call in calls) > len(calls) / 2
    assert list(violations(calls, histories)) == []
    assert [line async for line in doors[0].exchange.record.audit.verify()] == []


# --- what clients do -------------------------------------------------------------------------------------------------------


async def client_at_work(client: httpx.AsyncClient, dice: Random, words: Iterator[str]) -> list[Call]:
    """Requests one after the other; each client remembers the versions it has seen, for If-Match."""
    seen: dict[str, int] = {}
    calls = []
    for _ in range(REQUESTS):
        call = await dice.choices(list(ASKING), WEIGHTS)[0](client, dice, words, seen)
        call.end = time.perf_counter()
        calls.append(call)
        if call.is_done:
            seen |= {name: version for name, version in call.versions.items() if version}
    return calls


async def update(client: httpx.AsyncClient, dice: Random, words: Iterator[str], seen: dict[str, int]) -> Call:
    name, word = dice.choice(NAMES), next(words)
    expects = {name: seen[name]} if name in seen and dice.random() < 0.5 else {}
    call = Call({name: word}, expects)
    answered(call, name, await client.put(f"/Basic/{name}", json=basic(name, word), headers=if_match(expects)))
    return call


async def conditional_update(client: httpx.AsyncClient, dice: Random, words: Iterator[str], seen: dict[str, int]) -> Call:
    name, word = dice.choice(NAMES), next(words)
    call = Call({name: word})
    answered(call, name, await client.put(f"/Basic?identifier=urn:x|{name}", json=basic(name, word)))
    return call


async def patch(client: httpx.AsyncClient, dice: Random, words: Iterator[str], seen: dict[str, int]) -> Call:
    name, word = dice.choice(NAMES), next(words)
    call = Call({name: word})
    changes = [{"op": "replace", "path": "/code/text", "value": word}]
    answered(call, name, await client.patch(f"/Basic/{name}", json=changes, headers=JSON_PATCH))
    return call


async def delete(client: httpx.AsyncClient, dice: Random, words: Iterator[str], seen: dict[str, int]) -> Call:
    name = dice.choice(NAMES)
    expects = {name: seen[name]} if name in seen and dice.random() < 0.5 else {}
    call = Call({name: ""}, expects)
    answered(call, name, await client.delete(f"/Basic/{name}", headers=if_match(expects)))
    return call


async def transaction(client: httpx.AsyncClient, dice: Random, words: Iterator[str], seen: dict[str, int]) -> Call:
    names, word = dice.sample(NAMES, dice.randint(2, 3)), next(words)
    expects = {names[0]: seen[names[0]]} if names[0] in seen and dice.random() < 0.3 else {}
    requests: list[Resource] = [
        {"method": "PUT", "url": f"Basic/{name}"} | ({"ifMatch": f'W/"{expects[name]}"'} if name in expects else {})
        for name in names
    ]
    entries = [{"resource": basic(name, word), "request": one} for name, one in zip(names, requests, strict=True)]
    call = Call(dict.fromkeys(names, word), expects)
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    call.status = answer.status_code
    if call.is_done:
        etags = [one["response"]["etag"] for one in answer.json()["entry"]]
        call.versions = {name: number(etag) for name, etag in zip(names, etags, strict=True)}
    return call


async def read(client: httpx.AsyncClient, dice: Random, words: Iterator[str], seen: dict[str, int]) -> Call:
    name = dice.choice(NAMES)
    call = Call()
    answer = await client.get(f"/Basic/{name}")
    call.status = answer.status_code
    if call.is_done:
        call.reads[name] = version_of({"resource": answer.json()})
        seen[name] = call.reads[name][0]
    return call


ASKING = {update: 5, conditional_update: 2, patch: 3, delete: 2, transaction: 4, read: 4}
WEIGHTS = list(ASKING.values())


def answered(call: Call, name: str, answer: httpx.Response) -> None:
    call.status = answer.status_code
    if call.is_done:
        call.versions = {name: number(answer.headers.get("etag", 'W/"0"'))}


def basic(name: str, word: str) -> Resource:
    return {"resourceType": "Basic", "id": name, "code": {"text": word}, "identifier": [{"system": "urn:x", "value": name}]}


def if_match(expects: dict[str, int]) -> dict[str, str]:
    version = next(iter(expects.values()), None)
    return {} if version is None else {"If-Match": f'W/"{version}"'}


def number(etag: str) -> int:
    return int(etag.removeprefix('W/"').removesuffix('"'))


async def history(client: httpx.AsyncClient, name: str) -> list[Version]:
    """All versions, oldest first, deletions as well."""
    answer = (await client.get(f"/Basic/{name}/_history?_count=1000")).json()
    return [version_of(entry) for entry in reversed(answer["entry"])]


def version_of(entry: Resource) -> Version:
    if "resource" not in entry:
        return number(entry["response"]["etag"]), ""
    resource = entry["resource"]
    return int(resource["meta"]["versionId"]), resource["code"]["text"]


# --- what must hold --------------------------------------------------------------------------------------------------------


def violations(calls: list[Call], histories: dict[str, list[Version]]) -> Iterator[str]:
    """What does not fit together, in words; nothing where all is well."""
    done = [call for call in calls if call.is_done]
    writers = {(name, version): call for call in done for name, version in call.versions.items() if version}
    for name, versions in histories.items():
        if [version for version, _ in versions] != list(range(1, len(versions) + 1)):
            yield f"{name}: versions have gaps or come twice"
        yield from misplaced(name, done, dict(versions))
    yield from invented(done, histories)
    yield from refused_for_nothing(calls, writers)
    yield from out_of_order(done, writers)


def misplaced(name: str, done: list[Call], stored: dict[int, str]) -> Iterator[str]:
    """What was acknowledged or read stands where it was said to, on the version it expected."""
    for call in done:
        version = call.versions.get(name)
        if version and stored.get(version) != call.writes[name]:
            yield f"{name}: version {version} is not what was acknowledged"
        if version and call.expects.get(name, version - 1) != version - 1:
            yield f"{name}: version {version} was not written on the one that was expected"
        if name in call.reads and stored.get(call.reads[name][0]) != call.reads[name][1]:
            yield f"{name}: version {call.reads[name][0]} is not what was read"


def invented(done: list[Call], histories: dict[str, list[Version]]) -> Iterator[str]:
    """Each version was acknowledged, to one: neither refused nor half of a transaction is there."""
    told = Counter((name, version) for call in done for name, version in call.versions.items() if version)
    stored = Counter((name, version) for name, versions in histories.items() for version, _ in versions)
    yield from (f"{name}: version {version} was acknowledged to nobody" for name, version in stored - told)
    yield from (f"{name}: version {version} was acknowledged, and is lost or another's" for name, version in told - stored)


def refused_for_nothing(calls: list[Call], writers: dict[tuple[str, int], Call]) -> Iterator[str]:
    """An If-Match is refused only where another version could have been there."""
    for call in calls:
        if call.status == 412 and call.expects:
            ((name, version),) = call.expects.items()
            following = writers.get((name, version + 1))
            if following is None or following.start > call.end:
                yield f"{name}: If-Match of version {version} was refused when it was the current one"


def out_of_order(done: list[Call], writers: dict[tuple[str, int], Call]) -> Iterator[str]:
    """One order has the versions of every resource in theirs, reads between the right ones, and what had ended before what
    began later."""
    before: dict[Call, set[Call]] = {call: {one for one in done if one.end < call.start} for call in done}
    for (name, version), call in writers.items():
        if earlier := writers.get((name, version - 1)):
            before[call].add(earlier)
    for call in done:
        for name, (version, _) in call.reads.items():
            before[call] |= {one for one in (writers.get((name, version)),) if one}
            if following := writers.get((name, version + 1)):
                before[following].add(call)
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = [call.writes or call.reads for call in error.args[1]]
        yield f"no order of these is possible: {circle}"


# --- and that it would be noticed ------------------------------------------------------------------------------------------


def wrote(version: int, word: str, start: float, end: float, name: str = "a", **more: Any) -> Call:
    return Call({name: word}, start=start, end=end, status=200, versions={name: version}, **more)


TWO = [wrote(1, "x", 0, 1), wrote(2, "y", 2, 3)]
BOTH = Call({"a": "y", "b": "y"}, start=2, end=3, status=200, versions={"a": 2, "b": 1})
HISTORIES: dict[str, tuple[list[Call], dict[str, list[Version]], bool]] = {
    "well": (TWO, {"a": [(1, "x"), (2, "y")]}, True),
    "a gap": (TWO, {"a": [(1, "x"), (3, "y")]}, False),
    "a lost write": (TWO, {"a": [(1, "x")]}, False),
    "a write overwritten in place": (TWO, {"a": [(1, "x"), (2, "z")]}, False),
    "a refused write that is there": (TWO[:1], {"a": [(1, "x"), (2, "y")]}, False),
    "one version for two": ([*TWO, wrote(2, "y", 2, 3)], {"a": [(1, "x"), (2, "y")]}, False),
    "the later one first": ([wrote(1, "y", 2, 3), wrote(2, "x", 0, 1)], {"a": [(1, "y"), (2, "x")]}, False),
    "at one time, in any order": ([wrote(1, "y", 0, 3), wrote(2, "x", 0, 1)], {"a": [(1, "y"), (2, "x")]}, True),
    "a transaction": ([TWO[0], BOTH], {"a": [(1, "x"), (2, "y")], "b": [(1, "y")]}, True),
    "half a transaction": ([TWO[0], BOTH], {"a": [(1, "x"), (2, "y")], "b": []}, False),
    "a stale read": ([*TWO, Call(reads={"a": (1, "x")}, start=4, end=5, status=200)], {"a": [(1, "x"), (2, "y")]}, False),
    "a read of the future": (
        [TWO[0], Call(reads={"a": (2, "y")}, start=1.2, end=1.5, status=200), TWO[1]],
        {"a": [(1, "x"), (2, "y")]},
        False,
    ),
    "another than expected": (
        [TWO[0], wrote(2, "y", 2, 3, expects={"a": 7})],
        {"a": [(1, "x"), (2, "y")]},
        False,
    ),
    "refused for nothing": ([*TWO, Call({"a": "z"}, {"a": 2}, 4, 5, 412)], {"a": [(1, "x"), (2, "y")]}, False),
    "refused for a reason": ([*TWO, Call({"a": "z"}, {"a": 1}, 4, 5, 412)], {"a": [(1, "x"), (2, "y")]}, True),
    "two resources in a circle": (
        [
            Call({"a": "1", "b": "1"}, start=0, end=9, status=200, versions={"a": 1, "b": 2}),
            Call({"a": "2", "b": "2"}, start=0, end=9, status=200, versions={"a": 2, "b": 1}),
        ],
        {"a": [(1, "1"), (2, "2")], "b": [(1, "2"), (2, "1")]},
        False,
    ),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_what_does_not_fit_is_noticed(case: str) -> None:
    calls, histories, is_well = HISTORIES[case]
    assert (not list(violations(calls, histories))) is is_well
