"""A NodePool, parsed: what its spec says, with every default filled in.

In: the object. Out: `Pool`, frozen. Everyone who decides about pools reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.values import durations, intstr, quantity, selectors
from iacorch.api.values.intstr import IntOrString
from iacorch.api.values.selectors import LabelSelector
from iacorch.kit import limits as numbers
from iacorch.provision.pools.amounts import micros
from iacorch.provision.pools.hours import Hours, hours_of
from iacorch.provision.pools.money import Limits, Spending
from iacorch.provision.pools.words import POOL_LABEL, Reason

NEVER, WHEN_EMPTY, WHEN_UNDERUSED = "Never", "WhenEmpty", "WhenEmptyOrUnderutilized"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many machines may be disrupted at once, for which reasons (empty: all), when."""

    machines: IntOrString
    reasons: frozenset[str]
    hours: Hours

    def allows(self, reason: Reason, total: int, *, now: datetime) -> int | None:
        """None when it says nothing about this."""
        if (self.reasons and reason not in self.reasons) or not self.hours.is_open(now):
            return None
        return share(self.machines, total)


@dataclass(frozen=True, slots=True)
class RepairPolicy:
    """Which rungs may be tried; how many at once; from how many unhealthy machines on nothing drastic is tried."""

    automatic: bool
    rungs: tuple[str, ...]
    at_once: IntOrString
    max_unhealthy: IntOrString
    patience: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pool:
    """See the module docstring."""

    name: str
    uid: str
    class_name: str
    weight: int
    limits: Limits
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, Any], ...]
    requirements: LabelSelector
    expire_after_seconds: float | None
    hours: Hours
    consolidation: str
    consolidate_after_seconds: float | None
    budgets: tuple[Budget, ...]
    repair: RepairPolicy
    spending: Spending | None
    obj: Object = field(compare=False, repr=False)

    def hash(self, class_spec: Mapping[str, Any]) -> str:
        """Of everything that a machine is made from: a claim that carries another one has drifted."""
        spec = objects.spec(self.obj)
        wanted = {name: spec.get(name) for name in ("labels", "taints", "classRef")} | {
            "class": {name: class_spec.get(name) for name in ("driver", "region", "template")}
        }
        return hashlib.sha256(orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    def allowed(self, reason: Reason, total: int, *, now: datetime) -> int:
        """How many of `total` machines may be disrupted at once for this reason."""
        found = [n for budget in self.budgets if (n := budget.allows(reason, total, now=now)) is not None]
        return min(found) if found else total


def share(value: IntOrString, total: int) -> int:
    """A percentage is at least one machine, unless it is zero: 10 % of three machines is one."""
    return intstr.scaled(value, total, round_up=True)


def pool_of(obj: Object) -> Pool:
    """Parse a NodePool that the server has validated."""
    spec, name = objects.spec(obj), objects.name(obj)
    disruption = spec.get("disruption") or {}
    zone = spec.get("timeZone")
    budgets = disruption.get("budgets") or [{"machines": numbers.DISRUPTION_BUDGET}]
    requirements = spec.get("requirements")
    return Pool(
        name=name,
        uid=objects.uid(obj),
        class_name=spec["classRef"]["name"],
        weight=int(spec.get("weight") or 0),
        limits=_limits(spec.get("limits") or {}),
        labels={**(spec.get("labels") or {}), POOL_LABEL: name},
        taints=tuple(spec.get("taints") or ()),
        requirements=selectors.from_node_expressions(requirements) if requirements else selectors.EVERYTHING,
        expire_after_seconds=durations.seconds_or(spec.get("expireAfter"), None),
        hours=hours_of(spec.get("officeHours"), zone),
        consolidation=disruption.get("consolidationPolicy") or WHEN_UNDERUSED,
        consolidate_after_seconds=durations.seconds_or(
            disruption.get("consolidateAfter"), numbers.CONSOLIDATE_AFTER_SECONDS
        ),
        budgets=tuple(
            Budget(b["machines"], frozenset(b.get("reasons") or ()), hours_of(b.get("during"), zone)) for b in budgets
        ),
        repair=_repair(spec.get("repair") or {}),
        spending=_spending(objects.status(obj).get("spending") or {}),
        obj=obj,
    )


def _limits(limits: Mapping[str, Any]) -> Limits:
    def maybe(field: str) -> int | None:
        return micros(limits[field]) if limits.get(field) is not None else None

    cpu, memory = limits.get("cpu"), limits.get("memory")
    return Limits(
        machines=limits.get("machines"),
        cpu=None if cpu is None else quantity.milli_cpu(cpu),
        memory=None if memory is None else quantity.units(memory),
        money_per_hour=maybe("moneyPerHour"),
        money_per_month=maybe("moneyPerMonth"),
    )


def _repair(repair: Mapping[str, Any]) -> RepairPolicy:
    patience = dict(numbers.REPAIR_PATIENCE_SECONDS)
    for rung, text in (repair.get("patience") or {}).items():
        seconds = durations.seconds(text)
        patience[rung] = seconds if seconds is not None else float("inf")
    return RepairPolicy(
        automatic=repair.get("policy") != "Never",
        rungs=tuple(repair.get("rungs") or numbers.REPAIR_RUNGS),
        at_once=repair.get("maxAtOnce", numbers.REPAIRS_AT_ONCE),
        max_unhealthy=repair.get("maxUnhealthy", numbers.REPAIR_MAX_UNHEALTHY),
        patience=patience,
    )


def _spending(spending: Mapping[str, Any]) -> Spending | None:
    as_of = objects.moment(spending.get("asOf"))
    if as_of is None or not spending.get("month"):
        return None
    return Spending(str(spending["month"]), micros(spending.get("money")), as_of)
