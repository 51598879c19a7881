"""Group commit: concurrent writes share a MongoDB transaction, a few lanes at a time (DESIGN 3, Writes).

A lane takes the jobs that wait, reads what they need in one snapshot, lets each decide, and commits resources, history,
persons and audit together. One job's failure never fails its neighbours: a batch that cannot commit is split in halves.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymongo import ReplaceOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.read_concern import ReadConcern

from fhir_server.r4.errors import FhirError
from fhir_server.search.parameters import KNOWN
from fhir_server.store import totals
from fhir_server.store.audit import AuditLog
from fhir_server.store.batching import settle
from fhir_server.store.chain import Entry, Head
from fhir_server.store.database import DUPLICATE_KEY, DURABLE, Database
from fhir_server.store.documents import TYPE_NUMBER, Document
from fhir_server.store.keystore import KeyStore, KeyTaken
from fhir_server.store.parameters import Outdated, Registry
from fhir_server.store.persons import Exceptions
from fhir_server.store.snapshot import Snapshot

MAX_JOBS = 64
MAX_WEIGHT = 400
ATTEMPTS = 8


@dataclass(slots=True)
class Outcome:
    """What a job decided: documents to put, versions that become history, one audit entry, and its result for the caller."""

    result: Any
    audit: Entry
    created: list[Document] = field(default_factory=list)
    replaced: list[Document] = field(default_factory=list)
    past: list[Document] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Job:
    """One request to write. `decide` may run more than once.

    `keys`: documents it may change; `claims`: rows it locks; `shared`: rows it locks against other transactions only, since it
    sees what earlier jobs of its own wrote; `reads`: documents it makes only where there are none, which many jobs of a batch
    may share (the first makes it); `meets`: what it shares with those it is likely to conflict with, so that one lane takes
    them all; `people` and `terms`: Patients and identifiers of Patients that it will ask about."""

    decide: Callable[[Snapshot], Awaitable[Outcome]]
    keys: frozenset[bytes] = frozenset()
    claims: frozenset[bytes] = frozenset()
    shared: frozenset[bytes] = frozenset()
    reads: frozenset[bytes] = frozenset()
    people: frozenset[bytes] = frozenset()
    terms: frozenset[int] = frozenset()
    weight: int = 1
    meets: bytes | None = None
    done: "asyncio.Future[Any]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def locks(self) -> frozenset[bytes]:
        return self.keys | self.claims


class _Spoiled(Exception):
    """A job was refused after others of its batch could see, or the transaction hold, something of it: it must not commit."""

    def __init__(self, job: Job, refusal: FhirError) -> None:
        super().__init__()
        self.job, self.refusal = job, refusal


class Lanes:
    """The commit lanes of this process: the more of them, the smaller the batches."""

    def __init__(
        self, database: Database, audit: AuditLog, keys: KeyStore, registry: Registry, exceptions: Exceptions, count: int
    ) -> None:
        self.count = count
        self._registry = registry
        self._exceptions = exceptions
        self._database = database
        self._audit = audit
        self._keys = keys
        self._queues: list[deque[Job]] = [deque() for _ in range(count)]
        self._wake = [asyncio.Event() for _ in range(count)]
        self._turn = 0

    async def submit(self, job: Job) -> Any:
        """The job's result once it is committed; raises what `decide` raised, or why it could not be committed."""
        lane = self._lane_of(job)
        self._queues[lane].append(job)
        self._wake[lane].set()
        return await asyncio.shield(job.done)

    def _lane_of(self, job: Job) -> int:
        """Jobs that share a key should meet in one lane, where they queue instead of conflicting; the others take turns."""
        if job.meets or job.shared or job.locks:
            return (job.meets or min(job.shared or job.locks))[0] % self.count
        self._turn = (self._turn + 1) % self.count
        return self._turn

    async def run(self, lane: int) -> None:
        """Commit the jobs of one lane until cancelled."""
        while True:
            await self._wake[lane].wait()
            while batch := _take(self._queues[lane]):
                await self._commit(lane, batch)
            self._wake[lane].clear()

    async def _commit(self, lane: int, jobs: list[Job]) -> None:
        try:
            results, head = await self._attempts(lane, jobs)
        except _Spoiled as spoiled:
            settle((spoiled.job.done,), spoiled.refusal)
            rest = [job for job in jobs if job is not spoiled.job]
            if rest:
                await self._commit(lane, rest)
            return
        except Exception as error:
            await self._split(lane, jobs, error)
            return
        if head is not None:
            self._audit.advance(lane, head)
        for job, result in zip(jobs, results, strict=True):
            settle((job.done,), result)

    async def _split(self, lane: int, jobs: list[Job], error: Exception) -> None:
        self._audit.abandon(lane)  # whether the last attempt was committed may be unknown
        if len(jobs) == 1:
            settle((jobs[0].done,), error)
            return
        for half in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
            await self._commit(lane, half)

    async def _attempts(self, lane: int, jobs: list[Job]) -> tuple[list[Any], Head | None]:
        """`with_transaction` repeats on a WriteConflict; a key that is taken: another writer came first, look again."""
        async with self._database.client.start_session() as session:
            for attempt in range(ATTEMPTS):
                try:
                    return await session.with_transaction(
                        lambda session: self._transact(lane, jobs, session),
                        read_concern=ReadConcern("snapshot"),
                        write_concern=DURABLE,
                    )
                except (DuplicateKeyError, BulkWriteError, KeyTaken, Outdated) as error:
                    if attempt == ATTEMPTS - 1 or not _came_second(error):
                        raise
                    if isinstance(error, Outdated):
                        await self._registry.join(lane)
                        await self._exceptions.sync()  # after it: what was marked before is known to all that the lane does
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _transact(self, lane: int, jobs: list[Job], session: AsyncClientSession) -> tuple[list[Any], Head | None]:
        snapshot, lost = Snapshot(self._database, session), self._keys.lost
        claims = sorted({claim for job in jobs for claim in job.claims | job.shared})
        await snapshot.claim(claims, self._registry.fence(lane))
        KNOWN.set(self._registry.known)  # what is written is indexed by it
        keys, terms = {key for job in jobs for key in job.keys | job.reads}, {term for job in jobs for term in job.terms}
        await snapshot.look(keys, TYPE_NUMBER["Patient"], terms)
        await snapshot.meet({patient for job in jobs for patient in job.people} | snapshot.found())
        decided = [await _decide(job, snapshot) for job in jobs]
        outcomes = [outcome for outcome in decided if isinstance(outcome, Outcome)]
        if outcomes:
            head: Head | None = await self._write(lane, outcomes, snapshot.before, lost, session)
        else:
            head = None
            await session.abort_transaction()  # nothing to write: no need to wait for a journal
        return [one.result if isinstance(one, Outcome) else one for one in decided], head

    async def _write(
        self, lane: int, outcomes: list[Outcome], before: Mapping[bytes, Document], lost: int, session: AsyncClientSession
    ) -> Head:
        created = [document for outcome in outcomes for document in outcome.created]
        replaced = [ReplaceOne({"_id": one["_id"]}, one) for outcome in outcomes for one in outcome.replaced]
        past = [document for outcome in outcomes for document in outcome.past]
        changed = totals.changes(before, (one for outcome in outcomes for one in (*outcome.created, *outcome.replaced)))
        await self._keys.save(lost)
        entries, head = self._audit.link(lane, [outcome.audit for outcome in outcomes])
        if created:
            await self._database["resources"].insert_many(created, ordered=False, session=session)
        if replaced:
            await self._database["resources"].bulk_write(replaced, ordered=False, session=session)
        if past:
            await self._database["history"].insert_many(past, ordered=False, session=session)
        await totals.tally(self._database, changed, session)
        await self._database["audit"].insert_many(entries, session=session)
        return head


async def _decide(job: Job, snapshot: Snapshot) -> Outcome | FhirError:
    before = snapshot.changes
    try:
        return await job.decide(snapshot)
    except FhirError as refusal:
        if snapshot.changes > before:
            raise _Spoiled(job, refusal) from refusal
        return refusal


def _take(queue: deque[Job]) -> list[Job]:
    """The next jobs that may share a transaction: no two touch the same key."""
    batch: list[Job] = []
    locked: set[bytes] = set()
    weight = 0
    while queue and len(batch) < MAX_JOBS and locked.isdisjoint(queue[0].locks):
        if batch and weight + queue[0].weight > MAX_WEIGHT:
            break
        job = queue.popleft()
        batch.append(job)
        locked |= job.locks
        weight += job.weight
    return batch


def _came_second(error: Exception) -> bool:
    if isinstance(error, BulkWriteError):
        return any(one.get("code") == DUPLICATE_KEY for one in (error.details or {}).get("writeErrors", ()))
    return True
