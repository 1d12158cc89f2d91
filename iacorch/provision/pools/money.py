"""What a pool's machines cost, and whether there is room for more under its limits.

In: the pool's limits, what it holds, what it has spent, now. Out: a reason why something does not fit, or none. Pure.

A monthly limit is kept by looking ahead: what was spent this month, plus what the pool's machines would cost if all of
them stayed to the month's end, is never more than the limit. So it cannot be exceeded by waiting, and a pool that was
frugal for half a month may run twice as many machines in the other. Months and accounts are in UTC.

Spending is an account with a moment (`as_of`) up to which it is settled: settling twice up to the same moment adds
nothing, so a crash between two writes costs and gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from iacorch.provision.pools.amounts import Amounts, cpu_text, memory_text, money_text

_HOUR: Final = 3_600


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit. Money in millionths."""

    machines: int | None = None
    cpu: int | None = None
    memory: int | None = None
    money_per_hour: int | None = None
    money_per_month: int | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """`micros` were spent in `month` (`2026-11`) up to `as_of`."""

    month: str
    micros: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Rent:
    """One machine's price from its beginning to its end, None while it goes on."""

    price: int
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit is in the way, as one word, and in a sentence."""

    reason: str
    message: str


def month_of(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m")


def settled(spending: Spending | None, rents: Iterable[Rent], *, now: datetime) -> Spending:
    """The account up to `now`. A new month begins with nothing spent."""
    begins = _month_start(now)
    if spending is None or spending.month != month_of(now):
        spending = Spending(month_of(now), 0, begins)
    if spending.as_of > now:  # a clock that was set back adds nothing until it is there again
        return spending
    added = 0
    for rent in rents:
        since, until = max(rent.since, spending.as_of, begins), min(rent.until or now, now)
        added += _cost(rent.price, (until - since).total_seconds())
    return Spending(spending.month, spending.micros + added, now)


def committed(spending: Spending, price: int, *, now: datetime) -> int:
    """What the month will have cost if machines of this price together stay to its end."""
    return spending.micros + _cost(price, (_month_end(now) - now).total_seconds())


def refused(limits: Limits, held: Amounts, more: Amounts, spending: Spending, *, now: datetime) -> Refusal | None:
    """Why `more` does not fit beside what is held; None when it does."""
    total = held + more
    if limits.machines is not None and total.machines > limits.machines:
        return Refusal("MachinesLimit", f"the pool may have {limits.machines} machines and has {held.machines}")
    if limits.cpu is not None and total.cpu > limits.cpu:
        return Refusal(
            "CPULimit",
            f"the pool may have {cpu_text(limits.cpu)} cores, has {cpu_text(held.cpu)} and would need"
            f" {cpu_text(more.cpu)} more",
        )
    if limits.memory is not None and total.memory > limits.memory:
        return Refusal(
            "MemoryLimit",
            f"the pool may have {memory_text(limits.memory)} of memory, has {memory_text(held.memory)} and would need"
            f" {memory_text(more.memory)} more",
        )
    if limits.money_per_hour is not None and total.money > limits.money_per_hour:
        return Refusal(
            "MoneyPerHourLimit",
            f"the pool may cost {money_text(limits.money_per_hour)} an hour, costs {money_text(held.money)} and would"
            f" cost {money_text(more.money)} more",
        )
    if limits.money_per_month is not None:
        ahead = committed(spending, total.money, now=now)
        if ahead > limits.money_per_month:
            return Refusal(
                "MoneyPerMonthLimit",
                f"the pool may cost {money_text(limits.money_per_month)} a month; {money_text(spending.micros)} are"
                f" spent, and with this machine it would be {money_text(ahead)} by the end of {spending.month}",
            )
    return None


def over_money(limits: Limits, held: Amounts, spending: Spending, *, now: datetime) -> Refusal | None:
    """Whether what is held already costs too much: a limit was lowered, or a month began with more than it affords."""
    only_money = Limits(money_per_hour=limits.money_per_hour, money_per_month=limits.money_per_month)
    return refused(only_money, held, Amounts(), spending, now=now)


def _cost(price: int, seconds: float) -> int:
    """Rounded up to the millionth."""
    if seconds <= 0:
        return 0
    milliseconds = int(seconds * 1000)
    return -(-price * milliseconds // (_HOUR * 1000))


def _month_start(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _month_end(now: datetime) -> datetime:
    begins = _month_start(now)
    return begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
