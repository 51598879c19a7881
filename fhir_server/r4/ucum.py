"""UCUM units as a factor of base units (ucum.org, clauses 5 to 25), so that 5.4 g/L is found as 540 mg/dL, and compares to it.

The atoms are those in clinical use; a code with any other has no canonical form and is compared as it is written. Departing
from UCUM, an amount of substance is a base of its own: mmol/L is no number of cells per litre.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

UCUM = "http://unitsofmeasure.org"

MAX_CODE = 100
MAX_POWER = 40


class Unit(NamedTuple):
    """`number` of this unit is `(number + offset) * factor` of the base units that `dimension` names, such as `g.m-3`."""

    factor: Fraction
    dimension: str
    offset: Fraction = Fraction(0)

    def canonical(self, number: Decimal) -> float:
        """The number in base units: equal quantities give equal floats, because only the end result is rounded."""
        exact = (Fraction(number) + self.offset) * self.factor
        try:
            return float(exact)
        except OverflowError:
            return math.inf if exact > 0 else -math.inf


_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3, "u": -6,
    "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
# Atom -> factor and the units that it is made of. Metric atoms take prefixes.
_BASE = ("m", "s", "g", "K", "C", "cd", "rad", "mol", "[iU]", "[arb'U]", "[CFU]", "[PFU]", "[pH]", "B", "Np")
_METRIC = {
    **{atom: ("1", atom) for atom in _BASE},
    "L": ("0.001", "m3"), "l": ("0.001", "m3"), "t": ("1000000", "g"), "eq": ("1", "mol"), "osm": ("1", "mol"),
    "[IU]": ("1", "[iU]"), "kat": ("1", "mol/s"), "U": ("1e-6", "mol/min"), "Hz": ("1", "/s"), "N": ("1000", "g.m/s2"),
    "J": ("1", "N.m"), "W": ("1", "J/s"), "Pa": ("1", "N/m2"), "bar": ("100000", "Pa"), "m[Hg]": ("133322", "Pa"),
    "m[H2O]": ("9806.65", "Pa"), "cal": ("4.184", "J"), "A": ("1", "C/s"), "V": ("1", "J/C"), "Ohm": ("1", "V/A"),
    "S": ("1", "A/V"), "F": ("1", "C/V"), "T": ("1000", "g/C/s"), "lm": ("1", "cd"), "Bq": ("1", "/s"), "Ci": ("37e9", "Bq"),
    "Gy": ("1", "J/kg"), "RAD": ("0.01", "Gy"), "Sv": ("1", "J/kg"), "REM": ("0.01", "Sv"), "u": ("1.6605402e-24", "g"),
    "dyn": ("1e-5", "N"), "P": ("1", "dyn.s/cm2"),
}  # fmt: skip
_OTHER = {
    "10*": ("10", ""), "10^": ("10", ""), "%": ("0.01", ""), "[ppth]": ("0.001", ""), "[ppm]": ("1e-6", ""),
    "[ppb]": ("1e-9", ""), "min": ("60", "s"), "h": ("60", "min"), "d": ("24", "h"), "wk": ("7", "d"), "a": ("365.25", "d"),
    "a_j": ("365.25", "d"), "mo": ("30.4375", "d"), "mo_j": ("30.4375", "d"), "deg": ("0.0174532925199432958", "rad"),
    "[in_i]": ("0.0254", "m"), "[ft_i]": ("0.3048", "m"), "[lb_av]": ("453.59237", "g"), "[oz_av]": ("28.349523125", "g"),
    "[st_av]": ("14", "[lb_av]"), "[foz_us]": ("29.5735295625", "mL"), "[tsp_us]": ("4.92892159375", "mL"),
    "[tbs_us]": ("14.78676478125", "mL"), "[cup_us]": ("236.5882365", "mL"), "[drp]": ("0.05", "mL"), "[HPF]": ("1", ""),
    "[LPF]": ("100", ""), "[Cal]": ("1", "kcal"), "[diop]": ("1", "/m"), "[Ch]": ("0.000333333333333333333", "m"),
}  # fmt: skip
# Scales that do not start at zero stand alone: there is no Cel/d.
_SPECIAL = {
    "Cel": Unit(Fraction(1), "K", Fraction("273.15")),
    "[degF]": Unit(Fraction(5, 9), "K", Fraction("459.67")),
}
_TOKEN = re.compile(r"\{[^{}]*\}|[./()]|(?:\[[^\]]*\]|[^./(){}\[\]])+", re.ASCII)
_POWER = re.compile(r"(.*?)([+-]?\d{1,2})?", re.ASCII)

Reduced = tuple[Fraction, Counter[str]]


@lru_cache(maxsize=4096)
def unit(code: str) -> Unit | None:
    """The unit of a case-sensitive UCUM code; None where it is none, or has an atom that is not in the tables."""
    if code in _SPECIAL:
        return _SPECIAL[code]
    found = reduced(code)
    return Unit(found[0], written(found[1])) if found else None


def reduced(code: str) -> Reduced | None:
    """The same of a unit whose scale starts at zero, as its factor and the powers of base units."""
    if not code or len(code) > MAX_CODE or "".join(_TOKEN.findall(code)) != code:
        return None
    tokens = _TOKEN.findall(code)[::-1]
    try:
        factor, powers = _terms(tokens)
    except (ValueError, OverflowError):
        return None
    return (factor, powers) if not tokens and all(abs(power) <= MAX_POWER for power in powers.values()) else None


def written(powers: Mapping[str, int]) -> str:
    """Powers of units as one code: `g.m-3`."""
    return ".".join(f"{atom}{power if power != 1 else ''}" for atom, power in sorted(powers.items()) if power) or "1"


def _terms(tokens: list[str]) -> Reduced:
    """Components that `.` and `/` join, from the left; `/` turns over only the one that follows it."""
    factor, powers = Fraction(1), Counter[str]()
    sign = -1 if tokens and tokens[-1] == "/" and tokens.pop() else 1
    while True:
        one, exponents = _component(tokens)
        factor *= one**sign
        for atom, power in exponents.items():
            powers[atom] += sign * power
        if not tokens or tokens[-1] == ")":
            return factor, powers
        sign = {".": 1, "/": -1}[_separator(tokens)]


def _separator(tokens: list[str]) -> str:
    if tokens[-1] not in "./":
        raise ValueError("two units without an operator")
    return tokens.pop()


def _component(tokens: list[str]) -> Reduced:
    token = tokens.pop() if tokens else ")"
    if token in (".", "/", ")"):
        raise ValueError("a unit is missing")
    if token[0] == "{":  # an annotation says something of the number and is 1
        return Fraction(1), Counter()
    found = _group(tokens) if token == "(" else _simple(token)
    if tokens and tokens[-1][0] == "{":
        tokens.pop()
    return found


def _group(tokens: list[str]) -> Reduced:
    found = _terms(tokens)
    if not tokens or tokens.pop() != ")":
        raise ValueError("a parenthesis is not closed")
    return found


def _simple(token: str) -> Reduced:
    if token.isascii() and token.isdigit():
        return Fraction(int(token) or 1), Counter()
    split = _POWER.fullmatch(token)
    if not split or not split[1]:
        raise ValueError("not a unit")
    factor, powers = _atom(split[1])
    power = int(split[2] or 1)
    if abs(power) > MAX_POWER:
        raise ValueError("a power out of range")
    return factor**power, Counter({atom: each * power for atom, each in powers.items()})


@lru_cache(maxsize=1024)
def _atom(symbol: str) -> Reduced:
    if symbol in _BASE:
        return Fraction(1), Counter({symbol: 1})
    known = _METRIC.get(symbol) or _OTHER.get(symbol)
    if known:
        factor, powers = _terms(_TOKEN.findall(known[1])[::-1]) if known[1] else (Fraction(1), Counter())
        return Fraction(known[0]) * factor, powers
    prefix = next((one for one in (symbol[:2], symbol[:1]) if one in _PREFIXES and symbol[len(one) :] in _METRIC), None)
    if prefix is None:
        raise ValueError("not a unit that is known here")
    factor, powers = _atom(symbol[len(prefix) :])
    return factor * Fraction(10) ** _PREFIXES[prefix], powers
