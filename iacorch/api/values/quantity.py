"""Kubernetes quantities: `100m`, `1Gi`, `1e3`. Exact: no float ever touches them.

In: text (or a JSON number). Out: `Quantity`, an exact number that remembers its family of suffixes and prints itself in
the canonical form of the Kubernetes API reference: the mantissa is an integer, the largest suffix that keeps it so, and
nothing smaller than a nano (rounded up, away from zero). Validation, the scheduler, the agent and tables use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Final

PATTERN: Final = (
    r"([+-]?)([0-9]{1,64}(?:\.[0-9]{0,64})?|\.[0-9]{1,64})"
    r"(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?[0-9]{1,3}))?"
)
"""The grammar, in what all dialects of regular expressions have in common."""
_QUANTITY: Final = re.compile(PATTERN)
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL: Final = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_DECIMAL_NAMES: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_NAMES: Final = {power: suffix for suffix, power in _BINARY.items()}
_NANO: Final = Fraction(1, 10**9)
_LARGEST: Final = Fraction(2**63 - 1)

FORMAT_HELP: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class Format(Enum):
    """The family of suffixes a quantity was written with, and is printed with."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """An exact amount. Equality, order and hash look at the amount alone: `1000m` equals `1`."""

    amount: Fraction
    format: Format = Format.DECIMAL

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount + other.amount, self.format if self.amount else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount - other.amount, self.format if self.amount else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.amount, self.format)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.amount == other.amount

    def __lt__(self, other: Quantity) -> bool:
        return self.amount < other.amount

    def __le__(self, other: Quantity) -> bool:
        return self.amount <= other.amount

    def __gt__(self, other: Quantity) -> bool:
        return self.amount > other.amount

    def __ge__(self, other: Quantity) -> bool:
        return self.amount >= other.amount

    def __bool__(self) -> bool:
        return self.amount.numerator != 0

    def __hash__(self) -> int:
        return hash(self.amount)

    @property
    def value(self) -> int:
        """In units, rounded up, away from zero: bytes, pods."""
        return _round_up(self.amount)

    @property
    def milli(self) -> int:
        """In thousandths, rounded up: milli-CPU."""
        return _round_up(self.amount * 1000)

    def __str__(self) -> str:
        if not self.amount:
            return "0"
        if self.format is Format.BINARY and abs(self.amount) >= 1024:
            return _print_binary(_round_up(self.amount))
        return _print_decimal(self.amount, exponent=self.format is Format.EXPONENT)


def _round_up(amount: Fraction) -> int:
    """To the next integer away from zero."""
    magnitude = -(-abs(amount.numerator) // amount.denominator)
    return magnitude if amount >= 0 else -magnitude


def _print_binary(units: int) -> str:
    power = 0
    while power < 6 and units % 1024 == 0:
        units, power = units // 1024, power + 1
    return f"{units}{_BINARY_NAMES[power] if power else ''}"


def _print_decimal(amount: Fraction, *, exponent: bool) -> str:
    nanos = _round_up(amount / _NANO)
    power = -3
    while power < 6 and nanos % 1000 == 0:
        nanos, power = nanos // 1000, power + 1
    if exponent:
        return f"{nanos}e{power * 3}" if power else str(nanos)
    return f"{nanos}{_DECIMAL_NAMES[power]}"


@lru_cache(maxsize=8192)
def _parse(text: str) -> Quantity:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(FORMAT_HELP)
    sign, digits, suffix, exponent = match.groups()
    whole, _, decimals = digits.partition(".")
    amount = Fraction(int((whole + decimals) or "0"), 10 ** len(decimals))
    form = Format.DECIMAL
    if exponent is not None:
        amount, form = amount * Fraction(10) ** int(exponent), Format.EXPONENT
    elif suffix in _BINARY:
        amount, form = amount * 1024 ** _BINARY[suffix], Format.BINARY
    else:
        amount *= Fraction(1000) ** _DECIMAL[suffix or ""]
    if amount and amount < _NANO:
        amount = _NANO
    elif amount.denominator > 1 and (amount / _NANO).denominator != 1:
        amount = _round_up(amount / _NANO) * _NANO
    amount = min(amount, _LARGEST)
    return Quantity(-amount if sign == "-" else amount, form)


def parse(text: str | int | float) -> Quantity:
    """Parse text, or a number as JSON and YAML may carry it. Raises ValueError with Kubernetes' words.

    As in Kubernetes, amounts finer than a nano are rounded up to one and amounts beyond 2^63-1 are capped there.
    """
    if isinstance(text, str):
        return _parse(text)
    if isinstance(text, bool) or not isinstance(text, (int, float)):
        raise ValueError(FORMAT_HELP)
    return _parse(repr(text))


def canonical(text: str | int | float) -> str:
    """The canonical text of what was written: `1000m` -> `1`, `0.5Gi` -> `512Mi`."""
    return _canonical(text) if isinstance(text, str) else str(parse(text))


@lru_cache(maxsize=8192)
def _canonical(text: str) -> str:
    return str(_parse(text))


def is_negative(text: str | int | float) -> bool:
    return str(text).startswith("-") and parse(text).amount < 0


def milli_cpu(text: str | int | float | None) -> int:
    """A CPU quantity in thousandths of a core; a missing one is zero."""
    return parse(text).milli if text is not None else 0


def units(text: str | int | float | None) -> int:
    """A memory, storage or count quantity in whole units; a missing one is zero."""
    return parse(text).value if text is not None else 0


def total(texts: list[str]) -> str:
    """The canonical sum."""
    result = Quantity(Fraction(0))
    for text in texts:
        result = result + parse(text)
    return str(result)
