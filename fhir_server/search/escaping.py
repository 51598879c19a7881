"""The characters that part the values of a search parameter, and those that are meant (search.html#escaping)."""

import re

_STRAY = re.compile(r"(?<!\\)(?:\\\\)*\\(?![,|$\\])")


def split(text: str, separator: str) -> list[str]:
    r"""The parts between unescaped separators, still escaped: `a\,b,c` gives `a\,b` and `c` (search.html#escaping)."""
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == separator:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


def escaped(text: str) -> str:
    """The text as one value: nothing in it parts values."""
    return re.sub(r"([\\,$|])", r"\\\1", text)


def unescape(text: str) -> str:
    r"""The text meant by `\,` `\|` `\$` `\\`; ValueError for any other backslash."""
    if "\\" in text and _STRAY.search(text):
        raise ValueError(r"has a \ before none of , | $ \ : to mean it, write it twice")
    return re.sub(r"\\([,|$\\])", r"\1", text)
