"""The resident identity number of GB 11643: 6 digits of division, birth date, 3 of sequence, a check character."""

import re
from datetime import date

_SHAPE = re.compile(r"\d{6}(\d{4})(\d\d)(\d\d)\d{3}[\dX]$", re.ASCII)
_WEIGHTS = tuple(pow(2, 17 - i, 11) for i in range(17))
_CHECKS = "10X98765432"


def check_character(seventeen: str) -> str:
    """ISO 7064 MOD 11-2 over the first 17 digits."""
    return _CHECKS[sum(int(digit) * weight for digit, weight in zip(seventeen, _WEIGHTS, strict=True)) % 11]


def valid(number: str) -> bool:
    """True for 18 characters with a possible birth date and the right check character (an upper case X)."""
    found = _SHAPE.match(number)
    if not found or check_character(number[:17]) != number[17]:
        return False
    try:
        date(*map(int, found.groups()))
    except ValueError:
        return False
    return True
