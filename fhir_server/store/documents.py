"""A resource as the database keeps it: sealed body + terms + stamps (DESIGN 3). Short field names, said once here.

    _id  keyed hash of `Type/id`, 16 bytes      t  number of the type             v  version
    u    last updated, ms                       b  sealed body (absent: deleted)  c  custodian
    p    Patients it is about, identity hashes  l  hashed security labels         x  hashed terms
    r    ranges {k, a, z, n}                    s  clinical date and tie-break    w  last updated and tie-break
    n    how many of the terms, from the first, are counted (store/totals.py)
    m    the version was made anew by an update: nothing stood under its id (absent: not so, or older than this mark)
History documents carry `o`, the resource's _id, in place of terms.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consent.codes import LEVELS, SENSITIVITIES
from consent.labels import labels
from fhir_server.aside import aside
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal, walk_references
from fhir_server.search.index import Display, Entries, index
from fhir_server.search.pairs import TO_PATIENT
from fhir_server.store.database import Database
from fhir_server.store.directory import DIRECTORY_TYPES
from fhir_server.store.displays import Counts, Displays
from fhir_server.store.keystore import KeyStore
from fhir_server.store.sealing import seal, unseal
from fhir_server.store.secrets import Secrets, identity_hash, term_hash
from fhir_server.store.sharing import Kind, Lookup

Document = dict[str, Any]

TYPE_NUMBER = {name: number for number, name in enumerate(RESOURCE_TYPES)}
EARLIEST = -3_786_825_600_000  # 1850-01-01 in ms: the sort key stays positive for every date of care
TIE_BITS = 20
LATEST = (1 << (63 - TIE_BITS)) - 1
HORIZON = EARLIEST + LATEST  # ms, in 2128; what is later has the stamp of this
REGION = b"region" + bytes(10)
UNRESOLVED = b"unresolved" + bytes(6)
MAX_SEALED, MAX_ENTRIES = 14 * 1024 * 1024, 15_000  # together less than the 16 MB that a MongoDB document holds
KEPT, PAGE_BYTES = 64 * 1024, 16 * 1024 * 1024  # of bodies, unsealed
SUBJECTS = ("subject", "patient", "beneficiary", "individual", "for")
STAMPS = {"p": 1, "c": 1, "l": 1, "t": 1, "s": 1}  # what the gate decides on, and the order
WITHOUT_TERMS, WITHOUT_RANGES = {"x": 0, "r": 0}, {"r": 0}  # to name what comes instead takes a sixth of a look more


@dataclass(frozen=True, slots=True)
class Codec:
    """Turns resources into documents and back; holds the keys that this needs."""

    keys: KeyStore
    identity: Callable[[str], bytes]
    term: Callable[[str], int]
    labels: Mapping[int, str]
    displays: Displays
    is_indexed: bool  # whether all documents have the entries that `document` makes (store/indexing.py)


def codec(secrets: Secrets, keys: KeyStore, database: Database, share: Callable[[Kind], Lookup], is_indexed: bool) -> Codec:
    term, identity = term_hash(secrets), identity_hash(secrets)
    labels = {term(f"label={name}"): name for name in (*LEVELS, *SENSITIVITIES)}
    displays = Displays(database, lambda: keys.key(REGION), identity, term, share(Counts()))
    return Codec(keys, identity, term, labels, displays, is_indexed)


def resource_key(codec: Codec, resource_type: str, resource_id: str) -> bytes:
    return codec.identity(f"{resource_type}/{resource_id}")


def hashed_term(codec: Codec, term: str) -> int:
    """A term of search/index as a number. References to Patients go by the Patient's key, so that links can expand them."""
    path, separator, patient = term.partition(TO_PATIENT)
    return patient_term(codec, path, codec.identity(f"Patient/{patient}")) if separator else codec.term(term)


def patient_term(codec: Codec, path: str, patient: bytes) -> int:
    """The term of a reference to the Patient with this key."""
    return codec.term(f"{path}>{patient.hex()}")


def patients_of(codec: Codec, resource: dict[str, Any]) -> list[bytes]:
    """Every Patient the resource names, the subject first; UNRESOLVED where it is about somebody who cannot be told."""
    if resource["resourceType"] == "Patient":
        found = [codec.identity(f"Patient/{resource['id']}")]
    else:
        found = [codec.identity(f"Patient/{subject}") for subject in _subjects(resource)]
    unresolved = any(not _told(resource[element]) for element in SUBJECTS if isinstance(resource.get(element), dict))
    for reference in walk_references(resource):
        target = literal(reference["reference"]) if isinstance(reference.get("reference"), str) else None
        if target is None:
            unresolved = unresolved or _names_a_patient(reference)
        elif target[0] == "Patient":
            found.append(codec.identity(f"Patient/{target[1]}"))
    nobody = not found and resource["resourceType"] not in DIRECTORY_TYPES
    return list(dict.fromkeys([*found, UNRESOLVED] if unresolved or nobody else found))


def _told(subject: dict[str, Any]) -> bool:
    """Whether it is known whom a subject stands for; a name, a number, a contained person or a Group does not tell."""
    target = literal(subject["reference"]) if isinstance(subject.get("reference"), str) else None
    return target is not None and (target[0] == "Patient" or target[0] in DIRECTORY_TYPES)


def _subjects(resource: dict[str, Any]) -> Iterator[str]:
    for element in SUBJECTS:
        reference = resource.get(element)
        if isinstance(reference, dict) and isinstance(reference.get("reference"), str):
            target = literal(reference["reference"])
            if target and target[0] == "Patient":
                yield target[1]


def _names_a_patient(reference: dict[str, Any]) -> bool:
    text = reference.get("reference")
    return reference.get("type") == "Patient" or (isinstance(text, str) and "Patient/" in text)


async def document(codec: Codec, resource: dict[str, Any], raw: bytes, version: int, updated: int, custodian: str) -> Document:
    """The document of one version of a resource whose id and meta are set; `raw` is the same resource as bytes.

    The data key of the Patient it is about is made here when it is the first of that Patient.
    """
    made, displays = await aside(len(raw), _described, codec, resource, version, updated, custodian)
    made["x"] += await unworded(codec, displays)
    owner = data_key_owner(made["p"])
    codec.keys.ensure((owner,))
    # Here and not in the thread: keys and compressors belong to the event loop's, and 5 MB take 15 ms.
    made["b"] = seal(codec.keys.key(owner), raw, binding(made["_id"], version))
    if len(made["b"]) > MAX_SEALED or len(made["x"]) + len(made.get("r", ())) > MAX_ENTRIES:
        problem = "the resource is too large to store even when compressed; split it"
        raise FhirError(413, "too-long", problem, resource["resourceType"])
    return made


async def unworded(codec: Codec, displays: Iterable[Display]) -> list[int]:
    """Terms of the paths whose words are not kept, so that `:text` looks into the body."""
    return [codec.term(path) for path in await codec.displays.ensure(displays)]


def _described(
    codec: Codec, resource: dict[str, Any], version: int, updated: int, custodian: str
) -> tuple[Document, set[Display]]:
    """The document without its body, and the displays in it."""
    kind = resource["resourceType"]
    key = resource_key(codec, kind, resource["id"])
    entries = index(resource)
    made: Document = {
        "_id": key,
        "t": TYPE_NUMBER[kind],
        "v": version,
        "u": updated,
        "p": patients_of(codec, resource),
        "c": custodian,
        **found_by(codec, entries),
        "s": sort_stamp(entries.date, key),
        "w": sort_stamp(updated, key),
    }
    if hashed := hashed_labels(codec, labels(resource)):
        made["l"] = hashed
    return made, entries.displays


def found_by(codec: Codec, entries: Entries) -> Document:
    """The fields that searches find a document by."""
    terms = (*entries.counted, *entries.terms.difference(entries.counted))
    made: Document = {"x": [hashed_term(codec, term) for term in terms], "n": len(entries.counted)}
    if entries.ranges:
        made["r"] = [_range(codec, *entry) for entry in entries.ranges]
    return made


def data_key_owner(patients: list[bytes]) -> bytes:
    return patients[0] if patients and patients[0] != UNRESOLVED else REGION


def binding(key: bytes, version: int) -> bytes:
    """What a sealed body is bound to: this resource, this version."""
    return key + version.to_bytes(8, "big")


def hashed_labels(codec: Codec, names: Iterable[str]) -> list[int]:
    return [codec.term(f"label={name}") for name in sorted(names)]


def label_names(codec: Codec, hashed: Iterable[int]) -> frozenset[str]:
    """Labels by name; one that nobody knows any more counts as very restricted (deny on doubt)."""
    return frozenset(codec.labels.get(label, "V") for label in hashed)


def _range(codec: Codec, name: str, low: float, high: float, unit: str | None) -> Document:
    entry: Document = {"k": codec.term(name), "a": low, "z": high}
    return entry if unit is None else entry | {"n": codec.term(unit)}


def sort_stamp(date: int | None, key: bytes) -> int:
    """A date in ms, then a tie-break that never changes; resources without a date come as the earliest."""
    return earliest_stamp(date) | (int.from_bytes(key[:3], "big") >> (24 - TIE_BITS))


def earliest_stamp(date: int | None) -> int:
    """The least that `sort_stamp` gives for a date."""
    return _moment(date) << TIE_BITS


def _moment(date: int | None) -> int:
    return 0 if date is None else min(max(date - EARLIEST, 1), LATEST)


def body(codec: Codec, stored: Document) -> bytes:
    """The resource as JSON bytes, from a document of `resources` or of `history`."""
    key: bytes = stored["o"] if "o" in stored else stored["_id"]
    return unseal(codec.keys.key(data_key_owner(stored["p"])), stored["b"], binding(key, stored["v"]))


def opened(codec: Codec, stored: Document) -> bytes:
    """`body`, unsealed once: the document keeps it, but a large one, of which there may be a thousand."""
    plain: bytes = stored["plain"] if "plain" in stored else body(codec, stored)
    if len(plain) <= KEPT:
        stored["plain"] = plain
    return plain


def first_opened(codec: Codec, stored: Sequence[Document], most: int = PAGE_BYTES) -> list[bytes]:
    """`opened` of the first of these, of one at least, up to `most` bytes: a thousand may be 20 GB. b"" of what is deleted.

    The keys of many persons come into memory in one query.
    """
    codec.keys.load({data_key_owner(one["p"]) for one in stored})
    found: list[bytes] = []
    size = 0
    for one in stored:
        plain = opened(codec, one) if "b" in one else b""
        size += len(plain)
        if found and size > most:
            break
        found.append(plain)
    return found


def tombstone(stored: Document, version: int, updated: int) -> Document:
    """What stands in place of a deleted resource: stamps only, so that the gate still knows whose it was."""
    kept = {name: stored[name] for name in ("_id", "t", "p", "c", "l", "s") if name in stored}
    return kept | {"v": version, "u": updated, "w": sort_stamp(updated, stored["_id"]), "x": []}


def past(codec: Codec, stored: Document) -> Document:
    """The history document of a version that is being replaced."""
    kept = {name: stored[name] for name in ("t", "v", "u", "b", "p", "c", "l", "w", "m") if name in stored}
    return kept | {"_id": codec.identity(f"{stored['_id'].hex()}/{stored['v']}"), "o": stored["_id"]}


def history_id(codec: Codec, key: bytes, version: int) -> bytes:
    return codec.identity(f"{key.hex()}/{version}")
