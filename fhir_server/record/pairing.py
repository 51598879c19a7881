"""Which two conditions of a search are one look into the index (search/pairs.py)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from fhir_server.search import pairs
from fhir_server.search.index import loose
from fhir_server.search.pairs import TO_PATIENT
from fhir_server.search.plan import RangeTest
from fhir_server.store.documents import Codec, patient_term

MOST = 1_000  # pairs that the index is asked for
UNORDERED = 150  # ways through an index that MongoDB by default goes in order; of patients' few records it may sort more


@dataclass(slots=True, eq=False)
class Piece:
    """What the index can say of a clause, of a component, or of a link: any of the terms, of the ranges, or of the references.

    `references`: (path, Patient) of all that are meant by references to Patients, which are not among `terms`.
    `by_url`: a canonical may say the same, and makes no record one about that Patient.
    """

    terms: Sequence[str]
    ranges: Sequence[RangeTest]
    references: Sequence[tuple[str, bytes]]
    by_url: bool = False

    @property
    def is_told(self) -> bool:
        """Whether it can say anything."""
        return bool(self.terms or self.ranges or self.references)

    @property
    def is_of_patients(self) -> bool:
        """Whether all that it finds are records about these persons."""
        return bool(self.references) and not (self.terms or self.ranges or self.by_url)


class Paired(NamedTuple):
    """A condition in place of those of `replaced`."""

    condition: dict[str, Any]
    replaced: tuple[Piece, ...]


def pairing(codec: Codec, resource_type: str, pieces: Sequence[Piece]) -> Paired | None:
    """A code and whose it is; else a code and how much of it; None where these are not asked for, or have too many terms."""
    codes = _first(pieces, _is_of_codes, resource_type)
    if codes is None:
        return None
    if patients := _first(pieces, _has_patient_pairs, resource_type):
        return _paired(_of_patients(codec, codes.terms, patients), MOST, (codes, patients))
    measured = _first(pieces, _is_measured, resource_type)
    return _paired(_of_quantities(codec, codes, measured), UNORDERED, (codes,)) if measured else None


def loose_terms(codec: Codec, resource_type: str, pieces: Sequence[Piece]) -> tuple[list[int], Piece | None]:
    """Terms of the records whose date the order does not tell: of the Patients or the codes that are asked for, or all; and the
    piece that all of these meet."""
    term = loose(resource_type)
    if patients := _first(pieces, _has_patient_pairs, resource_type):
        return list(_of_patients(codec, (term,), patients)), patients
    if any(one.is_of_patients for one in pieces):
        return [], None
    if codes := _first(pieces, _is_of_codes, resource_type):
        return [codec.term(pairs.both(term, code)) for code in codes.terms], codes
    return [codec.term(term)], None


def _first(pieces: Iterable[Piece], holds: Callable[[str, Piece], bool], resource_type: str) -> Piece | None:
    return next((one for one in pieces if holds(resource_type, one)), None)


def _paired(terms: Iterator[int], most: int, replaced: tuple[Piece, ...]) -> Paired | None:
    found = list(islice(terms, most + 1))
    return Paired({"x": {"$in": found} if len(found) > 1 else found[0]}, replaced) if found and len(found) <= most else None


def _of_patients(codec: Codec, terms: Sequence[str], patients: Piece) -> Iterator[int]:
    for path, patient in patients.references:
        yield from (patient_term(codec, pairs.both(term, path), patient) for term in terms)


def _of_quantities(codec: Codec, codes: Piece, measured: Piece) -> Iterator[int]:
    for test in measured.ranges:
        for bucket in pairs.covering(*pairs.bounds(test.tests)):
            yield from (codec.term(pairs.of_quantity(code, test.key, bucket)) for code in codes.terms)


def _is_of_codes(resource_type: str, piece: Piece) -> bool:
    if not piece.terms or piece.ranges or piece.references:
        return False
    return len(pairs.codes_of(resource_type, piece.terms)) == len(piece.terms)


def _has_patient_pairs(resource_type: str, piece: Piece) -> bool:
    known = pairs.pairable(resource_type).patients
    return piece.is_of_patients and all(f"{path}{TO_PATIENT}" in known for path, _ in piece.references)


def _is_measured(resource_type: str, piece: Piece) -> bool:
    keys = pairs.pairable(resource_type).measured
    if not keys or not piece.ranges or piece.terms or piece.references:
        return False
    return all(test.key.startswith(keys) for test in piece.ranges)
