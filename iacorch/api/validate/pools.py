"""NodePools, NodeClaims and MachineClasses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from iacorch.api import names, objects
from iacorch.api.objects import Object
from iacorch.api.validate.problems import Problems
from iacorch.api.values import durations, intstr, quantity

CONSOLIDATION: Final = ("Never", "WhenEmpty", "WhenEmptyOrUnderutilized")
REASONS: Final = ("Drifted", "Empty", "Expired", "OfficeHours", "OverLimit", "Underutilized")
RUNGS: Final = ("RestartAgent", "Bootstrap", "Reboot", "Reimage", "Replace")
CAPACITY_TYPES: Final = ("owned", "spot", "on-demand")
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_EFFECTS: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)
_RESERVED: Final = "iacorch.dev/"


def node_pool(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    if not spec:
        problems.required("spec")
        return
    _reference(problems, "spec.classRef", spec.get("classRef"))
    problems.between("spec.weight", spec.get("weight"), 0, 100)
    _placement(problems, spec)
    _limits(problems, spec.get("limits") or {})
    _duration(problems, "spec.expireAfter", spec.get("expireAfter"))
    _zone(problems, "spec.timeZone", spec.get("timeZone"))
    _hours(problems, "spec.officeHours", spec.get("officeHours"))
    disruption = spec.get("disruption") or {}
    problems.one_of("spec.disruption.consolidationPolicy", disruption.get("consolidationPolicy"), CONSOLIDATION)
    _duration(problems, "spec.disruption.consolidateAfter", disruption.get("consolidateAfter"))
    for index, budget in enumerate(disruption.get("budgets") or ()):
        at = f"spec.disruption.budgets[{index}]"
        _share(problems, f"{at}.machines", budget.get("machines"))
        for number, reason in enumerate(budget.get("reasons") or ()):
            problems.one_of(f"{at}.reasons[{number}]", reason, REASONS)
        _hours(problems, f"{at}.during", budget.get("during"))
    _repair(problems, spec.get("repair") or {})


def _repair(problems: Problems, repair: Mapping[str, Any]) -> None:
    problems.one_of("spec.repair.policy", repair.get("policy"), ("Automatic", "Never"))
    _share(problems, "spec.repair.maxAtOnce", repair.get("maxAtOnce"))
    _share(problems, "spec.repair.maxUnhealthy", repair.get("maxUnhealthy"))
    for index, rung in enumerate(repair.get("rungs") or ()):
        problems.one_of(f"spec.repair.rungs[{index}]", rung, RUNGS)
    for rung, text in (repair.get("patience") or {}).items():
        problems.one_of(f"spec.repair.patience[{rung}]", rung, (*RUNGS, "Unhealthy"))
        _duration(problems, f"spec.repair.patience[{rung}]", text)


def node_claim(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    if not spec:
        problems.required("spec")
        return
    _reference(problems, "spec.classRef", spec.get("classRef"))
    _placement(problems, spec)
    _duration(problems, "spec.expireAfter", spec.get("expireAfter"))
    _offering(problems, "spec.offering", spec.get("offering") or {})


def node_claim_change(problems: Problems, new: Object, old: Object) -> None:
    """A claim is what was decided once: another wish is another claim."""
    problems.immutable("spec", objects.spec(new), objects.spec(old))


def machine_class(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    if not spec:
        problems.required("spec")
        return
    driver = spec.get("driver") or ""
    if driver:
        problems.each("spec.driver", driver, names.dns_label(driver))
    offerings = spec.get("offerings") or ()
    for index, offering in enumerate(offerings):
        _offering(problems, f"spec.offerings[{index}]", offering)
    problems.unique(
        "spec.offerings",
        (
            (f"spec.offerings[{index}]", "/".join(str(o.get(f) or "") for f in ("machineType", "zone", "capacityType")))
            for index, o in enumerate(offerings)
        ),
    )


def _offering(problems: Problems, at: str, offering: Mapping[str, Any]) -> None:
    problems.one_of(f"{at}.capacityType", offering.get("capacityType"), CAPACITY_TYPES)
    problems.at_least(f"{at}.count", offering.get("count"), 0)
    for name, amount in (offering.get("capacity") or {}).items():
        _amount(problems, f"{at}.capacity[{name}]", amount)
    _amount(problems, f"{at}.moneyPerHour", offering.get("moneyPerHour"))
    _labels(problems, f"{at}.labels", offering.get("labels") or {})


def _placement(problems: Problems, spec: Mapping[str, Any]) -> None:
    _labels(problems, "spec.labels", spec.get("labels") or {})
    for index, taint in enumerate(spec.get("taints") or ()):
        at = f"spec.taints[{index}]"
        problems.each(f"{at}.key", taint.get("key", ""), names.qualified_name(taint.get("key", "")))
        problems.each(f"{at}.value", taint.get("value", ""), names.label_value(taint.get("value", "")))
        problems.one_of(f"{at}.effect", taint.get("effect"), _EFFECTS)
    for index, entry in enumerate(spec.get("requirements") or ()):
        _requirement(problems, f"spec.requirements[{index}]", entry)


def _requirement(problems: Problems, at: str, entry: Mapping[str, Any]) -> None:
    operator, values = entry.get("operator"), list(entry.get("values") or ())
    problems.each(f"{at}.key", entry.get("key", ""), names.qualified_name(entry.get("key", "")))
    problems.one_of(f"{at}.operator", operator, _OPERATORS)
    if operator in ("In", "NotIn") and not values:
        problems.required(f"{at}.values", f'must be specified when `operator` is "{operator}"')
    if operator in ("Exists", "DoesNotExist") and values:
        problems.forbidden(f"{at}.values", f'may not be specified when `operator` is "{operator}"')
    if operator in ("Gt", "Lt") and (len(values) != 1 or not str(values[0]).lstrip("-").isdigit()):
        problems.invalid(f"{at}.values", values, "must be one whole number")


def _labels(problems: Problems, at: str, labels: Mapping[str, str]) -> None:
    for key, value in labels.items():
        problems.each(at, key, names.qualified_name(key))
        problems.each(f"{at}[{key}]", value, names.label_value(value))
        if key.startswith(_RESERVED):
            problems.forbidden(f"{at}[{key}]", f"labels below {_RESERVED} are set by iacorch itself")


def _limits(problems: Problems, limits: Mapping[str, Any]) -> None:
    problems.at_least("spec.limits.machines", limits.get("machines"), 0)
    for field in ("cpu", "memory", "moneyPerHour", "moneyPerMonth"):
        _amount(problems, f"spec.limits.{field}", limits.get(field))


def _amount(problems: Problems, at: str, amount: Any) -> None:
    if amount is not None and quantity.is_negative(amount):
        problems.invalid(at, str(amount), "must be greater than or equal to 0")


def _share(problems: Problems, at: str, value: Any) -> None:
    if isinstance(value, str) and not intstr.is_percent(value):
        problems.invalid(at, value, 'must be a number or a percentage such as "10%"')
    elif isinstance(value, int):
        problems.at_least(at, value, 0)


def _duration(problems: Problems, at: str, text: Any) -> None:
    if text:
        try:
            durations.seconds(text)
        except ValueError as error:
            problems.invalid(at, text, str(error))


def _zone(problems: Problems, at: str, zone: Any) -> None:
    if zone:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            problems.invalid(at, zone, "unknown time zone")


def _hours(problems: Problems, at: str, windows: Any) -> None:
    for index, window in enumerate(windows or ()):
        for number, day in enumerate(window.get("days") or ()):
            problems.one_of(f"{at}[{index}].days[{number}]", day, DAYS)
        for field in ("from", "until"):
            text = window.get(field) or ""
            if text and not _TIME.fullmatch(text):
                problems.invalid(f"{at}[{index}].{field}", text, 'must be a time of day such as "08:30"')


def _reference(problems: Problems, at: str, reference: Any) -> None:
    name = (reference or {}).get("name") or ""
    if not name:
        problems.required(f"{at}.name")
    else:
        problems.each(f"{at}.name", name, names.dns_subdomain(name))
