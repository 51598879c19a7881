"""The composition root: settings in, a running record out. Only here does everything meet."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from consent.decision import POLICIES
from exchange.data import folder, secret
from exchange.embedded import connect_or_start
from exchange.settings import Settings
from fhir_server.persons.matching import IDENTITY
from fhir_server.record.context import Record
from fhir_server.record.definitions import Definitions
from fhir_server.record.erasing import erase_for_ever
from fhir_server.store import totals
from fhir_server.store.audit import audit_log
from fhir_server.store.database import Database, connect
from fhir_server.store.documents import REGION, codec
from fhir_server.store.finding import BY_KEY, Finds, find_alone
from fhir_server.store.inbox import Inbox
from fhir_server.store.indexing import is_current
from fhir_server.store.keystore import KeyStore
from fhir_server.store.lanes import Lanes
from fhir_server.store.parameters import Registry
from fhir_server.store.persons import Exceptions
from fhir_server.store.reindexing import reindex_for_ever
from fhir_server.store.secrets import Secrets
from fhir_server.store.sharing import separate, sharing

LANES = 2
"""Commit lanes of all processes together, at least one each: while one waits for the journal, another decides."""
READ_LANES = 1  # audit chains of reads: the more share a journaled write, the less each costs


@dataclass(frozen=True, slots=True)
class Opened:
    """What an open exchange consists of; `secrets` derives further keys, `inbox` keeps what hospitals sent."""

    settings: Settings
    record: Record
    inbox: Inbox
    secrets: Secrets
    database: Database


def clock() -> int:
    """Now, ms since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """An opaque, random resource id (128 bits)."""
    return secrets.token_hex(16)


def master_secrets(settings: Settings) -> Secrets:
    """The region's master key: a file of its own in production, else made in the data folder."""
    return Secrets(secret(settings.key_file or folder(settings.data / "keys") / "master.key"))


@asynccontextmanager
async def opened(settings: Settings, now: Callable[[], int] = clock, ids: Callable[[], str] = new_id) -> AsyncIterator[Opened]:
    """The exchange on its database, with commit and audit lanes running; all is settled when it closes."""
    if settings.mongodb_uri is None:
        embedded = connect_or_start(settings.data, settings.mongodb_cache_gb)
        async with embedded as uri, opened(replace(settings, mongodb_uri=uri), now, ids) as inner:
            yield inner
        return
    database = await connect(settings.mongodb_uri, settings.database)
    keys = KeyStore(folder(settings.data / "keys") / "data-keys.db", master_secrets(settings))
    try:
        await keys.establish(REGION)
        made = _assembled(settings, database, keys, await is_current(database), now, ids)
        await made.record.registry.establish()
        async with _running(made.record):
            yield made
    finally:
        keys.close()
        await database.client.close()


def _assembled(
    settings: Settings, database: Database, keys: KeyStore, is_indexed: bool, now: Callable[[], int], ids: Callable[[], str]
) -> Opened:
    root = master_secrets(settings)
    share = sharing(database)
    sealed = codec(root, keys, database, share, is_indexed)
    audit = audit_log(database, settings.data / "anchors" / "audit.jsonl", root)
    exceptions = Exceptions(share, sealed)
    registry = Registry(database, sealed)
    record = Record(
        database=database,
        codec=sealed,
        lanes=Lanes(database, audit, keys, registry, exceptions, max(1, LANES // settings.workers)),
        audit=audit,
        exceptions=exceptions,
        definitions=Definitions(database, sealed),
        by_key=share(BY_KEY),
        find=find_alone(database),
        find_shared=share(Finds()),
        share=share,
        separate=separate(database),
        patients_of_person=exceptions.patients_of,
        registry=registry,
        identity=IDENTITY,
        policy=POLICIES[settings.default_policy],
        clock=now,
        new_id=ids,
        page_key=root.derive("page links"),
        break_glass_ms=settings.break_glass_minutes * 60_000,
    )
    return Opened(settings, record, Inbox(database, sealed, now), root, database)


@asynccontextmanager
async def _running(record: Record) -> AsyncIterator[None]:
    """Commit lanes, read lanes behind them, the anchor; what folds totals, erases and re-indexes."""
    lanes, audit = record.lanes, record.audit
    anchored: dict[bytes, int] = {}
    work = [asyncio.create_task(lanes.run(lane)) for lane in range(lanes.count)]
    work += [asyncio.create_task(audit.run(lanes.count + lane)) for lane in range(READ_LANES)]
    work.append(asyncio.create_task(audit.anchor_for_ever(anchored)))
    work.append(asyncio.create_task(totals.fold_for_ever(record.database)))
    work.append(asyncio.create_task(erase_for_ever(record)))
    work.append(asyncio.create_task(reindex_for_ever(record.registry)))
    try:
        yield
    finally:
        for task in work:
            task.cancel()
        for task in work:
            with suppress(asyncio.CancelledError):
                await task
        audit.anchor(anchored)
