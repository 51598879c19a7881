"""Strings as search compares them: without case, accents, punctuation and the accidents of writing (search.html#string)."""

import re
import string
import unicodedata
from collections.abc import Sequence

# A prefix shorter than two characters would give away the frequency of first letters, and 王 is a whole family name.
# Up to eight letters the index decides alone: in a region dozens have a name of six, whose records would be read to be sure.
PREFIXES = (2, 3, 4, 5, 6, 7, 8)
ALWAYS = (2, 3, 5, 8)  # those that resources were indexed with from the first release on

INTERPUNCT = "\u00b7"
# The dots that stand between the parts of a transcribed name (阿依古丽·买买提), and characters that are only layout.
_FOLDED = str.maketrans(
    {
        **dict.fromkeys("\u0387\u2022\u2027\u2219\u22c5\u30fb\uff65\u16eb\u2024", INTERPUNCT),
        **dict.fromkeys("\u0640\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"),
    }
)
# Only of Latin letters: й and ئ are letters of their own, not и and ى with an accent.
_ACCENTS = re.compile("(?<=[A-Za-z\u00c0-\u024f\u0300-\u036f])[\u0300-\u036f]+")
# Letters to Unicode, and written like the apostrophe: of Uyghur in Latin letters, of Hawaiian; a backtick for one.
_APOSTROPHES = "\u02bb\u02bc`"
_ASCII_PUNCTUATION = str.maketrans("", "", "".join(one for one in string.punctuation if one not in "$+<=>^|~"))  # not symbols


def normalise(text: str) -> str:
    """Folded, without punctuation but for the interpunct, which parts names; what is nothing else keeps it."""
    if text.isascii():
        return " ".join(text.lower().translate(_ASCII_PUNCTUATION).split()) or folded(text)
    letters = (one for one in unicodedata.normalize("NFKD", text.translate(_FOLDED)) if not _is_punctuation(one))
    return folded("".join(letters)) or folded(text)


def _is_punctuation(letter: str) -> bool:
    return letter in _APOSTROPHES or (letter != INTERPUNCT and unicodedata.category(letter).startswith("P"))


def folded(text: str) -> str:
    """Casefolded, NFKC, Latin accents stripped, interpuncts as U+00B7, whitespace collapsed."""
    if text.isascii():
        return " ".join(text.lower().split())
    decomposed = unicodedata.normalize("NFKD", text.translate(_FOLDED)).casefold()
    return " ".join(unicodedata.normalize("NFKC", _ACCENTS.sub("", decomposed)).translate(_FOLDED).split())


def prefixes(normalised: str) -> list[str]:
    """The prefixes of a normalised string that stand in the index."""
    return [normalised[:length] for length in PREFIXES if length <= len(normalised)]


def longest_prefix(normalised: str, lengths: Sequence[int] = PREFIXES) -> str | None:
    """The indexed prefix that says most about strings starting with this one; None if it is too short to help."""
    return next((normalised[:length] for length in reversed(lengths) if length <= len(normalised)), None)


def fold_token(text: str) -> str:
    """A token that is a plain string or a phone number or e-mail address: no case, no spaces (search.html#token)."""
    return "".join(text.casefold().split())
