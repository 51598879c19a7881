"""One clinical document in detail: its sections as plain text, such as the opinion of a consultation."""

from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from typing import Annotated

from fastapi import Path

from fhir_server.r4.json import read
from fhir_server.record import reading
from portal.asking import Patient
from portal.display import first_date, status, words
from portal.envelope import Envelope, Model
from portal.looking import Named, named
from portal.requests import ID
from portal.routing import OF_PATIENT, refuses, routes
from portal.service import Resource

router = routes("record")


class Section(Model):
    title: str
    text: str


class Document(Model):
    id: str
    title: str
    status: str
    statusText: str
    date: str | None
    hospital: Named
    authors: list[str]
    sections: list[Section]


@router.get("/documents/{id}", responses=OF_PATIENT | refuses(404))
async def document(own: Patient, id: Annotated[str, Path(pattern=ID)]) -> Envelope[Document]:
    """A Composition with its sections as plain text. Another person's is a 404, as is one that does not exist."""
    stored = await reading.read(own.portal.record, own.caller, "Composition", id)
    found = read(stored.body or b"")
    hospitals = await named(own, "Organization", [stored.custodian])
    return own.answer(
        Document(
            id=id,
            title=found.get("title", ""),
            status=status(found),
            statusText=own.texts.label("status", status(found), status(found)),
            date=first_date(found, ("date",)),
            hospital=hospitals[stored.custodian],
            authors=[said for one in found["author"] if (said := one.get("display", ""))],
            sections=[_section(one) for one in _flat(found.get("section", ()))],
        )
    )


def _flat(sections: Iterable[Resource]) -> Iterator[Resource]:
    """Sections and those within them, in order."""
    for one in sections:
        yield one
        yield from _flat(one.get("section", ()))


def _section(one: Resource) -> Section:
    return Section(title=one.get("title") or words(one.get("code")), text=plain(one.get("text", {}).get("div", "")))


def plain(div: str) -> str:
    """The text of a narrative (R4 narrative.html), a line a block."""
    reader = _Reader()
    reader.feed(div)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.parts).split("\n"))
    return "\n".join(line for line in lines if line)


BLOCKS = frozenset("p br div li tr h1 h2 h3 h4 h5 h6 dt dd pre blockquote caption table ul ol".split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.parts.append("\n" if tag in BLOCKS else " " if tag in ("td", "th") else "")

    def handle_endtag(self, tag: str) -> None:
        self.parts.append("\n" if tag in BLOCKS else "")

    def handle_data(self, data: str) -> None:
        self.parts.append(data.replace("\n", " "))
