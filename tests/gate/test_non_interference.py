"""Non-interference (DESIGN 4): every response equals, byte for byte, that of a store without what the caller may not see.

Each example draws a small region and writes it to store W. An independent oracle says what the onlooker may see; store V gets
the same writes, at the same moments and under the same ids, without the resources that the onlooker may not see. Of a
visible resource, versions that the onlooker may not see are written with other contents: that they are there is told by the
version number of the resource itself, and nothing else of them may be. Then the onlooker asks both stores everything.

Declared exceptions, not asked here: a client-assigned id that another custodian uses, and identity matching (so both stores
agree about who is who and which rules hold); time is not compared.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from exchange.data import folder
from fhir_server.r4.dates import instant
from tests.gate.asking import arranged, consultations, portal, reads, searches, writes
from tests.gate.oracle import seen, visible
from tests.gate.stores import Answer, Ask, Store, asked, copy_persons, empty, furnish, replay, store
from tests.gate.worlds import MASTER, World, Written, worlds

WHOLE, PART = "gate_whole", "gate_part"
TURN = 10_000  # later than every write of a world


@dataclass(frozen=True, slots=True)
class Place:
    """Where stores are opened: MongoDB's URI, and a data folder with a master key that is the same in every run."""

    uri: str
    data: Path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def place(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    data = tmp_path_factory.mktemp("gate")
    (folder(data / "keys") / "master.key").write_text(MASTER.hex())
    yield Place(mongodb_uri, data)


# To shrink an example would take minutes; the blob reproduces it.
@settings(
    max_examples=12,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(world=worlds(), seed=st.integers(0, 1_000_000))
async def test_what_may_not_be_seen_might_as_well_not_exist(place: Place, world: World, seed: int) -> None:
    """DESIGN 4: read, vread, histories, searches, $everything, batch, transaction, conditional and If-Match writes; the
    portal; telemedicine's $find, $hold, $book and rounds, and what comes of them; terminology and small operations."""
    start = time.time_ns() // 1_000_000 // 1000 * 1000
    await empty(place.uri, WHOLE, PART)
    async with store(place.uri, WHOLE, place.data, world.policy, start) as whole:
        await furnish(whole)
        await replay(whole, world, everything(world))
        await agree_with_oracle(whole, world)
        async with store(place.uri, PART, place.data, world.policy, start) as part:
            await furnish(part)
            await replay(part, world, permitted(world))
            await copy_persons(whole.exchange.database, part.exchange.database)
        async with store(place.uri, PART, place.data, world.policy, start) as part:
            await compare(whole, part, world, questions(world, Random(seed), start))


def everything(world: World) -> Iterator[tuple[int, Written, int]]:
    """All writes as (turn, resource, version)."""
    return ((turn, one, number) for turn, (one, number) in enumerate(world.writes()))


def permitted(world: World) -> Iterator[tuple[int, Written, int]]:
    """The same turns without the resources that the onlooker may not see."""
    return ((turn, veiled(world, one), number) for turn, one, number in everything(world) if visible(world, one))


def veiled(world: World, one: Written) -> Written:
    """The resource with other contents in the versions that the onlooker may not see."""
    versions = (
        version if seen(world, one, version) else replace(version, content=version.content + 100) for version in one.versions
    )
    return replace(one, versions=tuple(versions))


async def agree_with_oracle(whole: Store, world: World) -> None:
    """What is read is what the oracle says; 410 and 404 are told apart as DESIGN 4 says."""
    whole.turn.go(TURN)
    looks = world.onlooker
    async with whole.onlooker(looks) as client:
        answers = await asked(client, [Ask("GET", f"/{one.name}") for one in world.written])
    for one, answer in zip(world.written, answers, strict=True):
        expected = 410 if one.versions[-1].deleted else 200
        expected = expected if visible(world, one) else 404
        assert answer.status == (403 if looks.types is not None and one.type not in looks.types else expected), one


def questions(world: World, dice: Random, start: int) -> Iterator[list[Ask]]:
    """What is asked, turn by turn: reads, also of how it was half way, writes, and reads of what has become of it."""
    half = instant(start + len(list(world.writes())) // 8 * 1000)
    yield [*reads(world, half), *portal(world), *searches(world, dice, 24)]
    yield from writes(world, dice)
    yield from consultations(world)
    yield [*portal(world), *searches(world, dice, 8), *arranged()]


async def compare(whole: Store, part: Store, world: World, turns: Iterator[list[Ask]]) -> None:
    """Ask both stores the same, in the same turn."""
    if world.onlooker.kind == "patient":
        for one in (whole, part):
            await one.open_portal(dict(world.onlooker.claims)["patient"])
    async with whole.onlooker(world.onlooker) as at_whole, part.onlooker(world.onlooker) as at_part:
        for turn, asks in enumerate(turns, TURN):
            whole.turn.go(turn)
            part.turn.go(turn)
            same(*await asyncio.gather(asked(at_whole, asks), asked(at_part, asks)))


def same(whole: list[Answer], part: list[Answer]) -> None:
    for one, other in zip(whole, part, strict=False):
        if one != other:
            note(f"{one.to}\nwith what is hidden:    {one}\nwithout what is hidden: {other}")
        assert one == other, one.to
    assert len(whole) == len(part)
