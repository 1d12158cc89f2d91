"""Fields of pods that are accepted and that nobody here acts on: their users are told.

In: an object. Out: a warning a field, for the Warning header that kubectl prints. Refusing them would refuse charts
that work without; saying nothing would let people believe in what does not happen. Called by the server's pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object

_TERMS = ("namespaceSelector", "matchLabelKeys", "mismatchLabelKeys")


def warnings(obj: Object) -> tuple[str, ...]:
    """For a pod, or an object with a pod template."""
    spec = objects.spec(obj)
    if obj.get("kind") == "Pod":
        return tuple(_of(spec, "spec"))
    template = spec.get("template")
    if isinstance(template, Mapping) and isinstance(template.get("spec"), Mapping):
        return tuple(_of(template["spec"], "spec.template.spec"))
    return ()


def _of(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    if spec.get("runtimeClassName"):
        yield f"{path}.runtimeClassName: there is one runtime on a node; the field is ignored"
    if (spec.get("securityContext") or {}).get("sysctls"):
        yield f"{path}.securityContext.sysctls: sysctls are not set; the field is ignored"
    if spec.get("topologySpreadConstraints"):
        yield f"{path}.topologySpreadConstraints: only the pods of one controller are spread; the field is ignored"
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity, at = (spec.get("affinity") or {}).get(kind) or {}, f"{path}.affinity.{kind}"
        if affinity.get("preferredDuringSchedulingIgnoredDuringExecution"):
            yield f"{at}.preferredDuringSchedulingIgnoredDuringExecution: only required terms count; it is ignored"
        for index, term in enumerate(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            for field in _TERMS:
                if field in term:
                    where = f"{at}.requiredDuringSchedulingIgnoredDuringExecution[{index}].{field}"
                    yield f"{where}: only labelSelector and namespaces count; the field is ignored"
