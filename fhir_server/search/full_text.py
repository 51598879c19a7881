"""What `_text` and `_content` ask for (search.html#text): words and "phrases" of which all are to be there, in any place and
order, `or` between alternatives, and parentheses."""

import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache

DEEPEST = 20  # parentheses within each other
MOST = 500  # words, phrases and parentheses: each resource is looked through for each of them
Holds = Callable[[str], bool]

_PARTS = re.compile(r'"[^"]*"|[()]|[^\s()"]+')


@lru_cache(maxsize=256)
def asked(text: str) -> Holds:
    """Whether a folded text has what a folded value asks for; ValueError for one that asks for nothing."""
    parts = deque(_PARTS.findall(text))
    if not any(one.strip('"') and one not in ("and", "or", "(", ")") for one in parts):
        raise ValueError("has no word to look for")
    if len(parts) > MOST:
        raise ValueError(f"has more than {MOST} words")
    found = _alternatives(parts, 0)
    if parts:
        raise ValueError("has a parenthesis too many")
    return found


def _alternatives(parts: deque[str], depth: int) -> Holds:
    if depth > DEEPEST:
        raise ValueError(f"has more than {DEEPEST} parentheses within each other")
    several = [_all_of_them(parts, depth)]
    while parts and parts[0] == "or":
        parts.popleft()
        several.append(_all_of_them(parts, depth))
    return several[0] if len(several) == 1 else lambda text: any(one(text) for one in several)


def _all_of_them(parts: deque[str], depth: int) -> Holds:
    """The next parts, up to an `or` or the end of what stands in parentheses."""
    every: list[Holds] = []
    while parts and parts[0] not in ("or", ")"):
        part = parts.popleft()
        if part == "(":
            every.append(_alternatives(parts, depth + 1))
            if not parts:
                raise ValueError("has a parenthesis that is not closed")
            parts.popleft()
        elif part != "and":
            every.append(_word(part.strip('"').strip()))
    return lambda text: bool(every) and all(one(text) for one in every)


def _word(word: str) -> Holds:
    return lambda text: word in text
