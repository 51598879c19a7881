"""The raw driver doing the same documents on the same mongod: no validation, no gate, no audit, no HTTP.

Same indexes and write concern (`connect` makes them in a database of its own), same projections, as many at a time.
"""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern
from tqdm import tqdm

from benchmarks.creating import SAMPLE
from benchmarks.ingesting import HOSPITAL
from benchmarks.measuring import Measured, closed_loop
from benchmarks.servers import Server
from exchange.opening import LANES, master_secrets
from fhir_server.r4.json import read_stored
from fhir_server.r4.references import literal
from fhir_server.record.criteria import criteria, only_itself
from fhir_server.record.searching import PAGE
from fhir_server.search.include import Include, included
from fhir_server.search.query import parse
from fhir_server.store.database import DURABLE, Database, connect
from fhir_server.store.documents import WITHOUT_TERMS, Codec, Document, codec, first_opened, resource_key
from fhir_server.store.keystore import KeyStore
from fhir_server.store.sharing import sharing

T = TypeVar("T")
NAME = "raw"  # the database of raw writes


@dataclass(frozen=True, slots=True)
class Raw:
    """The exchange's own database, an empty one beside it, and the keys that hash names and terms."""

    stored: Database
    copy: Database
    codec: Codec


@asynccontextmanager
async def driver(server: Server) -> AsyncIterator[Raw]:
    """Connected; closed at the end."""
    root = master_secrets(server.settings)
    keys = KeyStore(server.settings.data / "keys" / "data-keys.db", root)
    stored, copy = await connect(server.mongodb, server.settings.database), await connect(server.mongodb, NAME)
    try:
        yield Raw(stored, copy, codec(root, keys, stored, sharing(stored), True))
    finally:
        await stored.client.close()
        await copy.client.close()
        keys.close()


# -- reads --


async def reads(raw: Raw, names: Sequence[str], clients: int, seconds: float) -> Measured:
    """`find_one` by _id."""
    resources = raw.stored["resources"]

    async def find(key: bytes) -> int:
        return int(await resources.find_one({"_id": key}, WITHOUT_TERMS) is not None)

    return await _in_turn([raw.codec.identity(name) for name in names], find, clients, seconds)


async def searches(raw: Raw, targets: Sequence[str], clients: int, seconds: float) -> Measured:
    """`find` with the criteria, order, limit and index of the same searches, then of what they include."""
    resources = raw.stored["resources"]

    async def find(wanted: Sequence[dict[str, Any]]) -> int:
        for one in wanted:
            await resources.find(**one).to_list()
        return 1

    return await _in_turn([await _finds(raw, target) for target in targets], find, clients, seconds)


async def _finds(raw: Raw, target: str) -> list[dict[str, Any]]:
    """The arguments of each `find` of a search."""
    kind, _, text = target.partition("?")
    query = parse(kind, parse_qsl(text))
    wanted = await criteria(raw.codec, query, only_itself, by_pairs=True)
    limit = (query.count or PAGE) + 1
    page = {
        "filter": wanted.filter,
        "projection": WITHOUT_TERMS,
        "sort": {"s": -1},
        "limit": limit,
        "batch_size": limit,
        "hint": wanted.hint("s"),
    }
    return [page, await _included(raw, query.includes, page)] if query.includes else [page]


async def _included(raw: Raw, includes: Sequence[Include], page: dict[str, Any]) -> dict[str, Any]:
    """The arguments that find what the documents of a page refer to."""
    found = await raw.stored["resources"].find(**page).to_list()
    resources = [read_stored(one) for one in first_opened(raw.codec, found)]
    targets = (literal(text) for one in resources for include in includes for text in included(include, one))
    keys = {resource_key(raw.codec, *target) for target in targets if target}
    return {"filter": {"_id": {"$in": list(keys)}}, "projection": WITHOUT_TERMS, "batch_size": len(keys) + 1}


async def _in_turn(items: Sequence[Any], act: Callable[[Any], Awaitable[int]], clients: int, seconds: float) -> Measured:
    turns = itertools.cycle(items)
    return await closed_loop([(turns, act)] * clients, seconds)


# -- writes --


async def ingest(raw: Raw, sizes: Sequence[int]) -> Measured:
    """All ingested documents again, in transactions of these sizes, in as many lanes as the exchange has."""
    documents = await raw.stored["resources"].find({"c": HOSPITAL}, sort={"$natural": 1}).to_list()
    batches = list(_split(documents, sizes))
    with tqdm(total=len(documents), unit=" resources", desc="raw ingest", disable=None) as progress:

        async def insert(batch: Sequence[Document]) -> int:
            await _insert(raw.copy, resources=batch)
            progress.update(len(batch))
            return len(batch)

        return await _shared(batches, insert, LANES)


async def creates(raw: Raw, clients: int, seconds: float) -> Measured:
    """Ingested documents under new ids, each in an insert of its own."""
    documents = await raw.stored["resources"].find({"c": HOSPITAL}, sort={"$natural": 1}, limit=SAMPLE).to_list()

    async def insert(document: Document) -> int:
        await raw.copy["resources"].insert_one(document | {"_id": os.urandom(16)})
        return 1

    return await _in_turn(documents, insert, clients, seconds)


async def messages(raw: Raw, clients: int) -> Measured:
    """For each message its inbox document, durable before the rest, and a transaction of what messages made on average."""
    inbox = await raw.stored["inbox"].find({}).to_list()
    made = {"c": {"$in": await raw.stored["inbox"].distinct("sender")}}
    resources = [await raw.stored[name].find(made).to_list() for name in ("resources", "history")]
    parts = [_shares(documents, len(inbox)) for documents in resources]

    async def insert(message: tuple[Document, Sequence[Document], Sequence[Document]]) -> int:
        received, current, past = message
        await raw.copy["inbox"].insert_one(received)
        await _insert(raw.copy, resources=current, history=past)
        return 1

    return await _shared(list(zip(inbox, *parts, strict=True)), insert, clients)


async def _insert(database: Database, **collections: Sequence[Document]) -> None:
    """One transaction."""

    async def write(session: AsyncClientSession) -> None:
        for name, documents in collections.items():
            if documents:
                await database[name].insert_many(documents, ordered=False, session=session)

    async with database.client.start_session() as session:
        await session.with_transaction(write, read_concern=ReadConcern("snapshot"), write_concern=DURABLE)


async def _shared(items: Sequence[Any], act: Callable[[Any], Awaitable[int]], clients: int) -> Measured:
    """Each item once."""
    once = iter(items)
    return await closed_loop([(once, act)] * clients)


def _split(items: Sequence[T], sizes: Sequence[int]) -> Iterator[Sequence[T]]:
    ends = list(itertools.accumulate(sizes))
    return (items[start:end] for start, end in zip([0, *ends], ends, strict=False) if items[start:end])


def _shares(items: Sequence[T], count: int) -> list[Sequence[T]]:
    """The items in `count` parts of nearly the same size."""
    return [items[len(items) * n // count : len(items) * (n + 1) // count] for n in range(count)]
