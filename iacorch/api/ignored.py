"""Fields of pods that are accepted and that nobody here acts on: their users are told.

In: an object. Out: a warning a field, for the Warning header that kubectl prints. Refusing them would refuse charts
that work without; saying nothing would let people believe in what does not happen. Called by the server's pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from iacorch.api import objects
from iacorch.api.objects import Object

_WHEN = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution")
_POLICIES = {"nodeAffinityPolicy": "Honor", "nodeTaintsPolicy": "Ignore"}
_LOOKED_AT = {"runtimeClassName", "securityContext", "topologySpreadConstraints", "affinity"}
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
    if not _LOOKED_AT & spec.keys():
        return
    if spec.get("runtimeClassName"):
        yield f"{path}.runtimeClassName: there is one runtime on a node; the field is ignored"
    if (spec.get("securityContext") or {}).get("sysctls"):
        yield f"{path}.securityContext.sysctls: sysctls are not set; the field is ignored"
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        for field, done in _POLICIES.items():
            if constraint.get(field, done) != done:
                where = f"{path}.topologySpreadConstraints[{index}].{field}"
                yield f"{where}: it is always {done}; the field is ignored"
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity, at = (spec.get("affinity") or {}).get(kind) or {}, f"{path}.affinity.{kind}"
        for when in _WHEN:
            for index, entry in enumerate(affinity.get(when) or ()):
                inside = ".podAffinityTerm" if "podAffinityTerm" in entry else ""
                for field in _TERMS:
                    if field in entry.get("podAffinityTerm", entry):
                        where = f"{at}.{when}[{index}]{inside}.{field}"
                        yield f"{where}: only labelSelector and namespaces count; the field is ignored"
