"""How many candidates met these links lately: it says how many to look at, and nothing of what is found."""

from collections.abc import Hashable

KEPT = 1_000
MARGIN = 1.25  # looking once more costs as much as a dozen candidates
_rates: dict[Hashable, float] = {}


def enough(links: Hashable, wanted: int, otherwise: int) -> int:
    """How many candidates are likely to bring up as many as wanted; `otherwise` where nothing is known of such links."""
    rate = _rates.get(links)
    return otherwise if rate is None else int(MARGIN * wanted / rate) + 2


def learn(links: Hashable, looked_at: int, found: int) -> None:
    """What a look found; the last few count."""
    if len(_rates) >= KEPT:
        _rates.clear()
    seen = max(found, 0.5) / looked_at
    _rates[links] = (_rates.get(links, seen) + seen) / 2
