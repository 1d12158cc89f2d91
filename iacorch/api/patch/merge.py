"""JSON merge patch, RFC 7386: objects merge, null removes, everything else replaces."""

from __future__ import annotations

from typing import Any

from iacorch.api.objects import deep_copy


def merge_patch(target: Any, patch: Any) -> Any:
    """The patched value; neither argument is changed."""
    if not isinstance(patch, dict):
        return deep_copy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
