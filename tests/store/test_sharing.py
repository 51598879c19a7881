"""Lookups of several kinds that share commands answer as each would alone (decision 34)."""

import asyncio
from typing import Any

from fhir_server.store.documents import STAMPS
from fhir_server.store.finding import BY_KEY, BY_KEYS, GROUPS, Find, Finds, Group
from fhir_server.store.sharing import BRANCHES, Kind, separate, sharing
from fhir_server.store.totals import TOTALS, Total, changes, tally
from tests.serving import Door

TERM = 77


async def test_all_kinds_together_answer_as_each_alone(door: Door) -> None:
    """More than fit into one command; what is not there is None, or nothing, and is nobody else's."""
    database = door.exchange.database
    made: list[dict[str, Any]] = [
        {"_id": b"%016d" % n, "t": 5, "p": [b"p%d" % (n % 7), b"q"][: 1 + n % 2], "c": "c", "s": n, "x": [TERM, n % 3], "n": 1}
        for n in range(60)
    ]
    await database["resources"].insert_many(made)
    await database.transact(lambda session: tally(database, changes({}, made), session))
    asked: list[tuple[Kind, Any]] = []
    finds = Finds()
    for n in range(BRANCHES):
        criteria = {"x": n % 4}
        asked += [(BY_KEYS, tuple(b"%016d" % m for m in range(n, 80, 9)))]
        asked += [
            (finds, Find(criteria, STAMPS, {"s": -1}, 3 + n)),
            (GROUPS, Group(criteria, 100)),
            (BY_KEY, b"%016d" % (n * 5)),
        ]
    asked += [(TOTALS, Total(TERM, 5, (b"p1",), 100)), (TOTALS, Total(TERM + 1, 5, (), 100))]
    share, alone = sharing(database), separate(database)
    together = await asyncio.gather(*(share(kind)(key) for kind, key in asked))
    apart = [await alone(kind)(key) for kind, key in asked]
    assert [_sorted(one) for one in together] == [_sorted(one) for one in apart]
    rows, theirs = together[-2]
    assert sum(n for _, n in rows) == 60 and len(theirs) == len([one for one in made if b"p1" in one["p"]])
    assert together[-1] == ([], []) and together[3] == apart[3] and together[-3] is None
    assert [one["s"] for one in together[0]] == list(range(0, 60, 9))


def _sorted(answer: Any) -> Any:
    """Groups come in any order, and so do the Patients of each."""
    if not (isinstance(answer, list) and answer and "count" in answer[0]):
        return answer
    return sorted((one | {"each": sorted(one.get("each", ()))} for one in answer), key=repr)
