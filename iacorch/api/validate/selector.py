"""Label selectors as objects."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from iacorch.api import names
from iacorch.api.validate import metadata
from iacorch.api.validate.problems import Problems

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist")


def check(problems: Problems, path: str, selector: Mapping[str, Any] | None) -> None:
    """A metav1.LabelSelector."""
    if selector is None:
        return
    metadata.labels(problems, f"{path}.matchLabels", selector.get("matchLabels"))
    for index, entry in enumerate(selector.get("matchExpressions") or []):
        expression(problems, f"{path}.matchExpressions[{index}]", entry, _OPERATORS, check_values=True)


def expression(
    problems: Problems, path: str, entry: Mapping[str, Any], operators: tuple[str, ...], *, check_values: bool = False
) -> None:
    """One requirement, of labels or of a node selector."""
    operator, values = entry.get("operator"), entry.get("values") or []
    if operator not in operators:
        problems.invalid(f"{path}.operator", operator or "", "not a valid selector operator")
    elif operator in ("In", "NotIn"):
        if not values:
            problems.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            problems.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif len(values) != 1:
        problems.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    elif not _INTEGER.fullmatch(values[0]):
        problems.invalid(f"{path}.values[0]", values[0], "for 'Gt', 'Lt' operators, the value must be an integer")
    key = entry.get("key", "")
    problems.each(f"{path}.key", key, names.qualified_name(key))
    if check_values:
        for at, value in enumerate(values):
            problems.each(f"{path}.values[{at}]", value, names.label_value(value))
