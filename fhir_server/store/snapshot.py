"""What a job sees while it decides: one consistent snapshot of the store, inside the transaction that will write."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pymongo import ReplaceOne, ReturnDocument, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.building import Definition
from fhir_server.store.bookings import Booking, in_force
from fhir_server.store.database import Database
from fhir_server.store.documents import WITHOUT_TERMS, Codec, Document
from fhir_server.store.parameters import HEAD, Outdated, are_searchable, row_of

REVISION, DEFINITIONS = "persons", "definitions"


class Snapshot:
    """Reads (and writes of person documents and booked time) of one transaction; without one: reads of what stands now."""

    def __init__(self, database: Database, session: AsyncClientSession | None = None) -> None:
        self._database = database
        self._session = session
        self.before: dict[bytes, Document] = {}  # what was loaded, as it stands in the store
        self._resources: dict[bytes, Document] = {}
        self._loaded: set[bytes] = set()
        self._written: dict[bytes, tuple[Document, dict[str, Any] | None]] = {}
        self._people: dict[bytes, Document | None] = {}
        self._marked: dict[int, list[Document]] = {}
        self.changes = 0  # what jobs have done here that others see

    async def claim(self, claims: list[bytes], fence: UpdateOne) -> None:
        """Lock claim rows: of two transactions that claim one row, one waits and then sees what the other wrote.

        The lane's own row is among them: Outdated where it is gone (store/parameters.py)."""
        touched = [fence, *(UpdateOne({"_id": claim}, {"$inc": {"n": 1}}, upsert=True) for claim in claims)]
        done = await self._database["claims"].bulk_write(touched, ordered=True, session=self._session)
        if done.matched_count + done.upserted_count < len(touched):
            raise Outdated

    async def look(self, keys: Iterable[bytes], resource_type: int, terms: Iterable[int]) -> None:
        """`load` and `mark` in one command."""
        unread = set(keys) - self._loaded
        unmarked = set(terms) - self._marked.keys()
        self._loaded |= unread
        self._marked.update((term, []) for term in unmarked)
        asked: list[dict[str, Any]] = [{"_id": {"$in": list(unread)}}] if unread else []
        asked += [{"x": {"$in": list(unmarked)}, "t": resource_type}] if unmarked else []
        if not asked:
            return
        criteria = asked[0] if len(asked) == 1 else {"$or": asked}
        async for stored in self._database["resources"].find(criteria, {"r": 0}, session=self._session):
            if stored["_id"] in unread:
                self._resources[stored["_id"]] = self.before[stored["_id"]] = stored
            if unmarked and stored["t"] == resource_type:
                for term in unmarked.intersection(stored["x"]):
                    self._marked[term].append(stored)

    async def load(self, keys: Iterable[bytes]) -> None:
        """Read these documents, for `resource`: one look for all jobs of a batch."""
        await self.look(keys, 0, ())

    async def resource(self, key: bytes) -> Document | None:
        """The current document of a resource, also when it is deleted (without a body)."""
        await self.load((key,))
        return self._resources.get(key)

    def loaded(self, key: bytes) -> Document | None:
        """What `load` found under this key, without asking the store."""
        return self._resources.get(key)

    def remember(self, document: Document, resource: dict[str, Any] | None = None) -> None:
        """What this transaction is about to write (None: a deletion), for what is decided later, by this job or the next."""
        self.changes += 1
        self._loaded.add(document["_id"])
        self._resources[document["_id"]] = document
        self._written[document["_id"]] = document, resource

    def written(self, resource_type: int) -> list[tuple[Document, dict[str, Any]]]:
        """Documents of a type that this transaction is about to write, with their resources."""
        return [(one, resource) for one, resource in self._written.values() if resource and one["t"] == resource_type]

    def is_written(self, key: bytes) -> bool:
        """Whether what `find` gives under this key is about to be replaced."""
        return key in self._written

    def find(self, criteria: Mapping[str, Any]) -> Any:
        """Current documents that meet MongoDB criteria, without their terms."""
        return self._database["resources"].find(criteria, WITHOUT_TERMS, session=self._session)

    async def mark(self, resource_type: int, terms: Iterable[int]) -> None:
        """Read what bears any of these terms, for `marked`."""
        await self.look((), resource_type, terms)

    async def marked(self, resource_type: int, terms: Iterable[int]) -> dict[bytes, Document]:
        """Current documents of a type that bear any of these terms."""
        asked = list(terms)
        await self.mark(resource_type, asked)
        return {stored["_id"]: stored for term in asked for stored in self._marked[term]}

    def found(self) -> set[bytes]:
        """The keys of all that was found by its terms."""
        return {stored["_id"] for some in self._marked.values() for stored in some}

    async def meet(self, patients: Iterable[bytes]) -> None:
        """Load the persons of these Patients, for `persons`: one look for all jobs of a batch."""
        unknown = [patient for patient in set(patients) if patient not in self._people]
        self._people.update(dict.fromkeys(unknown))
        if unknown:
            found = self._database["persons"].find({"patients": {"$in": unknown}}, session=self._session)
            self._know([person async for person in found])

    def _know(self, persons: Iterable[Document]) -> None:
        for person in persons:
            self._people.update(dict.fromkeys(person["patients"], person))

    async def persons(self, patients: Iterable[bytes]) -> list[Document]:
        """The person documents that any of these Patients belong to, as they are now."""
        asked = list(patients)
        await self.meet(asked)
        found = {person["_id"]: person for patient in asked if (person := self._people[patient])}
        return list(found.values())

    async def persons_ruled_by(self, source: bytes) -> list[Document]:
        """The person documents that hold rules of this Consent."""
        return await self._database["persons"].find({"rules.source": source}, session=self._session).to_list()

    async def put_persons(self, documents: Iterable[Document], gone: Iterable[bytes] = ()) -> None:
        """Write person documents now, so that the next job of this batch sees them; those with rules get a new revision."""
        self.changes += 1
        ordered = [await self._revised(document) if "rev" in document else document for document in documents]
        removed = list(gone)
        replaced_ones = {*removed, *(document["_id"] for document in ordered)}
        self._people = {
            patient: None if person and person["_id"] in replaced_ones else person for patient, person in self._people.items()
        }
        self._know(ordered)
        if removed:
            await self._database["persons"].delete_many({"_id": {"$in": removed}}, session=self._session)
        if ordered:
            replaced = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in ordered]
            await self._database["persons"].bulk_write(replaced, session=self._session)

    async def is_taken(self, booking: Booking, now: int) -> bool:
        """Whether another Appointment has some of this time."""
        others = {"_id": {"$in": [row["_id"] for row in booking.rows]}, "a": {"$ne": booking.appointment}, **in_force(now)}
        return await self._database["bookings"].find_one(others, {"_id": 1}, session=self._session) is not None

    async def put_booking(self, booking: Booking) -> None:
        """Give the Appointment exactly this time, and free what it had besides. Only when `is_taken` says no."""
        self.changes += 1
        ids = [row["_id"] for row in booking.rows]
        if not booking.is_new:
            earlier = {"a": booking.appointment, "_id": {"$nin": ids}}
            await self._database["bookings"].delete_many(earlier, session=self._session)
        if booking.rows:
            replaced = [ReplaceOne({"_id": row["_id"]}, row, upsert=True) for row in booking.rows]
            await self._database["bookings"].bulk_write(replaced, session=self._session)

    async def bindings(self, bound: Iterable[bytes]) -> list[Document]:
        """What binds any of these accounts and Patients (store/bindings.py)."""
        keys = list(bound)
        wanted = {"$or": [{"_id": {"$in": keys}}, {"patients": {"$in": keys}}]}
        return await self._database["bindings"].find(wanted, session=self._session).to_list()

    async def put_binding(self, binding: Document) -> None:
        """Only when `bindings` says that there is none."""
        self.changes += 1
        await self._database["bindings"].insert_one(binding, session=self._session)

    async def drop_bindings(self, bindings: Iterable[Document]) -> None:
        self.changes += 1
        await self._database["bindings"].delete_many({"_id": {"$in": [one["_id"] for one in bindings]}}, session=self._session)

    async def part_bindings(self, patients: list[bytes]) -> None:
        """These Patients stand in no binding any more. Only when `bindings` says that none is of one of them."""
        self.changes += 1
        these = {"patients": {"$in": patients}}
        await self._database["bindings"].update_many(these, {"$pull": these}, session=self._session)

    async def keep_apart(self, patient: bytes, others: Iterable[bytes]) -> None:
        """Remember a human's word that a Patient is not the person that these are."""
        self.changes += 1
        for other in others:
            pair = {"_id": _pair(patient, other)}
            await self._database["apart"].replace_one(pair, pair, upsert=True, session=self._session)

    async def bring_together(self, patient: bytes, others: Iterable[bytes]) -> None:
        """Forget that word."""
        self.changes += 1
        pairs = [_pair(patient, other) for other in others]
        await self._database["apart"].delete_many({"_id": {"$in": pairs}}, session=self._session)

    async def kept_apart(self, patient: bytes, others: Iterable[bytes]) -> set[bytes]:
        """Those of the others that a human said are not this Patient's person."""
        pairs = {_pair(patient, other): other for other in others}
        found = self._database["apart"].find({"_id": {"$in": list(pairs)}}, session=self._session)
        return {pairs[one["_id"]] async for one in found}

    async def put_review(self, review: Document) -> None:
        self.changes += 1
        await self._database["reviews"].replace_one({"_id": review["_id"]}, review, upsert=True, session=self._session)

    async def close_reviews(self, patients: list[bytes]) -> None:
        """Settle the open questions that are about these Patients."""
        wanted = {"patients": {"$all": patients}, "state": "open"}
        await self._database["reviews"].update_many(wanted, {"$set": {"state": "closed"}}, session=self._session)

    async def parameter_rows(self) -> list[Document]:
        """The custom search parameters in force (store/parameters.py)."""
        found = self._database["parameters"].find({"ready": {"$exists": True}}, session=self._session)
        return await found.to_list()

    async def are_searchable(self, origins: Collection[str]) -> bool:
        """Whether the index of this snapshot has all of what these custom search parameters find."""
        return await are_searchable(self._database, origins, self._session)

    async def put_parameter(self, codec: Codec, key: bytes, definition: Definition | None) -> None:
        """Put a custom search parameter into force, or end it: from the commit on, by a new generation."""
        self.changes += 1
        rows = self._database["parameters"]
        head = await rows.find_one_and_update(
            {"_id": HEAD}, {"$inc": {"g": 1}}, return_document=ReturnDocument.AFTER, session=self._session
        )
        assert head is not None  # made when the exchange opens
        if definition is None:
            await rows.delete_one({"_id": key}, session=self._session)
        else:
            row = row_of(codec, key, definition, head["g"])
            await rows.replace_one({"_id": key}, row, upsert=True, session=self._session)

    async def _revised(self, document: Document) -> Document:
        return document | {"rev": await self._next(REVISION)}

    async def redefine(self) -> None:
        """Tell every process that definitions that the exchange works by are being changed (record/definitions.py)."""
        self.changes += 1
        await self._next(DEFINITIONS)

    async def _next(self, name: str) -> int:
        """Revisions follow the order of commits: every transaction that takes one locks the counter."""
        counter = await self._database["counters"].find_one_and_update(
            {"_id": name}, {"$inc": {"n": 1}}, upsert=True, return_document=ReturnDocument.AFTER, session=self._session
        )
        assert counter is not None  # upsert and return_document: there is one
        return int(counter["n"])


def _pair(one: bytes, other: bytes) -> bytes:
    return b"".join(sorted((one, other)))
