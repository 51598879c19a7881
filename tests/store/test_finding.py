"""Finds that share a command answer as each would alone."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from fhir_server.store.documents import WITHOUT_TERMS
from fhir_server.store.finding import FEW, Find, Finds, OfOne, find_alone
from fhir_server.store.sharing import BRANCHES, Branch, sharing
from tests.serving import Door

Document = dict[str, Any]
PATIENTS, TYPES, CODES = 12, 3, 3
PAGE = 3 * FEW


class Watched(Finds):
    """Finds, and how many branches they took."""

    taken = 0

    def branches(self, finds: Sequence[Find]) -> list[Branch]:
        made = super().branches(finds)
        self.taken += len(made)
        return made


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


async def test_few_of_one_patient_each_go_together(door: Door) -> None:
    """Searches of people for one type, by a code or not, at the same moment: each answers as alone, or asks to be asked alone

    (records of two people, whom nothing tells which of both was meant; one with more than is usual; two codes of one person).
    """
    database, chance = door.exchange.database, random.Random(6)
    await database["resources"].insert_many([_record(chance, n) for n in range(300)])
    kind = Watched()
    alone, shared = find_alone(database), sharing(database)(kind)
    answered = asked = branches = 0
    for _ in range(60):
        finds = [_of_one(chance) for _ in range(chance.randrange(2, 13))]
        before = kind.taken
        together = await asyncio.gather(*(shared(one) for one in finds))
        branches += kind.taken - before
        for one, found in zip(finds, together, strict=True):
            expected = await alone(one)
            assert found is None or found == expected
        asked += len(finds)
        answered += sum(found is not None for found in together)
    assert branches < asked
    assert branches < answered < asked


def _record(chance: random.Random, number: int) -> Document:
    """Of the first Patient more than pages hold, of the others few; of two people one in ten; some with two codes."""
    people = [0] if number % 3 else chance.sample(range(1, PATIENTS), 2 if chance.random() < 0.1 else 1)
    kind, codes = chance.randrange(TYPES), chance.sample(range(CODES), chance.choice((1, 1, 2)))
    # The first is the subject: about the second nothing is found by these terms, but it is there among the stamps.
    terms = [_term(people[0], kind), *(_term(people[0], kind, code) for code in codes)]
    return {"_id": b"%016d" % number, "t": kind, "p": [_key(one) for one in people], "s": number, "x": terms, "b": b""}


def _key(patient: int) -> bytes:
    return b"patient %08d" % patient


def _term(patient: int, kind: int, code: int | None = None) -> int:
    return (patient * TYPES + kind) * (CODES + 1) + (CODES if code is None else code)


def _of_one(chance: random.Random) -> Find:
    patient = chance.randrange(1, PATIENTS) if chance.random() < 0.95 else 0
    kind, code = chance.randrange(TYPES), chance.choice((None, *range(CODES)))
    term = _term(patient, kind, code)
    return Find({"x": term}, WITHOUT_TERMS, {"s": -1}, PAGE, None, OfOne((_key(patient), kind), [term], code is None))
