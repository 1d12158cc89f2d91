"""DriftPolicy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from iacorch.api import objects
from iacorch.api.objects import Object
from iacorch.api.validate.problems import Problems
from iacorch.errors import ConfigError
from iacorch.kit.schedule import Schedule

ACTIONS: Final = ("ignore", "observe", "propose", "correct", "adopt")
LAYERS: Final = ("machine", "node", "workload")
VERDICTS: Final = ("drifted", "missing", "unexpected", "unknown")
REPLACEMENTS: Final = ("never", "approved", "window")
_WINDOW_MAX_SECONDS: Final = 7 * 86_400


def drift_policy(problems: Problems, obj: Object) -> None:
    spec = objects.spec(obj)
    problems.one_of("spec.action", spec.get("action"), ACTIONS)
    problems.at_least("spec.maxCorrections", spec.get("maxCorrections"), 0)
    _each(problems, "spec.layers", spec.get("layers"), LAYERS)
    _schedule(problems, "spec", spec)
    for index, rule in enumerate(spec.get("rules") or ()):
        path = f"spec.rules[{index}]"
        problems.one_of(f"{path}.action", rule.get("action"), ACTIONS)
        problems.one_of(f"{path}.replacement", rule.get("replacement"), REPLACEMENTS)
        _each(problems, f"{path}.layers", rule.get("layers"), LAYERS)
        _each(problems, f"{path}.verdicts", rule.get("verdicts"), VERDICTS)
        if rule.get("onlyInWindow") and not spec.get("windows"):
            problems.required("spec.windows", f"{path} acts in windows only")
    for index, window in enumerate(spec.get("windows") or ()):
        path = f"spec.windows[{index}]"
        _schedule(problems, path, window)
        problems.between(f"{path}.durationSeconds", window.get("durationSeconds"), 60, _WINDOW_MAX_SECONDS)


def _each(problems: Problems, path: str, values: Any, supported: tuple[str, ...]) -> None:
    for index, value in enumerate(values or ()):
        problems.one_of(f"{path}[{index}]", value, supported)


def _schedule(problems: Problems, path: str, of: Mapping[str, Any]) -> None:
    schedule, zone = of.get("schedule"), of.get("timeZone")
    if schedule:
        try:
            Schedule(schedule)
        except ConfigError as error:
            problems.invalid(f"{path}.schedule", schedule, f"{error.message}: {error.hint}")
    if zone:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            problems.invalid(f"{path}.timeZone", zone, "unknown time zone")
