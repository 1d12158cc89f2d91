"""Pods and pod templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from iacorch.api import names, objects
from iacorch.api.objects import Object
from iacorch.api.templates import once_a_template
from iacorch.api.validate import containers, dns, placement, volumes
from iacorch.api.validate.problems import Problems
from iacorch.kit import limits

_RESTART: Final = ("Always", "OnFailure", "Never")
_PHASE_ENDS: Final = ("Succeeded", "Failed")
_NAMES: Final = (
    ("serviceAccountName", names.dns_subdomain),
    ("nodeName", names.dns_subdomain),
    ("hostname", names.dns_label),
    ("subdomain", names.dns_label),
)

POD_CHANGE_WORDS: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(problems: Problems, obj: Object) -> None:
    """What was found right for one copy of a template is not looked at again for the next."""
    if not _is_right(objects.spec(obj)):
        spec(problems, "spec", objects.spec(obj))


@once_a_template
def _is_right(text: bytes) -> bool:
    problems = Problems()
    spec(problems, "spec", orjson.loads(text))
    return not problems.found


def spec(problems: Problems, path: str, found: Mapping[str, Any]) -> None:
    """A pod's spec at `path`, of a pod or of a template."""
    available: set[str] = set()
    if declared := found.get("volumes"):
        volumes.check(problems, f"{path}.volumes", declared)
        available.update(volume.get("name", "") for volume in declared)
    if not found.get("containers"):
        problems.required(f"{path}.containers")
    seen: list[tuple[str, Any]] = []
    for field in ("containers", "initContainers"):
        for index, container in enumerate(found.get(field) or []):
            at = f"{path}.{field}[{index}]"
            containers.check(problems, at, container, volumes=available, init=field == "initContainers")
            seen.append((f"{at}.name", container.get("name")))
    problems.unique(path, seen)
    _host_ports(problems, path, found)
    problems.one_of(f"{path}.restartPolicy", found.get("restartPolicy"), _RESTART)
    dns.check(problems, path, found)
    if context := found.get("securityContext"):
        containers.identity(problems, f"{path}.securityContext", context)
    if (grace := found.get("terminationGracePeriodSeconds")) is not None:
        problems.at_least(f"{path}.terminationGracePeriodSeconds", grace, 0)
        if grace > limits.GRACE_SECONDS:
            words = f"must be less than or equal to {limits.GRACE_SECONDS}"
            problems.invalid(f"{path}.terminationGracePeriodSeconds", grace, words)
    if (deadline := found.get("activeDeadlineSeconds")) is not None:
        problems.between(f"{path}.activeDeadlineSeconds", deadline, 1, 2**31 - 1)
    for field, rule in _NAMES:
        if value := found.get(field):
            problems.each(f"{path}.{field}", value, rule(value))
    placement.check(problems, path, found)


def _host_ports(problems: Problems, path: str, found: Mapping[str, Any]) -> None:
    taken: list[tuple[str, Any]] = []
    for index, container in enumerate(found.get("containers") or []):
        for at, port in enumerate(container.get("ports") or []):
            where = f"{path}.containers[{index}].ports[{at}]"
            host = port.get("hostPort")
            if host:
                identity = f"{port.get('protocol', 'TCP')}/{port.get('hostIP', '')}/{host}"
                taken.append((f"{where}.hostPort", identity))
            if found.get("hostNetwork") and host != port.get("containerPort"):
                words = "must match `containerPort` when `hostNetwork` is true"
                problems.invalid(f"{where}.containerPort", port.get("containerPort"), words)
            elif host and port.get("protocol") == "SCTP" and not found.get("hostNetwork"):
                problems.invalid(f"{where}.hostPort", host, "SCTP is not led from a node to a pod here")
    problems.unique(path, taken)


def pod_change(problems: Problems, new: Object, old: Object) -> None:
    """A pod's spec is what was scheduled; images, deadlines and added tolerations may still change."""
    before, after = objects.spec(old), objects.spec(new)
    for field in ("containers", "initContainers"):
        if len(before.get(field) or []) != len(after.get(field) or []):
            problems.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    _deadline(problems, before.get("activeDeadlineSeconds"), after.get("activeDeadlineSeconds"))
    kept, wanted = before.get("tolerations") or [], after.get("tolerations") or []
    if any(toleration not in wanted for toleration in kept):
        problems.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    if _fixed(before) != _fixed(after):
        problems.forbidden("spec", POD_CHANGE_WORDS)


def _deadline(problems: Problems, before: int | None, after: int | None) -> None:
    if before is not None and after is None:
        problems.invalid("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
    elif before is not None and after is not None and after > before:
        problems.invalid(
            "spec.activeDeadlineSeconds", after, f"must be less than or equal to previous value ({before})"
        )


def _fixed(found: Mapping[str, Any]) -> dict[str, Any]:
    """The spec without what may change."""
    free = ("activeDeadlineSeconds", "tolerations", "schedulingGates")
    result = {field: value for field, value in found.items() if field not in free}
    for field in ("containers", "initContainers"):
        if field in result:
            result[field] = [{key: value for key, value in one.items() if key != "image"} for one in result[field]]
    return result


def status_change(problems: Problems, new: Object, old: Object) -> None:
    """A pod that has ended does not begin again."""
    before, after = objects.status(old).get("phase"), objects.status(new).get("phase")
    if before in _PHASE_ENDS and after != before:
        problems.forbidden("status.phase", f"may not be changed from {before} to {after or 'nothing'}")
    for index, entry in enumerate(objects.status(new).get("containerStatuses") or []):
        problems.at_least(f"status.containerStatuses[{index}].restartCount", entry.get("restartCount"), 0)
