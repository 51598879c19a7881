"""Looking things up through the one door, as the patient: searches, and the names of the directory."""

import asyncio
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlencode

from fhir_server.r4.json import read
from fhir_server.record.paging import Cursor
from fhir_server.record.searching import search
from fhir_server.search.query import parse
from portal.asking import Own
from portal.display import words
from portal.envelope import Model
from portal.requests import Pairs
from portal.service import Resource

AT_ONCE = 200


class Named(Model):
    """An entry of the directory; `name` is empty where the directory has none."""

    id: str
    name: str


async def found(own: Own, kind: str, pairs: Pairs, cursor: Cursor | None = None) -> tuple[list[Resource], Cursor | None]:
    """A page of a search, and where to go on."""
    page = await search(own.portal.record, own.caller, parse(kind, pairs), f"{kind}?{urlencode(pairs)}", cursor)
    return [read(one) for one in page.matches], page.next


async def by_id(own: Own, kind: str, ids: Iterable[str]) -> dict[str, Resource]:
    """Those of these resources that the patient may see, by id."""
    wanted = sorted({one for one in ids if one})
    known: dict[str, Resource] = {}
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        pairs = [("_id", ",".join(some)), ("_count", str(len(some)))]
        page, cursor = await found(own, kind, pairs)
        while cursor:  # very large ones take several pages
            more, cursor = await found(own, kind, pairs, cursor)
            page += more
        known |= {one["id"]: one for one in page}
    return known


async def named(own: Own, kind: Literal["Organization", "Practitioner"], ids: Iterable[str]) -> dict[str, Named]:
    """What the directory calls each of these."""
    wanted = set(ids)
    known = await by_id(own, kind, wanted)
    return {one: Named(id=one, name=_name(known.get(one, {}))) for one in wanted}


async def directory(own: Own, hospitals: Iterable[str], doctors: Iterable[str]) -> tuple[dict[str, Named], dict[str, Named]]:
    """What the directory calls these Organizations and these Practitioners."""
    return await asyncio.gather(named(own, "Organization", hospitals), named(own, "Practitioner", doctors))


def _name(entry: Resource) -> str:
    told = entry.get("name", "")
    return told if isinstance(told, str) else words(told)
