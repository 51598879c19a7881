"""The parameters of $find, $hold and $book (IHE ITI-115 to 117), and what they mean."""

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_server.r4.dates import interval
from fhir_server.r4.errors import FhirError
from fhir_server.r4.references import literal
from telemedicine.finding import Wanted

Values = Mapping[str, Sequence[Any]]

FIND = ("start", "end", "specialty", "language", "practitioner", "organization", "patient-reference", "_count")
HOLD = ("appointment-reference", "patient-reference")
BOOK = ("appointment-reference", "appointment-resource", "patient-reference", "comment")
MOST = 1_000


def wanted(values: Values) -> Wanted:
    """What $find looks for: ITI-115 requires start and end."""
    return Wanted(
        start=_moment(values, "start", 0),
        end=_moment(values, "end", 1),
        specialties=frozenset(str(one).rpartition("|")[2] for one in values.get("specialty", ())),
        languages=frozenset(str(one).rpartition("|")[2] for one in values.get("language", ())),
        practitioners=frozenset(_ids(values, "practitioner", "Practitioner")),
        organizations=frozenset(_ids(values, "organization", "Organization")),
    )


def count(values: Values) -> int:
    """`_count`: how many proposals to give."""
    text = str(values.get("_count", ["50"])[0])
    if not text.isascii() or not text.isdigit():
        raise FhirError(400, "invalid", "must be a whole number", "_count")
    return min(int(text[:6]), MOST)


def target(values: Values, name: str, resource_type: str) -> str | None:
    """The id that a parameter refers to; None where it is not given."""
    return next(iter(_ids(values, name, resource_type)), None)


def text(values: Values, name: str) -> str:
    found = values.get(name, [""])[0]
    if not isinstance(found, str):
        raise FhirError(400, "invalid", "must be a string", name)
    return found


def resource(values: Values, name: str) -> dict[str, Any] | None:
    """The resource in a parameter; None where it is not given."""
    found = values.get(name, [None])[0]
    if found is not None and not isinstance(found, dict):
        raise FhirError(400, "structure", "must be a resource", name)
    return found


def id_of(reference: Any, resource_type: str) -> str | None:
    """The id in a Reference, or in the text of one, relative or absolute; None if it is none to this type."""
    written = reference.get("reference") if isinstance(reference, dict) else reference
    found = literal("/".join(written.split("/")[-2:])) if isinstance(written, str) else None
    return found[1] if found and found[0] == resource_type else None


def _moment(values: Values, name: str, side: int) -> int:
    try:
        return interval(str(values[name][0]))[side]
    except KeyError:
        raise FhirError(400, "required", "$find needs a start and an end", name) from None
    except ValueError:
        raise FhirError(400, "invalid", "must be a dateTime", name) from None


def _ids(values: Values, name: str, resource_type: str) -> list[str]:
    found = [id_of(one, resource_type) for one in values.get(name, ())]
    if None in found:
        raise FhirError(400, "invalid", f"must be a reference to a {resource_type}", name)
    return [one for one in found if one]
