"""What requests have in common: strict models, pages and their cursors."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fhir_server.record.paging import Cursor, follow, link
from portal.asking import Own
from portal.errors import PortalError

ID = r"^[A-Za-z0-9.-]{1,64}$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

Id = Annotated[str, Field(pattern=ID)]
Pairs = Sequence[tuple[str, str]]


class Asked(BaseModel):
    """A body or a query. What it does not know is a 422."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Paged(Asked):
    """Which page: the first, or where a cursor leads."""

    count: Annotated[int, Field(ge=1, le=100, description="how many on a page")] = 20
    cursor: Annotated[str | None, Field(max_length=16_384, description="`next` of the page before")] = None


def where(own: Own, wanted: Paged, pairs: Pairs) -> Cursor | None:
    """Where the page begins; 400 for a cursor of somebody else, or of another list than `pairs` tell."""
    if wanted.cursor is None:
        return None
    listed, cursor = follow(own.portal.record.page_key, own.caller, wanted.cursor)
    if listed != list(pairs):
        raise PortalError(400, "bad-request")
    return cursor


def following(own: Own, pairs: Pairs, cursor: Cursor | None) -> str | None:
    """The cursor of the next page, sealed for this patient; None on the last."""
    return link(own.portal.record.page_key, own.caller, list(pairs), cursor) if cursor else None
