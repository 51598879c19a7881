"""What the values of a search parameter ask for, by its type (search.html#2.21.1.4 on); value_texts.py reads them."""

from typing import Any, NamedTuple

HIERARCHIES = {
    "CarePlan": "part-of",
    "DeviceDefinition": "parent",
    "Encounter": "part-of",
    "Location": "partof",
    "Organization": "partof",
    "Procedure": "part-of",
    "ResearchStudy": "partof",
    "Specimen": "parent",
    "Task": "part-of",
}
"""By which parameter resources of a type form a hierarchy, for `:above` and `:below` (search.html, Searching Hierarchies)."""


class Token(NamedTuple):
    """`system` None: any; "": none. `code` None: any of that system."""

    system: str | None
    code: str | None


class Reference(NamedTuple):
    """The literal references that answer it: several where only an id is given and several types may be meant."""

    accepted: tuple[str, ...]


class String(NamedTuple):
    """The text as given, and normalised."""

    raw: str
    text: str


class Uri(NamedTuple):
    """A URI as given."""

    uri: str


class Ordered(NamedTuple):
    """A date (ms) or number as the closed interval its precision means; a quantity may ask for (system, code) or a unit.

    With a `dimension` it is a quantity in the base units of UCUM.
    """

    prefix: str
    low: float
    high: float
    system: str | None = None
    code: str | None = None
    dimension: str = ""


class Around(NamedTuple):
    """A date about which something is to be, as the closed interval (ms) its precision means: how far off, tells the moment."""

    low: int
    high: int


class OfType(NamedTuple):
    """Of `:of-type`: an identifier by the coding of its type."""

    system: str
    code: str
    value: str


class MimeType(NamedTuple):
    """Of `:below`: a type of content, whatever its parameters; without a subtype, all of its kind."""

    base: str


class Canonical(NamedTuple):
    """Of `:below`: a canonical url, and how its version begins; "": any."""

    url: str
    version: str


class Near(NamedTuple):
    """A place by latitude and longitude in degrees, and how far from it, in metres."""

    latitude: float
    longitude: float
    metres: float


class Composite(NamedTuple):
    """One value for each component."""

    parts: tuple[Any, ...]


class Concepts(NamedTuple):
    """Of `:in`, `:not-in`, `:below` and `:above`: what was asked for, and the (system, code) that it comes to."""

    asked: str
    members: frozenset[tuple[str, str]]

    def __repr__(self) -> str:
        return f"Concepts({self.asked!r})"  # the same in every process, for the criteria of conditional writes


class Unheld(NamedTuple):
    """The same where it names what is not shipped: stored definitions may tell (record/concepts.py)."""

    modifier: str
    asked: str
    system: str
    code: str


class Within(NamedTuple):
    """Of `:above` and `:below` on references: what was asked for; the store tells what it is part of, or what is part of it."""

    modifier: str
    accepted: tuple[str, ...]


class Missing(NamedTuple):
    """Of `:missing`."""

    missing: bool


Value = (
    Token | Concepts | Unheld | Reference | String | Uri | Ordered | Around | Missing | OfType
    | MimeType | Canonical | Near | Composite | Within
)  # fmt: skip


def about(value: Around, now: int) -> Ordered:
    """What it means at this time (ms): off by a tenth of the gap between now and the date (search.html#prefix)."""
    off = max(value.low - now, now - value.high, 0) // 10
    return Ordered("ap", value.low - off, value.high + off)
