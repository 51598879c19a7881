"""Narrative XHTML (R4 narrative.html): what a browser may be given without harm; txt-1 and txt-2."""

import html
import re
from typing import Any
from xml.parsers import expat


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ELEMENTS = _words(
    "a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 "
    "hr i img kbd li map ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt u ul var"
)
_ATTRIBUTES = _words(
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset cite "
    "class colspan compact coords dir frame headers height href hreflang hspace id ismap lang longdesc name nohref nowrap "
    "rel rev rowspan rules scope shape span src start style summary tabindex title type usemap valign value vspace width "
    "xml:lang xml:space xmlns"
)
_BLOCKS = _words("blockquote div ol p table ul")
_TAG = re.compile(r"<!--.*?-->|</?([A-Za-z0-9]+)[^>]*>", re.DOTALL)
_WITHIN_WORDS = _words("a abbr acronym b big cite code del dfn em i ins kbd q samp small span strong sub sup tt u var")
_LINKS = frozenset(("href", "src", "cite", "longdesc"))
_XHTML = "http://www.w3.org/1999/xhtml"
_SCHEME = re.compile(r"[^/?#:]*(?=:)")
# Other schemes run code or read files. Compared whole, so that white space inside does not hide one.
_SAFE_SCHEMES = frozenset(("http", "https", "mailto", "tel", "ftp", "urn", "cid"))
_EMBEDDED_IMAGES = ("data:image/png", "data:image/gif", "data:image/jpeg")
_UNSAFE_STYLE = re.compile(r"url\s*\(|expression\s*\(|@import|behavior|-moz-binding|\\", re.I)


class _Unsafe(Exception):
    """Carries what is wrong with the narrative."""


def plain(div: str) -> str:
    """The words of a well-formed `Narrative.div`; the tags of blocks part them, those within a word do not."""
    return html.unescape(_TAG.sub(lambda tag: "" if tag[1] in _WITHIN_WORDS else " ", div))


def problem(div: str) -> str | None:
    """What is wrong with `Narrative.div`, or None. Never quotes it; entities are not expanded because none are allowed."""
    checker = _Checker()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = checker.doctype
    parser.StartElementHandler = checker.element
    parser.EndElementHandler = checker.end
    parser.ProcessingInstructionHandler = checker.instruction
    parser.CharacterDataHandler = checker.text
    try:
        parser.Parse(div, True)
    except expat.ExpatError as error:
        return f"not well-formed XHTML at line {error.lineno}; HTML entities such as nbsp are written as characters (txt-1)"
    except _Unsafe as unsafe:
        return str(unsafe)
    return None if checker.has_content else "a narrative has text or an image (txt-2)"


class _Checker:
    """Handlers for one parse."""

    def __init__(self) -> None:
        self.has_content = False
        self.is_root = True
        self.is_in_paragraph = False

    def doctype(self, *_: Any) -> None:
        raise _Unsafe("a narrative has no document type (txt-1)")

    def instruction(self, *_: Any) -> None:
        raise _Unsafe("a narrative has no processing instructions (txt-1)")

    def text(self, text: str) -> None:
        self.has_content = self.has_content or bool(text.strip())

    def end(self, name: str) -> None:
        self.is_in_paragraph = self.is_in_paragraph and name != "p"

    def element(self, name: str, attributes: dict[str, str]) -> None:
        if self.is_root and (name != "div" or attributes.get("xmlns") != _XHTML):
            raise _Unsafe(f'a narrative is one div in the namespace "{_XHTML}" (txt-1)')
        self.is_root = False
        self.has_content = self.has_content or name == "img"
        if name not in _ELEMENTS or attributes.get("xmlns", _XHTML) != _XHTML:
            raise _Unsafe("a narrative has only basic formatting elements: no scripts, forms, frames, styles or links (txt-1)")
        if self.is_in_paragraph and name in _BLOCKS:
            raise _Unsafe("a paragraph has words in it, not paragraphs, lists, tables or other blocks (txt-1)")
        self.is_in_paragraph = self.is_in_paragraph or name == "p"
        if not attributes.keys() <= _ATTRIBUTES:
            raise _Unsafe("an attribute is not allowed in a narrative, such as event handlers (txt-1)")
        if not all(_is_safe(value) for attribute, value in attributes.items() if attribute in _LINKS):
            raise _Unsafe("a link in a narrative is http, https, mailto, tel, relative or an embedded image (txt-1)")
        if _UNSAFE_STYLE.search(attributes.get("style", "")):
            raise _Unsafe("a style in a narrative refers to nothing outside it (txt-1)")


def _is_safe(link: str) -> bool:
    scheme = _SCHEME.match(link)
    return scheme is None or scheme[0].lower() in _SAFE_SCHEMES or link.startswith(_EMBEDDED_IMAGES)
