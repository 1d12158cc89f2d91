"""Amounts that limits are about: machines, milli-cores, bytes and money, all integers.

Money is counted in millionths of whatever currency a class writes its prices in; nothing is ever a float, so that a
limit is either kept or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from iacorch.api.values import quantity

MICROS: Final = 1_000_000
GIB: Final = 1 << 30


def micros(text: str | int | float | None) -> int:
    """Money as text, in millionths, rounded up: a price is never taken for less than it is."""
    if text is None:
        return 0
    amount = quantity.parse(text).amount * MICROS
    return -((-amount.numerator) // amount.denominator)


def money_text(amount: int) -> str:
    """`1250000` -> `1.25`, at least as exact as people read."""
    whole, rest = divmod(amount, MICROS)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".")


def memory_text(amount: int) -> str:
    """In the largest whole unit, as Kubernetes writes it."""
    return quantity.canonical(f"{amount / (1 << 20):.0f}Mi") if amount else "0"


def cpu_text(milli: int) -> str:
    return quantity.canonical(f"{milli}m")


@dataclass(frozen=True, slots=True)
class Amounts:
    """What some machines are together."""

    machines: int = 0
    cpu: int = 0
    memory: int = 0
    money: int = 0
    """Millionths an hour."""

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.machines + other.machines, self.cpu + other.cpu, self.memory + other.memory, self.money + other.money
        )

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.machines - other.machines, self.cpu - other.cpu, self.memory - other.memory, self.money - other.money
        )

    @property
    def worth(self) -> Fraction:
        """What they cost; where machines cost nothing, their size stands for it, far below any price."""
        return Fraction(self.money) + Fraction(self.cpu, 1000) / 100 + Fraction(self.memory, GIB) / 800


def capacity_amounts(capacity: Mapping[str, Any], price: int) -> Amounts:
    """One machine."""
    return Amounts(1, quantity.milli_cpu(capacity.get("cpu") or 0), quantity.units(capacity.get("memory") or 0), price)
