"""Finds that share a command answer as each would alone."""

import asyncio
import random

from fhir_server.store.documents import WITHOUT_TERMS
from fhir_server.store.finding import Find, Finds, find_alone
from fhir_server.store.sharing import BRANCHES, sharing
from tests.serving import Door


async def test_finds_at_the_same_moment_answer_as_alone(door: Door) -> None:
    """More than fit into one command, each with an order, a limit and a projection of its own."""
    database, chance = door.exchange.database, random.Random(5)
    order = chance.sample(range(200), 200)
    made = [{"_id": b"%016d" % n, "t": 5, "p": [b"p%d" % (n % 7)], "s": s, "x": [n % 3]} for n, s in enumerate(order)]
    await database["resources"].insert_many(made)
    finds = [_find(chance) for _ in range(3 * BRANCHES)]
    alone, shared = find_alone(database), sharing(database)(Finds())
    together = await asyncio.gather(*(shared(one) for one in finds))
    assert together == [await alone(one) for one in finds]
    assert any(together)


def _find(chance: random.Random) -> Find:
    criteria = {"$and": [{"t": 5}, {"p": {"$in": [b"p%d" % chance.randrange(8)]}}, {"x": chance.randrange(3)}]}
    projection = chance.choice((WITHOUT_TERMS, {"s": 1}))
    return Find(criteria, projection, {"s": chance.choice((-1, 1))}, chance.randrange(1, 20), chance.choice(("person", None)))
